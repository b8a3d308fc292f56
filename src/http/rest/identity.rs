//! Signing in and staying so without GraphQL: thin aliases of its mutations, whose `input` is the body. And
//! the keys that others check our tokens with.

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use serde_json::json;

use super::Edge;
use super::command::{self, Command};
use crate::http::problem;

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
    let meant = |input| {
        Ok(Command {
            document,
            input,
            // What the session is made of is the whole answer.
            whole: Some("session"),
        })
    };
    command::answer(edge, request, meant).await
}
