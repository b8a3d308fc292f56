//! Log records and their sources through GraphQL: the same doors as over REST, outcomes and refusals as data.

use daybook::auth::Role;
use serde_json::{Value, json};

use super::{BATCH, count, record, send, started, text};
use crate::support::TestApp;

pub const INGEST: &str = "mutation($i: IngestLogsInput!) { ingestLogs(input: $i) {
    batchId accepted duplicates rejected receipt { position version replayed }
    results { index status position recordIndex differs redacted
              error { code message path retryable ... on ValidationError { details }
                      ... on LimitError { limit actual } } }
    userErrors { code message path ... on LimitError { limit actual }
                 ... on RefusalError { details } } } }";

/// As the schema spells it.
pub fn said(id: Option<&str>) -> Value {
    json!({ "eventId": id, "timestamp": text(super::now()), "eventType": "behavioral",
            "eventName": "checkout", "userId": "ann@example.org", "properties": { "total": 12.5 } })
}

/// Hands records of `shop` in; gives the payload.
pub async fn ingest(app: &TestApp, logs: &[Value], command_id: Option<&str>) -> Value {
    let input = json!({ "source": "shop", "logs": logs, "commandId": command_id });
    let mut told = app.data(INGEST, json!({ "i": input })).await;
    told["ingestLogs"].take()
}

/// Tells the source `shop` something; gives the payload.
pub async fn tell(app: &TestApp, field: &str, mut input: Value) -> Value {
    input["id"] = json!("shop");
    let name = field[..1].to_uppercase() + &field[1..];
    let mutation = format!(
        "mutation($i: {name}Input!) {{ {field}(input: $i) {{
             logSource {{ id onFirstBatch pausedReason records streamVersion
                 limits {{ recordBytesMax recordsPerMinuteMax ageSecondsMax aheadSecondsMax }}
                 retention {{ days idDays daysByType {{ eventType days }} }}
                 personalFields {{ path rule }} }}
             receipt {{ version replayed }}
             userErrors {{ code path ... on LimitError {{ limit actual }}
                           ... on RefusalError {{ details }} }} }} }}"
    );
    let mut told = app.data(&mutation, json!({ "i": input })).await;
    told[field].take()
}

