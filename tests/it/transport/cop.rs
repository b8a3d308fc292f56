//! G29: what graphql-cop looks for in an API, twelve checks by the names it gives them. Written from what
//! they look for; each sends one request and knows the sign of a finding.

use daybook::auth::Role;
use daybook::config::Environment;
use serde_json::{Value, json};

use super::server::encoded;
use crate::support::{Reply, TestApp};

/// What is sent.
enum Ask {
    /// A document, posted as JSON.
    Post(String),
    /// A body as it is, of this type.
    Body(&'static str, String),
    /// A document in the parameters of a URL.
    Get(&'static str),
    /// A page, as a browser asks for it.
    Page(&'static str),
}

struct Check {
    name: &'static str,
    ask: Ask,
    /// The sign, in what came back: a page is a text, anything else JSON.
    found: fn(&Value) -> bool,
    /// What an API that has the weakness would say: the sign is there to be seen.
    sign: Value,
}

fn repeated(count: usize, text: impl Fn(usize) -> String) -> String {
    let fields: String = (0..count).map(text).collect();
    format!("query cop {{ {fields} }}")
}

fn checks() -> Vec<Check> {
    let typename = |reply: &Value| reply["data"]["__typename"].is_string();
    let answered = json!({ "data": { "__typename": "Query" } });
    let circular = "query cop { __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }";
    let one = json!({ "query": "query cop { __typename }" });
    vec![
        Check {
            name: "Alias Overloading",
            ask: Ask::Post(repeated(101, |n| format!("alias{n}: __typename "))),
            found: |reply| reply["data"]["alias100"].is_string(),
            sign: json!({ "data": { "alias100": "Query" } }),
        },
        Check {
            name: "Array-based Query Batching",
            ask: Ask::Body("application/json", json!(vec![one; 10]).to_string()),
            found: |reply| reply.as_array().is_some_and(|replies| replies.len() >= 10),
            sign: json!(vec![&answered; 10]),
        },
        Check {
            name: "Directive Overloading",
            ask: Ask::Post(format!("query cop {{ __typename {} }}", "@aa".repeat(10))),
            found: |reply| reply["errors"].as_array().is_some_and(|e| e.len() >= 10),
            sign: json!({ "errors": vec!["unknown directive"; 10] }),
        },
        Check {
            name: "Introspection-based Circular Query",
            ask: Ask::Post(circular.to_owned()),
            found: |reply| reply["data"]["__schema"]["types"].is_array(),
            sign: json!({ "data": { "__schema": { "types": [] } } }),
        },
        Check {
            name: "Field Duplication",
            ask: Ask::Post(repeated(500, |_| "__typename ".to_owned())),
            found: typename,
            sign: answered.clone(),
        },
        Check {
            name: "Field Suggestions",
            ask: Ask::Post("query cop { vehicels { nodes { id } } }".to_owned()),
            found: |reply| reply.to_string().contains("Did you mean"),
            sign: json!({ "errors": [{ "message": "Unknown. Did you mean \"vehicles\"?" }] }),
        },
        Check {
            name: "GET Method Query Support",
            ask: Ask::Get("query cop { __typename }"),
            found: typename,
            sign: answered.clone(),
        },
        Check {
            name: "Introspection",
            ask: Ask::Post("query cop { __schema { types { name fields { name } } } }".to_owned()),
            found: |reply| reply["data"]["__schema"]["types"].is_array(),
            sign: json!({ "data": { "__schema": { "types": [] } } }),
        },
        Check {
            name: "GraphQL IDE",
            ask: Ask::Page("/"),
            found: |reply| reply.as_str().is_some_and(|page| page.contains("<html")),
            sign: json!("<!doctype html><html>"),
        },
        Check {
            name: "Mutation over GET",
            ask: Ask::Get("mutation cop { __typename }"),
            found: typename,
            sign: answered.clone(),
        },
        Check {
            name: "POST based url-encoded query",
            ask: Ask::Body(
                "application/x-www-form-urlencoded",
                format!("query={}", encoded("query cop { __typename }")),
            ),
            found: typename,
            sign: answered.clone(),
        },
        Check {
            name: "Trace Mode",
            ask: Ask::Post("query cop { __typename }".to_owned()),
            found: |reply| {
                let extensions = reply["extensions"].as_object();
                let telling = ["tracing", "trace", "debug", "profile"];
                extensions.is_some_and(|e| telling.iter().any(|name| e.contains_key(*name)))
            },
            sign: json!({ "extensions": { "tracing": { "duration": 1 } } }),
        },
    ]
}

/// Sends a check's request with a bearer token, or without: a cookie that holds one is not one.
async fn sent(app: &TestApp, ask: &Ask, token: Option<&str>) -> Reply {
    let bearer = token.map_or_else(String::new, |token| format!("Bearer {token}"));
    let cookie = format!("token={}", app.own_token());
    let known = [("authorization", bearer.as_str()), ("cookie", &cookie)];
    let with = |name, value| [&known[..], &[(name, value)]].concat();
    match ask {
        Ask::Post(query) => {
            let body = json!({ "query": query }).to_string();
            let headers = with("content-type", "application/json");
            app.send("POST /graphql", &headers, body.as_bytes()).await
        }
        Ask::Body(kind, body) => {
            let headers = with("content-type", kind);
            app.send("POST /graphql", &headers, body.as_bytes()).await
        }
        Ask::Get(query) => {
            let line = format!("GET /graphql?query={}", encoded(query));
            app.send(&line, &known, b"").await
        }
        Ask::Page(path) => {
            let headers = with("accept", "text/html");
            app.send(&format!("GET {path}"), &headers, b"").await
        }
    }
}

/// The names of the checks that find something.
async fn findings(app: &TestApp, token: Option<&str>) -> Vec<&'static str> {
    let mut findings = Vec::new();
    for check in checks() {
        let reply = sent(app, &check.ask, token).await;
        let text = String::from_utf8(reply.body).unwrap();
        let reply = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if (check.found)(&reply) {
            findings.push(check.name);
        }
    }
    findings
}

#[tokio::test]
async fn graphql_cop_finds_nothing() {
    assert_eq!(checks().len(), 12);
    for check in checks() {
        assert!((check.found)(&check.sign), "{} sees nothing", check.name);
        assert!(!(check.found)(&json!({ "errors": [{}] })), "{}", check.name);
    }
    let production = TestApp::with(|s| s.process.env = Environment::Production).await;
    let viewer = production.token(&[Role::Viewer], "default");
    assert_eq!(findings(&production, None).await, [""; 0]);
    // Whoever was let in may ask by GET, since a token in a header is nobody else's to send, and may
    // see what there is to be asked.
    assert_eq!(
        findings(&production, Some(&viewer)).await,
        ["GET Method Query Support", "Introspection"]
    );
    // Outside production clients are written: the checks find what is there.
    let development = TestApp::start().await;
    let viewer = development.token(&[Role::Viewer], "default");
    assert_eq!(
        findings(&development, Some(&viewer)).await,
        [
            "Field Suggestions",
            "GET Method Query Support",
            "Introspection",
            "GraphQL IDE"
        ]
    );
    assert_eq!(findings(&development, None).await, ["GraphQL IDE"]);
}
