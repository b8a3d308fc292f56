//! Signing in and staying so without GraphQL: thin aliases of its mutations, whose `input` is the body. And
//! the keys that others check our tokens with.

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use domain::{Code, Refusal};
use serde_json::{Map, Value, json};

use super::Edge;
use crate::api::Pages;
use crate::api::fault::{Fault, FaultCode};
use crate::http::context::Id;
use crate::http::meter::Meter;
use crate::http::{caller, graphql, problem};

/// What is asked for of a session that has begun.
macro_rules! session_of {
    ($mutation:literal, $input:literal) => {
        concat!(
            "mutation($input: ",
            $input,
            "!) { ",
            $mutation,
            "(input: $input) {
               session { userId sessionId accessToken expiresInS refreshToken sessionEndsAt }
               userErrors { code message path retryable } } }"
        )
    };
}

/// `POST /api/v1/auth/sign-in`
pub async fn sign_in(State(edge): State<Edge>, request: Request) -> Response {
    answer(&edge, session_of!("signIn", "SignInInput"), request).await
}

/// `POST /api/jwt/refresh`
pub async fn refresh(State(edge): State<Edge>, request: Request) -> Response {
    let document = session_of!("refreshSession", "RefreshSessionInput");
    answer(&edge, document, request).await
}

/// `POST /api/v1/auth/change-password`
pub async fn change_password(State(edge): State<Edge>, request: Request) -> Response {
    let document = session_of!("changePassword", "ChangePasswordInput");
    answer(&edge, document, request).await
}

/// `POST /api/jwt/revoke`; without a body it is the request's own session that ends.
pub async fn sign_out(State(edge): State<Edge>, request: Request) -> Response {
    const DOCUMENT: &str = "mutation($input: SignOutInput!) { signOut(input: $input) {
        receipt { position version replayed } userErrors { code message path retryable } } }";
    let request = match request.body().is_end_stream() {
        true => with_empty_input(request),
        false => request,
    };
    answer(&edge, DOCUMENT, request).await
}

fn with_empty_input(request: Request) -> Request {
    let (mut head, _) = request.into_parts();
    let json = HeaderValue::from_static("application/json");
    head.headers.insert(CONTENT_TYPE, json);
    Request::from_parts(head, Body::from("{}"))
}

/// `POST /api/v1/auth/register`
pub async fn register(State(edge): State<Edge>, request: Request) -> Response {
    const DOCUMENT: &str = "mutation($input: RegisterUserInput!) { registerUser(input: $input) {
        user { id roles status emailVerified registeredAt } verificationToken
        receipt { position version replayed } userErrors { code message path retryable } } }";
    answer(&edge, DOCUMENT, request).await
}

/// `POST /api/v1/auth/verify-email`
pub async fn verify_email(State(edge): State<Edge>, request: Request) -> Response {
    const DOCUMENT: &str = "mutation($input: VerifyEmailInput!) { verifyEmail(input: $input) {
        userId receipt { position version replayed } userErrors { code message path retryable } } }";
    answer(&edge, DOCUMENT, request).await
}

/// `GET /.well-known/jwks.json` (RFC 7517, 5)
pub async fn keys(State(edge): State<Edge>) -> Response {
    let auth = &edge.api.parts().auth;
    let set = json!({ "keys": auth.published_keys().await });
    let mut answer = problem::answer(StatusCode::OK, "application/jwk-set+json", set.to_string());
    let max_age = format!("public, max-age={}", auth.keys_max_age().as_secs());
    let max_age = HeaderValue::try_from(max_age).expect("visible ASCII");
    answer.headers_mut().insert(CACHE_CONTROL, max_age);
    answer
}

async fn answer(edge: &Edge, document: &'static str, request: Request) -> Response {
    let id = Id::of(&request);
    match carry_out(edge, document, request, &id).await {
        Ok(told) => problem::answer(StatusCode::OK, "application/json", told.to_string()),
        Err(fault) => problem::problem(&fault, &id),
    }
}

/// Carries out a mutation: what it gives, or the first refusal as a fault.
async fn carry_out(
    edge: &Edge,
    document: &'static str,
    request: Request,
    id: &Id,
) -> Result<Value, Fault> {
    let meter = Meter::of(&request);
    let (head, body) = request.into_parts();
    let engine = edge.transport.engine();
    let asking = graphql::Asking {
        caller: caller::admit(engine, &meter, &head.headers).await?,
        at_least: None,
        pages: Pages {
            default: edge.settings.limits.page_default as u32,
            max: edge.settings.limits.page_max as u32,
        },
        origin: id.origin(),
    };
    let body = graphql::read_body(&edge.settings.http, &head.headers, body).await?;
    let input = graphql::object_of(&body)?;
    let variables = || Ok(Map::from_iter([("input".to_owned(), input.clone())]));
    let alias = graphql::Alias {
        url: "",
        document,
        variables: &variables,
        shape: |told| told,
        meter: &meter,
    };
    let told = graphql::ask(engine, &edge.settings.limits, asking, alias).await;
    let (bytes, _) = told.map_err(super::as_parameter)?;
    let mut told: Value =
        serde_json::from_slice(&bytes).map_err(|_| Fault::of(FaultCode::Internal))?;
    match told["userErrors"].get(0) {
        Some(error) => Err(refused(error).into()),
        None => {
            if let Some(told) = told.as_object_mut() {
                told.remove("userErrors");
            }
            // What the session is made of is the whole answer.
            Ok(match told.get_mut("session") {
                Some(session) => session.take(),
                None => told,
            })
        }
    }
}

/// A refusal as the schema told it.
fn refused(error: &Value) -> Refusal {
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let code = Code::of_word(&text("code")).unwrap_or(Code::Validation);
    let path = error["path"].as_array().into_iter().flatten();
    // `input` is the whole body.
    let path = path.filter_map(Value::as_str).skip(1).map(str::to_owned);
    Refusal::new(code, text("message")).at(path.collect::<Vec<_>>())
}
