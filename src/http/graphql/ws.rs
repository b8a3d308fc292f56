//! WebSockets: the handshake, and what a socket is opened with.
//!
//! The protocol spoken on it is graphql-transport-ws; the older one of the same file extension is not.

mod message;
mod operations;
mod outbox;
mod pace;
mod socket;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tracing::Instrument as _;

use super::Transport;
use crate::api::fault::{Fault, FaultCode};
use crate::config::Sockets;
use crate::http::accept::Held;
use crate::http::context::Id;
use crate::http::meter::Meter;
use crate::http::{caller, problem};
use socket::Opening;

/// The sub-protocol.
const PROTOCOL: &str = "graphql-transport-ws";

/// What a socket reads at a time, in bytes. It is held all the time, there are many sockets, and most
/// say little: a subscription's document and now and then a pong.
const READ_BYTES: usize = 1024;

/// What a socket collects before it writes, in bytes; held once there was so much to write.
const WRITE_BYTES: usize = 4 * 1024;

/// Does the request want a socket?
pub fn is_wanted(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
}

/// Answers the handshake and leaves the socket to a task of its own.
pub fn upgrade(transport: Transport, request: Request) -> Response {
    let id = Id::of(&request);
    match open(transport, request, &id) {
        Ok(answer) => answer,
        Err(fault) => {
            let mut answer = problem::problem(&fault, &id);
            let headers = answer.headers_mut();
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            answer
        }
    }
}

fn open(transport: Transport, mut request: Request, id: &Id) -> Result<Response, Fault> {
    let headers = request.headers();
    let key = check(request.method(), headers)?;
    let answer = accept(&key);
    // Malformed credentials are refused here, absent ones may still come in `connection_init`.
    let shown = caller::credentials(headers, &Meter::of(&request))?;
    if transport.shutdown().is_soft() {
        return Err(Fault::of(FaultCode::Unavailable));
    }
    let opening = Opening {
        id: id.clone(),
        shown,
        seat: transport.0.quota.seat()?,
        connection: request.extensions().get::<Held>().cloned(),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let config = config(&transport.settings().sockets);
    let task = async move {
        match upgrade.await {
            Ok(upgraded) => {
                let io = TokioIo::new(upgraded);
                let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
                socket::serve(transport, stream, opening).await;
            }
            Err(error) => tracing::debug!(%error, "a socket was not opened: {error}"),
        }
    };
    tokio::spawn(task.in_current_span());
    Ok(answer)
}

/// Checks the handshake (RFC 6455, 4.2.1) and gives its key.
fn check(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, Fault> {
    let bad = |what: &str| Fault::new(FaultCode::BadRequest, what);
    let lists = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(word))
    };
    if *method != Method::GET || !lists(CONNECTION, "upgrade") || !lists(UPGRADE, "websocket") {
        return Err(bad("this path takes WebSocket handshakes"));
    }
    if !lists(SEC_WEBSOCKET_VERSION, "13") {
        return Err(bad("the WebSocket version spoken here is 13"));
    }
    if !lists(SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err(bad(
            "the WebSocket sub-protocol spoken here is graphql-transport-ws",
        ));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        // Sixteen bytes in base 64.
        (Some(key), None) if key.len() == 24 => Ok(key.clone()),
        _ => Err(bad("a WebSocket handshake needs one key of 16 bytes")),
    }
}

fn accept(key: &HeaderValue) -> Response {
    let accepted = derive_accept_key(key.as_bytes());
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    headers.insert(
        SEC_WEBSOCKET_ACCEPT,
        HeaderValue::try_from(accepted).expect("base 64"),
    );
    answer
}

fn config(settings: &Sockets) -> WebSocketConfig {
    let message = settings.message_bytes_max.len();
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        // The outbox hands over one message at a time, once the one before has left.
        .max_write_buffer_size(usize::MAX)
        .max_message_size(Some(message))
        .max_frame_size(Some(message))
}
