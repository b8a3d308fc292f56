//! Log records: what is told of each that is handed in, which bodies and callers are refused whole, and what
//! is told to those who ask for them.

mod again;
mod asking;
mod bodies;
mod commands;
mod erasing;
mod figures;
mod keeping;
mod kills;
mod later;
mod outliving;
mod quota;
mod rest;
mod routes;
mod sources;
mod tail;
mod tallies;
mod truth;

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use daybook::ops::Clock;
use serde_json::{Value, json};

use crate::support::TestApp;

const BATCH: &str = "POST /api/v1/batch-ingest";

/// 2026-01-05 00:00 UTC.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_571_200, 0).unwrap()
}

async fn started() -> TestApp {
    TestApp::at(Clock::mock(now()).0, |_| ()).await
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn record(id: Option<&str>) -> Value {
    json!({ "event_id": id, "timestamp": text(now()), "event_type": "behavioral",
            "event_name": "checkout", "user_id": "ann@example.org",
            "properties": { "total": 12.5 } })
}

async fn send(app: &TestApp, records: &[Value], headers: &[(&str, &str)]) -> (u16, Value) {
    let body = json!({ "logs": records }).to_string();
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    let reply = app.send(BATCH, &all, body.as_bytes()).await;
    (reply.status, reply.json())
}

fn counts(told: &Value) -> [i64; 3] {
    ["accepted", "duplicates", "rejected"].map(|name| told[name].as_i64().unwrap())
}

async fn count(app: &TestApp, query: &str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(app.db().pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn each_record_is_told_of_and_a_retry_is_told_the_same() {
    let app = started().await;
    let with = |id: Option<&str>, field: &str, value: Value| {
        let mut record = record(id);
        record[field] = value;
        record
    };
    let records = [
        record(Some("a")),
        with(None, "event_type", json!("metric")),
        record(Some("a")),
        with(Some("a"), "event_name", json!("other")),
        record(None),
        with(Some("b"), "properties", json!({ "password": "hunter2" })),
    ];
    let key = [("idempotency-key", "batch-1")];
    let (status, told) = send(&app, &records, &key).await;
    assert_eq!((status, counts(&told)), (207, [3, 2, 1]), "{told}");
    let position = told["receipt"]["position"].as_str().unwrap().to_owned();
    let at = |index: u32| format!("{position}:{index}");
    let results = &told["results"];
    let accepted = |i: u32, n: u32| json!({ "index": i, "status": "ACCEPTED", "id": at(n) });
    assert_eq!(results[0], accepted(0, 0));
    assert_eq!(results[4], accepted(4, 1));
    let mut without_secret = accepted(5, 2);
    without_secret["redacted"] = json!(["properties.password"]);
    assert_eq!(results[5], without_secret);
    for (i, differs) in [(2, false), (3, true)] {
        let expected = json!({ "index": i, "status": "DUPLICATE", "ofPosition": position,
                               "of": at(0), "differs": differs });
        assert_eq!(results[i], expected);
    }
    let error = &results[1]["error"];
    assert_eq!(error["code"], "UNKNOWN_EVENT_TYPE");
    assert_eq!(error["path"], json!(["logs", "1", "eventType"]));
    assert_eq!(error["details"]["actual"], "metric");

    let (_, again) = send(&app, &records, &key).await;
    assert_eq!(again["receipt"]["replayed"], true);
    assert_eq!(
        (&again["results"], &again["batchId"]),
        (results, &told["batchId"])
    );
    let (status, refused) = send(&app, &records[..1], &key).await;
    assert_eq!(
        (status, &refused["code"]),
        (422, &json!("IDEMPOTENCY_KEY_REUSED"))
    );

    let (status, later) = send(&app, &[record(Some("a")), record(Some("c"))], &[]).await;
    assert_eq!((status, counts(&later)), (200, [1, 1, 0]));
    let known = json!({ "index": 0, "status": "DUPLICATE", "ofPosition": position });
    assert_eq!(later["results"][0], known);

    let stored: (Value, Value) = sqlx::query_as(
        "select payload, (select record from rejected_records order by id limit 1)
         from events where tenant = 'default' and position = $1",
    )
    .bind(position.parse::<i64>().unwrap())
    .fetch_one(app.db().pool())
    .await
    .unwrap();
    assert_eq!(stored.0["sourceId"], "default");
    assert_eq!(stored.1["record"]["eventType"], "metric");
    let codes = "select count(*) from rejected_records where source = 'ingestLogs'";
    assert_eq!(
        count(&app, codes).await,
        2,
        "the bad one, and the one that differs"
    );
    let dump = app.db().dump().await;
    assert!(
        !dump.contains("ann@example.org") && !dump.contains("hunter2"),
        "{dump}"
    );
}

#[tokio::test]
async fn one_record_is_a_batch_of_its_own() {
    let app = started().await;
    let headers = [("content-type", "application/json")];
    let line = "POST /api/v1/ingest";
    let body = record(Some("a")).to_string();
    let reply = app.send(line, &headers, body.as_bytes()).await;
    assert_eq!((reply.status, counts(&reply.json())), (200, [1, 0, 0]));
    let reply = app.send(line, &headers, body.as_bytes()).await;
    assert_eq!((reply.status, counts(&reply.json())), (200, [0, 1, 0]));
    let head = app.head().await;
    let bad = body.replace("behavioral", "metric");
    let reply = app.send(line, &headers, bad.as_bytes()).await;
    let told = reply.json();
    assert_eq!(
        (reply.status, &told["code"]),
        (422, &json!("UNKNOWN_EVENT_TYPE")),
        "{told}"
    );
    assert_eq!(app.head().await, head);
}

#[tokio::test]
async fn one_bad_record_of_a_thousand_costs_only_itself() {
    let app = started().await;
    let ids: Vec<String> = (0..1_000).map(|i| format!("e-{i}")).collect();
    let mut records: Vec<Value> = ids.iter().map(|id| record(Some(id))).collect();
    records[500]["timestamp"] = json!("yesterday");
    let (status, told) = send(&app, &records, &[]).await;
    assert_eq!((status, counts(&told)), (207, [999, 0, 1]));
    assert_eq!(told["results"][500]["error"]["code"], "BAD_TIMESTAMP");
    assert_eq!(
        told["results"][999]["id"],
        format!("{}:998", told["receipt"]["position"].as_str().unwrap())
    );
    let head = app.head().await;

    records[500] = record(Some("e-0"));
    let (status, told) = send(&app, &records, &[]).await;
    assert_eq!((status, counts(&told)), (200, [0, 1_000, 0]));
    assert_eq!(app.head().await, head, "nothing was new");
    let ids = "select count(*) from record_ids";
    assert_eq!(count(&app, ids).await, 999);
}

/// D9 of bulk: batches with the same ids, in other orders, at once and through two processes.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_at_once_accept_each_id_once() {
    let first = started().await;
    let second = first.beside(|_| ()).await;
    let ids: Vec<String> = (0..60).map(|i| format!("e-{i}")).collect();
    let copies = (0..50).map(|n| {
        let (node, ids) = (if n % 2 == 0 { &first } else { &second }, &ids);
        async move {
            // Forty of sixty, each from elsewhere on, every other backwards.
            let from = ids.iter().cycle().skip(n * 7 % 60).take(40);
            let mut mine: Vec<&String> = from.collect();
            if n % 3 == 0 {
                mine.reverse();
            }
            let records: Vec<Value> = mine.iter().map(|id| record(Some(id))).collect();
            let (status, told) = send(node, &records, &[]).await;
            assert_eq!(status, 200, "{told}");
            let results = told["results"].as_array().unwrap().clone();
            let mine = mine.into_iter().cloned();
            mine.zip(results).collect::<Vec<(String, Value)>>()
        }
    });
    let told: Vec<(String, Value)> = futures::future::join_all(copies).await.concat();
    let mut places: HashMap<&str, &str> = HashMap::new();
    for (id, result) in &told {
        if result["status"] == "ACCEPTED" {
            let twice = places.insert(id, result["id"].as_str().unwrap());
            assert_eq!(twice, None, "{id} was accepted twice");
        }
    }
    assert_eq!(places.len(), 60, "each was accepted");
    for (id, result) in &told {
        if result["status"] == "DUPLICATE" {
            let position = result["ofPosition"].as_str().unwrap();
            let place = places[id.as_str()];
            assert!(
                place.starts_with(&format!("{position}:")),
                "{id} is at {place}: {result}"
            );
        }
    }
    let stored: Vec<Value> = sqlx::query_scalar(
        "select payload->'eventId' from events where event_type = 'log_batch.accepted'",
    )
    .fetch_all(first.db().pool())
    .await
    .unwrap();
    let stored: usize = stored.iter().map(|ids| ids.as_array().unwrap().len()).sum();
    assert_eq!(stored, 60);
}

#[tokio::test]
async fn a_batch_whose_receipt_is_forgotten_is_known_all_the_same() {
    let app = started().await;
    let key = [("idempotency-key", "batch-1")];
    let records = [record(None), record(Some("a"))];
    let (_, first) = send(&app, &records, &key).await;
    sqlx::raw_sql("delete from commands")
        .execute(app.db().pool())
        .await
        .unwrap();
    // Another process: this one remembers.
    let other = app.beside(|_| ()).await;
    let head = app.head().await;
    let (status, told) = send(&other, &records, &key).await;
    assert_eq!((status, counts(&told)), (200, [0, 2, 0]));
    assert_eq!(
        told["results"][0]["ofPosition"],
        first["receipt"]["position"]
    );
    assert_eq!(app.head().await, head);
}

/// J12: the edges of the window.
#[tokio::test]
async fn times_are_taken_up_to_the_edges_of_the_window() {
    let app = started().await;
    let records: Vec<Value> = [
        now() - TimeDelta::days(7),
        now() - TimeDelta::days(7) - TimeDelta::microseconds(1),
        now() + TimeDelta::minutes(5),
        now() + TimeDelta::minutes(5) + TimeDelta::microseconds(1),
    ]
    .map(|at| {
        let mut record = record(None);
        record["timestamp"] = json!(text(at));
        record
    })
    .into();
    let (status, told) = send(&app, &records, &[]).await;
    assert_eq!(status, 207);
    let results = told["results"].as_array().unwrap().iter();
    let codes = results.map(|r| r["error"]["code"].as_str().unwrap_or("ok").to_owned());
    let expected = ["ok", "TIMESTAMP_TOO_OLD", "ok", "TIMESTAMP_IN_FUTURE"];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    let details = &told["results"][1]["error"]["details"];
    assert_eq!(
        (&details["now"], &details["limitSeconds"]),
        (&json!("2026-01-05T00:00:00.000Z"), &json!(604_800))
    );
}
