//! Who asks, and what they insist on seeing.

use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, HeaderValue};
use axum::http::{HeaderMap, HeaderName};
use domain::Position;

use super::graphql::{Credentials, Engine, turned_away};
use super::meter::Meter;
use crate::api;
use crate::api::fault::{Fault, FaultCode};
use crate::auth::{self, Admission, Caller, Shown};

/// The header that asks for read models at or behind a position.
pub const AT_LEAST: &str = "daybook-at-least";
/// The header that names the position all of an answer is as of.
pub const AS_OF: &str = "daybook-as-of";

/// The header of API keys.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The caller a request stands for, whoever it shows it is. Whatever is wrong with that, the answer is the
/// same.
pub async fn caller(
    engine: &dyn Engine,
    meter: &Meter,
    headers: &HeaderMap,
) -> Result<Arc<Caller>, Fault> {
    let shown = Shown {
        bearer: bearer(headers)?,
        api_key: api_key(headers)?,
        address: meter.client(),
    };
    let admitted = match engine.admit(shown) {
        Admission::Known(known) => known,
        Admission::Asking(asking) => asking.await,
    };
    admitted.map_err(turned_away)
}

/// The same, and counts the request as one of the caller's.
pub async fn admit(
    engine: &dyn Engine,
    meter: &Meter,
    headers: &HeaderMap,
) -> Result<Arc<Caller>, Fault> {
    let caller = caller(engine, meter, headers).await?;
    meter.request(&caller)?;
    Ok(caller)
}

/// What a request shows, kept.
pub fn credentials(headers: &HeaderMap, meter: &Meter) -> Result<Credentials, Fault> {
    Ok(Credentials {
        bearer: bearer(headers)?.map(str::to_owned),
        api_key: api_key(headers)?.map(str::to_owned),
        address: meter.client(),
    })
}

/// The request's token; none if it sends none.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
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

/// The request's API key; none if it sends none.
fn api_key(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let mut values = headers.get_all(API_KEY).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => match key.to_str() {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(Fault::of(FaultCode::Unauthenticated)),
        },
        (Some(_), Some(_)) => Err(Fault::of(FaultCode::AmbiguousAuth)),
    }
}

/// The position the `Daybook-At-Least` header asks for.
pub fn at_least(headers: &HeaderMap) -> Result<Option<Position>, Fault> {
    position(headers, AT_LEAST, "Daybook-At-Least")
}

/// The position the `Daybook-As-Of` header asks for.
pub fn as_of(headers: &HeaderMap) -> Result<Option<Position>, Fault> {
    position(headers, AS_OF, "Daybook-As-Of")
}

/// Refuses a command that is sent with `Daybook-As-Of`: it is of the present, whatever the header says.
pub fn of_the_present(headers: &HeaderMap) -> Result<(), Fault> {
    if !headers.contains_key(AS_OF) {
        return Ok(());
    }
    let message = "a command is decided now, not as of a position: send it without Daybook-As-Of";
    Err(Fault::new(FaultCode::AsOfUnsupported, message).with("field", "Daybook-As-Of"))
}

fn position(headers: &HeaderMap, header: &str, field: &str) -> Result<Option<Position>, Fault> {
    let refused = || Fault::of(FaultCode::BadPosition).with("field", field);
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str().ok().and_then(api::position) {
            Some(position) => Ok(Some(position)),
            None => Err(refused()),
        },
        (Some(_), Some(_)) => Err(refused()),
    }
}
