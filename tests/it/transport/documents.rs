//! Asking by POST and GET: media types and status codes, documents by hash, trusted documents.

use std::time::Duration;

use daybook::api::fault::FaultCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::server::{Server, code};
use crate::support::Scratch;

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";

fn hash(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn persisted(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

/// What each outcome is answered with, in either media type, by POST and by GET.
#[tokio::test]
async fn status_codes() {
    let server = Server::with(|s| s.limits.operation_timeout = Duration::from_millis(50)).await;
    for (query, json_status, graphql_status, expect) in [
        ("{ hello }", 200, 200, "ok"),
        ("{ hello fail }", 200, 200, "CONFLICT"),
        ("{ nope }", 200, 400, "GRAPHQL_VALIDATION_FAILED"),
        ("{", 200, 400, "GRAPHQL_PARSE_FAILED"),
        (
            "query A { hello } query B { hello }",
            200,
            400,
            "BAD_OPERATION_NAME",
        ),
        (
            "query($t: String!) { echo(text: $t) }",
            200,
            400,
            "BAD_VARIABLES",
        ),
        ("{ busy }", 503, 503, "OVERLOADED"),
        ("{ broken }", 200, 200, "INTERNAL"),
        ("{ endless }", 200, 200, "TIMEOUT"),
        ("subscription { quiet }", 406, 406, "NOT_ACCEPTABLE"),
    ] {
        for (accept, status) in [(JSON, json_status), (GRAPHQL, graphql_status)] {
            let posted = server.post(accept, &json!({ "query": query })).await;
            let got = server.get(accept, &[("query", query)]).await;
            for reply in [posted, got] {
                let body = reply.json();
                assert_eq!(
                    (reply.status, code(&body)),
                    (status, expect),
                    "{query} {body}"
                );
                assert!(reply.header("content-type").starts_with(accept), "{query}");
                assert!(!body.to_string().contains("secret"), "{body}");
            }
        }
    }
}

/// The newer draft tells more by status codes.
#[tokio::test]
async fn draft_status_codes() {
    let server = Server::with(|s| s.graphql.draft_status_codes = true).await;
    for (query, json_status, graphql_status) in [
        ("{ hello }", 200, 200),
        ("{ hello fail }", 200, 294),
        ("{ nope }", 200, 422),
        ("{", 200, 422),
    ] {
        for (accept, status) in [(JSON, json_status), (GRAPHQL, graphql_status)] {
            let reply = server.post(accept, &json!({ "query": query })).await;
            assert_eq!(reply.status, status, "{query} {accept}");
        }
    }
}

/// G18: nothing is changed by GET, however the document is named.
#[tokio::test]
async fn mutations_by_get() {
    let server = Server::start().await;
    let mutation = "mutation { increment }";
    let of_two = "query Q { hello } mutation M { increment }";
    assert_eq!(server.ask(mutation).await.json()["data"]["increment"], 1);
    let extensions = persisted(&hash(mutation)).to_string();
    for params in [
        &[("query", mutation)][..],
        &[("extensions", &extensions)],
        &[("query", of_two), ("operationName", "M")],
    ] {
        for accept in [JSON, GRAPHQL, "text/event-stream"] {
            let reply = server.get(accept, params).await;
            assert_eq!(
                (reply.status, code(&reply.json()), reply.header("allow")),
                (405, "METHOD_NOT_ALLOWED", "POST"),
                "{params:?}"
            );
        }
    }
    let read = server
        .get(JSON, &[("query", of_two), ("operationName", "Q")])
        .await;
    assert_eq!(read.json()["data"]["hello"], "world");
    assert_eq!(server.ask(mutation).await.json()["data"]["increment"], 2);
}

/// G25: a document is sent once, and asked for by its hash from then on, by every path.
#[tokio::test]
async fn documents_by_hash() {
    let server = Server::start().await;
    let query = "query($t: String!) { echo(text: $t) }";
    let variables = json!({ "t": "x" });
    let by_hash = json!({ "extensions": persisted(&hash(query)), "variables": variables });
    let unknown = server.post(JSON, &by_hash).await.json();
    assert_eq!(code(&unknown), FaultCode::PersistedNotFound.as_str());
    assert_eq!(unknown["errors"][0]["message"], "PersistedQueryNotFound");

    let lie = json!({ "query": "{ count }", "extensions": persisted(&hash(query)) });
    assert_eq!(
        code(&server.post(JSON, &lie).await.json()),
        "PERSISTED_MISMATCH"
    );
    assert_eq!(
        code(&server.post(JSON, &by_hash).await.json()),
        "PERSISTED_NOT_FOUND"
    );

    let mut both = by_hash.clone();
    both["query"] = query.into();
    let expect = json!({ "data": { "echo": "x" } });
    assert_eq!(server.post(JSON, &both).await.json(), expect);
    assert_eq!(server.post(JSON, &by_hash).await.json(), expect);
    let (text, extensions) = (variables.to_string(), by_hash["extensions"].to_string());
    let params = [("variables", text.as_str()), ("extensions", &extensions)];
    assert_eq!(server.get(JSON, &params).await.json(), expect);
    let mut socket = server.socket().await;
    socket
        .send(&json!({ "id": "1", "type": "subscribe", "payload": by_hash }))
        .await;
    assert_eq!(socket.next().await["payload"], expect);
}

/// With a list of trusted documents nothing else is carried out.
#[tokio::test]
async fn trusted_documents() {
    let folder = Scratch::new();
    let file = folder.path().join("documents.json");
    let (good, other) = ("{ hello }", "{ count }");
    std::fs::write(&file, json!({ hash(good): good }).to_string()).unwrap();
    let server = Server::with(|s| s.graphql.trusted_documents = Some(file.clone())).await;
    let by_hash = |text| json!({ "extensions": persisted(&hash(text)) });
    for (body, status, expect) in [
        (json!({ "query": good }), 200, "ok"),
        (by_hash(good), 200, "ok"),
        (json!({ "query": other }), 403, "UNTRUSTED_DOCUMENT"),
        (by_hash(other), 403, "UNTRUSTED_DOCUMENT"),
    ] {
        let reply = server.post(JSON, &body).await;
        assert_eq!(
            (reply.status, code(&reply.json())),
            (status, expect),
            "{body}"
        );
    }
    let mut socket = server.socket().await;
    socket.subscribe("1", other).await;
    let refused = socket.next().await;
    assert_eq!(
        refused["payload"][0]["extensions"]["code"],
        "UNTRUSTED_DOCUMENT"
    );
}
