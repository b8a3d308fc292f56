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

pub use body::{collect as collect_body, content_length, json_fault, object_of, read as read_body};
pub use documents::DocumentsError;
pub use engine::{Asking, Credentials, Engine, Product, Wanted, turned_away};
pub use run::{Alias, Told, ask};

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ALLOW, HeaderValue};
use axum::http::request::Parts;
use axum::response::Response;
use metrics::counter;

use super::context::Id;
use super::meter::{Meter, Meters};
use super::{caller, problem};
use crate::api::Access;
use crate::api::fault::{Fault, FaultCode};
use crate::api::feed::{FeedStream, Mark};
use crate::api::telling::{Ids, Telling};
use crate::api::{Answer, Pages, Question, sdl};
use crate::auth::Caller;
use crate::config::Settings;
use crate::limits::Limiter;
use crate::ops::{Clock, Shutdown, metrics as names};
use answer::{Accepted, Manner, MediaType, Written};
use body::Asked;
use documents::{Checked, Documents};
use quota::Quota;

/// Where operations are sent.
pub const PATH: &str = "/graphql";

/// The transport over an engine. Cheap to clone.
#[derive(Clone)]
pub struct Transport(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    documents: Documents,
    settings: Arc<Settings>,
    telling: Telling,
    quota: Quota,
    meters: Meters,
    clock: Clock,
    shutdown: Shutdown,
}

/// An operation whose document has passed the guards.
struct Order {
    kind: OperationType,
    work: Work,
    /// What it asks, if its answer can be kept.
    question: Option<Arc<Question>>,
    asking: Asking,
    telling: Telling,
}

/// What is carried out.
enum Work {
    /// A request that was checked now.
    Checked(Box<Checked>),
    /// One whose very bytes were checked before: read again only if its answer is not kept.
    Seen(Way, Bytes),
}

/// How a request is spelled.
#[derive(Clone, Copy)]
enum Way {
    /// As a JSON body.
    Body,
    /// As the parameters of a URL.
    Parameters,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Way::Body => "body",
            Way::Parameters => "parameters",
        }
    }

    fn parse(self, raw: &[u8]) -> Result<Asked, Fault> {
        match self {
            Way::Body => body::parse(raw),
            Way::Parameters => body::parse_parameters(&String::from_utf8_lossy(raw)),
        }
    }
}

impl Order {
    fn is_subscription(&self) -> bool {
        self.kind == OperationType::Subscription
    }
}

