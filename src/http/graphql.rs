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
pub use run::ask;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;

use super::context::Id;
use super::{Edge, caller, problem};
use crate::api::fault::Fault;
use crate::api::{Operation, Pages, sdl};
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
        Ok(executed) => answer::executed(executed, media, limits, &id),
        Err(fault) => answer::refused(&fault, media, limits, &id),
    }
}

/// `GET /schema.graphql`.
pub async fn schema() -> Response {
    problem::answer(StatusCode::OK, "text/plain; charset=utf-8", sdl())
}

async fn carry_out(
    edge: &Edge,
    head: &Parts,
    body: Body,
    id: &Id,
) -> Result<crate::api::Answer, Fault> {
    let caller = caller::caller(edge, &head.headers)?;
    let header = caller::at_least(&head.headers)?;
    let read = body::read(&edge.settings.http, &head.headers, body).await?;
    let asked = body::parse(&read)?;
    let limits = &edge.settings.limits;
    let pages = Pages {
        default: limits.page_default as u32,
        max: limits.page_max as u32,
    };
    let at_least = header.max(asked.at_least);
    let request = run::checked(asked, limits)?;
    let operation = Operation::new(
        Arc::clone(edge.api.parts()),
        caller,
        id.origin(),
        at_least,
        pages,
    );
    run::run(edge, operation, request).await
}
