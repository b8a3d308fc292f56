//! What sources tell of activities: once, told otherwise, taken back, moved.

use futures::future::join_all;
use serde_json::{Value, json};

use super::scene::{Arena, but};
use crate::identity::scene::{As, outcome};

/// A walk of half an hour.
fn walk(id: &str, start: &str) -> Value {
    let day = &start[..10];
    json!({ "source": "fitbit", "externalId": id, "kind": "walking",
            "start": format!("{day}T10:00:00Z"), "end": format!("{day}T10:30:00Z"),
            "measures": { "steps": 3_000, "distanceM": "2100.5" } })
}

fn told(activity: Value) -> Value {
    json!({ "activity": activity })
}

fn removed(id: &str) -> Value {
    json!({ "remove": { "source": "fitbit", "externalId": id } })
}

impl Arena {
    /// Hands records in; what became of each.
    async fn sync(&self, who: &As, records: Vec<Value>) -> Vec<String> {
        let input = json!({ "records": records });
        let synced = self.done(who, "syncActivities", input).await;
        let results = synced["results"].as_array().unwrap();
        let word = |result: &Value| match result["error"]["code"].as_str() {
            Some(code) => code.to_owned(),
            None => result["status"].as_str().unwrap().to_owned(),
        };
        results.iter().map(word).collect()
    }
}

#[tokio::test]
async fn an_activity_is_taken_in_once_however_often_it_is_told() {
    let arena = Arena::open().await;
    let ann = &arena.ann.access;
    let (first, second) = (walk("a", "2026-11-30"), walk("b", "2026-12-01"));
    let both = vec![told(first.clone()), told(second.clone())];
    assert_eq!(
        arena.sync(ann, both.clone()).await,
        ["RECORDED", "RECORDED"]
    );
    let head = arena.scene.app.head().await;
    assert_eq!(arena.sync(ann, both).await, ["DUPLICATE", "DUPLICATE"]);
    assert_eq!(arena.scene.app.head().await, head, "nothing is new");

    let farther = but(first.clone(), json!({ "measures": { "steps": 3_100 } }));
    let mixed = vec![
        told(farther.clone()),
        removed("b"),
        removed("none"),
        told(farther),
    ];
    assert_eq!(
        arena.sync(ann, mixed).await,
        ["AMENDED", "REMOVED", "ABSENT", "DUPLICATE"]
    );
    assert_eq!(arena.sync(ann, vec![removed("b")]).await, ["ABSENT"]);
    assert_eq!(arena.sync(ann, vec![told(second)]).await, ["RECORDED"]);
    // Whose it is tells it apart.
    assert_eq!(
        arena.sync(&arena.bob.access, vec![told(first)]).await,
        ["RECORDED"]
    );
}

/// Two devices tell of one walk: both are kept, and marked by whose they are. Which of them counts is for
/// the rules of a competition.
#[tokio::test]
async fn two_devices_may_tell_of_one_walk() {
    let arena = Arena::open().await;
    let phone = but(walk("p", "2026-11-30"), json!({ "device": "phone" }));
    let watch = but(walk("w", "2026-11-30"), json!({ "device": "watch" }));
    let sent = [phone, watch].map(|activity| arena.sync(&arena.ann.access, vec![told(activity)]));
    assert_eq!(join_all(sent).await, [["RECORDED"], ["RECORDED"]]);
}

