//! A batch that is sent again: by many at once, when nobody remembers its receipt, and when there was no answer.

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use daybook::auth::Role;
use daybook::ops::Clock;
use serde_json::{Value, json};

use super::bodies::otlp;
use super::commands::{INGEST, said};
use super::{BATCH, count, counts, now, record, send, started, text};
use crate::support::TestApp;

const KEY: (&str, &str) = ("idempotency-key", "nightly");

/// The receipts are forgotten: in the database, and in memory, since this process has none.
async fn later(app: &TestApp) -> TestApp {
    let all = "delete from commands";
    sqlx::raw_sql(all).execute(app.db().pool()).await.unwrap();
    app.beside(|_| ()).await
}

async fn records_in_log(app: &TestApp) -> i64 {
    let records = "select coalesce(sum(json_array_length(payload->'eventName')), 0)::bigint
                   from events where event_type = 'log_batch.accepted'";
    count(app, records).await
}

#[tokio::test]
async fn a_key_is_not_taken_for_other_records_however_late() {
    let app = started().await;
    let records = [record(None), record(Some("a"))];
    assert_eq!(send(&app, &records, &[KEY]).await.0, 200);
    let ids = "select count(*) from record_ids";
    let head = app.head().await;
    for others in [
        vec![record(Some("b")), record(None)],
        vec![record(Some("b"))],
        vec![record(None); 2],
    ] {
        let app = later(&app).await;
        let (status, told) = send(&app, &others, &[KEY]).await;
        let expected = (422, &json!("IDEMPOTENCY_KEY_REUSED"));
        assert_eq!((status, &told["code"]), expected, "{told}");
        assert_eq!((app.head().await, count(&app, ids).await), (head, 1));
    }
    let (_, told) = send(&app, &[record(Some("b"))], &[]).await;
    assert_eq!(counts(&told), [1, 0, 0], "its id was not taken");
    // Nor is it by a command of another kind, which would be a batch.
    send(&app, &[json!({ "no": 1 })], &[]).await;
    let app = later(&app).await;
    let list = "{ rejectedRecords { nodes { id } } }";
    let id = app.data(list, json!({})).await["rejectedRecords"]["nodes"][0]["id"].clone();
    let recover = "mutation($i: RecoverRejectedInput!) { recoverRejected(input: $i) {
                   result { status } userErrors { code } } }";
    let input = json!({ "id": id, "record": said(None), "commandId": KEY.1 });
    let told = app.data(recover, json!({ "i": input })).await;
    let code = &told["recoverRejected"]["userErrors"][0]["code"];
    assert_eq!(code, "IDEMPOTENCY_KEY_REUSED", "{told}");
}

/// What time has caught up with meanwhile comes in; what is there is told so, and is there once.
#[tokio::test]
async fn what_was_not_accepted_then_may_be_now() {
    let (clock, hand) = Clock::mock(now());
    let app = TestApp::at(clock, |_| ()).await;
    let ahead = |id: Option<&str>| {
        let mut ahead = record(id);
        ahead["timestamp"] = json!(text(now() + TimeDelta::minutes(10)));
        ahead
    };
    let mut differs = record(Some("a"));
    differs["event_name"] = json!("other");
    let records = [
        record(Some("a")),
        ahead(Some("b")),
        record(None),
        ahead(None),
        differs,
    ];
    let (_, first) = send(&app, &records, &[KEY]).await;
    assert_eq!(counts(&first), [2, 1, 2], "{first}");
    let first = &first["receipt"]["position"];

    hand.advance(TimeDelta::minutes(10));
    let app = later(&app).await;
    let (status, told) = send(&app, &records, &[KEY]).await;
    assert_eq!((status, counts(&told)), (200, [2, 3, 0]), "{told}");
    let second = &told["receipt"]["position"];
    for place in [0, 2, 4] {
        assert_eq!(&told["results"][place]["ofPosition"], first, "{place}");
    }
    for (place, index) in [(1, 0), (3, 1)] {
        let id = format!("{}:{index}", second.as_str().unwrap());
        assert_eq!(told["results"][place]["id"], id);
    }
    let ask = "query($id: ID!) { ingestReceipt(batchId: $id) {
        accepted duplicates rejected position results { status } } }";
    let found = app.data(ask, json!({ "id": told["batchId"] })).await;
    let receipt = &found["ingestReceipt"];
    assert_eq!(counts(receipt), [2, 3, 0], "{found}");
    assert_eq!(&receipt["position"], second);

    let app = later(&app).await;
    let head = app.head().await;
    let (status, third) = send(&app, &records, &[KEY]).await;
    assert_eq!((status, counts(&third)), (200, [0, 5, 0]), "{third}");
    for (place, of) in [(0, first), (1, second), (2, first), (3, second), (4, first)] {
        assert_eq!(&third["results"][place]["ofPosition"], of, "{place}");
    }
    assert_eq!((app.head().await, records_in_log(&app).await), (head, 4));
    assert_eq!(count(&app, "select count(*) from record_ids").await, 2);
}

