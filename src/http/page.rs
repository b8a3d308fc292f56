//! The page at `/` for trying the API out with a browser, outside production: three small files of ours.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use axum::response::Response;

use super::problem;

/// Its own files and its own server; nothing else is loaded or asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`
pub async fn html() -> Response {
    let page = include_str!("page/index.html");
    let mut answer = problem::answer(StatusCode::OK, "text/html; charset=utf-8", page);
    answer
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer
}

/// `GET /page.js`
pub async fn script() -> Response {
    let script = include_str!("page/page.js");
    problem::answer(StatusCode::OK, "text/javascript; charset=utf-8", script)
}

/// `GET /page.css`
pub async fn style() -> Response {
    let style = include_str!("page/page.css");
    problem::answer(StatusCode::OK, "text/css; charset=utf-8", style)
}
