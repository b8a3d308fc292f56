//! GraphQL over HTTP: POST, GET, event streams and sockets, all through the same guards.
//!
//! A request goes straight down: who asks, which media types, the body's bytes, strict JSON, the
//! document's tokens, the parser, the guard, and only then the schema.

mod answer;
mod body;
mod documents;
mod engine;
mod guard;
mod quota;
mod run;
mod sse;
mod tokens;
mod ws;

pub use body::{json_fault, read as read_body};
pub use documents::DocumentsError;
pub use engine::{Asking, Engine, Product};
pub use run::ask;

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ALLOW, HeaderValue};
use axum::http::request::Parts;
use axum::response::Response;
use domain::Position;
use metrics::counter;

use super::context::Id;
use super::{caller, problem};
use crate::api::fault::{Fault, FaultCode};
use crate::api::feed::FeedStream;
use crate::api::telling::{Ids, Telling};
use crate::api::{Pages, sdl};
use crate::auth::Caller;
use crate::config::Settings;
use crate::ops::{Clock, Shutdown, metrics as names};
use answer::{Accepted, Manner, MediaType, Written};
use body::Asked;
use documents::{Checked, Documents};
use quota::Quota;

/// The transport over an engine. Cheap to clone.
#[derive(Clone)]
pub struct Transport(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    documents: Documents,
    settings: Arc<Settings>,
    telling: Telling,
    quota: Quota,
    clock: Clock,
    shutdown: Shutdown,
}

/// An operation whose document has passed the guards.
struct Order {
    checked: Checked,
    asking: Asking,
    telling: Telling,
}

impl Order {
    fn is_subscription(&self) -> bool {
        self.checked.kind == OperationType::Subscription
    }
}

impl Transport {
    /// A transport whose sockets and event streams end with `shutdown`.
    pub fn new(
        engine: Arc<dyn Engine>,
        settings: Arc<Settings>,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Result<Transport, DocumentsError> {
        Ok(Transport(Arc::new(Inner {
            engine,
            documents: Documents::open(&settings.graphql, &settings.limits)?,
            telling: Telling::new(&settings.limits),
            quota: Quota::new(&settings.sockets),
            settings,
            clock,
            shutdown,
        })))
    }

    /// What carries operations out.
    pub fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// How long the caller's token is still good for.
    fn expiry(&self, caller: &Caller) -> Duration {
        let left = caller.expires_at - self.0.clock.now();
        left.to_std().unwrap_or_default()
    }

    fn telling(&self, id: &Id) -> Telling {
        self.0.telling.of(Ids {
            request: id.request.to_string(),
            trace: id.trace.trace_id().to_owned(),
        })
    }

    /// Passes what was asked through the guards.
    fn order(
        &self,
        caller: Arc<Caller>,
        mut asked: Asked,
        at_least: Option<Position>,
        id: &Id,
    ) -> Result<Order, Fault> {
        let limits = &self.0.settings.limits;
        let at_least = at_least.max(asked.at_least.take());
        let checked = self.0.documents.check(asked)?;
        let pages = Pages {
            default: limits.page_default as u32,
            max: limits.page_max as u32,
        };
        let asking = Asking {
            caller,
            origin: id.origin(),
            at_least,
            pages,
        };
        Ok(Order {
            checked,
            asking,
            telling: self.telling(id),
        })
    }

    /// Carries out a query or a mutation.
    async fn carry_out(&self, order: Order) -> Written {
        let Order {
            checked,
            asking,
            telling,
        } = order;
        let kind = checked.kind;
        let answer = run::run(self.engine(), &self.settings().limits, asking, checked).await;
        let written = match answer {
            Ok(answer) => Written::of(answer, &telling),
            Err(fault) => Written::failed(fault, &telling),
        };
        let outcome = match &written {
            Written::Result { partial: false, .. } => "answered",
            Written::Result { partial: true, .. } => "with errors",
            Written::Refused { .. } => "refused",
        };
        count(kind, outcome);
        written
    }

    /// Begins a subscription, within the time an operation may take.
    async fn subscribe(&self, order: Order, resume: Option<Position>) -> Result<FeedStream, Fault> {
        let Order {
            checked, asking, ..
        } = order;
        let begun = self.engine().subscribe(asking, checked.request, resume);
        let begun = tokio::time::timeout(self.settings().limits.operation_timeout, begun).await;
        let begun = begun.unwrap_or_else(|_| Err(Fault::of(FaultCode::Timeout)));
        let outcome = if begun.is_ok() { "answered" } else { "refused" };
        count(OperationType::Subscription, outcome);
        begun
    }
}

fn count(kind: OperationType, outcome: &'static str) {
    let kind = match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    };
    counter!(names::GRAPHQL_OPERATIONS_TOTAL, "kind" => kind, "outcome" => outcome).increment(1);
}

