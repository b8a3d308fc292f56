//! What surrounds every request: its ids, its trace, its span, its metrics, and a net for panics.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt as _;
use tracing::Instrument as _;
use uuid::Uuid;

use super::problem::problem;
use crate::api::Origin;
use crate::api::fault::{Fault, FaultCode};
use crate::ops::{TraceContext, metrics as names};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest correlation id taken over from a caller, in characters.
const CORRELATION_ID_CHARS_MAX: usize = 128;

/// A request's ids.
#[derive(Clone, Debug)]
pub struct Id {
    /// Ours alone, made for this request: what a fault report names.
    pub request: Uuid,
    /// The caller's, if it sent a sane one, else the request's.
    pub correlation: String,
    /// Where the request stands in the caller's trace.
    pub trace: TraceContext,
}

impl Id {
    /// The ids [`identify`] gave the request.
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
        let correlation = sent.filter(|sent| is_sane(sent)).map(str::to_owned);
        let parent = headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok());
        let parent = parent.and_then(TraceContext::parse);
        Id {
            request,
            correlation: correlation.unwrap_or_else(|| request.to_string()),
            trace: parent.map_or_else(TraceContext::root, |parent| parent.child()),
        }
    }

    /// The ids of an operation that came on the same socket: a request of its own.
    pub fn next(&self) -> Id {
        Id {
            request: Uuid::now_v7(),
            correlation: self.correlation.clone(),
            trace: self.trace.child(),
        }
    }

    /// What the events of a command sent with the request say of it.
    pub fn origin(&self) -> Origin {
        Origin {
            correlation_id: Some(self.correlation.clone()),
            traceparent: Some(self.trace.traceparent()),
        }
    }
}

/// Short, visible ASCII without anything a log or a shell reads into.
fn is_sane(id: &str) -> bool {
    (1..=CORRELATION_ID_CHARS_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b))
}

/// Gives the request its ids and a span, and the answer its standing headers.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let id = Id::new(request.headers());
    let span = tracing::info_span!(
        "request",
        request_id = %id.request,
        correlation_id = %id.correlation,
        trace_id = %id.trace.trace_id(),
        method = %request.method(),
        path = %request.uri().path(),
    );
    request.extensions_mut().insert(id.clone());
    let mut answer = next.run(request).instrument(span).await;
    let headers = answer.headers_mut();
    let sane = "ids are visible ASCII";
    headers.insert(
        REQUEST_ID,
        HeaderValue::try_from(id.request.to_string()).expect(sane),
    );
    headers.insert(
        CORRELATION_ID,
        HeaderValue::try_from(id.correlation).expect(sane),
    );
    for (name, value) in STANDING {
        let name = HeaderName::from_static(name);
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    answer
}

/// What every answer says: nothing is sniffed, framed, cached or allowed to load anything.
const STANDING: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    (
        "content-security-policy",
        "default-src 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Turns a panic into an answer: the process lives, the request id finds the log line.
pub async fn catch_panics(request: Request, next: Next) -> Response {
    let id = Id::of(&request);
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => {
            tracing::error!(request_id = %id.request, "a request panicked");
            problem(&Fault::of(FaultCode::Internal), &id)
        }
    }
}

/// Counts and times the request under its route, never under its path.
pub async fn count(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().as_str().to_owned();
    let route = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        None => "none".to_owned(),
    };
    let answer = next.run(request).await;
    let status = answer.status().as_u16().to_string();
    metrics::histogram!(names::HTTP_REQUEST_SECONDS, "route" => route.clone())
        .record(begun.elapsed());
    metrics::counter!(
        names::HTTP_REQUESTS_TOTAL,
        "route" => route, "method" => known(&method), "status" => status
    )
    .increment(1);
    answer
}

/// The method as a label: callers can send any word.
fn known(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_id_is_kept_only_if_it_is_sane() {
        let given = |id: &'static str| {
            let headers = HeaderMap::from_iter([(CORRELATION_ID, HeaderValue::from_static(id))]);
            Id::new(&headers).correlation
        };
        assert_eq!(given("import-2016/05:a.b@c"), "import-2016/05:a.b@c");
        for bad in ["", "a b", "a\"b", "{}", "a;b", "<x>"] {
            assert_ne!(given(bad), bad);
        }
        let long =
            HeaderMap::from_iter([(CORRELATION_ID, "x".repeat(129).parse().expect("ASCII"))]);
        assert_eq!(Id::new(&long).correlation.len(), 36);
    }

    /// A panic in a handler is told with the request's id, and the next request is answered.
    #[tokio::test]
    async fn a_panic_ends_its_request_alone() {
        use axum::middleware::from_fn;
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        async fn broken() -> &'static str {
            panic!("a planted bug with /secret/paths")
        }
        let router = axum::Router::new()
            .route("/broken", axum::routing::get(broken))
            .route("/whole", axum::routing::get(|| async { "well" }))
            .layer(from_fn(catch_panics))
            .layer(from_fn(identify));
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
