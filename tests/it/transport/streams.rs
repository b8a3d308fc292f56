//! Event streams: one operation a request, resumed by `Last-Event-ID`.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::server::{Server, encoded};
use crate::support::{PATIENCE, Reply, eventually};

const STREAM: &str = "text/event-stream";

/// The events of an answer: names, ids and data.
fn events(reply: &Reply) -> Vec<(String, String, Value)> {
    let text = unchunked(&reply.body);
    let blocks = text.split("\n\n").filter(|block| block.contains("event:"));
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    blocks
        .map(|block| {
            let data = field(block, "data:");
            let data = serde_json::from_str(&data).unwrap_or_default();
            (field(block, "event:"), field(block, "id:"), data)
        })
        .collect()
}

/// The body without the lines that tell the lengths of chunks.
fn unchunked(body: &[u8]) -> String {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let lines = text.split_inclusive('\n').filter(|line| {
        let length = line.strip_suffix("\r\n");
        !length.is_some_and(|l| l.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    lines.collect::<String>().replace("\r\n", "")
}

fn told(reply: &Reply) -> Vec<String> {
    let told = events(reply)
        .into_iter()
        .map(|(event, id, data)| match event.as_str() {
            "next" => format!("{id} {data}"),
            other => other.to_owned(),
        });
    told.collect()
}

#[tokio::test]
async fn every_operation_is_events_and_an_end() {
    let server = Server::start().await;
    let nope = server.post(STREAM, &json!({ "query": "{ nope }" })).await;
    assert_eq!(
        events(&nope)[0].2["errors"][0]["extensions"]["code"],
        "GRAPHQL_VALIDATION_FAILED"
    );
    assert_eq!(events(&nope)[1].0, "complete");
    for (query, variables, expect) in [
        (
            "{ hello }",
            json!({}),
            &[r#" {"data":{"hello":"world"}}"#][..],
        ),
        (
            "mutation { increment }",
            json!({}),
            &[r#" {"data":{"increment":1}}"#],
        ),
        (
            "subscription($n: Int!) { counter(to: $n) }",
            json!({ "n": 2 }),
            &[r#" {"data":{"counter":1}}"#, r#" {"data":{"counter":2}}"#],
        ),
    ] {
        let body = json!({ "query": query, "variables": variables });
        let reply = server.post(STREAM, &body).await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.header("content-type"),
            "text/event-stream; charset=utf-8"
        );
        let mut expect: Vec<String> = expect.iter().map(|e| (*e).to_owned()).collect();
        expect.push("complete".to_owned());
        assert_eq!(told(&reply), expect, "{query}");
    }
    let by_get = server
        .get(STREAM, &[("query", "subscription { counter(to: 1) }")])
        .await;
    assert_eq!(told(&by_get).len(), 2);
    let denied = server
        .post(STREAM, &json!({ "query": "subscription { denied }" }))
        .await;
    assert_eq!(
        events(&denied)[0].2["errors"][0]["extensions"]["code"],
        "FORBIDDEN"
    );
}

/// Items carry their position as id, and the last id seen is gone on from.
#[tokio::test]
async fn a_stream_resumes_after_the_last_id() {
    let server = Server::start().await;
    let resumed = async |id: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("accept", STREAM),
            ("last-event-id", id),
        ];
        let body = json!({ "query": "subscription { journal }" }).to_string();
        server
            .send("POST /graphql", &headers, body.as_bytes())
            .await
    };
    for (id, expect) in [
        ("", &["1", "2", "3", "4", "5"][..]),
        ("3", &["4", "5"]),
        ("5", &[]),
    ] {
        let events = events(&resumed(id).await);
        let ids: Vec<&str> = events
            .iter()
            .map(|event| &*event.1)
            .filter(|id| !id.is_empty())
            .collect();
        assert_eq!(ids, expect);
        // A feed that breaks off says why, and where to go on.
        let last = &events[events.len() - 2].2["errors"][0]["extensions"];
        assert_eq!(last["position"], "5", "{last}");
    }
    for bad in ["x", "-1", "1.5", "99999999999999999999"] {
        let events = events(&resumed(bad).await);
        let code = &events[0].2["errors"][0]["extensions"]["code"];
        assert_eq!((code, events.len()), (&json!("BAD_POSITION"), 2), "{bad}");
    }
}

/// Whoever takes no streams gets none, and who has too many gets no more.
#[tokio::test]
async fn streams_are_bounded_and_given_back() {
    let server = Server::with(|s| s.sockets.per_caller_max = 2).await;
    let path = format!("/graphql?query={}", encoded("subscription { quiet }"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\naccept: {STREAM}\r\n\r\n");
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        let read = stream.read_exact(&mut head);
        timeout(PATIENCE, read).await.expect("an answer").unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        open.push(stream);
    }
    let params = [("query", "subscription { quiet }")];
    let over = server.get(STREAM, &params).await;
    assert_eq!(over.status, 429);
    assert_eq!(
        over.json()["errors"][0]["extensions"]["code"],
        "TOO_MANY_SUBSCRIPTIONS"
    );
    assert_eq!(over.header("retry-after"), "5");
    assert_eq!(server.engine.live(), 2);
    drop(open);
    eventually("closed streams are given back", async || {
        server.engine.live() == 0
    })
    .await;
}

/// The end of a token, and the end of the process, end a stream.
#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_the_process() {
    let server = Server::start().await;
    let headers = [("accept", STREAM), ("authorization", "Bearer brief")];
    let path = format!("GET /graphql?query={}", encoded("subscription { quiet }"));
    let expired = server.send(&path, &headers, b"").await;
    let events = events(&expired);
    assert_eq!(
        events[0].2["errors"][0]["extensions"]["code"],
        "UNAUTHENTICATED"
    );
    assert_eq!(events[1].0, "complete");

    let open = async {
        let headers = [("accept", STREAM), ("authorization", "Bearer other")];
        server.send(&path, &headers, b"").await
    };
    let stop = async {
        eventually("the stream is open", async || server.engine.live() == 1).await;
        server.stop.soft();
    };
    let (broken_off, ()) = tokio::join!(open, stop);
    // Not completed: whoever reads it comes back.
    assert_eq!(super::streams::events(&broken_off), []);
    timeout(PATIENCE, server.served)
        .await
        .expect("all is closed")
        .unwrap();
}

/// O14: a panic in the middle of a stream ends that stream, and says so.
#[tokio::test]
async fn o14_a_panic_ends_its_stream_alone() {
    let server = Server::start().await;
    let body = json!({ "query": "subscription { explodes }" });
    let reply = server.post(STREAM, &body).await;
    let events = events(&reply);
    let names: Vec<&str> = events.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["next", "next", "complete"]);
    assert_eq!(events[0].2["data"]["explodes"], 1);
    let error = &events[1].2["errors"][0];
    assert_eq!(error["extensions"]["code"], "INTERNAL", "{error}");
    assert!(error["extensions"]["requestId"].is_string(), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    // The same over a socket, which goes on.
    let mut socket = server.socket().await;
    socket.subscribe("1", "subscription { explodes }").await;
    socket.subscribe("2", "{ broken }").await;
    let mut codes = Vec::new();
    while codes.len() < 2 {
        let said = socket.next().await;
        let failed = said["payload"][0].get("extensions");
        let failed = failed.or(said["payload"]["errors"][0].get("extensions"));
        codes.extend(failed.map(|facts| facts["code"].clone()));
    }
    assert_eq!(codes, ["INTERNAL", "INTERNAL"]);
    socket.subscribe("3", "{ hello }").await;
    let said = socket.until_end("3").await;
    assert!(
        said.iter()
            .any(|said| said["payload"]["data"]["hello"] == "world"),
        "{said:?}"
    );
    eventually("nothing is left open", async || server.engine.live() == 0).await;
}
