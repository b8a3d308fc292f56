//! What documents may ask for, section G of `docs/promises.md`: refused before the schema sees them, on
//! every path.

use serde_json::{Value, json};

use super::server::{Server, bomb, code};

/// A query of this many levels.
fn deep(levels: usize) -> String {
    format!(
        "{{ {} hello {} }}",
        "deep { ".repeat(levels - 1),
        "}".repeat(levels - 1)
    )
}

fn aliases(count: usize, field: &str) -> String {
    let fields = (0..count).map(|n| format!("a{n}: {field} "));
    format!("{{ {} }}", fields.collect::<String>())
}

/// The n-th guess at a password.
fn login(n: usize) -> String {
    format!("g{n}: login(password: \"{n}\") ")
}

#[tokio::test]
async fn g_rows() {
    let server = Server::start().await;
    let spread = |inner: &str| {
        format!("{{ ...A }} fragment A on Query {{ deep {{ ... on Query {{ {inner} }} }} }}")
    };
    let unused: String = (0..1_000)
        .map(|n| format!("fragment u{n} on Query{{hello}}"))
        .collect();
    let cases = [
        ("G1", deep(10), "ok"),
        ("G1", deep(11), "DEPTH_LIMIT"),
        ("G2", spread(&format!("deep {}", deep(9))), "DEPTH_LIMIT"),
        ("G3", "{a".repeat(5_000), "DEPTH_LIMIT"),
        ("G3", "[".repeat(10_000), "DEPTH_LIMIT"),
        ("G4", bomb(4), "ok"),
        ("G4", bomb(22), "EXPANSION_LIMIT"),
        ("G4", bomb(30), "EXPANSION_LIMIT"),
        (
            "G5",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".into(),
            "FRAGMENT_CYCLE",
        ),
        (
            "G5",
            "{ ...A } fragment A on Query { ...A }".into(),
            "FRAGMENT_CYCLE",
        ),
        ("G6", aliases(101, "__typename"), "ALIAS_LIMIT"),
        ("G7", aliases(31, "count"), "ALIAS_LIMIT"),
        ("G8", format!("mutation {{ {} }}", login(0)), "ok"),
        (
            "G8",
            format!("mutation {{ {} }}", (0..20).map(login).collect::<String>()),
            "SENSITIVE_ONCE",
        ),
        (
            "G8",
            format!(
                "mutation {{ {} ...F }} fragment F on Mutation {{ {} }}",
                login(0),
                login(1)
            ),
            "SENSITIVE_ONCE",
        ),
        (
            "G9",
            format!("{{ {} }}", "hello ".repeat(500)),
            "SELECTION_LIMIT",
        ),
        (
            "G9",
            format!("{{ {} }}", "__typename ".repeat(500)),
            "SELECTION_LIMIT",
        ),
        (
            "G10",
            format!("{{ {} }}", "a ".repeat(2_001)),
            "TOKEN_LIMIT",
        ),
        (
            "G10",
            format!("{{ hello }} # {}", "x".repeat(16 * 1024)),
            "TOKEN_LIMIT",
        ),
        (
            "G11",
            format!("{{ {} }}", "a".repeat(500_000)),
            "TOKEN_LIMIT",
        ),
        ("G12", format!("{{ hello }} {unused}"), "TOKEN_LIMIT"),
        (
            "G13",
            format!("{{ hello {} }}", "@aa ".repeat(10)),
            "DIRECTIVE_LIMIT",
        ),
        (
            "G13",
            format!("{{ hello {} }}", "@include(if: true) ".repeat(200)),
            "DIRECTIVE_LIMIT",
        ),
        (
            "G16",
            "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"
                .into(),
            "DEPTH_LIMIT",
        ),
        (
            "G21",
            "query A { hello } query B { hello }".into(),
            "BAD_OPERATION_NAME",
        ),
        (
            "G22",
            "query($t: String!) { echo(text: $t) }".into(),
            "BAD_VARIABLES",
        ),
        (
            "G23",
            "{ vehicles(first: 99999999) { nodes { id } } }".into(),
            "PAGE_LIMIT",
        ),
        (
            "G23",
            "{ vehicles(first: -1) { nodes { id } } }".into(),
            "PAGE_LIMIT",
        ),
        (
            "G23",
            format!("{{ ids(ids: [{}]) }}", "1,".repeat(1_500)),
            "PAGE_LIMIT",
        ),
        (
            "G24",
            format!(
                "{{ {} }}",
                (0..26)
                    .map(|n| format!("v{n}: vehicles(first: 200) {{ nodes {{ id }} }} "))
                    .collect::<String>()
            ),
            "ROOT_LIMIT",
        ),
        (
            "G24",
            format!(
                "{{ {} }}",
                (0..20)
                    .map(|n| format!("v{n}: vehicles(first: 200) {{ nodes {{ id __typename }} }} "))
                    .collect::<String>()
            ),
            "COST_LIMIT",
        ),
        (
            "G26",
            "{ echo(text: 7) }".into(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "G26",
            "{ echo(text: null) }".into(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "G26",
            "{ echo(text: \"x\", more: 1) }".into(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "G28",
            format!(
                "mutation {{ {} }}",
                (0..11)
                    .map(|n| format!("m{n}: increment "))
                    .collect::<String>()
            ),
            "ROOT_LIMIT",
        ),
    ];
    for (row, query, expect) in cases {
        let shown: String = query.chars().take(70).collect();
        let reply = server.ask(&query).await;
        let body = reply.json();
        assert_eq!(
            (reply.status, code(&body)),
            (200, expect),
            "{row} {shown} {body}"
        );
        let errors = body["errors"].as_array().map_or(0, Vec::len);
        assert!(errors <= 10 && reply.body.len() < 4_096, "{row} {shown}");
    }
}

/// G14, G19, G20, G22: what is not one operation, sent as JSON.
#[tokio::test]
async fn g_rows_of_the_body() {
    let server = Server::start().await;
    let query = br#"{"query":"{ hello }"}"#;
    let many = |n: usize| format!("[{}]", vec![r#"{"query":"{hello}"}"#; n].join(","));
    for (row, kind, body, expect) in [
        (
            "G14",
            "application/json",
            many(2).into_bytes(),
            (400, "BATCHING_DISABLED"),
        ),
        (
            "G14",
            "application/json",
            many(10_000).into_bytes(),
            (400, "BATCHING_DISABLED"),
        ),
        (
            "G19",
            "application/x-www-form-urlencoded",
            b"query=%7Bhello%7D".to_vec(),
            (415, "UNSUPPORTED_MEDIA_TYPE"),
        ),
        (
            "G19",
            "text/plain",
            query.to_vec(),
            (415, "UNSUPPORTED_MEDIA_TYPE"),
        ),
        (
            "G19",
            "multipart/form-data; boundary=x",
            query.to_vec(),
            (415, "UNSUPPORTED_MEDIA_TYPE"),
        ),
        ("G20", "", query.to_vec(), (415, "UNSUPPORTED_MEDIA_TYPE")),
        (
            "G22",
            "application/json",
            br#"{"query":"{hello}","variables":[]}"#.to_vec(),
            (400, "BAD_REQUEST"),
        ),
        (
            "G22",
            "application/json",
            br#"{"query":"{hello}","variables":"x"}"#.to_vec(),
            (400, "BAD_REQUEST"),
        ),
        (
            "G22",
            "application/json",
            br#"{"query":"{hello}","variables":null}"#.to_vec(),
            (200, "ok"),
        ),
    ] {
        let headers = [("content-type", kind)];
        let headers = if kind.is_empty() { &[][..] } else { &headers };
        let reply = server.send("POST /graphql", headers, &body).await;
        assert_eq!((reply.status, code(&reply.json())), expect, "{row} {kind}");
    }
    assert_eq!(server.engine.executed(), 1);
}

/// F1: a fragment chain of 2^30 selections never reaches the schema, whichever way it comes. The work is
/// bounded by the text, since each fragment is measured once: a hundred of them are nothing.
#[tokio::test]
async fn a_fragment_bomb_is_refused_on_every_path() {
    let server = Server::start().await;
    let of = |kind: &str| bomb(30).replacen("query", kind, 1);
    for query in [of("query"), of("mutation"), of("subscription")] {
        let mut replies: Vec<Value> = Vec::new();
        for _ in 0..25 {
            let body = json!({ "query": query });
            for accept in ["application/json", "application/graphql-response+json"] {
                replies.push(server.post(accept, &body).await.json());
            }
            replies.push(
                server
                    .get("application/json", &[("query", &query)])
                    .await
                    .json(),
            );
            for reply in [
                server.post("text/event-stream", &body).await,
                server.get("text/event-stream", &[("query", &query)]).await,
            ] {
                let text = String::from_utf8(reply.body).unwrap();
                let data = text.lines().find_map(|line| line.strip_prefix("data: "));
                replies.push(serde_json::from_str(data.unwrap()).unwrap());
            }
        }
        let mut socket = server.socket().await;
        for n in 0..25 {
            socket.subscribe(&n.to_string(), &query).await;
            let message = socket.next().await;
            assert_eq!(message["type"], "error");
            replies.push(json!({ "errors": message["payload"] }));
        }
        for reply in replies {
            assert_eq!(code(&reply), "EXPANSION_LIMIT", "{reply}");
        }
    }
    assert_eq!(server.engine.executed(), 0, "nothing reached the schema");
}
