//! What is asked of batches later: their receipts, the records that were rejected, and taking one in after all.

use chrono::TimeDelta;
use daybook::auth::Role;
use daybook::ops::Clock;
use serde_json::{Value, json};

use super::commands::{ingest, said, tell};
use super::{count, now, record, send, started, text};
use crate::support::TestApp;

const RECEIPT: &str = "query($id: ID!) { ingestReceipt(batchId: $id) {
    batchId source position accepted duplicates rejected
    results { index status position recordIndex differs redacted error { code message path } } } }";

const REJECTED: &str = "query($f: RejectedRecordFilterInput, $n: Int, $c: String) {
    rejectedRecords(filter: $f, first: $n, after: $c) {
        nodes { id source batchId rejectedAt error { code path ... on ValidationError { details } }
                record recovered { batchId index reason position } }
        pageInfo { hasNextPage endCursor } } }";

const RECOVER: &str = "mutation($i: RecoverRejectedInput!) { recoverRejected(input: $i) {
    batchId result { status position recordIndex redacted } receipt { position replayed }
    userErrors { code path ... on RefusalError { details } } } }";

async fn rejected(app: &TestApp, filter: Value) -> Vec<Value> {
    let told = app.data(REJECTED, json!({ "f": filter })).await;
    told["rejectedRecords"]["nodes"].as_array().unwrap().clone()
}

async fn recover(app: &TestApp, input: Value) -> Value {
    let mut told = app.data(RECOVER, json!({ "i": input })).await;
    told["recoverRejected"].take()
}

/// What an administrator of another tenant is answered.
async fn by_south(app: &TestApp, query: &str, variables: Value) -> Value {
    let create = r#"mutation { createTenant(input: { id: "south", name: "s" }) { __typename } }"#;
    app.data(create, json!({})).await;
    let token = format!("Bearer {}", app.token(&[Role::Admin], "south"));
    let body = json!({ "query": query, "variables": variables }).to_string();
    let headers = [("authorization", &*token)];
    app.post(body.as_bytes(), &headers).await.json()
}

fn code(told: &Value) -> &str {
    told["userErrors"][0]["code"].as_str().unwrap_or("ok")
}

/// A record of a type there is not.
fn bad(id: Option<&str>) -> Value {
    let mut bad = said(id);
    bad["eventType"] = json!("metric");
    bad
}

#[tokio::test]
async fn a_receipt_can_be_asked_for_until_it_is_forgotten() {
    let app = started().await;
    let mut secret = said(None);
    secret["properties"] = json!({ "token": "abc" });
    let mixed = [said(Some("a")), bad(None), said(Some("a")), secret];
    for logs in [&mixed[..], &[said(None)], &[bad(None)], &[said(Some("a"))]] {
        let told = ingest(&app, logs, None).await;
        let id = &told["batchId"];
        let found = app.data(RECEIPT, json!({ "id": id })).await;
        let receipt = &found["ingestReceipt"];
        assert_eq!(
            (&receipt["batchId"], &receipt["source"]),
            (id, &json!("shop"))
        );
        assert_eq!(receipt["position"], told["receipt"]["position"]);
        for field in ["accepted", "duplicates", "rejected"] {
            assert_eq!(receipt[field], told[field], "{field}");
        }
        let (results, given) = (receipt["results"].as_array(), told["results"].as_array());
        for (later, first) in results.unwrap().iter().zip(given.unwrap()) {
            for field in [
                "index",
                "status",
                "position",
                "recordIndex",
                "differs",
                "redacted",
            ] {
                assert_eq!(later[field], first[field], "{field}");
            }
            assert_eq!(later["error"]["code"], first["error"]["code"]);
        }
        assert_eq!(results.unwrap().len(), logs.len());
    }
    let told = ingest(&app, &mixed, None).await;
    let id = &told["batchId"];
    // Not another tenant's, not of another kind of command, not of nothing.
    let pause = json!({ "reason": "a command of another kind", "commandId": "pause" });
    let paused = tell(&app, "pauseLogSource", pause).await;
    assert_eq!(paused["userErrors"], json!([]));
    let command: String = sqlx::query_scalar(
        "select command_id::text from commands where aggregate_type = 'log_source' and events = 1",
    )
    .fetch_one(app.db().pool())
    .await
    .unwrap();
    let none = json!(uuid::Uuid::nil());
    for other in [json!(command), none, json!("'; drop table events;--")] {
        let found = app.data(RECEIPT, json!({ "id": other })).await;
        assert_eq!(found["ingestReceipt"], Value::Null, "{other}");
    }
    let found = by_south(&app, RECEIPT, json!({ "id": id })).await;
    assert_eq!(found["data"]["ingestReceipt"], Value::Null, "{found}");

    let old = "update commands set recorded_at = now() - interval '25 hours'";
    sqlx::raw_sql(old).execute(app.db().pool()).await.unwrap();
    app.store().apply_retention().await.unwrap();
    let found = app.data(RECEIPT, json!({ "id": id })).await;
    assert_eq!(found["ingestReceipt"], Value::Null);
}

