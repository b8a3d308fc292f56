//! What surrounds every request: its ids, its trace, its span, its metrics, and a net for panics.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, USER_AGENT, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt as _;
use metrics::SharedString;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::cors::Visitor;
use super::meter::Meters;
use super::problem::problem;
use super::{graphql, shield};
use crate::api::fault::{Fault, FaultCode};
use crate::api::{Correlation, Origin};
use crate::config::Http;
use crate::ops::{TraceContext, metrics as names};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest correlation id taken over from a caller, in characters.
const CORRELATION_ID_CHARS_MAX: usize = 128;

/// A request's ids. Cheap to clone: none is written out before somebody reads it.
#[derive(Clone, Debug)]
pub struct Id {
    /// Ours alone, made for this request: what a fault report names.
    pub request: Uuid,
    /// The caller's, if it sent a sane one, else the request's.
    pub correlation: Correlation,
    /// Where the request stands in the caller's trace.
    pub trace: TraceContext,
    /// Where the client is, as far as that is known by somebody who is trusted.
    address: Option<IpAddr>,
    /// What the client says it is.
    user_agent: Option<Arc<str>>,
}

impl Id {
    /// The ids [`surround`] gave the request.
    pub fn of(request: &Request) -> Id {
        request
            .extensions()
            .get()
            .cloned()
            .unwrap_or_else(|| Id::new(&HeaderMap::new()))
    }

    fn new(headers: &HeaderMap) -> Id {
        let request = Uuid::now_v7();
        let sent = headers
            .get(CORRELATION_ID)
            .and_then(|value| value.to_str().ok());
        let correlation = match sent.filter(|sent| is_sane(sent)) {
            Some(sent) => Correlation::Sent(sent.into()),
            None => Correlation::Request(request),
        };
        let user_agent = headers.get(USER_AGENT).and_then(|v| v.to_str().ok());
        let parent = headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok());
        let parent = parent.and_then(TraceContext::parse);
        Id {
            request,
            correlation,
            trace: parent.map_or_else(TraceContext::root, |parent| parent.child()),
            address: None,
            user_agent: user_agent.map(Arc::from),
        }
    }

    /// The ids of an operation that came on the same socket: a request of its own.
    pub fn next(&self) -> Id {
        Id {
            request: Uuid::now_v7(),
            correlation: self.correlation.clone(),
            trace: self.trace.child(),
            address: self.address,
            user_agent: self.user_agent.clone(),
        }
    }

    /// What the events of a command sent with the request say of it.
    pub fn origin(&self) -> Origin {
        Origin {
            correlation: Some(self.correlation.clone()),
            trace: Some(self.trace.clone()),
            address: self.address,
            user_agent: self.user_agent.clone(),
        }
    }

    fn span(&self, request: &Request) -> Span {
        tracing::info_span!(
            "request",
            request_id = %self.request,
            correlation_id = %self.correlation,
            trace_id = %self.trace.trace_id(),
            method = %request.method(),
            path = %request.uri().path(),
        )
    }
}

/// Short, visible ASCII without anything a log or a shell reads into.
fn is_sane(id: &str) -> bool {
    (1..=CORRELATION_ID_CHARS_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b))
}

/// Does for every request what is done for each: ids and a span, its address's quota, the [`shield`], a net
/// for panics, the figures, the standing headers and those for pages of other origins. One layer, since for each layer every request pays with a copy of all
/// that lie beneath it.
pub async fn surround(State(meters): State<Meters>, mut request: Request, next: Next) -> Response {
    let mut id = Id::new(request.headers());
    let (span, seen) = (id.span(&request), Seen::of(&request));
    // Before anything else is done for it, its body read above all.
    let (meter, counted) = meters.begin(&mut request);
    id.address = Some(meter.client());
    request.extensions_mut().insert(id.clone());
    let settings = meters.settings();
    let visitor = Visitor::of(&settings.http, request.headers());
    let answering = async {
        match counted {
            Ok(()) => shield::shield(&settings.http, request, next).await,
            Err(fault) => graphql::refuse(settings, &request, fault, &id),
        }
    };
    let answering = AssertUnwindSafe(answering).catch_unwind();
    let mut answer = match answering.instrument(span).await {
        Ok(answer) => answer,
        Err(_) => {
            tracing::error!(request_id = %id.request, "a request panicked");
            problem(&Fault::of(FaultCode::Internal), &id)
        }
    };
    seen.count(&answer);
    meters.tell(&meter, answer.headers_mut());
    visitor.tell(&settings.http, answer.headers_mut());
    label(answer.headers_mut(), &id, &settings.http);
    answer
}

