//! Faults outside GraphQL: problem+json (RFC 9457) with the same codes.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::context::Id;
use crate::api::fault::{Fault, FaultCode, FaultKind, MESSAGE_CHARS_MAX, cut};

/// The fault as an answer.
pub fn problem(fault: &Fault, id: &Id) -> Response {
    let status = StatusCode::from_u16(fault.status()).expect("the catalogue has real codes");
    let mut body = Map::new();
    body.insert("type".to_owned(), "about:blank".into());
    body.insert(
        "title".to_owned(),
        status.canonical_reason().unwrap_or("Error").into(),
    );
    body.insert("status".to_owned(), status.as_u16().into());
    body.insert("code".to_owned(), fault.code().into());
    body.insert(
        "detail".to_owned(),
        cut(&fault.message, MESSAGE_CHARS_MAX).into(),
    );
    for (name, fact) in &fault.facts {
        body.entry(name.clone()).or_insert_with(|| fact.clone());
    }
    // Who is not let in gets the same answer whatever the reason, to the byte.
    if !is_unauthenticated(fault) {
        body.insert("requestId".to_owned(), json!(id.request));
    }
    let mut answer = answer(
        status,
        "application/problem+json",
        Value::Object(body).to_string(),
    );
    mark(&mut answer, fault);
    answer
}

/// As many headers as an answer has, or a few more: the map need not grow while they are put in.
const HEADERS_EXPECTED: usize = 16;

/// An answer with a body of this type.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut headers = HeaderMap::with_capacity(HEADERS_EXPECTED);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Headers that belong to some faults.
pub fn mark(answer: &mut Response, fault: &Fault) {
    let headers = answer.headers_mut();
    // Nothing is answered 401 without saying what would be taken (RFC 9110, 15.5.2).
    if fault.status() == 401 {
        let signed = [FaultCode::BadSignature, FaultCode::Stale].map(FaultKind::Fault);
        let taken = match signed.contains(&fault.kind) {
            true => "HMAC-SHA256 realm=\"daybook\"",
            false => "Bearer realm=\"daybook\"",
        };
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(taken));
    }
    if matches!(fault.status(), 429 | 503) {
        let after_ms = fault
            .facts
            .get("retryAfterMs")
            .and_then(Value::as_u64)
            .unwrap_or(1_000);
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(after_ms.div_ceil(1_000).max(1)),
        );
    }
}

fn is_unauthenticated(fault: &Fault) -> bool {
    fault.kind == FaultKind::Fault(FaultCode::Unauthenticated)
}
