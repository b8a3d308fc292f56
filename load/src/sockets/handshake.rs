//! How a socket of graphql-transport-ws begins: the handshake, the introduction, the subscription.

use anyhow::ensure;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::frames::{self, Frames};

/// What every socket asks.
pub struct Order {
    /// `host:port`.
    pub address: String,
    /// Path of the endpoint.
    pub path: String,
    /// Go into `connection_init`; the n-th socket takes the n-th. Without any it introduces itself without.
    pub tokens: Vec<String>,
    /// The documents; the n-th socket takes the n-th, beginning anew after the last.
    pub queries: Vec<String>,
}

/// Shakes hands, introduces itself and subscribes.
pub async fn open(order: &Order, n: usize) -> anyhow::Result<(TcpStream, Frames)> {
    let mut stream = TcpStream::connect(&order.address).await?;
    stream.set_nodelay(true)?;
    let handshake = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
        order.path, order.address
    );
    stream.write_all(handshake.as_bytes()).await?;
    let mut read = Vec::with_capacity(1 << 10);
    let head = loop {
        ensure!(stream.read_buf(&mut read).await? > 0, "it hung up");
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let told = String::from_utf8_lossy(&read[..head]).into_owned();
    ensure!(told.starts_with("HTTP/1.1 101"), "{told}");
    let token = order.tokens.get(n % order.tokens.len().max(1));
    let init = match token {
        Some(token) => json!({ "type": "connection_init", "payload": { "token": token } }),
        None => json!({ "type": "connection_init" }),
    };
    stream.write_all(&frames::text(&init.to_string())).await?;
    let (mut frames, mut answer) = (Frames::default(), None);
    let mut read = read.split_off(head);
    loop {
        let are_frames = frames.take(&read, |_, payload| {
            answer.get_or_insert_with(|| String::from_utf8_lossy(payload).into_owned());
        });
        ensure!(are_frames, "not a WebSocket");
        if let Some(answer) = answer {
            ensure!(answer.contains("connection_ack"), "{answer}");
            break;
        }
        read.clear();
        ensure!(stream.read_buf(&mut read).await? > 0, "it hung up");
    }
    let query = &order.queries[n % order.queries.len()];
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": query } });
    stream
        .write_all(&frames::text(&subscribe.to_string()))
        .await?;
    Ok((stream, frames))
}
