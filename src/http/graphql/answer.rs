//! Answers: media types, status codes, and how much of an error is told.

use async_graphql::{ServerError, Value};
use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use domain::Position;
use serde::Serialize;
use serde_json::{Map, json};

use crate::api::fault::{Fault, FaultCode, FaultKind, cut};
use crate::api::{Answer, Given};
use crate::config::Limits;
use crate::http::context::Id;
use crate::http::problem;

/// What an answer is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`: a request that could be read is answered 200, whatever came of it.
    Json,
    /// `application/graphql-response+json`: a request that could not be carried out is answered 400.
    GraphqlResponse,
}

impl MediaType {
    /// The better liked of the two; `application/json` when the caller does not say.
    pub fn negotiate(headers: &HeaderMap) -> Result<MediaType, Fault> {
        let mut best: Option<(f32, MediaType)> = None;
        let mut asked = false;
        for value in headers.get_all(ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                asked = true;
                let Some((quality, media)) = read_range(range) else {
                    continue;
                };
                if best.is_none_or(|(most, _)| quality > most) {
                    best = Some((quality, media));
                }
            }
        }
        match best {
            Some((_, media)) => Ok(media),
            None if !asked => Ok(MediaType::Json),
            None => Err(Fault::of(FaultCode::NotAcceptable)),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            MediaType::Json => "application/json; charset=utf-8",
            MediaType::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        }
    }
}

/// A media range of ours with its quality; none if it is another's or unwanted (`q=0`).
fn read_range(range: &str) -> Option<(f32, MediaType)> {
    let mut parts = range
        .split(';')
        .map(|part| part.trim().to_ascii_lowercase());
    let media = match parts.next()?.as_str() {
        "application/graphql-response+json" => MediaType::GraphqlResponse,
        "application/json" | "application/*" | "*/*" => MediaType::Json,
        _ => return None,
    };
    let mut quality = 1.0;
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("q", q)) => {
                quality = q.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q))?
            }
            Some(("charset", charset)) if charset.trim_matches('"') != "utf-8" => return None,
            _ => {}
        }
    }
    (quality > 0.0).then_some((quality, media))
}

/// What is sent.
#[derive(Serialize)]
struct Sent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<serde_json::Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extensions: Map<String, serde_json::Value>,
}

/// The answer to a request, kept or carried out.
pub fn given(given: Given, media: MediaType, limits: &Limits, id: &Id) -> Response {
    match given {
        Given::Kept(body) => send(StatusCode::OK, media, Bytes::from_owner(body)),
        Given::Made(made) => match *made {
            Ok(answer) => executed(&answer, media, limits, id),
            Err(fault) => refused(&fault, media, limits, id),
        },
    }
}

/// What is sent of an answer without errors. Nothing in it is of one request alone: it may be kept.
pub fn body(answer: &Answer) -> Vec<u8> {
    written(&Sent {
        data: Some(&answer.response.data),
        errors: Vec::new(),
        extensions: extensions(answer.position),
    })
}

fn extensions(position: Option<Position>) -> Map<String, serde_json::Value> {
    let position = position.map(|at| ("position".to_owned(), at.to_string().into()));
    position.into_iter().collect()
}

fn written(sent: &Sent<'_>) -> Vec<u8> {
    serde_json::to_vec(sent).expect("GraphQL values are JSON")
}

/// The answer to a request that was carried out, or that the schema refused.
fn executed(answer: &Answer, media: MediaType, limits: &Limits, id: &Id) -> Response {
    let response = &answer.response;
    let refused = response.data == Value::Null
        && response
            .errors
            .first()
            .is_some_and(|error| error.path.is_empty());
    let faults: Vec<Fault> = response.errors.iter().map(fault_of).collect();
    let shown = response.errors.iter().zip(&faults).take(limits.errors_max);
    let errors = shown
        .map(|(error, fault)| told(fault, Some(error), limits, id))
        .collect();
    let sent = Sent {
        data: (!refused).then_some(&response.data),
        errors,
        extensions: extensions(answer.position),
    };
    let overwhelmed = faults.first().filter(|fault| {
        response.data == Value::Null
            && matches!(
                fault.kind,
                FaultKind::Fault(FaultCode::Unavailable | FaultCode::Overloaded)
            )
    });
    let status = match (refused, overwhelmed) {
        (true, _) => unfit(media),
        (false, Some(_)) => StatusCode::SERVICE_UNAVAILABLE,
        (false, None) => StatusCode::OK,
    };
    let mut answer = send(status, media, written(&sent));
    if let Some(fault) = overwhelmed {
        problem::mark(&mut answer, fault);
    }
    answer
}