/// D9: one batch under one key, at once and through two processes; with ids, and without any.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_of_one_batch_under_one_key_are_one() {
    let first = started().await;
    let second = first.beside(|_| ()).await;
    // The source is there.
    send(&first, &[record(None)], &[]).await;
    for (key, with_ids) in [("with", true), ("without", false)] {
        let before = records_in_log(&first).await;
        let ids: Vec<String> = (0..40).map(|n| format!("e-{n}")).collect();
        let mut records: Vec<Value> = ids
            .iter()
            .map(|id| record(with_ids.then_some(id)))
            .collect();
        records[7]["event_type"] = json!("metric");
        let copies = (0..50).map(|n| {
            let (node, records) = (if n % 2 == 0 { &first } else { &second }, &records);
            async move { send(node, records, &[("idempotency-key", key)]).await }
        });
        let told = futures::future::join_all(copies).await;
        let (_, one) = &told[0];
        for (status, told) in &told {
            assert_eq!((*status, counts(told)), (207, [39, 0, 1]), "{told}");
            assert_eq!(told["results"], one["results"]);
            assert_eq!(told["batchId"], one["batchId"]);
        }
        let new = told
            .iter()
            .filter(|(_, t)| t["receipt"]["replayed"] == false);
        assert_eq!(new.count(), 1, "all others are told what the first was");
        assert_eq!(records_in_log(&first).await, before + 39);
    }
    let kept = "select count(*) from rejected_records";
    assert_eq!(count(&first, kept).await, 2, "one of each batch");
    let tallies = "select sum(records)::bigint from log_tallies";
    assert_eq!(count(&first, tallies).await, 2);
}

/// J12: the scope `backfill` lifts how old records may be, and nothing else; their events say so.
#[tokio::test]
async fn a_backfill_takes_records_however_old() {
    let app = started().await;
    send(&app, &[record(None)], &[]).await;
    let issue = "mutation($i: IssueApiKeyInput!) { issueApiKey(input: $i) { secret } }";
    let times = [
        (now() - TimeDelta::days(3_000), "ok", "TIMESTAMP_TOO_OLD"),
        (
            now() + TimeDelta::minutes(10),
            "TIMESTAMP_IN_FUTURE",
            "TIMESTAMP_IN_FUTURE",
        ),
    ];
    for (scopes, is_backfill) in [
        (json!(["logs:write", "backfill"]), true),
        (json!(["logs:write"]), false),
    ] {
        let input = json!({ "i": { "name": "k", "scopes": scopes } });
        let key = app.data(issue, input).await;
        let key = key["issueApiKey"]["secret"].as_str().unwrap();
        let headers = [("authorization", ""), ("x-api-key", key)];
        let (mut rest, mut logs) = (Vec::new(), Vec::new());
        for (at, ..) in times {
            let (mut sent, mut told) = (record(None), said(None));
            (sent["timestamp"], told["timestamp"]) = (json!(text(at)), json!(text(at)));
            rest.push(sent);
            logs.push(told);
        }
        let (_, told) = send(&app, &rest, &headers).await;
        let input = json!({ "source": "default", "logs": logs });
        let body = json!({ "query": INGEST, "variables": { "i": input } }).to_string();
        let by_graphql = app.post(body.as_bytes(), &headers).await.json();
        let by_graphql = &by_graphql["data"]["ingestLogs"];
        for told in [&told, by_graphql] {
            for (place, (_, lifted, held)) in times.iter().enumerate() {
                let code = &told["results"][place]["error"]["code"];
                let expected = if is_backfill { lifted } else { held };
                assert_eq!(code.as_str().unwrap_or("ok"), *expected, "{told}");
            }
        }
    }
    let marked = "select count(*) from events where event_type = 'log_batch.accepted'
                  and metadata->>'backfill' = 'true'";
    assert_eq!(count(&app, marked).await, 2);
}