#[tokio::test]
async fn rejected_records_are_listed_without_what_is_personal() {
    let app = started().await;
    let fields = json!({ "personalFields": [{ "path": "properties.email" },
                                             { "path": "deviceInfo.ip", "rule": "REFUSE" }] });
    tell(&app, "registerLogSource", fields).await;
    let mut personal = bad(Some("p"));
    personal["properties"] = json!({ "email": "bob@example.org", "phone": "+49 151",
                                     "password": "hunter2" });
    let mut refused = said(None);
    refused["deviceInfo"] = json!({ "ip": "203.0.113.7" });
    let mut twice = said(Some("p"));
    twice["eventName"] = json!("other");
    let told = ingest(&app, &[personal, refused, said(Some("p")), twice], None).await;
    let other = ("daybook-log-source", "other");
    send(&app, &[json!({ "no": 1 }), record(None)], &[other]).await;

    let all = rejected(&app, json!({})).await;
    let codes: Vec<_> = all
        .iter()
        .map(|node| node["error"]["code"].as_str().unwrap())
        .collect();
    let expected = [
        "VALIDATION",
        "DUPLICATE_DIFFERS",
        "PERSONAL_DATA_REFUSED",
        "UNKNOWN_EVENT_TYPE",
    ];
    assert_eq!(codes, expected, "the last first");
    assert_eq!(all[0]["record"], Value::Null, "it could not be read");
    let node = &all[3];
    assert_eq!(
        (&node["source"], &node["batchId"]),
        (&json!("shop"), &told["batchId"])
    );
    assert_eq!(node["error"]["path"], json!(["logs", "0", "eventType"]));
    assert_eq!(node["error"]["details"]["actual"], "metric");
    assert_eq!(node["record"]["properties"]["email"], "[personal]");
    assert_eq!(node["record"]["properties"]["password"], "[redacted]");
    assert_eq!(node["record"]["properties"]["phone"], "+49 151");
    assert_eq!(all[2]["record"]["deviceInfo"]["ip"], "[personal]");
    // What is declared later is not shown from then on.
    let fields = json!({ "personalFields": [{ "path": "properties.phone" }] });
    tell(&app, "setPersonalFields", fields).await;
    let all = rejected(&app, json!({})).await;
    assert_eq!(all[3]["record"]["properties"]["phone"], "[personal]");
    let shown = json!(all).to_string();
    let dump = app.db().dump().await;
    for gone in [
        "ann@example.org",
        "bob@example.org",
        "hunter2",
        "203.0.113.7",
    ] {
        assert!(!shown.contains(gone), "{gone} is shown");
        assert!(!dump.contains(gone), "{gone} is stored");
    }

    let ids = |nodes: &[Value]| nodes.iter().map(|n| n["id"].clone()).collect::<Vec<_>>();
    for (filter, expected) in [
        (json!({ "source": "shop" }), &all[1..]),
        (json!({ "source": "other" }), &all[..1]),
        (json!({ "source": "%" }), &[]),
        (json!({ "code": "PERSONAL_DATA_REFUSED" }), &all[2..3]),
        (json!({ "source": "shop", "code": "VALIDATION" }), &[]),
        (json!({ "from": "2000-01-01T00:00:00Z" }), &all[..]),
        (json!({ "to": "2000-01-01T00:00:00Z" }), &[]),
    ] {
        let found = rejected(&app, filter.clone()).await;
        assert_eq!(ids(&found), ids(expected), "{filter}");
    }
    for wrong in [
        json!({ "code": "NONSENSE" }),
        json!({ "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z" }),
    ] {
        let told = app.ask(REJECTED, json!({ "f": wrong })).await;
        assert_eq!(
            told["errors"][0]["extensions"]["code"], "VALIDATION",
            "{told}"
        );
    }

    // Page by page, with a cursor that is good for this list alone.
    let (mut paged, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let told = app.data(REJECTED, json!({ "n": 3, "c": cursor })).await;
        let page = &told["rejectedRecords"];
        paged.extend(ids(page["nodes"].as_array().unwrap()));
        cursor = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(paged, ids(&all));
    let elsewhere = json!({ "f": { "source": "shop" }, "c": cursor });
    let told = app.ask(REJECTED, elsewhere).await;
    assert_eq!(told["errors"][0]["extensions"]["code"], "BAD_CURSOR");
}

#[tokio::test]
async fn a_rejected_record_is_recovered_once() {
    let app = started().await;
    ingest(&app, &[bad(Some("a")), bad(None)], None).await;
    let nodes = rejected(&app, json!({})).await;
    let (second, first) = (&nodes[0]["id"], &nodes[1]["id"]);
    let head = app.head().await;
    let told = recover(&app, json!({ "id": first })).await;
    assert_eq!(code(&told), "UNKNOWN_EVENT_TYPE", "it is no better today");
    let path = json!(["input", "record", "eventType"]);
    assert_eq!(
        (&told["userErrors"][0]["path"], &told["result"]),
        (&path, &Value::Null)
    );
    assert_eq!(app.head().await, head);
    assert_eq!(
        rejected(&app, json!({})).await,
        nodes,
        "nor is it rejected another time"
    );

    let input = json!({ "id": first, "record": said(Some("a")), "reason": "a typo",
                        "commandId": "1" });
    let told = recover(&app, input.clone()).await;
    assert_eq!(
        (code(&told), &told["result"]["status"]),
        ("ok", &json!("ACCEPTED")),
        "{told}"
    );
    assert_eq!(app.head().await, head + 2, "the word, and the record");
    let position = &told["receipt"]["position"];
    assert_eq!(
        (&told["result"]["position"], &told["result"]["recordIndex"]),
        (position, &json!(0))
    );
    let again = recover(&app, input).await;
    assert_eq!(again["receipt"]["replayed"], true);
    assert_eq!(again["result"], told["result"]);
    let twice = recover(&app, json!({ "id": first, "record": said(None) })).await;
    assert_eq!(code(&twice), "ALREADY_RECOVERED");
    assert_eq!(
        twice["userErrors"][0]["details"],
        json!({ "batchId": told["batchId"], "index": 0 })
    );
    let listed = rejected(&app, json!({})).await;
    let recovered = &listed[1]["recovered"];
    assert_eq!(recovered["batchId"], told["batchId"]);
    assert_eq!(
        (&recovered["index"], &recovered["reason"]),
        (&json!(0), &json!("a typo"))
    );
    assert_eq!(listed[0]["recovered"], Value::Null);
    let receipt = app.data(RECEIPT, json!({ "id": told["batchId"] })).await;
    assert_eq!(
        receipt["ingestReceipt"]["accepted"], 1,
        "it is a batch like others"
    );
    let types: Vec<String> = sqlx::query_scalar(
        "select event_type from events where tenant = 'default' and position > $1
         order by position",
    )
    .bind(head)
    .fetch_all(app.db().pool())
    .await
    .unwrap();
    assert_eq!(types, ["rejected_record.recovered", "log_batch.accepted"]);

    // Its id is known by now: then there is nothing to recover.
    let told = recover(&app, json!({ "id": second, "record": said(Some("a")) })).await;
    assert_eq!(
        (code(&told), &told["result"]["status"]),
        ("ok", &json!("DUPLICATE"))
    );
    assert_eq!(&told["result"]["position"], position);
    assert_eq!(rejected(&app, json!({})).await[0]["recovered"], Value::Null);
    for gone in [json!(uuid::Uuid::nil()), json!("x")] {
        let told = recover(&app, json!({ "id": gone, "record": said(None) })).await;
        assert_eq!(code(&told), "NOT_FOUND", "{gone}");
    }
    // Another tenant's is not there, whoever asks.
    let input = json!({ "id": second, "record": said(None) });
    let told = by_south(&app, RECOVER, json!({ "i": input })).await;
    assert_eq!(
        code(&told["data"]["recoverRejected"]),
        "NOT_FOUND",
        "{told}"
    );
    let told = by_south(&app, REJECTED, json!({})).await;
    assert_eq!(
        told["data"]["rejectedRecords"]["nodes"],
        json!([]),
        "{told}"
    );
}

#[tokio::test]
async fn what_was_said_is_recovered_without_what_is_personal() {
    let (clock, hand) = Clock::mock(now());
    let app = TestApp::at(clock, |_| ()).await;
    let fields =
        json!({ "personalFields": [{ "path": "userId" }, { "path": "properties.email" }] });
    tell(&app, "registerLogSource", fields).await;
    let mut late = said(None);
    late["timestamp"] = json!(text(now() - TimeDelta::days(8)));
    late["properties"] = json!({ "email": "bob@example.org", "total": 1 });
    let mut huge = late.clone();
    huge["properties"] = json!({ "a": "x".repeat(5_000) });
    let unread = ("daybook-log-source", "shop");
    ingest(&app, &[late, huge, said(None)], None).await;
    send(&app, &[json!({ "no": 1 })], &[unread]).await;
    // The database has its own clock.
    let came = "update rejected_records set recorded_at = $1";
    sqlx::query(came)
        .bind(now())
        .execute(app.db().pool())
        .await
        .unwrap();
    let nodes = rejected(&app, json!({})).await;
    for lost in [&nodes[0]["id"], &nodes[1]["id"]] {
        let told = recover(&app, json!({ "id": lost })).await;
        assert_eq!(
            told["userErrors"][0]["path"],
            json!(["input", "record"]),
            "{told}"
        );
    }
    let id = &nodes[2]["id"];
    let told = recover(&app, json!({ "id": id })).await;
    assert_eq!(code(&told), "TIMESTAMP_TOO_OLD");
    let limits = json!({ "limits": { "ageSecondsMax": 8 * 86_400 + 600 } });
    tell(&app, "setLogLimits", limits).await;
    // It is older now than it may be, but it came in time.
    hand.advance(TimeDelta::minutes(30));
    let told = recover(&app, json!({ "id": id })).await;
    assert_eq!(
        (code(&told), &told["result"]["status"]),
        ("ok", &json!("ACCEPTED")),
        "{told}"
    );
    let stored: Value = sqlx::query_scalar(
        "select payload from events where event_type = 'log_batch.accepted'
         order by position desc limit 1",
    )
    .fetch_one(app.db().pool())
    .await
    .unwrap();
    let stored = stored.to_string();
    assert!(
        stored.contains("\"total\":1") && !stored.contains("[personal]"),
        "{stored}"
    );
    let users = "select count(distinct payload -> 'userId') from (
                     select payload::jsonb as payload from events
                     where event_type = 'log_batch.accepted') batches";
    assert_eq!(count(&app, users).await, 1, "the same user in both");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_recover_a_record_at_once_one_does() {
    let first = started().await;
    let second = first.beside(|_| ()).await;
    ingest(&first, &[bad(None)], None).await;
    let id = rejected(&first, json!({})).await[0]["id"].clone();
    let head = first.head().await;
    let tries = (0..12).map(|n| {
        let (node, id) = (if n % 2 == 0 { &first } else { &second }, &id);
        async move { recover(node, json!({ "id": id, "record": said(None) })).await }
    });
    let told = futures::future::join_all(tries).await;
    let mut codes: Vec<&str> = told.iter().map(code).collect();
    codes.sort_unstable();
    assert_eq!(codes[..11], ["ALREADY_RECOVERED"; 11]);
    assert_eq!(codes[11], "ok");
    assert_eq!(first.head().await, head + 2);
}

/// Ids are forgotten on their day, some at a time, and not before.
#[tokio::test]
async fn ids_are_forgotten_on_their_day() {
    let app = started().await;
    let retention = json!({ "limits": { "ageSecondsMax": 3_600 }, "retention": { "idDays": 3 } });
    tell(&app, "registerLogSource", retention).await;
    ingest(&app, &[said(Some("a")), said(Some("b"))], None).await;
    send(&app, &[record(Some("for ever"))], &[]).await;
    let set = async |sql: &str| {
        sqlx::raw_sql(sql).execute(app.db().pool()).await.unwrap();
    };
    // More than one statement takes away.
    set("insert into record_ids select 'default', md5(n::text)::uuid, gen_random_uuid(), current_date
         from generate_series(1, 12001) n")
    .await;
    set("insert into record_ids select 'default', md5(n::text)::uuid, gen_random_uuid(), current_date + 1
         from generate_series(-10, -1) n")
    .await;
    let left = "select count(*) from record_ids";
    app.store().apply_retention().await.unwrap();
    assert_eq!(
        count(&app, left).await,
        13,
        "tomorrow's, the source's two, one for ever"
    );
    let again = ingest(&app, &[said(Some("a"))], None).await;
    assert_eq!(again["duplicates"], 1);
    set("update record_ids set forget_on = current_date where forget_on > current_date + 1").await;
    app.store().apply_retention().await.unwrap();
    assert_eq!(count(&app, left).await, 11);
    let again = ingest(&app, &[said(Some("a"))], None).await;
    assert_eq!(again["accepted"], 1, "its id is as good as new");
}
