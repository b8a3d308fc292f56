//! The transport over the tests' schema, on a free port.

use std::net::SocketAddr;
use std::sync::Arc;

use daybook::config::{Bytes, Settings};
use daybook::http::{self, Transport};
use daybook::limits::Limiter;
use daybook::ops::{Clock, Shutdown, ShutdownTrigger};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::client::Socket;
use super::schema::TestEngine;
use crate::support::{Reply, exchange};

/// A server of one test.
pub struct Server {
    pub address: SocketAddr,
    pub engine: Arc<TestEngine>,
    pub stop: ShutdownTrigger,
    pub served: JoinHandle<()>,
}

impl Server {
    /// With default settings.
    pub async fn start() -> Server {
        Server::with(|_| ()).await
    }

    /// With settings that were changed.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Server {
        Server::at(Clock::system(), change).await
    }

    /// By this clock, with settings that were changed. Nobody counts requests unless they say so.
    pub async fn at(clock: Clock, change: impl FnOnce(&mut Settings)) -> Server {
        let mut settings = Settings::default();
        settings.http.body_bytes_max = Bytes(1 << 20);
        settings.limits.enabled = false;
        change(&mut settings);
        let (stop, shutdown) = Shutdown::new();
        let engine = Arc::new(TestEngine::new(&settings, clock.clone()));
        let settings = Arc::new(settings);
        let limiter = Limiter::start(&settings.limits, None, [7; 32], clock.clone());
        let transport = Transport::new(
            engine.clone(),
            settings.clone(),
            limiter,
            clock,
            shutdown.clone(),
        )
        .unwrap();
        let router = http::transport(&transport);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            http::accept(router, &settings.http, listener, shutdown).await;
        });
        Server {
            address,
            engine,
            stop,
            served,
        }
    }

    /// Sends bytes as they are.
    pub async fn raw(&self, request: &[u8]) -> Reply {
        exchange(self.address, request).await
    }

    /// A request with these headers.
    pub async fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = format!("{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!("content-length: {}\r\n", body.len());
        }
        let mut request = (request + "\r\n").into_bytes();
        request.extend_from_slice(body);
        self.raw(&request).await
    }

    /// Posts a body as JSON with this `Accept`.
    pub async fn post(&self, accept: &str, body: &Value) -> Reply {
        let headers = [("content-type", "application/json"), ("accept", accept)];
        self.send("POST /graphql", &headers, body.to_string().as_bytes())
            .await
    }

    /// Asks by POST.
    pub async fn ask(&self, query: &str) -> Reply {
        self.post("application/json", &json!({ "query": query }))
            .await
    }

    /// Asks by GET with this `Accept`.
    pub async fn get(&self, accept: &str, params: &[(&str, &str)]) -> Reply {
        let pairs = params
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        self.send(&format!("GET /graphql?{query}"), &[("accept", accept)], b"")
            .await
    }

    /// A socket that was let in.
    pub async fn socket(&self) -> Socket {
        self.socket_of("anyone").await
    }

    /// A socket that was let in with this token.
    pub async fn socket_of(&self, token: &str) -> Socket {
        let mut socket = Socket::open(self.address, &[]).await;
        let init = json!({ "type": "connection_init", "payload": { "token": token } });
        socket.send(&init).await;
        assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
        socket
    }
}

/// Percent-encodes whatever is not plain.
pub fn encoded(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The code of the first error.
pub fn code(reply: &Value) -> &str {
    let errors = &reply["errors"][0]["extensions"]["code"];
    errors.as_str().or(reply["code"].as_str()).unwrap_or("ok")
}

/// Fragments that spread the next one twice: 2^`levels` fields in little text.
pub fn bomb(levels: usize) -> String {
    let fragments = (0..levels)
        .map(|n| format!("fragment f{n} on Query{{...f{m} ...f{m}}}", m = n + 1))
        .collect::<String>();
    format!("query{{...f0}}{fragments}fragment f{levels} on Query{{hello}}")
}
