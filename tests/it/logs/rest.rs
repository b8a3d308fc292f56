//! The aliases: records by the names other programs know, how many there are, what they add up to.

use serde_json::{Value, json};

use super::asking::filled;
use crate::support::TestApp;

/// A GET that waits for all that was written.
async fn get(app: &TestApp, path: &str) -> Value {
    let head = app.head().await.to_string();
    let line = format!("GET {path}");
    let reply = app.send(&line, &[("daybook-at-least", &head)], b"").await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.json());
    assert_eq!(reply.header("daybook-position"), head);
    reply.json()
}

fn numbers(page: &Value) -> Vec<i64> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["properties"]["n"].as_i64().unwrap())
        .collect()
}

fn newest(matches: impl Fn(i64) -> bool) -> Vec<i64> {
    (0..60).rev().filter(|n| matches(*n)).collect()
}

#[tokio::test]
async fn records_are_found_by_the_names_that_programs_know() {
    let app = filled().await;
    assert_eq!(
        numbers(&get(&app, "/api/v1/logs/recent").await),
        newest(|n| n >= 10)
    );
    assert_eq!(
        numbers(&get(&app, "/api/v1/logs/recent?limit=3").await),
        [59, 58, 57]
    );
    type Matches = fn(i64) -> bool;
    let cases: &[(&str, Matches)] = &[
        ("source=app", |n| (20..40).contains(&n)),
        ("event_type=error,telemetry", |n| n % 5 == 3 || n % 5 == 1),
        ("event_name=Page_4", |n| n % 7 == 4),
        ("user_id=user1%40example.org", |n| n % 2 == 1 && n % 3 == 1),
        ("session_id=session2", |n| n % 5 != 0 && n % 4 == 2),
        ("app_version=1.2", |n| n % 3 == 2),
        ("priority=high", |n| n % 10 == 0),
        ("provider_name=p4", |n| n % 6 == 4),
        (
            "start_time=2026-01-04T23:10:00Z&end_time=2026-01-04T23:40:00Z",
            |n| (10..40).contains(&n),
        ),
        ("text=page_3", |n| n % 7 == 3),
        ("property=cart.items.0%3D2", |n| n % 4 == 2),
        ("property=provider_name%3Dp4", |n| n % 6 == 4),
    ];
    for (query, matches) in cases {
        let page = get(&app, &format!("/api/v1/logs/filter?page_size=1000&{query}")).await;
        assert_eq!(numbers(&page), newest(matches), "{query}");
        assert_eq!(
            (&page["next"], &page["stopped"]),
            (&Value::Null, &json!(false))
        );
    }
    let third = get(&app, "/api/v1/logs/filter?page=3&page_size=7").await;
    assert_eq!(numbers(&third), newest(|_| true)[14..21]);
    let next = third["next"].as_str().unwrap();
    let fourth = get(
        &app,
        &format!("/api/v1/logs/filter?page_size=7&after={next}"),
    )
    .await;
    assert_eq!(numbers(&fourth), newest(|_| true)[21..28]);
    let oldest = get(
        &app,
        "/api/v1/logs/filter?sort_by=timestamp&sort_order=asc&page_size=2",
    )
    .await;
    assert_eq!(numbers(&oldest), [0, 1]);
    let urgent = get(&app, "/api/v1/logs/filter?sort_by=priority&page_size=7").await;
    assert_eq!(numbers(&urgent), [50, 40, 30, 20, 10, 0, 59]);
}

#[tokio::test]
async fn what_there_is_and_what_it_adds_up_to() {
    let app = filled().await;
    let status = get(&app, "/api/v1/status").await;
    let expect = json!({ "sources": 2, "pausedSources": 0, "records": 60,
                         "lastAt": "2026-01-04T23:59:00Z", "asOfPosition": status["asOfPosition"] });
    assert_eq!(status, expect);
    let metrics = get(&app, "/api/v1/metrics").await;
    for (field, expect) in [
        ("from", json!("2026-01-04T00:00:00Z")),
        ("to", json!("2026-01-05T00:00:00Z")),
        ("records", json!(60)),
        ("errors", json!(12)),
        ("errorShare", json!(0.2)),
        ("users", json!(3)),
        ("sessions", json!(8)),
        ("batches", json!(3)),
        (
            "activeUsers",
            json!({ "day": "2026-01-04", "daily": 3, "weekly": 3, "monthly": 3 }),
        ),
    ] {
        assert_eq!(metrics[field], expect, "{field}");
    }
    let behavioral = json!({ "eventType": "BEHAVIORAL", "records": 12 });
    assert_eq!(metrics["byType"][0], behavioral);
    assert_eq!(metrics["appVersions"].as_array().unwrap().len(), 3);
    assert_eq!(
        metrics["topEvents"][0],
        json!({ "rank": 1, "eventName": "Page_0", "records": 9 })
    );
    assert_eq!(metrics["ingestionDelay"]["records"], 60);
    assert_eq!(metrics["notAccepted"]["duplicates"], 0);
    let none = json!({ "countedFrom": "2026-01-04T00:00:00Z", "more": false, "duplicates": 0,
                       "rejected": 0, "rejectedByCode": [] });
    assert_eq!(metrics["notAccepted"], none);
    let app_alone = get(
        &app,
        "/api/v1/metrics?source=app&end_time=2026-01-04T23:30:00Z",
    )
    .await;
    assert_eq!(app_alone["records"], 10);
    let none = get(&app, "/api/v1/metrics?source=none").await;
    assert_eq!(
        (&none["records"], &none["errorShare"]),
        (&json!(0), &Value::Null)
    );
}

