//! Who asks, and what they insist on seeing.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HeaderValue};
use domain::Position;

use super::graphql::Engine;
use super::meter::Meter;
use crate::api;
use crate::api::fault::{Fault, FaultCode};
use crate::auth::{self, Caller};

/// The header that asks for read models at or behind a position.
pub const AT_LEAST: &str = "daybook-at-least";

/// The caller the request's token stands for. Whatever is wrong with it, the answer is the same.
pub fn caller(engine: &dyn Engine, headers: &HeaderMap) -> Result<Arc<Caller>, Fault> {
    engine.admit(token(headers)?)
}

/// The same, and counts the request as one of the caller's.
pub fn admit(
    engine: &dyn Engine,
    meter: &Meter,
    headers: &HeaderMap,
) -> Result<Arc<Caller>, Fault> {
    let caller = caller(engine, headers)?;
    meter.request(&caller)?;
    Ok(caller)
}

/// The request's token; none if it sends none.
pub fn token(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    if !headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let values = headers
        .get_all(AUTHORIZATION)
        .iter()
        .map(HeaderValue::as_bytes);
    auth::bearer(values)
        .map(Some)
        .map_err(|_| Fault::of(FaultCode::Unauthenticated))
}

/// The position the `Daybook-At-Least` header asks for.
pub fn at_least(headers: &HeaderMap) -> Result<Option<Position>, Fault> {
    let refused = || Fault::of(FaultCode::BadPosition).with("field", "Daybook-At-Least");
    let mut values = headers.get_all(AT_LEAST).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str().ok().and_then(api::position) {
            Some(position) => Ok(Some(position)),
            None => Err(refused()),
        },
        (Some(_), Some(_)) => Err(refused()),
    }
}