impl Transport {
    /// A transport whose sockets and event streams end with `shutdown`.
    pub fn new(
        engine: Arc<dyn Engine>,
        settings: Arc<Settings>,
        limiter: Limiter,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Result<Transport, DocumentsError> {
        Ok(Transport(Arc::new(Inner {
            engine,
            documents: Documents::open(&settings.graphql, &settings.limits)?,
            telling: Telling::new(&settings.limits),
            quota: Quota::new(&settings.sockets),
            meters: Meters::new(limiter, settings.clone()),
            settings,
            clock,
            shutdown,
        })))
    }

    /// What carries operations out.
    pub fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    /// What its requests are counted with.
    pub fn meters(&self) -> &Meters {
        &self.0.meters
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
            request: id.request,
            trace: id.trace.clone(),
        })
    }

    fn asking(&self, caller: Arc<Caller>, moment: Wanted, id: &Id) -> Asking {
        let limits = &self.0.settings.limits;
        let pages = Pages {
            default: limits.page_default as u32,
            max: limits.page_max as u32,
        };
        Asking {
            caller,
            origin: id.origin(),
            at_least: moment.at_least,
            as_of: moment.as_of,
            pages,
        }
    }

    /// Passes what was asked through the guards, and has its caller pay for it.
    fn order(
        &self,
        (caller, meter): (Arc<Caller>, &Meter),
        mut asked: Asked,
        outside: Wanted,
        id: &Id,
    ) -> Result<Order, Fault> {
        let inside = Wanted {
            at_least: asked.at_least.take(),
            as_of: asked.as_of.take(),
        };
        let wanted = outside.with(inside)?;
        let introspects = self.engine().may_introspect(&caller);
        let checked = self.0.documents.check(asked, introspects)?;
        let access = self.access(&checked)?;
        access.admit(&caller)?;
        meter.operation(&caller, checked.cost)?;
        let question = self
            .engine()
            .answers()
            // Who asks the same again names the position again: only the header is not part of it.
            .filter(|_| inside.as_of.is_none())
            .and_then(|_| checked.question(inside.at_least, access));
        Ok(Order {
            kind: checked.kind,
            work: Work::Checked(Box::new(checked)),
            question: question.map(Arc::new),
            asking: self.asking(caller, wanted, id),
            telling: self.telling(id),
        })
    }

    /// The same of a request as it came, which may have been seen before.
    fn order_raw(
        &self,
        (caller, meter): (Arc<Caller>, &Meter),
        (way, raw): (Way, Bytes),
        wanted: Wanted,
        id: &Id,
    ) -> Result<Order, Fault> {
        let answers = self.engine().answers();
        if let Some(question) = answers.and_then(|kept| kept.recall(way.as_str(), &raw)) {
            question.access.admit(&caller)?;
            meter.operation(&caller, question.cost)?;
            let wanted = Wanted {
                at_least: wanted.at_least.max(question.at_least),
                ..wanted
            };
            return Ok(Order {
                kind: OperationType::Query,
                work: Work::Seen(way, raw),
                question: Some(question),
                asking: self.asking(caller, wanted, id),
                telling: self.telling(id),
            });
        }
        let order = self.order((caller, meter), way.parse(&raw)?, wanted, id)?;
        if let Some((answers, question)) = answers.zip(order.question.as_ref()) {
            answers.remember(way.as_str(), &raw, question.clone());
        }
        Ok(order)
    }

    fn access(&self, checked: &Checked) -> Result<Access, Fault> {
        let (document, operation) = checked.asks();
        self.engine().access(document, operation)
    }

    fn checked(&self, work: Work, asking: &Asking) -> Result<Checked, Fault> {
        match work {
            Work::Checked(checked) => Ok(*checked),
            Work::Seen(way, raw) => {
                let introspects = self.engine().may_introspect(&asking.caller);
                self.0.documents.check(way.parse(&raw)?, introspects)
            }
        }
    }

    /// Carries out a query or a mutation.
    async fn carry_out(&self, order: Order) -> Written {
        let Order {
            kind,
            work,
            question,
            asking,
            telling,
        } = order;
        let limits = &self.settings().limits;
        let document = match &work {
            Work::Checked(checked) => Some(checked.digest),
            Work::Seen(..) => None,
        };
        let execute = |asking| async {
            let checked = self.checked(work, &asking)?;
            let answer = self.engine().execute(asking, checked.request);
            Ok(answer.await)
        };
        let write =
            |answer: &Answer| telling.result(&answer.response, answer.position.map(Mark::from));
        let question = question.as_deref();
        let given = run::give(self.engine(), limits, question, asking, execute, write).await;
        let written = match given {
            Ok(given) => Written::given(given, &telling),
            Err(fault) => {
                run::blame(&fault, document.as_ref());
                Written::failed(fault, &telling)
            }
        };
        let outcome = match &written {
            Written::Result { partial: false, .. } => "ok",
            Written::Result { partial: true, .. } => "errors",
            Written::Refused { .. } => "refused",
        };
        count(Some(kind), outcome);
        written
    }

    /// Begins a subscription, within the time an operation may take.
    async fn subscribe(&self, order: Order, resume: Option<Mark>) -> Result<FeedStream, Fault> {
        let Order { work, asking, .. } = order;
        let checked = self.checked(work, &asking)?;
        let begun = self.engine().subscribe(asking, checked.request, resume);
        let begun = tokio::time::timeout(self.settings().limits.operation_timeout, begun).await;
        let begun = begun.unwrap_or_else(|_| Err(Fault::of(FaultCode::Timeout)));
        let outcome = if begun.is_ok() { "ok" } else { "refused" };
        count(Some(OperationType::Subscription), outcome);
        begun
    }
}

