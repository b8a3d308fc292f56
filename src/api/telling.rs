//! How results are written for a client: data, errors cut to their bounds and with codes, the position.

use std::collections::BTreeMap;

use async_graphql::{Response, ServerError, Value};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, json};
use uuid::Uuid;

use super::fault::{Fault, FaultCode, FaultKind, cut};
use super::feed::Mark;
use crate::config::Limits;
use crate::ops::TraceContext;

/// How much of an error is told.
#[derive(Clone, Debug)]
pub struct Telling {
    errors_max: usize,
    error_chars_max: usize,
    ids: Option<Ids>,
}

/// What finds a request in the logs and traces; told with faults of ours only.
#[derive(Clone, Debug)]
pub struct Ids {
    /// Its own id.
    pub request: Uuid,
    /// Its place in the caller's trace.
    pub trace: TraceContext,
}

/// A result as it is sent.
#[derive(Serialize)]
struct Sent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [serde_json::Value],
    #[serde(skip_serializing_if = "Map::is_empty")]
    extensions: Map<String, serde_json::Value>,
}

impl Telling {
    /// Within these bounds, for no request in particular.
    pub fn new(limits: &Limits) -> Telling {
        Telling {
            errors_max: limits.errors_max,
            error_chars_max: limits.error_chars_max,
            ids: None,
        }
    }

    /// The same for one request.
    pub fn of(&self, ids: Ids) -> Telling {
        Telling {
            ids: Some(ids),
            ..self.clone()
        }
    }

    /// A fault as one GraphQL error.
    pub fn fault(&self, fault: &Fault) -> serde_json::Value {
        self.error(fault, None)
    }

    /// The errors of a response, not more than are told.
    pub fn errors(&self, response: &Response) -> Vec<serde_json::Value> {
        let told = response.errors.iter().take(self.errors_max);
        told.map(|error| self.error(&Fault::of_error(error), Some(error)))
            .collect()
    }

    /// The result of an operation that was carried out.
    pub fn result(&self, response: &Response, position: Option<Mark>) -> Vec<u8> {
        let told = (position, &response.extensions);
        write(Some(&response.data), &self.errors(response), told)
    }

    fn error(&self, fault: &Fault, error: Option<&ServerError>) -> serde_json::Value {
        let mut extensions = Map::from_iter([("code".to_owned(), fault.code().into())]);
        extensions.extend(fault.facts.clone());
        if let (FaultKind::Fault(FaultCode::Internal), Some(ids)) = (fault.kind, &self.ids) {
            extensions.insert("requestId".to_owned(), ids.request.to_string().into());
            extensions.insert("traceId".to_owned(), ids.trace.trace_id().into());
        }
        let mut told = Map::new();
        let message = cut(&fault.message, self.error_chars_max);
        told.insert("message".to_owned(), message.into());
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
}

/// A result that is errors and nothing else.
pub fn errors_alone(errors: &[serde_json::Value]) -> Bytes {
    write(None, errors, (None, &BTreeMap::new())).into()
}

/// A result whose data is null for these errors.
pub fn null_for(errors: &[serde_json::Value]) -> Bytes {
    write(Some(&Value::Null), errors, (None, &BTreeMap::new())).into()
}

fn write(
    data: Option<&Value>,
    errors: &[serde_json::Value],
    (position, beside): (Option<Mark>, &BTreeMap<String, Value>),
) -> Vec<u8> {
    let told = beside
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    let mut extensions = Map::from_iter(told);
    if let Some(position) = position {
        extensions.insert("position".to_owned(), position.to_string().into());
    }
    let sent = Sent {
        data,
        errors,
        extensions,
    };
    serde_json::to_vec(&sent).expect("GraphQL values are JSON")
}

/// Did nothing run, because the schema refused the request?
pub fn is_refusal(response: &Response) -> bool {
    let first = response.errors.first();
    response.data == Value::Null && first.is_some_and(|error| error.path.is_empty())
}
