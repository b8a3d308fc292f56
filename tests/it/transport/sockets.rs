//! WebSockets, section S of `docs/promises.md`: what is answered, what closes a socket, what is bounded.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::client::{Socket, handshake};
use super::server::Server;
use crate::support::{PATIENCE, eventually};

const INIT: &str = r#"{"type":"connection_init"}"#;

#[tokio::test]
async fn operations_over_a_socket() {
    let server = Server::start().await;
    let mut socket = server.socket().await;
    let cases = [
        (
            "{ hello }",
            json!([{ "id": "1", "type": "next", "payload": { "data": { "hello": "world" } } }, { "id": "1", "type": "complete" }]),
        ),
        (
            "mutation { increment }",
            json!([{ "id": "1", "type": "next", "payload": { "data": { "increment": 1 } } }, { "id": "1", "type": "complete" }]),
        ),
        (
            "subscription { counter(to: 2) }",
            json!([
            { "id": "1", "type": "next", "payload": { "data": { "counter": 1 } } },
            { "id": "1", "type": "next", "payload": { "data": { "counter": 2 } } },
            { "id": "1", "type": "complete" }]),
        ),
    ];
    for (query, expect) in cases {
        socket.subscribe("1", query).await;
        assert_eq!(Value::from(socket.until_end("1").await), expect, "{query}");
    }
    for (query, expect) in [
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("subscription { denied }", "FORBIDDEN"),
        ("subscription { nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { journal }", "OVERLOADED"),
    ] {
        socket.subscribe("1", query).await;
        let last = socket.until_end("1").await.pop().unwrap();
        assert_eq!(last["type"], "error", "{query}");
        assert_eq!(last["payload"][0]["extensions"]["code"], expect, "{query}");
    }
    // A field's error is part of a result.
    socket.subscribe("1", "{ hello fail }").await;
    let result = &socket.until_end("1").await[0]["payload"];
    assert_eq!(
        (&result["data"]["hello"], &result["errors"][0]["path"]),
        (&json!("world"), &json!(["fail"]))
    );
    // Reads over a socket wait like others, and tell how far they are.
    let payload = json!({ "query": "{ hello }", "extensions": { "atLeast": "12" } });
    socket
        .send(&json!({ "id": "2", "type": "subscribe", "payload": payload }))
        .await;
    assert_eq!(
        socket.next().await["payload"]["extensions"]["position"],
        "12"
    );
}

