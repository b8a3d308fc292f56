//! `POST /api/v1/webhooks/...`: what systems that deploy tell by themselves, without a token of ours.
//!
//! What can be known from the head is judged before the body is read, and the body's signature before
//! anything of it is believed. Whoever may not be let in is answered the same, whatever the reason.

mod delivery;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use domain::tenant::DEFAULT_TENANT;
use domain::{Code, Refusal};
use metrics::counter;
use serde_json::json;

use super::command::REPLAYED;
use crate::api::fault::{Fault, FaultCode, FaultKind};
use crate::api::{auth_refusal_or_fault, deployments_fault};
use crate::commands::CommandContext;
use crate::config::HookKind;
use crate::deployments::{Came, Taken};
use crate::http::context::Id;
use crate::http::meter::Meter;
use crate::http::{Edge, graphql, problem};
use crate::intake::{self, Source};
use crate::ops::metrics as names;
use crate::store::digest;
use delivery::{Delivery, Event};

/// The source whose name a path may leave out.
const USUAL: &str = "default";

/// `POST /api/v1/webhooks/github`
pub async fn github(State(edge): State<Edge>, request: Request) -> Response {
    answer(&edge, HookKind::Github, USUAL, request).await
}

/// `POST /api/v1/webhooks/github/{source}`
pub async fn github_of(
    State(edge): State<Edge>,
    Path(source): Path<String>,
    request: Request,
) -> Response {
    answer(&edge, HookKind::Github, &source, request).await
}

/// `POST /api/v1/webhooks/generic`
pub async fn generic(State(edge): State<Edge>, request: Request) -> Response {
    answer(&edge, HookKind::Generic, USUAL, request).await
}

/// `POST /api/v1/webhooks/generic/{source}`
pub async fn generic_of(
    State(edge): State<Edge>,
    Path(source): Path<String>,
    request: Request,
) -> Response {
    answer(&edge, HookKind::Generic, &source, request).await
}

/// What a delivery came to that was let in.
enum Outcome {
    /// It is no step of a deployment's life.
    Ignored(String),
    /// It is taken in, or was before.
    Taken { id: String, taken: Taken },
}

async fn answer(edge: &Edge, kind: HookKind, name: &str, request: Request) -> Response {
    let id = Id::of(&request);
    let within = edge.settings.intake.answer_within;
    let handled = tokio::time::timeout(within, handle(edge, (kind, name), request, &id)).await;
    let handled = handled.unwrap_or_else(|_| {
        let message = "it took too long, and may have been kept: it is safe to send it again";
        Err(Fault::new(FaultCode::Timeout, message))
    });
    let outcome = word(&handled);
    counter!(names::WEBHOOKS_TOTAL, "kind" => kind.as_str(), "outcome" => outcome).increment(1);
    match handled {
        Ok(Outcome::Ignored(reason)) => {
            let body = json!({ "outcome": "ignored", "reason": reason }).to_string();
            problem::answer(StatusCode::ACCEPTED, "application/json", body)
        }
        Ok(Outcome::Taken { id, taken }) => tell(&id, &taken),
        Err(fault) => {
            // Whoever looks at a failed delivery wonders whether to press the button.
            let again = match fault.kind {
                FaultKind::Fault(code) => code.retryable(),
                FaultKind::Refused(code) => code.retryable(),
            };
            problem::problem(&fault.with("redeliver", again), &id)
        }
    }
}

/// As a metric's label says it.
fn word(handled: &Result<Outcome, Fault>) -> &'static str {
    match handled {
        Ok(Outcome::Ignored(_)) => "ignored",
        Ok(Outcome::Taken { taken, .. }) if taken.receipt.replayed => "replayed",
        Ok(Outcome::Taken { taken, .. }) => came(taken.came),
        Err(fault) if fault.status() == 401 => "unsigned",
        Err(fault) if fault.status() == 429 => "limited",
        Err(fault) if fault.status() < 500 => "refused",
        Err(_) => "failed",
    }
}

fn came(came: Came) -> &'static str {
    match came {
        Came::Recorded => "recorded",
        Came::Moved => "moved",
        Came::Unchanged => "unchanged",
    }
}

