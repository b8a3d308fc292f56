//! Pages of other origins: which of them may read our answers (the Fetch Standard's CORS protocol) and open
//! sockets.
//!
//! No cookie is a credential here, so a foreign page has nothing to borrow from whoever looks at it; what is
//! decided is which pages may use a token that they hold themselves.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, UPGRADE, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;

use crate::api::fault::{Fault, FaultCode};
use crate::config::Http;

/// What any route takes.
const METHODS: &str = "GET, HEAD, POST, PUT";

/// Headers that a route reads and that a page may not send unasked.
const REQUEST_HEADERS: &str = "authorization, content-type, x-api-key, idempotency-key, \
     daybook-at-least, daybook-as-of, last-event-id, traceparent, tracestate, x-correlation-id, \
     apollo-require-preflight, graphql-require-preflight";

/// Headers of our answers that a page may read.
const ANSWER_HEADERS: &str = "RateLimit, RateLimit-Policy, Retry-After, Daybook-Position, \
     Daybook-Parked, X-Request-Id, X-Correlation-Id";

/// Who may load what we answer without asking first.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What is told to the page that a request comes from.
pub enum Visitor {
    /// Nothing: no page of another origin may read anything.
    Closed,
    /// Only that others might be told something else.
    Stranger,
    /// That it may read the answer: its origin, or any.
    Guest(HeaderValue),
}

impl Visitor {
    /// The page that sends these headers.
    pub fn of(settings: &Http, headers: &HeaderMap) -> Visitor {
        let origins = &settings.cors_origins;
        if origins.are_none() {
            return Visitor::Closed;
        }
        match sole(headers, ORIGIN) {
            Some(_) if origins.are_all() => Visitor::Guest(HeaderValue::from_static("*")),
            Some(origin) if origins.have(origin.as_bytes()) => Visitor::Guest(origin.clone()),
            _ => Visitor::Stranger,
        }
    }

    /// Says so in the answer.
    pub fn tell(self, settings: &Http, headers: &mut HeaderMap) {
        let guest = match self {
            Visitor::Closed => return,
            Visitor::Stranger => None,
            Visitor::Guest(origin) => Some(origin),
        };
        // What is said depends on who asks, also where nothing is said, and caches must know.
        if !settings.cors_origins.are_all() {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = guest {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = HeaderValue::from_static(ANSWER_HEADERS);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
            if settings.cors_credentials {
                let yes = HeaderValue::from_static("true");
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
    }
}

/// The answer to a browser that asks on behalf of a page whether it may send a request; none if it does not
/// ask, or not for a page that is let in, which is answered as if there were no such protocol.
pub fn preflight(settings: &Http, request: &Request) -> Option<Response> {
    let headers = request.headers();
    let asks =
        request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || !matches!(Visitor::of(settings, headers), Visitor::Guest(_)) {
        return None;
    }
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    let max_age = HeaderValue::from(settings.cors_max_age.as_secs());
    headers.insert(ACCESS_CONTROL_MAX_AGE, max_age);
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Some(answer)
}

/// Refuses a socket to a page that is neither ours nor let in: browsers ask nobody before they open one.
/// Programs say of no page that they come from it.
pub fn check_socket(settings: &Http, headers: &HeaderMap) -> Result<(), Fault> {
    let from_page = headers.contains_key(UPGRADE) && headers.contains_key(ORIGIN);
    let is_guest = || matches!(Visitor::of(settings, headers), Visitor::Guest(_));
    if !from_page || is_own(headers) || is_guest() {
        return Ok(());
    }
    Err(Fault::new(
        FaultCode::Forbidden,
        "sockets of this origin's pages are not served here (http.cors_origins)",
    ))
}

/// Is the page one of the host that is asked? What TLS ends at may stand before us, so that the scheme does
/// not tell.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| sole(headers, name).and_then(|value| value.to_str().ok());
    let authority = text(ORIGIN).and_then(|origin| {
        let (scheme, authority) = origin.split_once("://")?;
        ["http", "https"].contains(&scheme).then_some(authority)
    });
    authority.is_some() && authority == text(HOST)
}

/// The only header of this name.
fn sole(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
