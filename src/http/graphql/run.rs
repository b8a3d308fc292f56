//! Carrying out an operation: the one seam through which queries and mutations of every path go, with a
//! clock and a net around.

use std::panic::AssertUnwindSafe;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Variables};
use futures::FutureExt as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::documents::{Checked, write_digest};
use super::engine::{Asking, Engine};
use crate::api::fault::{Fault, FaultCode};
use crate::api::telling::fault_of;
use crate::api::{Answer, Body};
use crate::config::Limits;

/// Carries out a request within the operation's time. A panic is told as a fault; the process lives.
pub async fn run(
    engine: &dyn Engine,
    limits: &Limits,
    asking: Asking,
    checked: Checked,
) -> Result<Answer, Fault> {
    let document = checked.digest;
    let execution = AssertUnwindSafe(engine.execute(asking, checked.request)).catch_unwind();
    match tokio::time::timeout(limits.operation_timeout, execution).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => {
            let document = write_digest(&document);
            tracing::error!(document, "an operation panicked");
            Err(Fault::of(FaultCode::Internal))
        }
        Err(_) => {
            let document = write_digest(&document);
            tracing::warn!(document, "an operation took too long and was given up");
            Err(Fault::of(FaultCode::Timeout))
        }
    }
}

/// Answers one of our own documents: the data of its only root field, or the first thing that failed.
pub async fn ask(
    engine: &dyn Engine,
    limits: &Limits,
    asking: Asking,
    document: &'static str,
    variables: Value,
) -> Result<(Value, Option<domain::Position>), Fault> {
    let checked = Checked {
        request: Request::new(document).variables(Variables::from_json(variables)),
        kind: OperationType::Query,
        digest: Sha256::digest(document).into(),
    };
    let Answer { body, position } = run(engine, limits, asking, checked).await?;
    let data = match body {
        Body::Fresh(response) => match response.errors.first() {
            Some(error) => return Err(fault_of(error)),
            None => response.data.into_json().ok(),
        },
        Body::Written(bytes) => serde_json::from_slice(&bytes)
            .ok()
            .map(|mut body: Value| body["data"].take()),
    };
    match data {
        Some(Value::Object(data)) => Ok((
            data.into_iter()
                .next()
                .map_or(Value::Null, |(_, field)| field),
            position,
        )),
        _ => Err(Fault::of(FaultCode::Internal)),
    }
}