fn tell(id: &str, taken: &Taken) -> Response {
    let receipt = &taken.receipt;
    let body = json!({
        "outcome": came(taken.came),
        "deploymentId": id,
        "status": taken.status.as_str(),
        "receipt": {
            "position": receipt.position.to_string(),
            "version": receipt.version,
            "replayed": receipt.replayed,
        },
    });
    let mut answer = problem::answer(StatusCode::OK, "application/json", body.to_string());
    super::tell(&mut answer, receipt.position);
    if receipt.replayed {
        let yes = HeaderValue::from_static("true");
        answer.headers_mut().insert(REPLAYED, yes);
    }
    answer
}

async fn handle(
    edge: &Edge,
    (kind, name): (HookKind, &str),
    request: Request,
    id: &Id,
) -> Result<Outcome, Fault> {
    let meter = Meter::of(&request);
    let (head, body) = request.into_parts();
    let (source, delivery, body) = admit(edge, (kind, name), (&head, body), &meter).await?;
    // As strict as everywhere; whether it is the right one is for its translation to say.
    graphql::object_of(&body)?;
    let now = edge.api.parts().clock.now();
    let told = match delivery.event {
        Event::Generic => intake::generic::translate(&body, now)?,
        Event::Github(event) => match intake::github::translate(&event, &body, now)? {
            Some(told) => told,
            None => {
                let reason = format!("this {event} is no step of a deployment's life");
                return Ok(Outcome::Ignored(reason));
            }
        },
    };
    may_tell(edge, &source, &told.record.plan.project).await?;
    let origin = id.origin();
    let context = CommandContext {
        command_id: Some(delivery.id),
        said: Some(digest(&[&body])),
        correlation_id: origin.correlation.as_ref().map(ToString::to_string),
        traceparent: origin.trace.as_ref().map(|trace| trace.traceparent()),
        ..CommandContext::new(source.tenant.clone(), source.actor.clone(), now)
    };
    let taken = edge.api.parts().deployments.take(&context, &told).await;
    let taken = taken.map_err(deployments_fault)?;
    Ok(Outcome::Taken { id: told.id, taken })
}

/// Lets a delivery in that one of the source's secrets has signed, and counts it as one of the source's.
async fn admit(
    edge: &Edge,
    (kind, name): (HookKind, &str),
    (head, body): (&Parts, Body),
    meter: &Meter,
) -> Result<(Arc<Source>, Delivery, Bytes), Fault> {
    let now = edge.api.parts().clock.now();
    let delivery = Delivery::read(kind, &head.headers, (now, edge.settings.intake.tolerance))?;
    let body = graphql::read_body(&edge.settings.http, &head.headers, body).await?;
    let source = edge.sources.find(kind, name);
    let signs = |source: &Arc<Source>| delivery.signature.is_of(&source.secrets(now), &body);
    let Some(source) = source.filter(signs) else {
        // Whoever makes signatures up does not have many tries. They are counted behind the check, so
        // that nobody can keep those out who send from the same address.
        meter.guess()?;
        return Err(Fault::of(FaultCode::BadSignature));
    };
    meter.signed(&source.tenant, &source.actor)?;
    Ok((source, delivery, body))
}

/// May the source tell of the project, and does its tenant take anything in?
async fn may_tell(edge: &Edge, source: &Source, project: &str) -> Result<(), Fault> {
    if !source.tells_of(project) {
        let message = format!("this source does not tell of {project}");
        return Err(Fault::new(FaultCode::Forbidden, message).with("project", project));
    }
    let tenant = edge.api.parts().auth.tenant(&source.tenant).await;
    let tenant = tenant.map_err(|error| match auth_refusal_or_fault(error) {
        Ok(refusal) => refusal.into(),
        Err(fault) => fault,
    })?;
    if !tenant.created && *source.tenant != *DEFAULT_TENANT {
        return Err(Refusal::new(Code::NotFound, "no such tenant").into());
    }
    if tenant.suspended {
        let why = "the tenant is suspended: it can be read, not written";
        return Err(Refusal::new(Code::TenantSuspended, why).into());
    }
    Ok(())
}
