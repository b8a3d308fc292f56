//! Carrying out an operation: guards before, a clock and a net around.

use std::panic::AssertUnwindSafe;

use async_graphql::parser::parse_query;
use async_graphql::{Request, Variables};
use futures::FutureExt as _;
use serde_json::Value;

use super::answer::fault_of;
use super::body::Asked;
use super::{guard, tokens};
use crate::api::fault::{Fault, FaultCode};
use crate::api::{Answer, Operation};
use crate::config::Limits;
use crate::http::Edge;

/// A request whose document has passed the guards.
pub fn checked(asked: Asked, limits: &Limits) -> Result<Request, Fault> {
    tokens::check(&asked.query, limits)?;
    let document = parse_query(&asked.query)
        .map_err(|error| Fault::new(FaultCode::ParseFailed, error.to_string()))?;
    guard::check(
        &document,
        asked.operation_name.as_deref(),
        &asked.variables,
        limits,
    )?;
    let mut request = Request::new(asked.query).variables(asked.variables);
    // The library takes a name only for one of several operations.
    request.operation_name = asked
        .operation_name
        .filter(|_| document.operations.iter().len() > 1);
    request.set_parsed_query(document);
    Ok(request)
}

/// Carries out a request within the operation's time. A panic is told as a fault; the process lives.
pub async fn run(edge: &Edge, operation: Operation, request: Request) -> Result<Answer, Fault> {
    let execution = AssertUnwindSafe(edge.api.execute(operation, request)).catch_unwind();
    match tokio::time::timeout(edge.settings.limits.operation_timeout, execution).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => {
            tracing::error!("an operation panicked");
            Err(Fault::of(FaultCode::Internal))
        }
        Err(_) => Err(Fault::of(FaultCode::Timeout)),
    }
}

/// Answers one of our own documents: the data of its only root field, or the first thing that failed.
pub async fn ask(
    edge: &Edge,
    operation: Operation,
    document: &'static str,
    variables: Value,
) -> Result<(Value, Option<domain::Position>), Fault> {
    let request = Request::new(document).variables(Variables::from_json(variables));
    let Answer { response, position } = run(edge, operation, request).await?;
    if let Some(error) = response.errors.first() {
        return Err(fault_of(error));
    }
    match response.data.into_json() {
        Ok(Value::Object(data)) => Ok((
            data.into_iter()
                .next()
                .map_or(Value::Null, |(_, field)| field),
            position,
        )),
        _ => Err(Fault::of(FaultCode::Internal)),
    }
}