/// The answer to a request that was not carried out.
pub fn refused(fault: &Fault, media: MediaType, limits: &Limits, id: &Id) -> Response {
    let status = match fault.kind {
        // Late or broken, but an operation: told as the result of one.
        FaultKind::Fault(FaultCode::Timeout | FaultCode::Internal) => StatusCode::OK,
        _ => match fault.status() {
            422 => unfit(media),
            status => StatusCode::from_u16(status).expect("the catalogue has real codes"),
        },
    };
    let errors = vec![told(fault, None, limits, id)];
    let data = (status == StatusCode::OK && fault.status() != 422).then_some(&Value::Null);
    let sent = Sent {
        data,
        errors,
        extensions: Map::new(),
    };
    let mut answer = send(status, media, written(&sent));
    problem::mark(&mut answer, fault);
    answer
}

/// For a well-formed request that does not fit the schema or its limits.
fn unfit(media: MediaType) -> StatusCode {
    match media {
        MediaType::Json => StatusCode::OK,
        MediaType::GraphqlResponse => StatusCode::BAD_REQUEST,
    }
}

fn send(status: StatusCode, media: MediaType, body: impl Into<Body>) -> Response {
    let mut answer = problem::answer(status, media.as_str(), body);
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    answer
}

/// One error as it is told: cut to its limits, with its code, and with the request's id if the fault
/// is ours.
fn told(fault: &Fault, error: Option<&ServerError>, limits: &Limits, id: &Id) -> serde_json::Value {
    let mut extensions = Map::from_iter([("code".to_owned(), fault.code().into())]);
    extensions.extend(fault.facts.clone());
    if fault.kind == FaultKind::Fault(FaultCode::Internal) {
        extensions.insert("requestId".to_owned(), json!(id.request));
        extensions.insert("traceId".to_owned(), id.trace.trace_id().into());
    }
    let mut told = Map::new();
    told.insert(
        "message".to_owned(),
        cut(&fault.message, limits.error_chars_max).into(),
    );
    if let Some(error) = error {
        if !error.locations.is_empty() {
            told.insert("locations".to_owned(), json!(error.locations));
        }
        if !error.path.is_empty() {
            told.insert("path".to_owned(), json!(error.path));
        }
    }
    told.insert("extensions".to_owned(), extensions.into());
    told.into()
}

/// A resolver's fault as it was raised; what the library says itself is a document that does not fit.
pub fn fault_of(error: &ServerError) -> Fault {
    let own = error
        .source
        .as_ref()
        .and_then(|source| source.downcast_ref::<Fault>());
    own.cloned()
        .unwrap_or_else(|| Fault::new(FaultCode::ValidationFailed, &*error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(accept: &[&'static str]) -> Option<MediaType> {
        let headers = accept.iter().map(|a| (ACCEPT, HeaderValue::from_static(a)));
        MediaType::negotiate(&headers.collect()).ok()
    }

    #[test]
    fn the_better_liked_media_type_is_served() {
        let (json, graphql) = (Some(MediaType::Json), Some(MediaType::GraphqlResponse));
        for (accept, expect) in [
            (&[][..], json),
            (&["*/*"], json),
            (&["application/json"], json),
            (&["application/graphql-response+json"], graphql),
            (
                &[
                    "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
                ],
                graphql,
            ),
            (
                &["application/json;q=0.9, application/graphql-response+json"],
                graphql,
            ),
            (
                &["application/json, application/graphql-response+json;q=0.9"],
                json,
            ),
            (&["text/html", "application/json"], json),
            (&["text/html, image/png"], None),
            (&["application/json;q=0"], None),
            (&["application/json; charset=latin1"], None),
            (&[""], None),
        ] {
            assert_eq!(negotiate(accept), expect, "{accept:?}");
        }
    }
}
