//! GraphQL over HTTP: one operation a request, POST and JSON.
//!
//! A request goes straight down: who asks, which media types, the body's bytes, strict JSON, the
//! document's tokens, the parser, the guard, and only then the schema.

mod answer;
mod body;
mod guard;
mod run;
mod tokens;

pub use body::{json_fault, read as read_body};
pub use run::{Alias, Asker, ask};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;

use super::context::Id;
use super::{Edge, caller, problem};
use crate::api::fault::Fault;
use crate::api::{Given, Pages, sdl};
use answer::MediaType;

/// `POST /graphql`.
pub async fn post(State(edge): State<Edge>, request: Request) -> Response {
    let id = Id::of(&request);
    let (head, body) = request.into_parts();
    let media = match MediaType::negotiate(&head.headers) {
        Ok(media) => media,
        Err(fault) => return problem::problem(&fault, &id),
    };
    let limits = &edge.settings.limits;
    match carry_out(&edge, &head, body, &id).await {
        Ok(given) => answer::given(given, media, limits, &id),
        Err(fault) => answer::refused(&fault, media, limits, &id),
    }
}

/// `GET /schema.graphql`.
pub async fn schema() -> Response {
    problem::answer(StatusCode::OK, "text/plain; charset=utf-8", sdl())
}

async fn carry_out(edge: &Edge, head: &Parts, body: Body, id: &Id) -> Result<Given, Fault> {
    let caller = caller::caller(edge, &head.headers)?;
    let at_least = caller::at_least(&head.headers)?;
    let raw = body::read(&edge.settings.http, &head.headers, body).await?;
    let limits = &edge.settings.limits;
    let pages = Pages {
        default: limits.page_default as u32,
        max: limits.page_max as u32,
    };
    let asker = Asker {
        caller,
        at_least,
        pages,
        origin: id.origin(),
    };
    run::answer(edge, asker, &raw).await
}