#[tokio::test]
async fn each_record_of_a_batch_is_told_of() {
    let app = started().await;
    let with = |id: Option<&str>, field: &str, value: Value| {
        let mut record = said(id);
        record[field] = value;
        record
    };
    let logs = [
        said(Some("a")),
        with(None, "eventType", json!("Behavioral")),
        said(Some("a")),
        with(Some("a"), "eventName", json!("other")),
        with(None, "properties", json!({ "password": "hunter2", "n": 1 })),
        with(None, "eventName", json!("x".repeat(201))),
    ];
    let told = ingest(&app, &logs, Some("1")).await;
    let counts = ["accepted", "duplicates", "rejected"].map(|name| told[name].as_i64().unwrap());
    assert_eq!(
        (counts, &told["userErrors"]),
        ([2, 2, 2], &json!([])),
        "{told}"
    );
    let position = &told["receipt"]["position"];
    let results = &told["results"];
    for (i, status, at, record_index, differs) in [
        (0, "ACCEPTED", position, json!(0), false),
        (2, "DUPLICATE", position, json!(0), false),
        (3, "DUPLICATE", position, json!(0), true),
        (4, "ACCEPTED", position, json!(1), false),
        (5, "REJECTED", &Value::Null, Value::Null, false),
    ] {
        let result = &results[i];
        assert_eq!(
            [
                &result["index"],
                &result["status"],
                &result["position"],
                &result["recordIndex"],
                &result["differs"]
            ],
            [
                &json!(i),
                &json!(status),
                at,
                &record_index,
                &json!(differs)
            ],
        );
    }
    assert_eq!(results[4]["redacted"], json!(["properties.password"]));
    let error = &results[1]["error"];
    assert_eq!(error["code"], "UNKNOWN_EVENT_TYPE");
    assert_eq!(error["path"], json!(["input", "logs", "1", "eventType"]));
    assert_eq!(error["details"]["actual"], "Behavioral");
    let error = &results[5]["error"];
    assert_eq!(
        (&error["code"], &error["limit"], &error["actual"]),
        (&json!("TOO_LARGE"), &json!(200.0), &json!(201.0))
    );

    let again = ingest(&app, &logs, Some("1")).await;
    assert_eq!(again["receipt"]["replayed"], true);
    assert_eq!(
        (&again["results"], &again["batchId"]),
        (results, &told["batchId"])
    );
    let other = ingest(&app, &logs[..1], Some("1")).await;
    assert_eq!(other["userErrors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(other["results"], Value::Null);

    // The same door as over REST: known there by the same id, and the same command under the same key.
    let source = ("daybook-log-source", "shop");
    let (_, rest) = send(&app, &[record(Some("a"))], &[source]).await;
    assert_eq!(rest["results"][0]["ofPosition"], *position);
    let key = ("idempotency-key", "2");
    let (_, rest) = send(&app, &[record(Some("b"))], &[source, key]).await;
    let told = ingest(&app, &[said(Some("b"))], Some("2")).await;
    assert_eq!(told["receipt"]["replayed"], true);
    assert_eq!(told["batchId"], rest["batchId"]);
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_whole() {
    let app = started().await;
    let head = app.head().await;
    for (n, code) in [(0, "VALIDATION"), (1_001, "TOO_LARGE")] {
        let told = ingest(&app, &vec![said(None); n], None).await;
        assert_eq!(told["userErrors"][0]["code"], code);
        assert_eq!(told["userErrors"][0]["path"], json!(["input", "logs"]));
        assert_eq!(told["results"], Value::Null);
    }
    assert_eq!(app.head().await, head);
    let told = ingest(&app, &vec![said(None); 1_000], None).await;
    assert_eq!(told["accepted"], 1_000);
    // One who may not make sources known.
    let token = format!("Bearer {}", app.token(&[Role::Ingest], "default"));
    let input = json!({ "source": "unheard-of", "logs": [said(None)] });
    let body = json!({ "query": INGEST, "variables": { "i": input } }).to_string();
    let headers = [("authorization", &*token)];
    let told = app.post(body.as_bytes(), &headers).await.json();
    let error = &told["data"]["ingestLogs"]["userErrors"][0];
    assert_eq!(error["code"], "LOG_SOURCE_UNKNOWN", "{told}");
}

#[tokio::test]
async fn a_source_says_what_it_takes_and_how_long_it_keeps_it() {
    let app = started().await;
    let input = json!({
        "limits": { "recordsPerMinuteMax": 600, "ageSecondsMax": 86_400 },
        "retention": { "days": 30, "idDays": 2, "daysByType": [{ "eventType": "ERROR", "days": 90 }] },
        "personalFields": [{ "path": "userId" }, { "path": "properties.card", "rule": "REFUSE" }],
        "commandId": "r" });
    let told = tell(&app, "registerLogSource", input.clone()).await;
    let source = &told["logSource"];
    assert_eq!(told["userErrors"], json!([]));
    assert_eq!(
        source["limits"],
        json!({ "recordBytesMax": 65_536, "recordsPerMinuteMax": 600, "ageSecondsMax": 86_400,
                "aheadSecondsMax": 300 })
    );
    assert_eq!(
        source["retention"],
        json!({ "days": 30, "idDays": 2, "daysByType": [{ "eventType": "ERROR", "days": 90 }] })
    );
    assert_eq!(
        source["personalFields"],
        json!([{ "path": "properties.card", "rule": "REFUSE" }, { "path": "userId", "rule": "SEAL" }])
    );
    assert_eq!(
        (&source["onFirstBatch"], &source["pausedReason"]),
        (&json!(false), &Value::Null)
    );
    let again = tell(&app, "registerLogSource", input).await;
    assert_eq!(again["receipt"]["replayed"], true);
    let twice = tell(&app, "registerLogSource", json!({})).await;
    assert_eq!(twice["userErrors"][0]["code"], "ALREADY_EXISTS");

    let limits = json!({ "limits": { "recordBytesMax": 2_048 } });
    let told = tell(&app, "setLogLimits", limits).await;
    assert_eq!(
        told["userErrors"][0]["code"], "OUT_OF_RANGE",
        "ids last two days alone"
    );
    let told = tell(&app, "setLogRetention", json!({ "retention": {} })).await;
    assert_eq!(
        told["logSource"]["retention"],
        json!({ "days": null, "idDays": null, "daysByType": [] })
    );
    let limits = json!({ "limits": { "recordBytesMax": 2_048 } });
    let told = tell(&app, "setLogLimits", limits).await;
    assert_eq!(told["logSource"]["limits"]["recordBytesMax"], 2_048);
    assert_eq!(
        told["logSource"]["limits"]["recordsPerMinuteMax"],
        Value::Null
    );
    let told = tell(&app, "setPersonalFields", json!({ "personalFields": [] })).await;
    assert_eq!(told["logSource"]["personalFields"], json!([]));

    let mut large = said(None);
    large["properties"] = json!({ "a": "x".repeat(2_048) });
    let told = ingest(&app, &[large, said(None)], None).await;
    assert_eq!(told["results"][0]["error"]["limit"], 2_048.0);
    let told = tell(&app, "pauseLogSource", json!({ "reason": "too noisy" })).await;
    assert_eq!(told["logSource"]["pausedReason"], "too noisy");
    let told = ingest(&app, &[said(None)], None).await;
    let error = &told["userErrors"][0];
    assert_eq!(
        (&error["code"], &error["details"]["reason"]),
        (&json!("STREAM_PAUSED"), &json!("too noisy"))
    );
    let stale = json!({ "expectedVersion": 1 });
    let told = tell(&app, "resumeLogSource", stale).await;
    assert_eq!(told["userErrors"][0]["code"], "VERSION_CONFLICT");
    let told = tell(&app, "resumeLogSource", json!({})).await;
    assert_eq!(told["logSource"]["pausedReason"], Value::Null);
    let told = ingest(&app, &[said(None)], None).await;
    assert_eq!(told["accepted"], 1);
}

#[tokio::test]
async fn what_a_source_cannot_be_told_names_its_field() {
    let app = started().await;
    tell(&app, "registerLogSource", json!({})).await;
    let head = app.head().await;
    let long = "x".repeat(129);
    for (field, input, code, path) in [
        (
            "setLogLimits",
            json!({ "limits": { "recordBytesMax": -1 } }),
            "OUT_OF_RANGE",
            json!(["input", "limits", "recordBytesMax"]),
        ),
        (
            "setLogLimits",
            json!({ "limits": { "recordsPerMinuteMax": 0 } }),
            "OUT_OF_RANGE",
            json!(["input", "limits", "recordsPerMinuteMax"]),
        ),
        (
            "setLogRetention",
            json!({ "retention": { "daysByType": [{ "eventType": "ERROR", "days": 1 },
                                                   { "eventType": "ERROR", "days": 2 }] } }),
            "DUPLICATE_KEY",
            json!(["input", "retention", "daysByType", "1"]),
        ),
        (
            "setLogRetention",
            json!({ "retention": { "daysByType": [{ "eventType": "ERROR", "days": -1 }] } }),
            "OUT_OF_RANGE",
            json!(["input", "retention", "daysByType", "0", "days"]),
        ),
        (
            "setLogRetention",
            json!({ "retention": { "idDays": 1 } }),
            "OUT_OF_RANGE",
            json!(["input", "retention", "idDays"]),
        ),
        (
            "setPersonalFields",
            json!({ "personalFields": [{ "path": "userId" }, { "path": "userId" }] }),
            "DUPLICATE_KEY",
            json!(["input", "personalFields", "1"]),
        ),
        (
            "setPersonalFields",
            json!({ "personalFields": [{ "path": "eventName" }] }),
            "VALIDATION",
            json!(["input", "personalFields", "eventName"]),
        ),
        (
            "pauseLogSource",
            json!({ "reason": " " }),
            "VALIDATION",
            json!(["input", "reason"]),
        ),
        (
            "pauseLogSource",
            json!({ "reason": "r", "commandId": "" }),
            "VALIDATION",
            json!(["input", "commandId"]),
        ),
        (
            "resumeLogSource",
            json!({ "expectedVersion": -1 }),
            "OUT_OF_RANGE",
            json!(["input", "expectedVersion"]),
        ),
    ] {
        let told = tell(&app, field, input).await;
        let error = &told["userErrors"][0];
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!(code), &path),
            "{field}"
        );
        assert_eq!(told["logSource"], Value::Null);
    }
    let mutation = "mutation($i: RegisterLogSourceInput!) { registerLogSource(input: $i) {
                    userErrors { code path } } }";
    for id in ["", &long, "a\u{202e}b", " a"] {
        let told = app.data(mutation, json!({ "i": { "id": id } })).await;
        let error = &told["registerLogSource"]["userErrors"][0];
        assert_eq!(error["path"], json!(["input", "id"]), "{id:?}");
    }
    assert_eq!(app.head().await, head, "nothing was appended");
}

