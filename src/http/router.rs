//! Every route on one page, grouped by who calls it.

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post, put};

use super::context::{self, Id};
use super::graphql::{self, Transport};
use super::meter::Meter;
use super::problem::problem;
use super::rest::{deployments, identity, leaderboards, logs, records, slos, webhooks};
use super::{Edge, caller, page, probes, rest, shield};
use crate::api::fault::{Fault, FaultCode};
use crate::auth::{Needs, Rule};
use crate::config::Environment;

/// The routes of the product.
pub fn router(edge: Edge) -> Router {
    // Whoever checks our tokens. No token.
    let checkers = Router::new()
        .route("/.well-known/jwks.json", read(identity::keys))
        .route("/api/jwt/keys", read(identity::keys));

    // Systems that deploy, with a signature instead of a token.
    let tellers = Router::new()
        .route("/api/v1/webhooks/github", told(webhooks::github))
        .route(
            "/api/v1/webhooks/github/{source}",
            told(webhooks::github_of),
        )
        .route("/api/v1/webhooks/generic", told(webhooks::generic))
        .route(
            "/api/v1/webhooks/generic/{source}",
            told(webhooks::generic_of),
        );

    // Whoever looks after the process: orchestrators, balancers. No token.
    let keepers = Router::new()
        .route("/livez", read(probes::live))
        .route("/liveness", read(probes::live))
        .route("/health/live", read(probes::live))
        .route("/readyz", read(probes::ready))
        .route("/readiness", read(probes::ready))
        .route("/health/ready", read(probes::ready))
        .route("/healthz", read(probes::health))
        .route("/health", read(probes::health));

    // Monitoring: figures are for whoever is inside, or has a token.
    let watchers = Router::new()
        .route("/health/detailed", read(probes::detailed))
        .route("/metrics", read(probes::metrics))
        .route_layer(from_fn_with_state(edge.clone(), inside));

    // Whoever writes a client. Closed in production.
    let writers = match edge.settings.process.env {
        Environment::Development => Router::new()
            .route("/", read(page::html))
            .route("/page.js", read(page::script))
            .route("/page.css", read(page::style))
            .route("/schema.graphql", read(graphql::schema)),
        Environment::Production => Router::new(),
    };

    let routes = Router::new()
        .merge(callers())
        .merge(checkers)
        .merge(tellers)
        .merge(keepers)
        .merge(watchers)
        .merge(writers)
        .with_state(edge.clone());
    surrounded(
        routes.merge(graphql_routes(&edge.transport)),
        &edge.transport,
    )
}

/// Programs and people, with a token.
fn callers() -> Router<Edge> {
    Router::new()
        .route("/api/vehicles/positions", only(post(rest::report), "POST"))
        .route("/api/v1/ingest", only(post(logs::one), "POST"))
        .route("/api/v1/batch-ingest", only(post(logs::batch), "POST"))
        .route("/v1/logs", only(post(logs::export), "POST"))
        .route("/api/v1/logs/recent", read(records::recent))
        .route("/api/v1/logs/filter", read(records::filter))
        .route("/api/v1/status", read(records::status))
        .route("/api/v1/metrics", read(records::metrics))
        .route("/api/vehicles/latest", read(rest::latest))
        .route("/api/vehicles/history", read(rest::history))
        .route("/api/analytics/heatmap", read(rest::heatmap))
        .route("/api/analytics/trend", read(rest::trend))
        .route("/api/analytics/history", read(rest::summary))
        .route(
            "/api/deployments",
            only(
                get(deployments::list).post(deployments::request),
                "GET, HEAD, POST",
            ),
        )
        .route("/api/deployments/{id}", read(deployments::one))
        .route(
            "/api/deployments/{id}/approval",
            only(put(deployments::decide), "PUT"),
        )
        .route("/api/stats", read(deployments::stats))
        .route(
            "/api/slos",
            only(get(slos::list).post(slos::define), "GET, HEAD, POST"),
        )
        .route("/api/slos/{id}", read(slos::one))
        .route("/api/v1/leaderboard/update", told(leaderboards::update))
        .route("/api/v1/leaderboard/{id}", read(leaderboards::board))
        .route(
            "/api/v1/leaderboard/{id}/users/{user}",
            read(leaderboards::user),
        )
        .route("/api/jwt/status", read(rest::token_status))
        .route("/api/jwt/refresh", only(post(identity::refresh), "POST"))
        .route("/api/jwt/revoke", only(post(identity::sign_out), "POST"))
        .route("/api/v1/auth/me", read(rest::me))
        .route(
            "/api/v1/auth/sign-in",
            only(post(identity::sign_in), "POST"),
        )
        .route(
            "/api/v1/auth/refresh",
            only(post(identity::refresh), "POST"),
        )
        .route(
            "/api/v1/auth/sign-out",
            only(post(identity::sign_out), "POST"),
        )
        .route(
            "/api/v1/auth/register",
            only(post(identity::register), "POST"),
        )
        .route(
            "/api/v1/auth/verify-email",
            only(post(identity::verify_email), "POST"),
        )
        .route(
            "/api/v1/auth/change-password",
            only(post(identity::change_password), "POST"),
        )
}

/// The transport's routes, surrounded as those of the product are.
pub fn transport(transport: &Transport) -> Router {
    surrounded(graphql_routes(transport), transport)
}

fn graphql_routes(transport: &Transport) -> Router {
    let both = get(graphql::get).post(graphql::post);
    Router::new()
        .route(graphql::PATH, only(both, "GET, HEAD, POST"))
        .route("/graphql/ws", only(get(graphql::socket), "GET"))
        .with_state(transport.clone())
}

fn surrounded(routes: Router, transport: &Transport) -> Router {
    let meters = transport.meters().clone();
    routes
        .fallback(nothing_here)
        .layer(from_fn_with_state(meters, context::surround))
}

/// Lets in who is inside, or an administrator of the installation; to anyone else there is nothing here.
async fn inside(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    // A request cannot be held while it is found out who sent it: its body is nobody else's to see.
    let (meter, headers) = (Meter::of(&request), request.headers().clone());
    let allowed = shield::is_from_inside(&request) || is_operator(&edge, &meter, &headers).await;
    if allowed {
        next.run(request).await
    } else {
        nothing_here(request).await
    }
}

async fn is_operator(edge: &Edge, meter: &Meter, headers: &HeaderMap) -> bool {
    let caller = caller::caller(edge.transport.engine(), meter, headers).await;
    let house = Rule {
        needs: Needs::Installation,
        scope: None,
    };
    caller.is_ok_and(|caller| caller.meets(&house).is_ok())
}

/// A route that answers GET (and HEAD).
fn read<H, T>(handler: H) -> MethodRouter<Edge>
where
    H: Handler<T, Edge>,
    T: 'static,
{
    only(get(handler), "GET, HEAD")
}

/// A route that answers POST.
fn told<H, T>(handler: H) -> MethodRouter<Edge>
where
    H: Handler<T, Edge>,
    T: 'static,
{
    only(post(handler), "POST")
}

fn only<S>(route: MethodRouter<S>, allow: &'static str) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
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