/// `POST /graphql`.
pub async fn post(State(transport): State<Transport>, request: Request) -> Response {
    let id = Id::of(&request);
    let (head, body) = request.into_parts();
    let asked = async {
        let caller = caller::caller(transport.engine(), &head.headers)?;
        let at_least = caller::at_least(&head.headers)?;
        let read = body::read(&transport.settings().http, &head.headers, body).await?;
        transport.order(caller, body::parse(&read)?, at_least, &id)
    };
    let order = asked.await;
    respond(&transport, &head, order, &id).await
}

/// `GET /graphql`: queries and subscriptions alone, or the way to a socket.
pub async fn get(State(transport): State<Transport>, request: Request) -> Response {
    if ws::is_wanted(request.headers()) {
        return ws::upgrade(transport, request);
    }
    let id = Id::of(&request);
    let (head, _) = request.into_parts();
    let asked = || {
        let caller = caller::caller(transport.engine(), &head.headers)?;
        let at_least = caller::at_least(&head.headers)?;
        transport.order(caller, body::parse_uri(&head.uri)?, at_least, &id)
    };
    match asked() {
        // Whoever can make a browser follow a link must not change anything by it.
        Ok(order) if order.checked.kind == OperationType::Mutation => {
            let fault = Fault::new(FaultCode::MethodNotAllowed, "mutations are sent by POST");
            let mut answer = respond(&transport, &head, Err(fault), &id).await;
            let headers = answer.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
            answer
        }
        order => respond(&transport, &head, order, &id).await,
    }
}

/// `GET /graphql/ws`: nothing but the way to a socket.
pub async fn socket(State(transport): State<Transport>, request: Request) -> Response {
    ws::upgrade(transport, request)
}

/// `GET /schema.graphql`.
pub async fn schema() -> Response {
    problem::answer(StatusCode::OK, "text/plain; charset=utf-8", sdl())
}

/// Answers an order, or why there is none, in what the caller takes.
async fn respond(
    transport: &Transport,
    head: &Parts,
    order: Result<Order, Fault>,
    id: &Id,
) -> Response {
    let accepted = match Accepted::negotiate(&head.headers) {
        Ok(accepted) => accepted,
        Err(fault) => return problem::problem(&fault, id),
    };
    let manner = Manner {
        media: accepted.best,
        draft: transport.settings().graphql.draft_status_codes,
    };
    let refuse = |fault: Fault| {
        let in_band = manner.media == MediaType::EventStream && fault.status() == 422;
        let written = Written::failed(fault, &transport.telling(id));
        match in_band {
            true => sse::once(written),
            false => manner.answer(written),
        }
    };
    match order {
        Err(fault) => refuse(fault),
        Ok(order) if order.is_subscription() => {
            match follow(transport, head, order, accepted.streams).await {
                Ok(answer) => answer,
                Err(fault) => refuse(fault),
            }
        }
        Ok(order) => {
            let written = transport.carry_out(order).await;
            match manner.media {
                MediaType::EventStream => sse::once(written),
                _ => manner.answer(written),
            }
        }
    }
}

async fn follow(
    transport: &Transport,
    head: &Parts,
    order: Order,
    streams: bool,
) -> Result<Response, Fault> {
    if !streams {
        let message = "a subscription is answered as text/event-stream, or over a WebSocket";
        return Err(Fault::new(FaultCode::NotAcceptable, message));
    }
    let resume = sse::resume(&head.headers)?;
    let caller = order.asking.caller.clone();
    let places = (
        transport.0.quota.seat()?,
        transport.0.quota.ticket(&caller)?,
    );
    let telling = order.telling.clone();
    let feed = transport.subscribe(order, resume).await?;
    Ok(sse::stream(transport, &caller, feed, telling, places))
}
