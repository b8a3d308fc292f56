//! What the transport serves: whom it lets in, and what carries operations out. Tests serve a schema of
//! their own behind the very same transport.

use std::net::IpAddr;
use std::sync::Arc;

use async_graphql::Request;
use async_graphql::parser::types::ExecutableDocument;
use axum::http::HeaderMap;
use domain::Position;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::api::Access;
use crate::api::fault::{Fault, FaultCode};
use crate::api::feed::{FeedStream, Mark};
use crate::api::{Answer, Answers, Api, Operation, Origin, Pages, limited};
use crate::auth::{Admission, Auth, Caller, NotAdmitted, Shown};
use crate::http::caller;

/// Who asks, and how.
pub struct Asking {
    /// Who.
    pub caller: Arc<Caller>,
    /// Where the request came from.
    pub origin: Origin,
    /// The position its reads wait for.
    pub at_least: Option<Position>,
    /// The position its reads are as of, where they are not of the present.
    pub as_of: Option<Position>,
    /// How much one page holds.
    pub pages: Pages,
}

/// Which moment of the read models somebody wants to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// One that shows this position.
    pub at_least: Option<Position>,
    /// That of this position, and no other.
    pub as_of: Option<Position>,
}

impl Wanted {
    /// What the headers of a request say.
    pub fn of(headers: &HeaderMap) -> Result<Wanted, Fault> {
        Ok(Wanted {
            at_least: caller::at_least(headers)?,
            as_of: caller::as_of(headers)?,
        })
    }

    /// The same, with what the request itself says; it cannot be of two positions.
    pub fn with(self, inside: Wanted) -> Result<Wanted, Fault> {
        if self.as_of.is_some() && inside.as_of.is_some() && self.as_of != inside.as_of {
            let message = "the header and `extensions.asOf` name two positions";
            return Err(Fault::new(FaultCode::BadPosition, message));
        }
        Ok(Wanted {
            at_least: self.at_least.max(inside.at_least),
            as_of: self.as_of.or(inside.as_of),
        })
    }
}

/// What a request or a socket shows of who sends it, kept.
#[derive(Clone)]
pub struct Credentials {
    /// The bearer token.
    pub bearer: Option<String>,
    /// The API key.
    pub api_key: Option<String>,
    /// Where it comes from.
    pub address: IpAddr,
}

impl Credentials {
    /// To be looked at.
    pub fn shown(&self) -> Shown<'_> {
        Shown {
            bearer: self.bearer.as_deref(),
            api_key: self.api_key.as_deref(),
            address: self.address,
        }
    }
}

/// What a client is told that is not let in.
pub fn turned_away(not_admitted: NotAdmitted) -> Fault {
    match not_admitted {
        NotAdmitted::Unauthenticated => Fault::of(FaultCode::Unauthenticated),
        NotAdmitted::Ambiguous => Fault::of(FaultCode::AmbiguousAuth),
        NotAdmitted::Limited(exceeded) => limited(exceeded),
        NotAdmitted::Unavailable => Fault::of(FaultCode::Unavailable),
    }
}

/// Carries out operations whose documents have passed the guards.
pub trait Engine: Send + Sync + 'static {
    /// Whom a request stands for by what it shows; somebody anonymous if it shows nothing.
    fn admit<'a>(&'a self, shown: Shown<'a>) -> Admission<'a>;

    /// The same, for those who do not wait where they ask.
    fn admit_later(&self, shown: Credentials) -> BoxFuture<'static, Result<Arc<Caller>, Fault>>;

    /// Who may carry out an operation of a document.
    fn access(&self, _: &ExecutableDocument, _: Option<&str>) -> Result<Access, Fault> {
        Ok(Access::default())
    }

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
        resume: Option<Mark>,
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
            as_of,
            pages,
        } = asking;
        let parts = self.api.parts().clone();
        Operation::new(parts, caller, origin, at_least, pages).viewing(as_of)
    }
}

impl Engine for Product {
    fn admit<'a>(&'a self, shown: Shown<'a>) -> Admission<'a> {
        self.auth.admit(shown)
    }

    fn admit_later(&self, shown: Credentials) -> BoxFuture<'static, Result<Arc<Caller>, Fault>> {
        let auth = self.auth.clone();
        async move {
            let admission = auth.admit(shown.shown());
            admission.settled().await.map_err(turned_away)
        }
        .boxed()
    }

    fn access(
        &self,
        document: &ExecutableDocument,
        operation: Option<&str>,
    ) -> Result<Access, Fault> {
        self.api.rules().access(document, operation)
    }

    /// Whoever may ask nothing of it has no need to know it.
    fn may_introspect(&self, caller: &Caller) -> bool {
        let asks = !caller.roles.is_empty() || !caller.scopes.is_empty();
        // Whoever is not known is refused for that.
        !self.production || asks || !caller.is_known()
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
        resume: Option<Mark>,
    ) -> BoxFuture<'static, Result<FeedStream, Fault>> {
        let (api, operation) = (self.api.clone(), self.operation(asking));
        async move { api.subscribe(operation, request, resume).await }.boxed()
    }
}