/// While the log stands still nobody waits longer than an append may take, in line or not; what was
/// answered 503 can be sent again.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_long_is_told_to_come_again() {
    let app = started().await;
    send(&app, &[record(None)], &[]).await;
    let slow = app
        .beside(|settings| {
            settings.database.write_timeout = Duration::from_secs(2);
            settings.append.bulk_connections_max = 1;
        })
        .await;
    let mut held = projections::begin(app.db().pool(), "begin").await.unwrap();
    sqlx::raw_sql("select from logs for update")
        .execute(&mut *held)
        .await
        .unwrap();
    let bodies = [
        ("POST /api/v1/ingest", record(None).to_string()),
        (BATCH, json!({ "logs": [record(None)] }).to_string()),
        ("POST /v1/logs", otlp(1, false).to_string()),
    ];
    let headers = [("content-type", "application/json")];
    let sent = (0..9).map(|n| {
        let (line, body) = &bodies[n % 3];
        let slow = &slow;
        async move { slow.send(line, &headers, body.as_bytes()).await }
    });
    let input = json!({ "source": "default", "logs": [said(None)] });
    let asked = slow.ask(INGEST, json!({ "i": input }));
    let (told, asked) = futures::join!(futures::future::join_all(sent), asked);
    let mut codes = HashSet::new();
    for reply in &told {
        let told = reply.json();
        assert_eq!(reply.status, 503, "{told}");
        assert_eq!(reply.header("retry-after"), "1");
        codes.insert(told["code"].as_str().unwrap().to_owned());
    }
    let code = &asked["errors"][0]["extensions"]["code"];
    codes.insert(code.as_str().unwrap().to_owned());
    assert!(codes.remove("OVERLOADED"), "{codes:?}");
    codes.remove("UNAVAILABLE");
    assert_eq!(codes, HashSet::new());
    held.rollback().await.unwrap();
    let before = records_in_log(&app).await;
    for (line, body) in &bodies {
        let reply = slow.send(line, &headers, body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{line}");
    }
    assert_eq!(records_in_log(&app).await, before + 3);
}

/// What is nested deeper than it can be read again is told and listed all the same.
#[tokio::test]
async fn records_however_deep_are_listed_when_rejected() {
    let app = started().await;
    let deep = |levels: usize| {
        let list = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        format!(
            r#"{{"timestamp":"{}","event_type":"error","event_name":"x","properties":{{"a":{list}}}}}"#,
            text(now())
        )
    };
    let body = format!(r#"{{"logs":[{},{}]}}"#, deep(125), deep(60));
    let headers = [("content-type", "application/json")];
    let reply = app.send(BATCH, &headers, body.as_bytes()).await;
    assert_eq!(counts(&reply.json()), [0, 0, 2], "{:?}", reply.json());
    let list = "{ rejectedRecords { nodes { id error { code } record } } }";
    let shown = async || {
        let told = app.data(list, json!({})).await;
        let nodes = told["rejectedRecords"]["nodes"].as_array().unwrap().clone();
        let codes: Vec<_> = nodes.iter().map(|n| n["error"]["code"].clone()).collect();
        assert_eq!(codes, ["TOO_LARGE", "TOO_LARGE"]);
        nodes
            .iter()
            .map(|n| !n["record"].is_null())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown().await, [true, false]);
    // One that was kept before this was looked at.
    let broken = format!("{}{}", r#"{"record":"#.repeat(200), "1") + &"}".repeat(200);
    sqlx::query("update rejected_records set record = $1::json")
        .bind(broken)
        .execute(app.db().pool())
        .await
        .unwrap();
    assert_eq!(shown().await, [false, false]);
    let token = format!("Bearer {}", app.token(&[Role::Operator], "default"));
    let nodes = app.data(list, json!({})).await;
    let id = &nodes["rejectedRecords"]["nodes"][0]["id"];
    let recover = "mutation($i: RecoverRejectedInput!) { recoverRejected(input: $i) {
                   userErrors { code path } } }";
    let body = json!({ "query": recover, "variables": { "i": { "id": id } } }).to_string();
    let told = app
        .post(body.as_bytes(), &[("authorization", &*token)])
        .await;
    let error = &told.json()["data"]["recoverRejected"]["userErrors"][0];
    assert_eq!(error["path"], json!(["input", "record"]), "{error}");
}
