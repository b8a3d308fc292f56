//! Probes and figures for whoever looks after the process.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Edge;
use super::problem::answer;
use crate::ops;

/// Is the process alive? Asks nobody.
pub async fn live() -> Response {
    told(StatusCode::OK, &json!({ "status": "ok" }))
}

/// May requests be sent here? 503 while a part is down without which nothing can be answered. A
/// stopped read model degrades, it does not stop the rest: still ready.
pub async fn ready(State(edge): State<Edge>) -> Response {
    let report = edge.health.report().await;
    let (status, word) = match report.ready {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    told(
        status,
        &json!({ "status": word, "state": report.state, "cache": &*edge.cache_kind }),
    )
}

/// How is it doing, in one word and the parts that are not well? 503 when down.
pub async fn health(State(edge): State<Edge>) -> Response {
    let report = edge.health.report().await;
    let ill = report
        .components
        .iter()
        .filter(|part| part.state != ops::State::Ok);
    let ill: Vec<Value> = ill
        .map(|part| json!({ "name": part.name, "state": part.state }))
        .collect();
    told(
        status(report.state),
        &json!({ "status": report.state, "version": report.version, "unwell": ill }),
    )
}

/// Every part with its state and response time; asked at most every 5 seconds.
pub async fn detailed(State(edge): State<Edge>) -> Response {
    let report = edge.health.report().await;
    let mut body = json!(*report);
    body["cache"] = edge.cache_kind.as_ref().into();
    told(status(report.state), &body)
}

/// The figures in Prometheus' text format.
pub async fn metrics(State(edge): State<Edge>) -> Response {
    answer(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        edge.metrics.render(),
    )
}

fn status(state: ops::State) -> StatusCode {
    match state {
        ops::State::Down => StatusCode::SERVICE_UNAVAILABLE,
        ops::State::Ok | ops::State::Degraded => StatusCode::OK,
    }
}

fn told(status: StatusCode, body: &Value) -> Response {
    answer(status, "application/json", body.to_string())
}
