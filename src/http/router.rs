//! Every route on one page, grouped by who calls it.

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

use super::context::{self, Id};
use super::problem::problem;
use super::{Edge, Parts, graphql, probes, rest};
use crate::api::fault::{Fault, FaultCode};
use crate::config::Environment;

/// The routes.
pub fn router(parts: Parts) -> Router {
    let edge = Edge::new(parts);
    // Programs and people, with a token.
    let callers = Router::new()
        .route("/graphql", only(post(graphql::post), "POST"))
        .route("/api/vehicles/positions", only(post(rest::report), "POST"))
        .route("/api/vehicles/latest", read(rest::latest))
        .route("/api/vehicles/history", read(rest::history))
        .route("/api/analytics/heatmap", read(rest::heatmap))
        .route("/api/analytics/trend", read(rest::trend))
        .route("/api/analytics/history", read(rest::summary));

    // Whoever looks after the process: orchestrators, balancers, monitoring. No token.
    let keepers = Router::new()
        .route("/livez", read(probes::live))
        .route("/liveness", read(probes::live))
        .route("/health/live", read(probes::live))
        .route("/readyz", read(probes::ready))
        .route("/readiness", read(probes::ready))
        .route("/health/ready", read(probes::ready))
        .route("/healthz", read(probes::health))
        .route("/health", read(probes::health))
        .route("/health/detailed", read(probes::detailed))
        .route("/metrics", read(probes::metrics));

    // Whoever writes a client. Closed in production.
    let writers = match edge.settings.process.env {
        Environment::Development => Router::new().route("/schema.graphql", read(graphql::schema)),
        Environment::Production => Router::new(),
    };

    Router::new()
        .merge(callers)
        .merge(keepers)
        .merge(writers)
        .fallback(nothing_here)
        .layer(from_fn(context::count))
        .layer(from_fn(context::catch_panics))
        .layer(from_fn(context::identify))
        .with_state(edge)
}

/// A route that answers GET (and HEAD).
fn read<H, T>(handler: H) -> MethodRouter<Edge>
where
    H: Handler<T, Edge>,
    T: 'static,
{
    only(get(handler), "GET, HEAD")
}

fn only(route: MethodRouter<Edge>, allow: &'static str) -> MethodRouter<Edge> {
    route.fallback(async move |request: Request| {
        let mut answer = problem(&Fault::of(FaultCode::MethodNotAllowed), &Id::of(&request));
        answer
            .headers_mut()
            .insert("allow", allow.parse().expect("method names"));
        answer
    })
}

async fn nothing_here(request: Request) -> Response {
    problem(&Fault::of(FaultCode::RouteNotFound), &Id::of(&request))
}