#[tokio::test]
async fn pings_completes_and_ids() {
    let server = Server::start().await;
    let mut socket = Socket::open(server.address, &[]).await;
    socket
        .text(r#"{"type":"ping","payload":{"a":[1,"x"]}}"#)
        .await;
    assert_eq!(
        socket.next().await,
        json!({ "type": "pong", "payload": { "a": [1, "x"] } })
    );
    socket
        .text(r#"{"type":"connection_init","payload":null}"#)
        .await;
    assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
    socket.text(r#"{"type":"pong"}"#).await;
    socket.text(r#"{"id":"nobody","type":"complete"}"#).await;
    socket.subscribe("quiet", "subscription { quiet }").await;
    eventually("it is open", async || server.engine.live() == 1).await;
    socket.text(r#"{"id":"quiet","type":"complete"}"#).await;
    eventually("it is dropped", async || server.engine.live() == 0).await;
    // Its id is free again, and odd ids come back as they were.
    for id in ["quiet", "a\"b\\c\n"] {
        socket.subscribe(id, "{ hello }").await;
        assert_eq!(socket.next().await["id"], id);
        assert_eq!(socket.next().await, json!({ "id": id, "type": "complete" }));
    }
    socket.text(r#"{"type":"ping"}"#).await;
    assert_eq!(socket.next().await, json!({ "type": "pong" }));
}

/// A client that says goodbye is answered, so that it knows that nothing was lost.
#[tokio::test]
async fn a_goodbye_is_answered() {
    let server = Server::start().await;
    for code in [1000, 4999] {
        let mut socket = server.socket().await;
        socket.subscribe("1", "subscription { quiet }").await;
        let frame = CloseFrame {
            code: code.into(),
            reason: "enough".into(),
        };
        socket.frame(Message::Close(Some(frame))).await;
        assert_eq!(socket.closed().await, u64::from(code));
    }
    eventually("all is given back", async || server.engine.live() == 0).await;
}

/// S2 to S7: what closes a socket, and with which code.
#[tokio::test]
async fn what_closes_a_socket() {
    let server = Server::start().await;
    let subscribe = |id: &str| {
        format!(
            r#"{{"id":"{id}","type":"subscribe","payload":{{"query":"subscription {{ quiet }}"}}}}"#
        )
    };
    let long = format!(
        r#"{{"type":"ping","payload":{{"x":"{}"}}}}"#,
        "x".repeat(64 * 1024)
    );
    let text = |text: &str| Message::text(text);
    let part = |text: &[u8], code, end| {
        Message::Frame(Frame::message(text.to_vec(), OpCode::Data(code), end))
    };
    for (row, frames, code) in [
        ("S2", vec![text(&subscribe("1"))], 4401),
        ("S3", vec![text(INIT), text(INIT)], 4429),
        (
            "S4",
            vec![text(
                r#"{"type":"connection_init","payload":{"token":"bad"}}"#,
            )],
            4403,
        ),
        (
            "S4",
            vec![text(
                r#"{"type":"connection_init","payload":{"authorization":"bad"}}"#,
            )],
            4403,
        ),
        (
            "S5",
            vec![text(INIT), text(&subscribe("1")), text(&subscribe("1"))],
            4409,
        ),
        ("S6", vec![text(INIT), text("not json")], 4400),
        ("S6", vec![text("[]")], 4400),
        ("S6", vec![text(INIT), text(r#"{"type":"wat"}"#)], 4400),
        (
            "S6",
            vec![
                text(INIT),
                text(r#"{"type":"subscribe","payload":{"query":"{a}"}}"#),
            ],
            4400,
        ),
        (
            "S6",
            vec![
                text(INIT),
                text(r#"{"id":"1","type":"subscribe","payload":{"query":7}}"#),
            ],
            4400,
        ),
        (
            "S6",
            vec![text(INIT), text(r#"{"type":"ping","payload":"x"}"#)],
            4400,
        ),
        (
            "S6",
            vec![text(INIT), Message::binary(INIT.as_bytes())],
            4400,
        ),
        ("S7", vec![text(INIT), text(&long)], 1009),
        (
            "S7",
            vec![
                part(&long.as_bytes()[..40_000], Data::Text, false),
                part(&long.as_bytes()[40_000..], Data::Continue, true),
            ],
            1009,
        ),
        ("text", vec![part(b"\xff\xfe", Data::Text, true)], 1007),
        ("frames", vec![part(b"x", Data::Continue, true)], 1002),
    ] {
        let mut socket = Socket::open(server.address, &[]).await;
        for frame in frames {
            socket.frame(frame).await;
        }
        assert_eq!(socket.closed().await, code, "{row}");
    }
    // A frame of 16 MiB is refused by its length alone.
    let mut socket = Socket::open(server.address, &[]).await;
    let mut head = vec![0x81, 0xff];
    head.extend_from_slice(&(16u64 << 20).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    socket.bytes(&head).await;
    assert_eq!(socket.closed().await, 1009);
    eventually("all is given back", async || server.engine.live() == 0).await;
}

/// S9: handshakes that are none.
#[tokio::test]
async fn handshakes() {
    let server = Server::start().await;
    for (name, value, expect) in [
        ("sec-websocket-protocol", "", 400),
        ("sec-websocket-protocol", "graphql-ws", 400),
        (
            "sec-websocket-protocol",
            "graphql-ws, graphql-transport-ws",
            101,
        ),
        ("sec-websocket-version", "8", 400),
        ("sec-websocket-key", "", 400),
        ("sec-websocket-key", "short", 400),
        ("connection", "keep-alive", 400),
        ("connection", "keep-alive, Upgrade", 101),
        ("upgrade", "h2c", 400),
        ("authorization", "Basic x", 401),
    ] {
        let (_, status, head) = handshake(server.address, &[(name, value)]).await;
        assert_eq!(status, expect, "{name}: {value}\n{head}");
    }
    let reply = server.send("GET /graphql/ws", &[], b"").await;
    assert_eq!(
        (reply.status, reply.header("sec-websocket-version")),
        (400, "13")
    );
}

/// S1, S16: who says nothing, and whose token has ended.
#[tokio::test]
async fn sockets_that_are_not_let_in_or_no_longer() {
    let hasty = Server::with(|s| s.sockets.init_timeout = Duration::from_millis(50)).await;
    let mut silent = Socket::open(hasty.address, &[]).await;
    assert_eq!(silent.closed().await, 4408, "S1");
    let server = Server::start().await;
    let mut brief = server.socket_of("brief").await;
    brief.subscribe("1", "subscription { quiet }").await;
    assert_eq!(brief.closed().await, 4403, "S16");
    eventually("it is dropped", async || server.engine.live() == 0).await;
    // The handshake's header will do for a token.
    let mut socket = Socket::open(server.address, &[("authorization", "Bearer bad")]).await;
    socket.text(INIT).await;
    assert_eq!(socket.closed().await, 4403);
}

/// S10: bounds on operations of a socket, sockets of a caller, and sockets.
#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let server = Server::with(|s| {
        s.sockets.operations_max = 3;
        s.sockets.per_caller_max = 2;
        s.sockets.total_max = 3;
    })
    .await;
    let mut first = server.socket().await;
    for id in ["1", "2", "3"] {
        first.subscribe(id, "subscription { quiet }").await;
    }
    first.subscribe("4", "{ hello }").await;
    let refused = first.next().await;
    assert_eq!(
        refused["payload"][0]["extensions"]["code"],
        "TOO_MANY_SUBSCRIPTIONS"
    );
    assert_eq!(refused["payload"][0]["extensions"]["limit"], 3);

    let second = server.socket().await;
    let mut third = Socket::open(server.address, &[]).await;
    third
        .text(r#"{"type":"connection_init","payload":{"token":"anyone"}}"#)
        .await;
    assert_eq!(third.closed().await, 4429);
    drop(third);
    let other = eventually_let_in(&server, "other").await;
    let (_, status, _) = handshake(server.address, &[]).await;
    assert_eq!(status, 503);
    drop((second, other));
    eventually_let_in(&server, "anyone").await;
}

/// A socket that is let in once there is a place for it.
async fn eventually_let_in(server: &Server, token: &str) -> Socket {
    let init = json!({ "type": "connection_init", "payload": { "token": token } });
    let mut open = None;
    eventually("a socket is let in", async || {
        let (stream, status, _) = handshake(server.address, &[]).await;
        if status != 101 {
            return false;
        }
        let mut socket = Socket::over(stream).await;
        socket.send(&init).await;
        let let_in = socket.next().await["type"] == "connection_ack";
        open = let_in.then_some(socket);
        let_in
    })
    .await;
    open.unwrap()
}

/// S11, S12: messages and pings faster than allowed.
#[tokio::test]
async fn messages_are_rationed() {
    let server = Server::with(|s| s.sockets.messages_burst = 10).await;
    for frame in [
        Message::text(r#"{"id":"1","type":"complete"}"#),
        Message::text(r#"{"type":"ping"}"#),
        Message::Ping(Vec::new().into()),
        Message::Pong(Vec::new().into()),
    ] {
        let mut socket = server.socket().await;
        for _ in 0..100 {
            socket.frame(frame.clone()).await;
        }
        assert_eq!(socket.closed().await, 4429);
    }
}

/// S13: who does not read is let go, and what it asked for is not carried on. If it reads again, it is
/// given what had been taken for it, and told where each of its subscriptions goes on.
#[tokio::test]
async fn a_client_that_does_not_read_is_told_where_to_go_on() {
    let server = Server::with(|s| {
        s.sockets.write_timeout = Duration::from_millis(200);
        s.sockets.close_timeout = PATIENCE;
        s.sockets.queue_messages_max = 8;
    })
    .await;
    let mut socket = server.socket().await;
    let journal = "subscription endless { journal }";
    socket.subscribe("quiet", "subscription { quiet }").await;
    eventually("it is open", async || server.engine.live() == 1).await;
    socket.subscribe("early", journal).await;
    socket.subscribe("late", journal).await;
    eventually("all are open", async || server.engine.live() == 3).await;
    eventually("it is let go", async || server.engine.live() == 0).await;

    let mut last = HashMap::from([("early".to_owned(), 0), ("late".to_owned(), 0)]);
    let (mut told, mut next) = (HashMap::new(), socket.next().await);
    while next["type"] == "next" {
        let n = &next["payload"]["data"]["n"];
        let last = last.get_mut(next["id"].as_str().unwrap()).unwrap();
        *last += 1;
        assert_eq!(n, &json!(*last), "nothing is left out");
        next = socket.next().await;
    }
    while next["type"] == "error" {
        let extensions = &next["payload"][0]["extensions"];
        assert_eq!(extensions["code"], "RESUME", "{next}");
        let position: u64 = extensions["position"].as_str().unwrap().parse().unwrap();
        told.insert(next["id"].as_str().unwrap().to_owned(), position);
        next = socket.next().await;
    }
    assert_eq!(told, last, "all that was taken has come");
    let lowest = last.values().min().unwrap();
    assert!(*lowest > 0, "both had their turns");
    let reason = format!("too slow; resume after {lowest}");
    assert_eq!(next, json!({ "closed": 1013, "reason": reason }));
}

/// S14: a busy operation starves neither a quiet one nor pings.
#[tokio::test]
async fn a_busy_operation_starves_no_other() {
    let server = Server::start().await;
    let mut socket = server.socket().await;
    socket.subscribe("busy", "subscription { firehose }").await;
    socket.next().await;
    socket
        .subscribe("quiet", "subscription { counter(to: 20, everyMs: 2) }")
        .await;
    socket.text(r#"{"type":"ping"}"#).await;
    let (mut ticks, mut pong) = (0, false);
    loop {
        let message = socket.next().await;
        assert_eq!(message["closed"], Value::Null);
        pong |= message["type"] == "pong";
        if message["id"] == "quiet" {
            match message["type"].as_str() {
                Some("next") => ticks += 1,
                _ => break,
            }
        }
    }
    assert_eq!((ticks, pong), (20, true));
}

/// S15: a peer that is not there any more is noticed by its silence.
#[tokio::test]
async fn a_peer_that_is_gone_is_noticed() {
    let server = Server::with(|s| {
        s.sockets.ping_interval = Duration::from_millis(100);
        s.sockets.silence_max = Duration::from_secs(1);
    })
    .await;
    // One that answers pings, as every WebSocket library does when it reads.
    let mut there = server.socket().await;
    there
        .subscribe("1", "subscription { counter(to: 15, everyMs: 100) }")
        .await;
    let mut gone = server.socket().await;
    gone.subscribe("1", "subscription { quiet }").await;
    let messages = there.until_end("1").await;
    assert_eq!(messages.len(), 16, "{messages:?}");
    drop(there);
    eventually("it is noticed", async || server.engine.live() == 0).await;
}

/// S18: mutations and documents over a socket pass the same guards.
#[tokio::test]
async fn the_same_guards_over_a_socket() {
    let server = Server::start().await;
    let mut socket = server.socket().await;
    let many: String = (0..11).map(|n| format!("m{n}: increment ")).collect();
    for (query, expect) in [
        (format!("mutation {{ {many} }}"), "ROOT_LIMIT"),
        (
            "{ vehicles(first: 201) { nodes { id } } }".to_owned(),
            "PAGE_LIMIT",
        ),
        (format!("{{ {} }}", "a ".repeat(2_001)), "TOKEN_LIMIT"),
        (
            "query A { hello } query B { hello }".to_owned(),
            "BAD_OPERATION_NAME",
        ),
    ] {
        socket.subscribe("1", &query).await;
        let refused = socket.next().await;
        assert_eq!(refused["payload"][0]["extensions"]["code"], expect);
    }
    assert_eq!(server.engine.executed(), 0);
}

/// When the process stops, what was begun is finished, subscriptions are not waited for.
#[tokio::test]
async fn sockets_end_with_the_process() {
    let server = Server::start().await;
    let mut idle = server.socket().await;
    let mut busy = server.socket_of("other").await;
    busy.subscribe("feed", "subscription { quiet }").await;
    busy.subscribe("1", "mutation { incrementSlowly }").await;
    eventually("both are under way", async || server.engine.executed() == 2).await;
    server.stop.soft();
    assert_eq!(idle.closed().await, 1001);
    assert_eq!(busy.next().await["payload"]["data"]["incrementSlowly"], 1);
    assert_eq!(busy.next().await["type"], "complete");
    assert_eq!(busy.closed().await, 1001);
    let (mut idle, mut busy) = (idle, busy);
    idle.bytes(b"").await;
    busy.bytes(b"").await;
    drop((idle, busy));
    timeout(PATIENCE, server.served)
        .await
        .expect("all is closed")
        .unwrap();
}

/// A socket that breaks off in the middle of a frame takes nothing with it.
#[tokio::test]
async fn broken_sockets_are_given_back() {
    let server = Server::with(|s| s.sockets.total_max = 2).await;
    for _ in 0..10 {
        eventually("a place is free", async || {
            let (mut stream, status, _) = handshake(server.address, &[]).await;
            let _ = stream.write_all(&[0x81, 0xfe, 0x01]).await;
            status == 101
        })
        .await;
    }
}
