//! Commands without GraphQL: thin aliases of its mutations, whose `input` is the body.

use axum::extract::Request;
use axum::http::header::HeaderValue;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use domain::{Code, Position, Refusal};
use serde_json::{Map, Value};

use crate::api::fault::{Fault, FaultCode};
use crate::api::{Pages, position};
use crate::http::context::Id;
use crate::http::meter::Meter;
use crate::http::{Edge, caller, graphql, problem};

/// The caller's idempotency key, as REST has it; `commandId` in the body is the same.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that the answer is the first one given again.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A mutation, and what of the body becomes its input.
pub struct Command {
    /// The document; it has one root field, and one variable, `input`.
    pub document: &'static str,
    /// The input.
    pub input: Map<String, Value>,
    /// This field is the whole answer, where there is such a one.
    pub whole: Option<&'static str>,
}

/// Carries out the mutation that a request means: what it gives, or the first refusal as a problem. Who
/// may not send it is told so before the body is read.
pub async fn answer(
    edge: &Edge,
    request: Request,
    meant: impl FnOnce(Map<String, Value>) -> Result<Command, Fault>,
) -> Response {
    let id = Id::of(&request);
    match carry_out(edge, request, &id, meant).await {
        Ok((told, kept_at)) => {
            let replayed = told["receipt"]["replayed"] == true;
            let mut answer = problem::answer(StatusCode::OK, "application/json", told.to_string());
            if let Some(kept_at) = kept_at {
                super::tell(&mut answer, kept_at);
            }
            if replayed {
                let yes = HeaderValue::from_static("true");
                answer.headers_mut().insert(REPLAYED, yes);
            }
            answer
        }
        Err(fault) => problem::problem(&fault, &id),
    }
}

async fn carry_out(
    edge: &Edge,
    request: Request,
    id: &Id,
    meant: impl FnOnce(Map<String, Value>) -> Result<Command, Fault>,
) -> Result<(Value, Option<Position>), Fault> {
    let meter = Meter::of(&request);
    let (head, body) = request.into_parts();
    let engine = edge.transport.engine();
    let caller = caller::admit(engine, &meter, &head.headers).await?;
    caller::of_the_present(&head.headers)?;
    let asking = graphql::Asking {
        caller,
        at_least: None,
        as_of: None,
        pages: Pages {
            default: edge.settings.limits.page_default as u32,
            max: edge.settings.limits.page_max as u32,
        },
        origin: id.origin(),
    };
    let body = graphql::read_body(&edge.settings.http, &head.headers, body).await?;
    let Value::Object(mut body) = graphql::object_of(&body)? else {
        return Err(Fault::of(FaultCode::BadRequest));
    };
    if let Some(key) = idempotency_key(&head.headers)?
        && body.insert("commandId".to_owned(), key.into()).is_some()
    {
        let message = "Idempotency-Key and commandId were both sent";
        return Err(Fault::new(FaultCode::BadRequest, message));
    }
    let Command {
        document,
        input,
        whole,
    } = meant(body)?;
    let variables = || Ok(Map::from_iter([("input".to_owned(), input.clone().into())]));
    let alias = graphql::Alias {
        url: "",
        document,
        variables: &variables,
        shape: |told| told,
        meter: &meter,
    };
    let told = graphql::ask(engine, &edge.settings.limits, asking, alias).await;
    let bytes = told.map_err(super::as_parameter)?.body;
    let mut told: Value =
        serde_json::from_slice(&bytes).map_err(|_| Fault::of(FaultCode::Internal))?;
    if let Some(error) = told["userErrors"].get(0) {
        return Err(refused(error).into());
    }
    if let Some(told) = told.as_object_mut() {
        told.remove("userErrors");
    }
    let kept_at = told["receipt"]["position"].as_str().and_then(position);
    if let Some(whole) = whole.and_then(|whole| told.get_mut(whole)) {
        told = whole.take();
    }
    Ok((told, kept_at))
}

/// The caller's idempotency key, if the headers say one.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    if keys.next().is_some() {
        let message = "Idempotency-Key was sent more than once";
        return Err(Fault::new(FaultCode::BadRequest, message));
    }
    let key = key.to_str().map_err(|_| {
        let why = "Idempotency-Key holds what is not a printable character of ASCII";
        Refusal::new(Code::BadText, why).at(["commandId"])
    })?;
    Ok(Some(key.to_owned()))
}

/// A refusal as the schema told it.
fn refused(error: &Value) -> Refusal {
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let code = Code::of_word(&text("code")).unwrap_or(Code::Validation);
    let path = error["path"].as_array().into_iter().flatten();
    // `input` is the whole body.
    let path = path.filter_map(Value::as_str).skip(1).map(str::to_owned);
    let refusal = Refusal::new(code, text("message")).at(path.collect::<Vec<_>>());
    match error["details"].as_object() {
        Some(details) => Refusal {
            details: details.clone(),
            ..refusal
        },
        None => refusal,
    }
}