/// L4: `X-API-Key` with the scope, and with others.
#[tokio::test]
async fn api_keys_hand_records_in_by_their_scope() {
    let app = started().await;
    tell(&app, "registerLogSource", json!({})).await;
    let issue = "mutation($i: IssueApiKeyInput!) { issueApiKey(input: $i) { secret } }";
    let key = async |scope: &str| {
        let input = json!({ "i": { "name": "k", "scopes": [scope] } });
        let told = app.data(issue, input).await;
        told["issueApiKey"]["secret"].as_str().unwrap().to_owned()
    };
    let body = json!({ "logs": [record(None)] }).to_string();
    let one = record(None).to_string();
    let otlp = json!({ "resourceLogs": [] }).to_string();
    for (scope, status) in [
        ("logs:write", 200),
        ("logs:read", 403),
        ("positions:write", 403),
    ] {
        let key = key(scope).await;
        let headers = [
            ("content-type", "application/json"),
            ("daybook-log-source", "shop"),
            ("authorization", ""),
            ("x-api-key", &*key),
        ];
        for (line, body) in [
            (BATCH, &body),
            ("POST /api/v1/ingest", &one),
            ("POST /v1/logs", &otlp),
        ] {
            let reply = app.send(line, &headers, body.as_bytes()).await;
            let told = String::from_utf8_lossy(&reply.body).into_owned();
            assert_eq!(reply.status, status, "{line} by {scope}: {told}");
        }
        let input = json!({ "source": "shop", "logs": [said(None)] });
        let asked = json!({ "query": INGEST, "variables": { "i": input } }).to_string();
        let headers = [("authorization", ""), ("x-api-key", &*key)];
        let told = app.post(asked.as_bytes(), &headers).await.json();
        match status {
            200 => assert_eq!(told["data"]["ingestLogs"]["accepted"], 1, "{told}"),
            _ => assert_eq!(told["errors"][0]["extensions"]["scope"], "logs:write"),
        }
    }
    // What a source is told is for people.
    let key = key("logs:write").await;
    let pause = r#"mutation { pauseLogSource(input: { id: "shop", reason: "r" }) { __typename } }"#;
    let body = json!({ "query": pause }).to_string();
    let headers = [("authorization", ""), ("x-api-key", &*key)];
    let told = app.post(body.as_bytes(), &headers).await.json();
    assert_eq!(told["errors"][0]["extensions"]["code"], "FORBIDDEN");
    let batches = "select count(*) from events where aggregate_type = 'log_batch'";
    assert_eq!(count(&app, batches).await, 3);
}
