//! HTTP itself, section H of `docs/promises.md`: what is refused, what is bounded in time and number.

use std::time::Duration;

use daybook::config::{Bytes, HostNames, Networks, value::Setting as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::server::Server;
use crate::support::{PATIENCE, eventually};

const BODY: &str = r#"{"query":"{ hello }"}"#;

/// A POST with these headers beside host and type.
fn post(headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// Every answer on one connection that is closed by the server.
async fn answers(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _ = stream.write_all(request).await;
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    let _ = timeout(PATIENCE, read).await.expect("the server closes");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn h_rows() {
    let server = Server::with(|s| {
        s.http.body_bytes_max = Bytes(64 * 1024);
        s.http.idle_timeout = Duration::from_millis(500);
    })
    .await;
    let large = format!("{{\"query\":\"{{ hello }} # {}\"}}", "x".repeat(64 * 1024));
    let length = BODY.len();
    let close = format!("content-length: {length}\r\nconnection: close\r\n");
    let get = |rest: &str| format!("GET {rest}\r\n\r\n").into_bytes();
    let path = |path: &str| get(&format!("{path} HTTP/1.1\r\nhost: x\r\nconnection: close"));
    let method = |word: &str| {
        format!("{word} /graphql HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()
    };
    let many: String = (0..101).map(|n| format!("h{n}: x\r\n")).collect();
    for (row, request, status) in [
        ("whole", post(&close, BODY), 200),
        (
            "H1",
            post(&format!("content-length: {}\r\n", large.len()), &large),
            413,
        ),
        (
            "H1",
            post("transfer-encoding: chunked\r\n", &chunked(&large)),
            413,
        ),
        (
            "H2",
            post(&format!("content-encoding: gzip\r\n{close}"), BODY),
            415,
        ),
        (
            "H2",
            post(&format!("content-encoding: br, gzip\r\n{close}"), BODY),
            415,
        ),
        (
            "H7",
            post(
                &format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
                &chunked(BODY),
            ),
            400,
        ),
        (
            "H7",
            post(
                &format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
                &chunked(BODY),
            ),
            400,
        ),
        ("H7", post("transfer-encoding: identity\r\n", BODY), 400),
        (
            "H7",
            post(
                &format!("content-length: {length}\r\ncontent-length: 3\r\n"),
                BODY,
            ),
            400,
        ),
        (
            "H7",
            post(&format!("content-length: +{length}\r\n"), BODY),
            400,
        ),
        (
            "H7",
            post(
                "transfer-encoding: chunked\r\n",
                &format!("{length:x};x=\r\r\n{BODY}\r\n0\r\n\r\n"),
            ),
            400,
        ),
        ("H8", post(&format!("{many}{close}"), BODY), 431),
        (
            "H8",
            post(&format!("x: {}\r\n{close}", "y".repeat(64 * 1024)), BODY),
            431,
        ),
        (
            "H8",
            path(&format!("/graphql?query={}", "y".repeat(9 * 1024))),
            414,
        ),
        ("H9", post(&format!("x: a\0b\r\n{close}"), BODY), 400),
        ("H9", post(&format!("x: a\rb: c\r\n{close}"), BODY), 400),
        ("H11", get("/graphql HTTP/1.1\r\nconnection: close"), 400),
        (
            "H11",
            get("/graphql HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close"),
            400,
        ),
        ("H12", path("//graphql"), 404),
        ("H12", path("/graphql/../metrics"), 404),
        ("H12", path("/graphql/%2e%2e/metrics"), 404),
        ("H12", path("/graphql%00"), 404),
        ("H13", method("TRACE"), 405),
        ("H13", method("PUT"), 405),
        (
            "H13",
            b"CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n".to_vec(),
            405,
        ),
        (
            "H14",
            post(&format!("accept: text/html\r\n{close}"), BODY),
            406,
        ),
        (
            "H16",
            post("expect: 100-continue\r\ncontent-length: 100000000\r\n", ""),
            413,
        ),
        (
            "H17",
            post(
                &format!("range: bytes=0-1\r\nif-none-match: *\r\n{close}"),
                BODY,
            ),
            200,
        ),
    ] {
        let reply = server.raw(&request).await;
        let shown = String::from_utf8_lossy(&request[..request.len().min(120)]).into_owned();
        assert_eq!(reply.status, status, "{row} {shown:?}");
        assert!(reply.body.len() < 2_048, "{row}");
    }
}

/// H7: whatever a proxy takes for the body, nothing in it is read as a second request.
#[tokio::test]
async fn no_request_is_smuggled() {
    let server = Server::start().await;
    let hidden = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let body = format!("{}{hidden}", chunked(BODY));
    let (te, cl) = (
        "transfer-encoding: chunked\r\n",
        format!("content-length: {}\r\n", body.len()),
    );
    let first = format!("content-length: {}\r\n", BODY.len());
    let first = String::from_utf8(post(&first, BODY)).unwrap();
    for (before, lengths, expect) in [
        ("", format!("{te}{cl}"), &["400"][..]),
        ("", format!("{cl}{te}"), &["400"]),
        ("", format!("{cl}content-length: 3\r\n"), &["400"]),
        ("", te.to_owned(), &["200"]),
        (&first, format!("{te}{cl}"), &["200", "400"]),
        (&first, te.to_owned(), &["200", "200"]),
    ] {
        let request = [before.as_bytes(), &post(&lengths, &body)].concat();
        let text = answers(&server, &request).await;
        let told: Vec<&str> = text
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|answer| &answer[..3])
            .collect();
        assert_eq!(told, expect, "{before}{lengths}{text}");
    }
    assert_eq!(
        server.engine.executed(),
        4,
        "what was refused was not carried out"
    );
}

/// H10: ids and addresses that a caller makes up are not believed.
#[tokio::test]
async fn made_up_ids() {
    let server = Server::start().await;
    let long = "x".repeat(10_000);
    for id in ["made-up", long.as_str()] {
        let headers = [("content-type", "application/json"), ("x-request-id", id)];
        let reply = server
            .send("POST /graphql", &headers, BODY.as_bytes())
            .await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-request-id").len(), 36);
        assert_ne!(reply.header("x-request-id"), id);
    }
}

/// H11: a process that knows its names answers to no other.
#[tokio::test]
async fn foreign_hosts() {
    let names = HostNames::parse("daybook.example, localhost").unwrap();
    let server = Server::with(|s| s.http.hosts = Some(names)).await;
    for (host, status) in [
        ("daybook.example", 406),
        ("DAYBOOK.example:8080", 406),
        ("localhost", 406),
        ("evil.example", 421),
        ("daybook.example.evil.example", 421),
        ("", 421),
    ] {
        let request = format!(
            "GET /graphql HTTP/1.1\r\nhost: {host}\r\naccept: x/y\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(
            server.raw(request.as_bytes()).await.status,
            status,
            "{host}"
        );
    }
}

/// H3, H4: heads and bodies that drip in are not waited for.
#[tokio::test]
async fn slow_senders() {
    let server = Server::with(|s| {
        s.http.header_timeout = Duration::from_millis(200);
        s.http.body_timeout = Duration::from_millis(200);
    })
    .await;
    // One byte at a time, faster than the time-out, for ever.
    let drip = async |first: &str| {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let _ = write.write_all(first.as_bytes()).await;
        let dripping = tokio::spawn(async move {
            while write.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        let mut text = Vec::new();
        let read = read.read_to_end(&mut text);
        let _ = timeout(PATIENCE, read).await.expect("it is closed");
        dripping.abort();
        String::from_utf8_lossy(&text).into_owned()
    };
    for begun in ["", "GET /graphql HTTP/1.1\r\nx: "] {
        let late = drip(begun).await;
        assert!(late.starts_with("HTTP/1.1 408"), "{begun}: {late}");
    }
    let body = String::from_utf8(post("content-length: 100000\r\n", "")).unwrap();
    let late = drip(&body).await;
    assert!(late.starts_with("HTTP/1.1 408"), "{late}");
    // A second head on a connection kept open has the same time.
    let whole =
        String::from_utf8(post(&format!("content-length: {}\r\n", BODY.len()), BODY)).unwrap();
    let second = drip(&format!("{whole}GET /graphql HTTP/1.1\r\nx: ")).await;
    assert_eq!(second.matches("HTTP/1.1").count(), 2, "{second}");
    assert!(second.contains("HTTP/1.1 408"), "{second}");
    // Nobody else was kept waiting for long.
    assert_eq!(server.ask("{ hello }").await.status, 200);
}

/// H6: a connection that is kept open for nothing is closed, one that never began as well.
#[tokio::test]
async fn idle_connections() {
    let server = Server::with(|s| {
        s.http.header_timeout = Duration::from_millis(100);
        s.http.idle_timeout = Duration::from_secs(3);
    })
    .await;
    let whole =
        String::from_utf8(post(&format!("content-length: {}\r\n", BODY.len()), BODY)).unwrap();
    for request in ["", whole.as_str()] {
        let text = answers(&server, request.as_bytes()).await;
        assert_eq!(
            text.matches("HTTP/1.1 200").count(),
            usize::from(!request.is_empty())
        );
    }
    // Idle longer than a head may take is not slow: the next request is answered.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(whole.as_bytes()).await.unwrap();
        let mut head = [0; 15];
        timeout(PATIENCE, stream.read_exact(&mut head))
            .await
            .expect("an answer")
            .unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        let mut rest = vec![0; 4_096];
        timeout(PATIENCE, stream.read(&mut rest))
            .await
            .expect("the rest")
            .unwrap();
        sleep(Duration::from_millis(300)).await;
    }
}

/// H5: who does not take an answer is not waited for.
#[tokio::test]
async fn slow_readers() {
    let server = Server::with(|s| {
        s.http.write_timeout = Duration::from_millis(200);
        s.http.connections_max = 1;
    })
    .await;
    let body = r#"{"query":"{ big(bytes: 20000000) }"}"#;
    let request = post(&format!("content-length: {}\r\n", body.len()), body);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut first = [0; 12];
    let read = stream.read_exact(&mut first);
    timeout(PATIENCE, read).await.expect("an answer").unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // It is still open here, but its place is free.
    eventually("it is closed", async || {
        server.ask("{ hello }").await.status == 200
    })
    .await;
    drop(stream);
}

/// H6: connections above the caps are told so and closed; places are given back.
#[tokio::test]
async fn connections_are_bounded() {
    for per_address in [false, true] {
        let server = Server::with(|s| match per_address {
            true => {
                s.http.connections_per_address_max = 3;
                // The test is its own proxy: nobody is excepted.
                s.http.uncapped_networks = Networks::default();
            }
            false => s.http.connections_max = 3,
        })
        .await;
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(TcpStream::connect(server.address).await.unwrap());
        }
        let refused = server.raw(b"").await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
        open.pop();
        eventually("a place is free", async || {
            server.ask("{ hello }").await.status == 200
        })
        .await;
    }
}

/// A stop lets requests in flight finish and closes connections that are idle.
#[tokio::test]
async fn a_stop_finishes_what_was_begun() {
    let server = Server::start().await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let ask = server.ask("mutation { incrementSlowly }");
    let stop = async {
        eventually("it is under way", async || server.engine.executed() == 1).await;
        server.stop.soft();
    };
    let (reply, ()) = tokio::join!(ask, stop);
    assert_eq!(reply.json()["data"]["incrementSlowly"], 1);
    timeout(PATIENCE, server.served)
        .await
        .expect("all is closed")
        .unwrap();
    drop(idle);
    let gone = TcpStream::connect(server.address).await;
    assert!(gone.is_err(), "nothing listens any more");
}
