//! A plain WebSocket client.

use std::net::SocketAddr;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::PATIENCE;

/// An open socket.
pub struct Socket(WebSocketStream<TcpStream>);

/// The handshake's own headers.
const HANDSHAKE: &[(&str, &str)] = &[
    ("host", "test"),
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "graphql-transport-ws"),
];

/// Sends a handshake with these headers instead of, or beside, the usual ones: an empty one is left out.
/// Gives the stream, the status and the head of the answer.
pub async fn handshake(address: SocketAddr, headers: &[(&str, &str)]) -> (TcpStream, u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = "GET /graphql HTTP/1.1\r\n".to_owned();
    let given = |name: &str| headers.iter().any(|(own, _)| *own == name);
    let usual = HANDSHAKE.iter().filter(|(name, _)| !given(name));
    for (name, value) in usual.chain(headers).filter(|(_, value)| !value.is_empty()) {
        request += &format!("{name}: {value}\r\n");
    }
    stream
        .write_all((request + "\r\n").as_bytes())
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8())
            .await
            .expect("an answer");
        head.push(byte.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (stream, status, head)
}

impl Socket {
    /// Opens one; it is not let in yet.
    pub async fn open(address: SocketAddr, headers: &[(&str, &str)]) -> Socket {
        let (stream, status, head) = handshake(address, headers).await;
        assert_eq!(status, 101, "{head}");
        assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        assert!(
            head.contains("sec-websocket-protocol: graphql-transport-ws"),
            "{head}"
        );
        Socket::over(stream).await
    }

    /// Over a stream whose handshake is done.
    pub async fn over(stream: TcpStream) -> Socket {
        Socket(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }

    /// Sends a message. The other side may have closed already.
    pub async fn send(&mut self, message: &Value) {
        self.text(&message.to_string()).await;
    }

    /// Sends a text.
    pub async fn text(&mut self, text: &str) {
        self.frame(Message::text(text)).await;
    }

    /// Sends a frame.
    pub async fn frame(&mut self, frame: Message) {
        let _ = self.0.send(frame).await;
    }

    /// Sends bytes that may be no frame.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes).await;
    }

    /// Begins an operation.
    pub async fn subscribe(&mut self, id: &str, query: &str) {
        let message = json!({ "id": id, "type": "subscribe", "payload": { "query": query } });
        self.send(&message).await;
    }

    /// The next message; `{"closed": code, "reason": text}` once the other side has closed, 0 if without
    /// a word.
    pub async fn next(&mut self) -> Value {
        loop {
            let frame = timeout(PATIENCE, self.0.next()).await.expect("a message");
            return match frame {
                Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = match &frame {
                        Some(frame) => (u16::from(frame.code), frame.reason.as_str()),
                        None => (0, ""),
                    };
                    json!({ "closed": code, "reason": reason })
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => json!({ "closed": 0 }),
            };
        }
    }

    /// Messages up to the end of an operation.
    pub async fn until_end(&mut self, id: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let message = self.next().await;
            let is_end = message["id"] == id && message["type"] != "next";
            let is_closed = message["closed"] != Value::Null;
            messages.push(message);
            if is_end || is_closed {
                return messages;
            }
        }
    }

    /// The code it is closed with, whatever comes before.
    pub async fn closed(&mut self) -> u64 {
        loop {
            if let Some(code) = self.next().await["closed"].as_u64() {
                return code;
            }
        }
    }
}
