//! Retention: the process takes away what a source keeps no longer, and the log keeps it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use daybook::auth::Role;
use daybook::consumers::RebuildOptions;
use daybook::ops::Clock;
use domain::log_source::{LogRetention, LogSourceCommand, PersonalFields};
use serde_json::{Value, json};

use super::sources::tell;
use super::tail::{next, socket_at};
use super::{count, counts, now, record, send};
use crate::support::{TestApp, eventually};

const SOURCE: (&str, &str) = ("daybook-log-source", "web-shop");

/// Asks with a token of the moment: the clock is moved by days.
async fn settled(app: &TestApp, query: &str) -> Value {
    let bearer = format!("Bearer {}", app.token(&[Role::Viewer], "default"));
    let at_least = app.head().await.to_string();
    let body = json!({ "query": query, "extensions": { "atLeast": at_least } }).to_string();
    let headers = [("authorization", bearer.as_str())];
    let mut told = app.post(body.as_bytes(), &headers).await.json();
    assert_eq!(told["errors"], Value::Null, "{query}");
    told["data"].take()
}

async fn listed(app: &TestApp) -> Vec<String> {
    let query = "{ logs(orderBy: OLDEST_FIRST) { nodes { source eventId } } }";
    let told = settled(app, query).await;
    let nodes = told["logs"]["nodes"].as_array().unwrap().iter();
    let shown = |node: &Value| {
        let [source, id] = ["source", "eventId"].map(|field| node[field].as_str().unwrap());
        format!("{source} {id}")
    };
    nodes.map(shown).collect()
}

/// Volume, and what is counted from the records: how many there are of each.
async fn figures(app: &TestApp) -> (Value, Value) {
    let query = r#"{ logStats(from: "2026-01-04T00:00:00Z", to: "2026-01-06T00:00:00Z", bucket: WHOLE) {
        volume { rows { records evidence { nodes { id } } } } visitors { rows { records } } } }"#;
    let told = settled(app, query).await;
    let stats = &told["logStats"];
    let volume = &stats["volume"]["rows"][0]["records"];
    (
        volume.clone(),
        stats["visitors"]["rows"][0]["records"].clone(),
    )
}

#[tokio::test]
async fn what_is_kept_no_longer_goes_from_lists_and_counts_and_stays_in_the_log() {
    let (clock, hand) = Clock::mock(now());
    let app = TestApp::at(clock, |settings| {
        settings.logs.retention_interval = Duration::from_millis(50);
    })
    .await;
    // A second process looks as well: one of the two does the work.
    let _other = app
        .beside(|settings| settings.logs.retention_interval = Duration::from_millis(50))
        .await;
    let registered = LogSourceCommand::Register {
        limits: Default::default(),
        retention: LogRetention {
            days: Some(2),
            ..LogRetention::default()
        },
        personal_fields: PersonalFields::default(),
        on_first_batch: false,
    };
    tell(&app, registered).await;
    let records = ["a", "b", "c"].map(|id| record(Some(id)));
    let (_, told) = send(&app, &records, &[SOURCE]).await;
    assert_eq!(counts(&told), [3, 0, 0], "{told}");
    let (_, told) = send(&app, &records[..1], &[]).await;
    assert_eq!(counts(&told), [1, 0, 0], "of a source that keeps for ever");
    let all = ["web-shop a", "web-shop b", "web-shop c", "default a"];
    assert_eq!(listed(&app).await, all);
    assert_eq!(figures(&app).await, (json!(4), json!(4)));

    // Retention counts from the day on which a record was recorded.
    let recorded: DateTime<Utc> = sqlx::query_scalar(
        "select max(recorded_at) from events where event_type = 'log_batch.accepted'",
    )
    .fetch_one(app.db().pool())
    .await
    .unwrap();
    hand.set(recorded + TimeDelta::days(4));
    eventually("the short source's records are gone", async || {
        listed(&app).await == ["default a"]
    })
    .await;
    // Volumes are figures and stay; what is counted from records goes with them.
    assert_eq!(figures(&app).await, (json!(4), json!(1)));
    let events = "select count(*) from events where event_type = 'log_batch.accepted'";
    assert_eq!(count(&app, events).await, 2, "the log keeps them");
    let told = settled(&app, "{ logSource(id: \"web-shop\") { records } }").await;
    assert_eq!(told["logSource"]["records"], 0);

    // Folded anew they are not shown again, so both generations are equal.
    let tenant: Arc<str> = "default".into();
    for compare in [true, false] {
        let options = RebuildOptions {
            compare,
            clock: app.app().clock.clone(),
            ..RebuildOptions::default()
        };
        let rebuilt = app
            .app()
            .consumers
            .rebuild(&tenant, "logs", options, |_| ());
        assert_eq!(rebuilt.await.unwrap().digest.is_some(), compare);
        assert_eq!(listed(&app).await, ["default a"]);
    }
    // Who follows the log from its beginning is told all of it.
    let token = app.token(&[Role::Viewer], "default");
    let mut tail = socket_at(app.address(), &token).await;
    let query = "subscription { logTail(after: \"0\") { id source records { eventId } } }";
    tail.subscribe("1", query).await;
    for (source, ids) in [("web-shop", vec!["a", "b", "c"]), ("default", vec!["a"])] {
        let item = next(&mut tail).await;
        let records = item["records"].as_array().unwrap().iter();
        let told: Vec<&str> = records.map(|r| r["eventId"].as_str().unwrap()).collect();
        assert_eq!((item["source"].as_str(), told), (Some(source), ids));
    }
    assert_eq!(figures(&app).await, (json!(4), json!(1)));
}