/// What was refused before its kind was known has none.
fn count(kind: Option<OperationType>, outcome: &'static str) {
    let kind = match kind {
        None => "unknown",
        Some(OperationType::Query) => "query",
        Some(OperationType::Mutation) => "mutation",
        Some(OperationType::Subscription) => "subscription",
    };
    counter!(names::GRAPHQL_OPERATIONS_TOTAL, "kind" => kind, "outcome" => outcome).increment(1);
}

/// `POST /graphql`.
pub async fn post(State(transport): State<Transport>, request: Request) -> Response {
    let (id, meter) = (Id::of(&request), Meter::of(&request));
    let (head, body) = request.into_parts();
    let asked = async {
        let caller = caller::admit(transport.engine(), &meter, &head.headers).await?;
        let wanted = Wanted::of(&head.headers)?;
        let read = body::read(&transport.settings().http, &head.headers, body).await?;
        transport.order_raw((caller, &meter), (Way::Body, read), wanted, &id)
    };
    let order = asked.await;
    respond(&transport, &head, order, (&id, &meter)).await
}

/// `GET /graphql`: queries and subscriptions alone, or the way to a socket.
pub async fn get(State(transport): State<Transport>, request: Request) -> Response {
    if ws::is_wanted(request.headers()) {
        return ws::upgrade(transport, request);
    }
    let (id, meter) = (Id::of(&request), Meter::of(&request));
    let (head, _) = request.into_parts();
    let asked = async {
        let caller = caller::admit(transport.engine(), &meter, &head.headers).await?;
        let wanted = Wanted::of(&head.headers)?;
        let parameters = head.uri.query().unwrap_or_default().to_owned();
        let asked = (Way::Parameters, parameters.into());
        transport.order_raw((caller, &meter), asked, wanted, &id)
    };
    match asked.await {
        // Whoever can make a browser follow a link must not change anything by it.
        Ok(order) if order.kind == OperationType::Mutation => {
            let fault = Fault::new(FaultCode::MethodNotAllowed, "mutations are sent by POST");
            let mut answer = respond(&transport, &head, Err(fault), (&id, &meter)).await;
            let headers = answer.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
            answer
        }
        order => respond(&transport, &head, order, (&id, &meter)).await,
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

/// Refuses a request before any route sees it: where GraphQL is asked in what the caller takes, elsewhere,
/// and on the way to a socket, as a problem.
pub fn refuse(settings: &Settings, request: &Request, fault: Fault, id: &Id) -> Response {
    let headers = request.headers();
    let asks = request.uri().path() == PATH && !ws::is_wanted(headers);
    match Accepted::negotiate(headers) {
        Ok(accepted) if asks => {
            let ids = Ids {
                request: id.request,
                trace: id.trace.clone(),
            };
            let telling = Telling::new(&settings.limits).of(ids);
            let manner = Manner {
                media: accepted.best,
                draft: settings.graphql.draft_status_codes,
            };
            manner.answer(Written::failed(fault, &telling))
        }
        _ => problem::problem(&fault, id),
    }
}

/// Answers an order, or why there is none, in what the caller takes.
async fn respond(
    transport: &Transport,
    head: &Parts,
    order: Result<Order, Fault>,
    (id, meter): (&Id, &Meter),
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
        Err(fault) => {
            count(None, "refused");
            refuse(fault)
        }
        Ok(order) if order.is_subscription() => {
            match Box::pin(follow(transport, (head, meter), order, accepted.streams)).await {
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
    (head, meter): (&Parts, &Meter),
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
    let shown = caller::credentials(&head.headers, meter)?;
    Ok(sse::stream(
        transport,
        (caller, shown),
        feed,
        telling,
        places,
    ))
}
