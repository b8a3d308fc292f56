//! Messages of graphql-transport-ws: read from a client, written to it.

use async_graphql::Value;
use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::api::fault::{Fault, FaultCode};
use crate::api::feed::Mark;
use crate::http::graphql::body::{Asked, Members, asked};
use crate::http::json;

/// Longest id of an operation, in bytes.
const ID_BYTES_MAX: usize = 128;

/// Why a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code, as the protocol and RFC 6455 have it.
    pub code: u16,
    /// A few words.
    pub reason: &'static str,
}

const fn close(code: u16, reason: &'static str) -> Close {
    Close { code, reason }
}

impl Close {
    /// As it is sent; with the position behind which to go on, if there is one.
    pub fn frame(self, position: Option<Mark>) -> CloseFrame {
        let reason = match position {
            None => self.reason.into(),
            Some(position) => format!("{}; resume after {position}", self.reason).into(),
        };
        CloseFrame {
            code: self.code.into(),
            reason,
        }
    }
}

/// The process stops.
pub const GOING_AWAY: Close = close(1001, "going away");
/// Frames that are none.
pub const PROTOCOL_ERROR: Close = close(1002, "not WebSocket");
/// Text that is no UTF-8.
pub const BAD_TEXT: Close = close(1007, "not UTF-8");
/// A message above its bound.
pub const TOO_BIG: Close = close(1009, "message too big");
/// The client does not take what it asked for.
pub const TOO_SLOW: Close = close(1013, "too slow");
/// Not a message of the protocol.
pub const INVALID: Close = close(4400, "invalid message");
/// Asked before it was let in.
pub const UNAUTHORIZED: Close = close(4401, "unauthorized");
/// Not let in, or no longer.
pub const FORBIDDEN: Close = close(4403, "forbidden");
/// Who it is cannot be found out at this moment.
pub const TRY_AGAIN_LATER: Close = close(1013, "try again later");
/// Said nothing.
pub const INIT_TIMEOUT: Close = close(4408, "connection initialisation timeout");
/// An id that is taken.
pub const DUPLICATE_ID: Close = close(4409, "subscriber for this id already exists");
/// A second introduction.
pub const SECOND_INIT: Close = close(4429, "too many initialisation requests");
/// More messages than allowed.
pub const TOO_MANY_MESSAGES: Close = close(4429, "too many messages");
/// More sockets than allowed.
pub const TOO_MANY_SOCKETS: Close = close(4429, "too many sockets");

/// What a client says.
pub enum Heard {
    /// `connection_init`, with the token of its payload.
    Init(Option<String>),
    /// `ping`, to be echoed.
    Ping(Option<Value>),
    /// `pong`.
    Pong,
    /// `subscribe`, and what it asks, or why that cannot be said.
    Subscribe(String, Result<Asked, Fault>),
    /// `complete`.
    Complete(String),
}

/// Reads a message.
pub fn read(text: &str) -> Result<Heard, Close> {
    let Ok(Value::Object(mut message)) = json::parse(text.as_bytes()) else {
        return Err(INVALID);
    };
    let payload = message.swap_remove("payload").filter(|p| *p != Value::Null);
    let Some(Value::String(kind)) = message.swap_remove("type") else {
        return Err(INVALID);
    };
    match kind.as_str() {
        "connection_init" => Ok(Heard::Init(token(object(payload)?)?)),
        "ping" => Ok(Heard::Ping(object(payload)?.map(Value::Object))),
        "pong" => object(payload).map(|_| Heard::Pong),
        "subscribe" => {
            let id = id(&mut message)?;
            let asked = asked(object(payload)?.ok_or(INVALID)?);
            match asked {
                // Not of the shape the protocol asks for: the message is at fault, not the operation.
                Err(fault) if fault.code() == FaultCode::BadRequest.as_str() => Err(INVALID),
                asked => Ok(Heard::Subscribe(id, asked)),
            }
        }
        "complete" => Ok(Heard::Complete(id(&mut message)?)),
        _ => Err(INVALID),
    }
}

fn object(payload: Option<Value>) -> Result<Option<Members>, Close> {
    match payload {
        None => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(INVALID),
    }
}

fn id(message: &mut Members) -> Result<String, Close> {
    match message.swap_remove("id") {
        Some(Value::String(id)) if (1..=ID_BYTES_MAX).contains(&id.len()) => Ok(id),
        _ => Err(INVALID),
    }
}

/// `{"token": "..."}`, or `{"authorization": "Bearer ..."}` as it would stand in a header.
fn token(payload: Option<Members>) -> Result<Option<String>, Close> {
    let Some(mut payload) = payload else {
        return Ok(None);
    };
    let mut found = None;
    for name in ["token", "authorization", "Authorization"] {
        let token = match payload.swap_remove(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) if name == "token" => text,
            Some(Value::String(text)) => crate::auth::bearer([text.as_bytes()])
                .map_err(|_| FORBIDDEN)?
                .to_owned(),
            Some(_) => return Err(FORBIDDEN),
        };
        if found.replace(token).is_some() {
            return Err(FORBIDDEN);
        }
    }
    Ok(found)
}