/// Says which request was answered, and what every answer says.
fn label(headers: &mut HeaderMap, id: &Id, settings: &Http) {
    let sane = "ids are visible ASCII";
    let request = id.request.to_string();
    let correlation = match &id.correlation {
        Correlation::Sent(sent) => HeaderValue::from_str(sent),
        Correlation::Request(_) => HeaderValue::from_str(&request),
    };
    headers.insert(CORRELATION_ID, correlation.expect(sane));
    headers.insert(REQUEST_ID, HeaderValue::try_from(request).expect(sane));
    if let Some(max_age) = settings.hsts_max_age {
        let value = format!("max-age={}", max_age.as_secs());
        let value = HeaderValue::try_from(value).expect("digits");
        headers.insert(STRICT_TRANSPORT_SECURITY, value);
    }
    for (name, value) in STANDING {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

/// What every answer says: nothing is sniffed, framed, cached or allowed to load anything.
const STANDING: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (CACHE_CONTROL, "no-store"),
];

/// What is counted of a request: its route, never its path.
struct Seen {
    begun: Instant,
    method: &'static str,
    route: SharedString,
}

impl Seen {
    fn of(request: &Request) -> Seen {
        let route = request.extensions().get::<MatchedPath>();
        Seen {
            begun: Instant::now(),
            method: known(request.method()),
            route: route.map_or("none".into(), |path| {
                SharedString::from_shared(path.as_str().into())
            }),
        }
    }

    fn count(self, answer: &Response) {
        let Seen {
            begun,
            method,
            route,
        } = self;
        let status = answer.status().as_str().to_owned();
        metrics::histogram!(names::HTTP_REQUEST_SECONDS, "route" => route.clone())
            .record(begun.elapsed());
        metrics::counter!(
            names::HTTP_REQUESTS_TOTAL,
            "route" => route, "method" => method, "status" => status
        )
        .increment(1);
    }
}

/// The method as a label: callers can send any word.
fn known(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
        .into_iter()
        .find(|known| known == method)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_id_is_kept_only_if_it_is_sane() {
        let given = |id: &'static str| {
            let headers = HeaderMap::from_iter([(CORRELATION_ID, HeaderValue::from_static(id))]);
            Id::new(&headers).correlation.to_string()
        };
        assert_eq!(given("import-2016/05:a.b@c"), "import-2016/05:a.b@c");
        for bad in ["", "a b", "a\"b", "{}", "a;b", "<x>"] {
            assert_ne!(given(bad), bad);
        }
        let long =
            HeaderMap::from_iter([(CORRELATION_ID, "x".repeat(129).parse().expect("ASCII"))]);
        let own = Id::new(&long);
        assert_eq!(own.correlation, Correlation::Request(own.request));
    }

    /// A panic in a handler is told with the request's id, and the next request is answered.
    #[tokio::test]
    async fn a_panic_ends_its_request_alone() {
        use axum::middleware::from_fn_with_state;
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        async fn broken() -> &'static str {
            panic!("a planted bug with /secret/paths")
        }
        let settings = crate::config::Settings::default();
        let (clock, _) = crate::ops::Clock::mock(chrono::DateTime::UNIX_EPOCH);
        let limiter = crate::limits::Limiter::start(&settings.limits, None, [7; 32], clock);
        let meters = Meters::new(limiter, settings.into());
        let router = axum::Router::new()
            .route("/broken", axum::routing::get(broken))
            .route("/whole", axum::routing::get(|| async { "well" }))
            .layer(from_fn_with_state(meters, surround));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let ask = async |path: &str| {
            let mut stream = tokio::net::TcpStream::connect(address)
                .await
                .expect("served");
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("answered");
            answer
        };
        let answer = ask("/broken").await;
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert!(
            answer.contains("\"code\":\"INTERNAL\"") && answer.contains("requestId"),
            "{answer}"
        );
        assert!(!answer.contains("secret"), "{answer}");
        assert!(ask("/whole").await.ends_with("well"));
    }
}
