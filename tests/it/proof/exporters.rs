//! OpenTelemetry's own exporters send log records to us. `make otlp` installs them and names the folder;
//! without it the test holds that what would be run may send.

use std::path::PathBuf;
use std::process::Stdio;

use chrono::SecondsFormat;
use daybook::ops::Clock;
use serde_json::{Value, json};
use tokio::process::Command;

use super::scene::told;
use crate::support::TestApp;

/// How many records are sent in each way: several exports of each.
const RECORDS: i64 = 1_500;

const WAYS: [&str; 4] = ["protobuf", "protobuf-gzip", "json", "json-gzip"];

const SOURCE: &str = "checkout";

/// A key that may hand in log records and nothing else.
async fn key(app: &TestApp) -> String {
    let mutation = "mutation($input: IssueApiKeyInput!) { issueApiKey(input: $input) {
        secret userErrors { code message path } } }";
    let input = json!({ "name": "exporter", "scopes": ["logs:write"] });
    let told = told(app, None, mutation, input).await;
    told["secret"].as_str().unwrap().to_owned()
}

/// Registers the source, which a key may not do.
async fn register(app: &TestApp) {
    let now = Clock::system().now();
    let record = json!({ "timestamp": now.to_rfc3339_opts(SecondsFormat::Micros, true),
        "event_type": "observability", "event_name": "started" });
    let authorization = format!("Bearer {}", app.own_token());
    let headers = [
        ("content-type", "application/json"),
        ("daybook-log-source", SOURCE),
        ("authorization", &authorization),
    ];
    let body = record.to_string();
    let reply = app
        .send("POST /api/v1/ingest", &headers, body.as_bytes())
        .await;
    assert_eq!(reply.status, 200);
}

/// All values of a column of the log's records, in order.
async fn column(app: &TestApp, name: &str) -> Vec<Value> {
    let query = format!(
        "select json_array_elements(payload->'{name}') from events
         where event_type = 'log_batch.accepted' and json_typeof(payload->'{name}') = 'array'
         order by position"
    );
    let values = sqlx::query_scalar(&query).fetch_all(app.db().pool()).await;
    values.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opentelemetrys_exporters_send_arrives() {
    let app = TestApp::start().await;
    register(&app).await;
    let key = key(&app).await;
    let endpoint = format!("http://{}/v1/logs", app.address());
    let Some(folder) = std::env::var_os("DAYBOOK_TEST_OTLP").map(PathBuf::from) else {
        let headers = [
            ("content-type", "application/json"),
            ("daybook-log-source", SOURCE),
            ("x-api-key", &key),
            ("authorization", ""),
        ];
        let reply = app.send("POST /v1/logs", &headers, b"{}").await;
        assert_eq!((reply.status, reply.json()), (200, json!({})));
        return;
    };
    let sent = Command::new(folder.join("venv/bin/python3"))
        .arg(folder.join("send.py"))
        .args([&endpoint, &key, SOURCE, &RECORDS.to_string()])
        .stdout(Stdio::piped())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(sent.stdout).unwrap();
    println!("{said}");
    assert!(sent.status.success());
    let want: String = WAYS.iter().map(|way| format!("{way} sent\n")).collect();
    assert_eq!(said, want);

    let ids = column(&app, "eventId").await;
    let mut ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
    ids.sort_unstable();
    let of_way = |way: &&str| {
        (0..RECORDS)
            .map(|n| format!("{way}-{n}"))
            .collect::<Vec<_>>()
    };
    let mut want: Vec<String> = WAYS.iter().flat_map(of_way).collect();
    want.sort_unstable();
    assert_eq!(ids, want, "each once");

    let said = column(&app, "properties").await;
    let seventh = said.iter().filter(|properties| properties["n"] == 7);
    let seventh: Vec<&Value> = seventh.collect();
    assert_eq!(seventh.len(), WAYS.len());
    for (properties, way) in seventh.into_iter().zip(WAYS) {
        let want = json!({ "body": "order 7 \u{2713}", "severity": "INFO", "severityNumber": 9,
            "scope": "shop.cart", "way": way, "n": 7, "total": 12.5, "tags": ["a", "b"] });
        assert_eq!(*properties, want);
    }
    let dump = app.db().dump().await;
    assert!(!dump.contains("example.org"), "users are pseudonyms");
}