#[tokio::test]
async fn a_bad_record_is_rejected_alone() {
    let arena = Arena::open().await;
    let ann = &arena.ann.access;
    let good = walk("good", "2026-11-30");
    let with = |other: Value| told(but(walk("bad", "2026-11-30"), other));
    let records = vec![
        told(good.clone()),
        with(json!({ "start": "yesterday" })),
        with(json!({ "end": "2026-11-30T09:00:00Z" })),
        with(json!({ "start": arena.at(0), "end": arena.at(301) })),
        with(json!({ "measures": {} })),
        with(json!({ "measures": { "steps": -1 } })),
        with(json!({ "measures": { "distanceM": "NaN" } })),
        with(json!({ "measures": { "distanceM": "1.0005" } })),
        with(json!({ "externalId": "" })),
        with(json!({ "offsetMinutes": 100_000 })),
        // The good one is told otherwise, and taken back, in the same breath.
        told(but(walk("good", "2026-12-24"), json!({}))),
        removed("good"),
    ];
    let input = json!({ "records": records, "commandId": "s" });
    let synced = arena.done(ann, "syncActivities", input.clone()).await;
    let results = synced["results"].as_array().unwrap();
    let words: Vec<_> = results
        .iter()
        .map(|result| {
            let path = result["error"]["path"].as_array();
            let path = path
                .into_iter()
                .flatten()
                .map(|part| part.as_str().unwrap());
            (
                result["error"]["code"].as_str().unwrap_or("ok"),
                path.skip(3).collect::<Vec<_>>().join("."),
            )
        })
        .collect();
    let expected = [
        ("ok", ""),
        ("BAD_TIMESTAMP", "activity.start"),
        ("TIME_TRAVEL", "activity.end"),
        ("ACTIVITY_IN_FUTURE", "activity.end"),
        ("VALIDATION", "activity.measures"),
        ("OUT_OF_RANGE", "activity.measures.steps"),
        ("VALIDATION", "activity.measures.distanceM"),
        ("VALIDATION", "activity.measures.distanceM"),
        ("VALIDATION", "activity.externalId"),
        ("OUT_OF_RANGE", "activity.offsetMinutes"),
        ("VALIDATION", "activity.externalId"),
        ("VALIDATION", "remove.externalId"),
    ];
    let expected = expected.map(|(code, path)| (code, path.to_owned()));
    assert_eq!(words, expected);
    // A retry is told the same.
    let again = arena.done(ann, "syncActivities", input.clone()).await;
    assert_eq!(again["receipt"]["replayed"], true);
    assert_eq!(again["results"], synced["results"]);
    let beside = arena.scene.beside().await;
    let query = "mutation($i: SyncActivitiesInput!) { syncActivities(input: $i) {
        results { index status flags error { code path } } receipt { replayed } userErrors { code } } }";
    let elsewhere = beside.ask(ann, query, json!({ "i": input })).await;
    assert_eq!(
        elsewhere["data"]["syncActivities"]["results"],
        synced["results"]
    );

    let rejected: i64 = sqlx::query_scalar("select count(*) from rejected_records")
        .fetch_one(arena.scene.app.store().pool())
        .await
        .unwrap();
    assert_eq!(
        rejected, 0,
        "what somebody did is kept nowhere if it is not taken in"
    );
    for (records, code) in [
        (vec![], "VALIDATION"),
        (vec![told(good); 1_001], "TOO_LARGE"),
    ] {
        let input = json!({ "records": records });
        let told = arena.refused(ann, "syncActivities", input).await;
        assert_eq!(told, (code.to_owned(), "records".to_owned()));
    }
    let others = json!({ "user": arena.bob.id, "records": [removed("a")] });
    let told = arena.send(ann, "syncActivities", others).await;
    assert_eq!(outcome(&told), "FORBIDDEN");
}

#[tokio::test]
async fn what_no_body_can_do_is_marked() {
    let arena = Arena::open().await;
    let flight = but(
        walk("f", "2026-11-30"),
        json!({ "measures": { "distanceM": 90_000 } }),
    );
    let input = json!({ "records": [told(flight)] });
    let synced = arena.done(&arena.ann.access, "syncActivities", input).await;
    assert_eq!(synced["results"][0]["flags"], json!(["SPEED"]));
}

/// The log gives an activity to one month at a time.
#[tokio::test]
async fn an_activity_that_moves_to_another_month_is_in_one() {
    let arena = Arena::open().await;
    let ann = &arena.ann.access;
    let moved = |day: &str| told(walk("a", day));
    assert_eq!(
        arena.sync(ann, vec![moved("2026-10-31")]).await,
        ["RECORDED"]
    );
    let with_another = vec![moved("2026-11-01"), told(walk("b", "2026-10-30"))];
    assert_eq!(arena.sync(ann, with_another).await, ["AMENDED", "RECORDED"]);
    assert_eq!(
        arena.sync(ann, vec![moved("2026-11-01")]).await,
        ["DUPLICATE"]
    );
    assert_eq!(
        arena.sync(ann, vec![moved("2026-10-31")]).await,
        ["AMENDED"]
    );
    // Wherever it is, it is taken back there.
    assert_eq!(arena.sync(ann, vec![removed("a")]).await, ["REMOVED"]);
    assert_eq!(arena.sync(ann, vec![removed("a")]).await, ["ABSENT"]);

    // Many tell at once that it was in one month or the other: it is in one of them.
    let days = ["2026-08-01", "2026-09-01"];
    let sent = (0..20).map(|n| {
        let input = json!({ "records": [told(walk("c", days[n % 2]))] });
        arena.send(ann, "syncActivities", input)
    });
    for answer in join_all(sent).await {
        let code = outcome(&answer);
        assert!(["ok", "VERSION_CONFLICT"].contains(&code), "{answer}");
    }
    let last = told(walk("c", days[0]));
    let word = arena.sync(ann, vec![last]).await;
    assert!(
        ["DUPLICATE", "AMENDED"].contains(&word[0].as_str()),
        "{word:?}"
    );
    assert_eq!(arena.sync(ann, vec![removed("c")]).await, ["REMOVED"]);
    assert_eq!(arena.sync(ann, vec![removed("c")]).await, ["ABSENT"]);
}