/// J26 to J29: status, code and path.
const REFUSED: &str = "
422 PAGE_LIMIT /api/v1/logs/recent?limit=0
422 PAGE_LIMIT /api/v1/logs/recent?limit=1001
422 VALIDATION /api/v1/logs/recent?limit=many
422 VALIDATION /api/v1/logs/recent?page=1
422 BAD_CURSOR /api/v1/logs/filter?page=-1
422 BAD_CURSOR /api/v1/logs/filter?page=0
422 BAD_CURSOR /api/v1/logs/filter?page=1000000000
422 PAGE_LIMIT /api/v1/logs/filter?page_size=1001
422 PAGE_LIMIT /api/v1/logs/filter?page_size=-5
422 VALIDATION /api/v1/logs/filter?page=99999999999
422 VALIDATION /api/v1/logs/filter?sort_by=id;drop
422 VALIDATION /api/v1/logs/filter?sort_by=event_id
422 VALIDATION /api/v1/logs/filter?sort_order=DESC
422 VALIDATION /api/v1/logs/filter?event_type=Error
422 VALIDATION /api/v1/logs/filter?event_type=metric
422 VALIDATION /api/v1/logs/filter?priority=urgent
422 VALIDATION /api/v1/logs/filter?property=cart
422 VALIDATION /api/v1/logs/filter?start_time=yesterday
422 VALIDATION /api/v1/logs/filter?start_time=2026-01-02T00:00:00Z&end_time=2026-01-01T00:00:00Z
422 VALIDATION /api/v1/logs/filter?start_time=1970-01-01T00:00:00Z&end_time=2070-01-01T00:00:00Z
422 VALIDATION /api/v1/logs/filter?limit=3
422 VALIDATION /api/v1/logs/filter?text=a&text=b
422 BAD_CURSOR /api/v1/logs/filter?after=xyz
400 BAD_TEXT   /api/v1/logs/filter?text=a%00b
422 VALIDATION /api/v1/status?limit=3
422 BAD_TIMESTAMP /api/v1/metrics?end_time=now
422 VALIDATION /api/v1/metrics?start_time=2026-01-02T00:00:00Z&end_time=2026-01-01T00:00:00Z";

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let app = filled().await;
    for case in REFUSED.lines().skip(1) {
        let mut words = case.split_whitespace();
        let [status, code, path] = [(); 3].map(|()| words.next().unwrap());
        let reply = app.get(path).await;
        let problem = reply.json();
        assert_eq!(reply.status.to_string(), status, "{path}: {problem}");
        assert_eq!(problem["code"], code, "{path}: {problem}");
    }
    // A cursor of another question is none.
    let page = get(&app, "/api/v1/logs/filter?page_size=2").await;
    let next = page["next"].as_str().unwrap();
    let reply = app
        .get(&format!("/api/v1/logs/filter?source=app&after={next}"))
        .await;
    assert_eq!(reply.json()["code"], "BAD_CURSOR");
    for line in ["POST /api/v1/logs/filter", "DELETE /api/v1/status"] {
        assert_eq!(app.send(line, &[], b"").await.status, 405, "{line}");
    }
    let ingest = format!(
        "Bearer {}",
        app.token(&[daybook::auth::Role::Ingest], "default")
    );
    for path in ["logs/recent", "logs/filter", "status", "metrics"] {
        let line = format!("GET /api/v1/{path}");
        let reply = app.send(&line, &[("authorization", &ingest)], b"").await;
        assert_eq!(
            (reply.status, reply.json()["code"].as_str()),
            (403, Some("FORBIDDEN")),
            "{path}"
        );
    }
}
