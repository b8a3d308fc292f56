//! Health and metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use projections::Reader;
use tokio::net::TcpListener;

use crate::auth::Auth;
use crate::cache::Cache;
use crate::commands::Door;
use crate::config::Settings;
use crate::consumers::Consumers;
use crate::ops::{Clock, Health, Metrics, Report, Shutdown};
use crate::store::Store;

/// What answering takes.
#[derive(Clone)]
pub struct Parts {
    /// As given.
    pub settings: Arc<Settings>,
    /// The clock of all parts.
    pub clock: Clock,
    /// The log.
    pub store: Store,
    /// Where commands go in.
    pub door: Door,
    /// What keeps read models up to date.
    pub consumers: Consumers,
    /// Where queries are answered.
    pub reader: Reader,
    /// Answers kept for a while.
    pub cache: Cache,
    /// Tokens.
    pub auth: Auth,
    /// What was counted.
    pub metrics: Metrics,
    /// How every part is doing.
    pub health: Health,
}

/// Answers until `shutdown`.
pub async fn serve(parts: Parts, listener: TcpListener, shutdown: Shutdown) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(health))
        .route("/healthz", get(health))
        .route(
            "/metrics",
            get(|State(parts): State<Parts>| async move { parts.metrics.render() }),
        )
        .with_state(parts);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.soft().await })
        .await
}

async fn health(State(parts): State<Parts>) -> (StatusCode, Json<Arc<Report>>) {
    let report = parts.health.report().await;
    let code = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(report))
}
