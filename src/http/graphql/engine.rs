//! What the transport serves: whom it lets in, and what carries operations out. Tests serve a schema of
//! their own behind the very same transport.

use std::sync::Arc;

use async_graphql::Request;
use domain::Position;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::api::fault::{Fault, FaultCode};
use crate::api::feed::FeedStream;
use crate::api::{Answer, Answers, Api, Operation, Origin, Pages};
use crate::auth::{Auth, Caller, Role};

/// Who asks, and how.
pub struct Asking {
    /// Who.
    pub caller: Arc<Caller>,
    /// Where the request came from.
    pub origin: Origin,
    /// The position its reads wait for.
    pub at_least: Option<Position>,
    /// How much one page holds.
    pub pages: Pages,
}

/// Carries out operations whose documents have passed the guards.
pub trait Engine: Send + Sync + 'static {
    /// Whom a bearer token stands for; `None` if none was sent.
    fn admit(&self, token: Option<&str>) -> Result<Arc<Caller>, Fault>;

    /// May the caller see the schema?
    fn may_introspect(&self, _: &Caller) -> bool {
        true
    }

    /// Carries out a query or a mutation.
    fn execute(&self, asking: Asking, request: Request) -> BoxFuture<'static, Answer>;

    /// Whole answers kept for queries; `None` where none are.
    fn answers(&self) -> Option<&Answers> {
        None
    }

    /// Begins a subscription, after the item at `resume` where one is named.
    fn subscribe(
        &self,
        asking: Asking,
        request: Request,
        resume: Option<Position>,
    ) -> BoxFuture<'static, Result<FeedStream, Fault>>;
}

/// The product's engine.
pub struct Product {
    /// The schema over what it stands on.
    pub api: Api,
    /// Tokens.
    pub auth: Auth,
    /// In production the schema is not for everybody.
    pub production: bool,
}

impl Product {
    fn operation(&self, asking: Asking) -> Operation {
        let Asking {
            caller,
            origin,
            at_least,
            pages,
        } = asking;
        Operation::new(self.api.parts().clone(), caller, origin, at_least, pages)
    }
}

impl Engine for Product {
    fn admit(&self, token: Option<&str>) -> Result<Arc<Caller>, Fault> {
        let caller = token.and_then(|token| self.auth.verify(token).ok());
        caller.ok_or_else(|| Fault::of(FaultCode::Unauthenticated))
    }

    /// Whoever may ask nothing of it has no need to know it.
    fn may_introspect(&self, caller: &Caller) -> bool {
        !self.production || caller.may(Role::Viewer)
    }

    fn execute(&self, asking: Asking, request: Request) -> BoxFuture<'static, Answer> {
        let (api, operation) = (self.api.clone(), self.operation(asking));
        async move { api.execute(operation, request).await }.boxed()
    }

    fn answers(&self) -> Option<&Answers> {
        Some(self.api.answers())
    }

    fn subscribe(
        &self,
        asking: Asking,
        request: Request,
        resume: Option<Position>,
    ) -> BoxFuture<'static, Result<FeedStream, Fault>> {
        let (api, operation) = (self.api.clone(), self.operation(asking));
        async move { api.subscribe(operation, request, resume).await }.boxed()
    }
}
