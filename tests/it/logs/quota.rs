//! What a source takes a minute: one record too many refuses the batch, over every way in and on every node.

use std::time::Duration;

use chrono::TimeDelta;
use daybook::config::Settings;
use daybook::ops::Clock;
use serde_json::{Value, json};

use super::bodies::otlp;
use super::commands::{INGEST, said, tell};
use super::{BATCH, counts, now, record, send};
use crate::support::{Action, Step, TestApp, TestRedis, Trap, eventually, redis_settings};

const SOURCE: (&str, &str) = ("daybook-log-source", "shop");

async fn limited_to(app: &TestApp, per_minute: u32) {
    let limits = json!({ "limits": { "recordsPerMinuteMax": per_minute } });
    let told = tell(app, "registerLogSource", limits).await;
    assert_eq!(told["userErrors"], json!([]));
}

fn batch(records: usize) -> Vec<Value> {
    vec![record(None); records]
}

#[tokio::test]
async fn one_record_too_many_refuses_the_batch() {
    let (clock, hand) = Clock::mock(now());
    let app = TestApp::at(clock, |_| ()).await;
    limited_to(&app, 60).await;
    let head = app.head().await;
    let (status, told) = send(&app, &batch(61), &[SOURCE]).await;
    assert_eq!(
        (status, &told["code"]),
        (422, &json!("TOO_LARGE")),
        "it never fits"
    );
    assert_eq!((&told["limit"], &told["actual"]), (&json!(60), &json!(61)));
    assert_eq!(app.head().await, head);

    let key = ("idempotency-key", "first");
    let (status, told) = send(&app, &batch(40), &[SOURCE, key]).await;
    assert_eq!((status, counts(&told)), (200, [40, 0, 0]));
    let head = app.head().await;
    let body = json!({ "logs": batch(21) }).to_string();
    let headers = [("content-type", "application/json"), SOURCE];
    for line in [BATCH, "POST /v1/logs"] {
        let body = match line {
            BATCH => body.clone(),
            _ => otlp(21, false).to_string(),
        };
        let reply = app.send(line, &headers, body.as_bytes()).await;
        let told = reply.json();
        assert_eq!(
            (
                reply.status,
                &told["code"],
                &told["quota"],
                &told["retryAfterMs"]
            ),
            (
                429,
                &json!("RATE_LIMITED"),
                &json!("log_records"),
                &json!(1_000)
            ),
            "{line}: {told}"
        );
        assert_eq!(reply.header("retry-after"), "1", "{line}");
    }
    let input = json!({ "source": "shop", "logs": vec![said(None); 21] });
    let told = app.ask(INGEST, json!({ "i": input })).await;
    let extensions = &told["errors"][0]["extensions"];
    assert_eq!(
        (&extensions["code"], &extensions["retryAfterMs"]),
        (&json!("RATE_LIMITED"), &json!(1_000)),
        "{told}"
    );
    assert_eq!(app.head().await, head, "nothing is appended");

    // What was refused was not counted, nor is what was answered before; what is left goes in whole.
    let (_, told) = send(&app, &batch(40), &[SOURCE, key]).await;
    assert_eq!(told["receipt"]["replayed"], true);
    let mut bad = batch(20);
    bad[0]["event_type"] = json!("metric");
    let (status, told) = send(&app, &bad, &[SOURCE]).await;
    assert_eq!((status, counts(&told)), (207, [19, 0, 1]));
    let (status, _) = send(&app, &batch(1), &[SOURCE]).await;
    assert_eq!(status, 429, "rejected ones count");
    hand.advance(TimeDelta::seconds(1));
    let (status, _) = send(&app, &batch(1), &[SOURCE]).await;
    assert_eq!(status, 200);
    // Another source has its own.
    let (status, _) = send(&app, &batch(100), &[]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_limit_that_is_set_anew_holds_from_then_on() {
    let (clock, hand) = Clock::mock(now());
    let app = TestApp::at(clock, |_| ()).await;
    limited_to(&app, 10).await;
    assert_eq!(send(&app, &batch(10), &[SOURCE]).await.0, 200);
    assert_eq!(send(&app, &batch(1), &[SOURCE]).await.0, 429);
    tell(&app, "setLogLimits", json!({ "limits": {} })).await;
    assert_eq!(send(&app, &batch(1_000), &[SOURCE]).await.0, 200);
    let limits = json!({ "limits": { "recordsPerMinuteMax": 5 } });
    tell(&app, "setLogLimits", limits).await;
    hand.advance(TimeDelta::minutes(2));
    assert_eq!(send(&app, &batch(6), &[SOURCE]).await.0, 422);
    assert_eq!(send(&app, &batch(5), &[SOURCE]).await.0, 200);
    assert_eq!(send(&app, &batch(1), &[SOURCE]).await.0, 429);
}

/// Without Redis each counts by itself, but by what the source says now.
#[tokio::test]
async fn a_node_goes_by_what_others_told_the_source() {
    let first = TestApp::at(Clock::mock(now()).0, |_| ()).await;
    let second = first.beside(|_| ()).await;
    limited_to(&first, 10).await;
    assert_eq!(send(&second, &batch(10), &[SOURCE]).await.0, 200);
    assert_eq!(send(&second, &batch(1), &[SOURCE]).await.0, 429);
    assert_eq!(send(&second, &batch(11), &[SOURCE]).await.0, 422);
    tell(&first, "setLogLimits", json!({ "limits": {} })).await;
    assert_eq!(send(&second, &batch(11), &[SOURCE]).await.0, 200);
    let limits = json!({ "limits": { "recordsPerMinuteMax": 20 } });
    tell(&first, "setLogLimits", limits).await;
    let (status, told) = send(&second, &batch(21), &[SOURCE]).await;
    assert_eq!((status, &told["limit"]), (422, &json!(20)));
}

#[tokio::test]
async fn nodes_share_what_a_source_takes() {
    let redis = TestRedis::start().await;
    let share = |settings: &mut Settings| {
        settings.redis = redis_settings(&redis.url());
        settings.redis.budget = Duration::from_secs(10);
        settings.limits.settle_interval = Duration::from_millis(1);
    };
    // By a clock that stands still: nothing is given back meanwhile.
    let first = TestApp::at(Clock::mock(now()).0, share).await;
    let second = first.beside(share).await;
    limited_to(&first, 100).await;
    assert_eq!(send(&first, &batch(90), &[SOURCE]).await.0, 200);
    assert_eq!(send(&second, &batch(1), &[SOURCE]).await.0, 200);
    let left = || {
        let limiter = &second.app().limiter;
        let standing = limiter.log_records("default", "shop", 100, 0);
        standing.map_or(0, |standing| standing.remaining)
    };
    eventually("the other node knows", async || left() < 60).await;
    assert_eq!(send(&second, &batch(60), &[SOURCE]).await.0, 429);
}

/// However often a batch is decided, it is counted once: here its source is told another limit while the
/// batch is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_decided_again_is_not_counted_again() {
    let left = async |is_interrupted: bool| {
        let app = TestApp::at(Clock::mock(now()).0, |_| ()).await;
        let other = app.beside(|_| ()).await;
        limited_to(&app, 10).await;
        let wider = json!({ "limits": { "recordsPerMinuteMax": 20 } });
        let records = batch(6);
        if is_interrupted {
            let [step, _] = Step::around("insert", "commands", "");
            let mut trap = Trap::plant(app.db(), std::slice::from_ref(&step)).await;
            trap.arm(&step, Action::Hold).await;
            let meanwhile = async {
                trap.holds().await;
                tell(&other, "setLogLimits", wider).await;
                trap.disarm().await;
            };
            let (sent, ()) = futures::join!(send(&app, &records, &[SOURCE]), meanwhile);
            assert_eq!((sent.0, counts(&sent.1)), (200, [6, 0, 0]));
        } else {
            assert_eq!(send(&app, &records, &[SOURCE]).await.0, 200);
            tell(&other, "setLogLimits", wider).await;
        }
        let limiter = &app.app().limiter;
        let standing = limiter.log_records("default", "shop", 20, 0);
        standing.map_or(0, |standing| standing.remaining)
    };
    let once = left(false).await;
    assert!(once > 6, "or it could not have been counted twice: {once}");
    assert_eq!(left(true).await, once);
}

/// N4: whatever a source is called, what is kept of it in Redis is a digest.
#[tokio::test]
async fn no_name_of_a_source_is_a_key() {
    let redis = TestRedis::start().await;
    let share = |settings: &mut Settings| {
        settings.redis = redis_settings(&redis.url());
        settings.redis.budget = Duration::from_secs(10);
        settings.limits.settle_interval = Duration::from_millis(1);
    };
    let app = TestApp::at(Clock::mock(now()).0, share).await;
    let names = ["*", "{shop}", "[a-z]?", "a FLUSHALL", "log_records:default"];
    for name in names {
        let input = json!({ "id": name, "limits": { "recordsPerMinuteMax": 10 } });
        let register = "mutation($i: RegisterLogSourceInput!) { registerLogSource(input: $i) {
                        userErrors { code } } }";
        let told = app.data(register, json!({ "i": input })).await;
        assert_eq!(told["registerLogSource"]["userErrors"], json!([]), "{name}");
        for (records, status) in [(10, 200), (1, 429)] {
            let source = ("daybook-log-source", name);
            let told = send(&app, &batch(records), &[source]).await;
            assert_eq!(told.0, status, "{name}");
        }
    }
    let mut all = redis::cmd("KEYS");
    all.arg("*");
    let mut keys: Vec<String> = Vec::new();
    eventually("every bucket is settled", async || {
        keys = redis.tell(&all).await;
        keys.len() >= names.len()
    })
    .await;
    for key in keys {
        let name = names.iter().find(|name| key.contains(**name));
        assert_eq!(name, None, "{key}");
        assert!(
            key.is_ascii() && !key.contains(char::is_whitespace),
            "{key}"
        );
    }
}
