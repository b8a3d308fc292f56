//! Duplicates and rejections are counted by source, code and hour, with the batch that had them.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde_json::{Value, json};

use super::commands::{ingest, said};
use super::{count, now, record, send, started};
use crate::support::TestApp;

/// What was counted of a source, or of all, within a span of all times.
async fn counted(app: &TestApp, source: Option<&str>) -> Vec<(String, String, i64)> {
    let (from, to) = (DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
    let to = to - TimeDelta::days(365 * 200_000);
    let tallies = app
        .store()
        .log_tallies("default", source, (from, to), 100)
        .await;
    let tallies = tallies.unwrap().into_iter();
    tallies.map(|t| (t.source, t.code, t.records)).collect()
}

fn bad(field: &str, value: Value) -> Value {
    let mut bad = said(None);
    bad[field] = value;
    bad
}

#[tokio::test]
async fn what_is_not_accepted_is_counted_once() {
    let app = started().await;
    let mut differs = said(Some("a"));
    differs["eventName"] = json!("other");
    let logs = [
        said(Some("a")),
        said(Some("a")),
        differs,
        bad("eventType", json!("metric")),
        bad("eventType", json!("x")),
        bad("timestamp", json!("now")),
        said(None),
    ];
    ingest(&app, &logs, Some("1")).await;
    ingest(&app, &logs, Some("1")).await;
    ingest(&app, &[said(None)], None).await;
    send(&app, &[record(None), json!(7)], &[]).await;
    ingest(&app, &[said(Some("a"))], None).await;
    let of = |source: &str, code: &str, n| (source.to_owned(), code.to_owned(), n);
    let shop = [
        of("shop", "BAD_TIMESTAMP", 1),
        of("shop", "DUPLICATE", 2),
        of("shop", "DUPLICATE_DIFFERS", 1),
        of("shop", "UNKNOWN_EVENT_TYPE", 2),
    ];
    // Hours may change meanwhile: each is added up.
    let summed = |tallies: Vec<(String, String, i64)>| {
        let mut sums = std::collections::BTreeMap::new();
        for (source, code, n) in tallies {
            *sums.entry((source, code)).or_insert(0) += n;
        }
        let sums = sums
            .into_iter()
            .map(|((source, code), n)| (source, code, n));
        sums.collect::<Vec<_>>()
    };
    assert_eq!(summed(counted(&app, Some("shop")).await), shop);
    let all = summed(counted(&app, None).await);
    assert_eq!(all[0], of("default", "UNREADABLE_INPUT", 1));
    assert_eq!(all[1..], shop);
    assert_eq!(counted(&app, Some("none")).await, []);
    let rows = "select count(*) from log_tallies";
    assert_eq!(count(&app, rows).await, 6, "a row for each batch and code");

    // By the hour, from its beginning on and before the next one.
    let at: DateTime<Utc> = sqlx::query_scalar("select max(recorded_at) from log_tallies")
        .fetch_one(app.db().pool())
        .await
        .unwrap();
    let hour = at.duration_trunc(TimeDelta::hours(1)).unwrap();
    let (store, micro) = (app.store(), TimeDelta::microseconds(1));
    let told = store
        .log_tallies("default", None, (at, at + micro), 100)
        .await
        .unwrap();
    assert_eq!((told.len(), told[0].hour, told[0].records), (1, hour, 1));
    let before = store
        .log_tallies("default", None, (at - micro, at), 100)
        .await
        .unwrap();
    assert!(before.is_empty(), "{before:?}");
    assert!(
        store
            .log_tallies("south", None, (hour, at + micro), 100)
            .await
            .unwrap()
            .is_empty()
    );

    // Whoever may see what there is asks for it with the other figures, in time order and so many at once.
    let span = (hour - TimeDelta::hours(24), hour + TimeDelta::hours(1));
    let ask = "query($f: DateTime!, $t: DateTime!, $by: LogFilterInput) {
        logStats(filter: $by, from: $f, to: $t) { notAccepted(limit: 3) {
            countedFrom rows { start source code records } more } } }";
    let mut variables = json!({ "f": span.0, "t": span.1, "by": { "source": "shop" } });
    let told = app.data(ask, variables.clone()).await;
    let told = &told["logStats"]["notAccepted"];
    assert_eq!(
        (told["rows"].as_array().unwrap().len(), &told["more"]),
        (3, &json!(true))
    );
    assert_eq!(told["rows"][0]["source"], "shop");
    assert_eq!(
        told["countedFrom"],
        json!(span.0),
        "receipts are kept longer"
    );
    // Of a week, a day is told: the rest may be forgotten.
    variables["f"] = json!(now() - TimeDelta::days(7));
    let week = app.data(ask, variables.clone()).await;
    assert_eq!(
        week["logStats"]["notAccepted"]["countedFrom"],
        json!(now() - TimeDelta::days(1))
    );
    variables["by"] = json!({ "source": "shop", "types": ["ERROR"] });
    let refused = app.ask(ask, variables).await;
    assert_eq!(
        refused["errors"][0]["extensions"]["code"], "VALIDATION",
        "{refused}"
    );

    let old =
        "update log_tallies set recorded_at = now() - interval '25 hours' where source_id = 'shop'";
    sqlx::raw_sql(old).execute(app.db().pool()).await.unwrap();
    store.apply_retention().await.unwrap();
    assert_eq!(counted(&app, None).await, all[..1]);
}