/// `connection_ack`.
pub fn ack() -> Message {
    Message::Text(Utf8Bytes::from_static(r#"{"type":"connection_ack"}"#))
}

/// `pong`, with the ping's payload.
pub fn pong(payload: Option<Value>) -> Message {
    let text = match payload {
        None => Utf8Bytes::from_static(r#"{"type":"pong"}"#),
        Some(payload) => {
            let payload = serde_json::to_string(&payload).expect("GraphQL values are JSON");
            format!(r#"{{"type":"pong","payload":{payload}}}"#).into()
        }
    };
    Message::Text(text)
}

/// `next`: the payload is put into the message as it is. None if it is no text.
pub fn next(id: &str, payload: &Bytes) -> Option<Message> {
    let payload = std::str::from_utf8(payload).ok()?;
    let id = quoted(id);
    let mut text = String::with_capacity(id.len() + payload.len() + 34);
    for part in [
        r#"{"id":"#,
        &id,
        r#","type":"next","payload":"#,
        payload,
        "}",
    ] {
        text.push_str(part);
    }
    Some(Message::Text(text.into()))
}

/// `error`.
pub fn error(id: &str, errors: &[serde_json::Value]) -> Message {
    let errors = serde_json::to_string(errors).expect("JSON values are JSON");
    let id = quoted(id);
    Message::Text(format!(r#"{{"id":{id},"type":"error","payload":{errors}}}"#).into())
}

/// `complete`.
pub fn complete(id: &str) -> Message {
    let id = quoted(id);
    Message::Text(format!(r#"{{"id":{id},"type":"complete"}}"#).into())
}

fn quoted(id: &str) -> String {
    serde_json::to_string(id).expect("a text is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let got = match read(text) {
            Ok(Heard::Init(token)) => format!("init {}", token.unwrap_or_default()),
            Ok(Heard::Ping(payload)) => format!("ping {}", payload.unwrap_or_default()),
            Ok(Heard::Pong) => "pong".to_owned(),
            Ok(Heard::Subscribe(id, Ok(asked))) => {
                format!("subscribe {id} {}", asked.query.unwrap_or_default())
            }
            Ok(Heard::Subscribe(id, Err(fault))) => format!("subscribe {id} {}", fault.code()),
            Ok(Heard::Complete(id)) => format!("complete {id}"),
            Err(close) => close.code.to_string(),
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn messages() {
        for (text, expect) in [
            (r#"{"type":"connection_init"}"#, "init "),
            (r#"{"type":"connection_init","payload":null}"#, "init "),
            (
                r#"{"type":"connection_init","payload":{"token":"t"}}"#,
                "init t",
            ),
            (
                r#"{"type":"connection_init","payload":{"Authorization":"Bearer t"}}"#,
                "init t",
            ),
            (
                r#"{"type":"connection_init","payload":{"authorization":"t"}}"#,
                "4403",
            ),
            (
                r#"{"type":"connection_init","payload":{"token":7}}"#,
                "4403",
            ),
            (
                r#"{"type":"connection_init","payload":{"token":"t","authorization":"Bearer u"}}"#,
                "4403",
            ),
            (r#"{"type":"connection_init","payload":"t"}"#, "4400"),
            (r#"{"type":"ping"}"#, "ping null"),
            (r#"{"type":"ping","payload":{"a":1}}"#, "ping {a: 1}"),
            (r#"{"type":"ping","payload":"x"}"#, "4400"),
            (r#"{"type":"pong","payload":[]}"#, "4400"),
            (r#"{"type":"pong"}"#, "pong"),
            (
                r#"{"id":"1","type":"subscribe","payload":{"query":"{a}"}}"#,
                "subscribe 1 {a}",
            ),
            (
                r#"{"id":"1","type":"subscribe","payload":{"query":"{a}","extensions":{"atLeast":1}}}"#,
                "subscribe 1 BAD_POSITION",
            ),
            (
                r#"{"id":"1","type":"subscribe","payload":{"query":7}}"#,
                "4400",
            ),
            (r#"{"id":"1","type":"subscribe","payload":{}}"#, "4400"),
            (r#"{"id":"1","type":"subscribe"}"#, "4400"),
            (r#"{"type":"subscribe","payload":{"query":"{a}"}}"#, "4400"),
            (
                r#"{"id":"","type":"subscribe","payload":{"query":"{a}"}}"#,
                "4400",
            ),
            (
                r#"{"id":1,"type":"subscribe","payload":{"query":"{a}"}}"#,
                "4400",
            ),
            (r#"{"id":"1","type":"complete"}"#, "complete 1"),
            (r#"{"type":"complete"}"#, "4400"),
            (r#"{"type":"start"}"#, "4400"),
            (r#"{"type":7}"#, "4400"),
            (r#"{"type":"ping","type":"pong"}"#, "4400"),
            ("[]", "4400"),
            ("not json", "4400"),
            ("", "4400"),
        ] {
            check(text, expect);
        }
        let long = format!(r#"{{"id":"{}","type":"complete"}}"#, "x".repeat(129));
        check(&long, "4400");
    }

    #[test]
    fn ids_are_escaped_and_payloads_are_not_touched() {
        let payload = Bytes::from_static(br#"{"data":{"a": 1.10}}"#);
        let sent = next("a\"b", &payload).expect("text").to_string();
        assert_eq!(
            sent,
            r#"{"id":"a\"b","type":"next","payload":{"data":{"a": 1.10}}}"#
        );
        assert_eq!(complete("1").to_string(), r#"{"id":"1","type":"complete"}"#);
        assert_eq!(
            error("1", &[serde_json::json!({ "message": "no" })]).to_string(),
            r#"{"id":"1","type":"error","payload":[{"message":"no"}]}"#
        );
        assert_eq!(next("1", &Bytes::from_static(b"\xff")), None);
        let payload = Value::from_json(serde_json::json!({ "a": [1, "x"] })).expect("JSON");
        assert_eq!(
            pong(Some(payload)).to_string(),
            r#"{"type":"pong","payload":{"a":[1,"x"]}}"#
        );
    }
}
