//! What is one's own: activities, where one stands; and what waits for a moderator.

use daybook::auth::Role;
use serde_json::{Value, json};

use super::scene::{Arena, but};
use crate::identity::scene::{As, outcome};

/// A walk of half an hour.
fn walk(id: &str, source: &str, start: &str, steps: i64) -> Value {
    let end = start.replace(":00:00Z", ":30:00Z");
    json!({ "activity": { "source": source, "externalId": id, "kind": "walking", "start": start,
            "end": end, "measures": { "steps": steps, "distanceM": "2100.5",
                                      "custom": [{ "name": "flights", "value": 3 }] } } })
}

const SPAN: &str = "from: \"2027-01-01T00:00:00Z\", to: \"2027-02-01T00:00:00Z\"";

async fn walked(arena: &Arena) {
    let records = [
        walk("1", "watch", "2027-01-09T10:00:00Z", 5_000),
        walk("2", "watch", "2027-01-11T22:00:00Z", 1_000),
        // Told by the phone as well.
        walk("3", "phone", "2027-01-11T22:00:00Z", 900),
        // Midnight has passed in Berlin.
        walk("4", "watch", "2027-01-11T23:00:00Z", 2_000),
        walk("5", "watch", "2027-01-13T10:00:00Z", 0),
    ];
    let input = json!({ "records": records });
    arena.done(&arena.ann.access, "syncActivities", input).await;
}

#[tokio::test]
async fn activities_are_ones_own() {
    let arena = Arena::open().await;
    walked(&arena).await;
    let (ann, bob) = (&arena.ann, &arena.bob);
    let list = |arguments: &str| {
        format!(
            "activities({SPAN}{arguments}) {{ nodes {{ externalId source kind start end manual revision
               flags measures {{ steps distanceM caloriesKcal custom {{ name value }} }}
               event {{ type }} }} pageInfo {{ hasNextPage endCursor }} }}"
        )
    };
    let told = arena.seen(&ann.access, &list(", first: 3")).await;
    let ids = |told: &Value| {
        let nodes = told["nodes"].as_array().unwrap().iter();
        nodes
            .map(|n| n["externalId"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&told), ["1", "3", "2"]);
    assert_eq!(
        told["nodes"][0],
        json!({ "externalId": "1", "source": "watch", "kind": "walking",
                "start": "2027-01-09T10:00:00Z", "end": "2027-01-09T10:30:00Z", "manual": false,
                "revision": 1, "flags": [],
                "measures": { "steps": 5000, "distanceM": "2100.500", "caloriesKcal": null,
                              "custom": [{ "name": "flights", "value": 3 }] },
                "event": { "type": "activity_log.synced" } })
    );
    let after = format!(", after: {}", told["pageInfo"]["endCursor"]);
    let next = arena.seen(&ann.access, &list(&after)).await;
    assert_eq!(ids(&next), ["4", "5"]);
    // Another's take a role or a scope.
    let of_ann = list(&format!(", user: \"{}\"", ann.id));
    let (_, key) = arena.scene.key(&arena.root.access, &["scores:write"]).await;
    let viewer = arena.scene.program(&[Role::Viewer], "default");
    for (who, expected) in [
        (&ann.access, "ok"),
        (&arena.root.access, "ok"),
        (&key, "ok"),
        (&bob.access, "FORBIDDEN"),
        (&viewer, "FORBIDDEN"),
        (&As::Nobody, "UNAUTHENTICATED"),
    ] {
        assert_eq!(arena.code(who, &of_ann).await, expected, "{who:?}");
        let totals = format!(
            "activityTotals(metric: STEPS, {SPAN}, user: \"{}\") {{ total }}",
            ann.id
        );
        assert_eq!(arena.code(who, &totals).await, expected, "{who:?}");
    }
    let told = arena.seen(&bob.access, &list("")).await;
    assert_eq!(told["nodes"], json!([]));
    for (arguments, code) in [
        (", first: 0".to_owned(), "PAGE_LIMIT"),
        (", after: \"x\"".to_owned(), "BAD_CURSOR"),
    ] {
        assert_eq!(arena.code(&ann.access, &list(&arguments)).await, code);
    }
    // A program is nobody's.
    assert_eq!(arena.code(&arena.program(), &list("")).await, "VALIDATION");
}

#[tokio::test]
async fn totals_are_of_days_and_count_one_walk_once() {
    let arena = Arena::open().await;
    walked(&arena).await;
    let ann = &arena.ann.access;
    let totals = |arguments: &str| {
        format!(
            "activityTotals({SPAN}, {arguments}) {{ userId zone total days {{ day total activities }}
               longestStreak {{ first days }} }}"
        )
    };
    let day = |day: &str, total: &str, activities: i32| json!({ "day": day, "total": total, "activities": activities });
    let berlin = "metric: STEPS, zone: \"Europe/Berlin\", sources: [\"watch\"]";
    let told = arena.seen(ann, &totals(berlin)).await;
    assert_eq!(
        told,
        json!({ "userId": arena.ann.id, "zone": "Europe/Berlin", "total": "8000",
                "days": [day("2027-01-09", "5000", 1), day("2027-01-11", "1000", 1),
                         day("2027-01-12", "2000", 1), day("2027-01-13", "0", 1)],
                "longestStreak": { "first": "2027-01-11", "days": 2 } })
    );
    let told = arena
        .seen(ann, &totals("metric: STEPS, sources: [\"phone\"]"))
        .await;
    assert_eq!(told["total"], "7900");
    assert_eq!(told["days"][1], day("2027-01-11", "2900", 2));
    let told = arena.seen(ann, &totals("metric: DISTANCE")).await;
    assert_eq!(told["total"], "8402.000");
    let told = arena
        .seen(ann, &totals("metric: CUSTOM, customMetric: \"flights\""))
        .await;
    assert_eq!(told["total"], "12");
    let told = arena.seen(ann, &totals("metric: CALORIES")).await;
    assert_eq!(
        (&told["total"], &told["days"], &told["longestStreak"]),
        (&json!("0"), &json!([]), &Value::Null)
    );
    for arguments in [
        "metric: SUBMITTED",
        "metric: CUSTOM",
        "metric: STEPS, customMetric: \"x\"",
        "metric: STEPS, zone: \"Nowhere\"",
    ] {
        assert_eq!(
            arena.code(ann, &totals(arguments)).await,
            "VALIDATION",
            "{arguments}"
        );
    }
    for span in [
        "from: \"2027-02-01T00:00:00Z\", to: \"2027-01-01T00:00:00Z\"",
        "from: \"2020-01-01T00:00:00Z\", to: \"2027-01-01T00:00:00Z\"",
    ] {
        let field = format!("activityTotals(metric: STEPS, {span}) {{ total }}");
        assert_eq!(arena.code(ann, &field).await, "VALIDATION", "{span}");
    }
}

#[tokio::test]
async fn everybody_sees_where_they_stand() {
    let arena = Arena::open().await;
    arena.joined("cup", arena.rules()).await;
    let (ann, bob, root) = (&arena.ann, &arena.bob, &arena.root.access);
    for (who, score) in [(ann, 5), (bob, 7)] {
        let score = arena.score("cup", json!(score));
        arena.done(&who.access, "submitScore", score).await;
    }
    let rank = "myRank(competition: \"cup\") { userId joinedAt size line { rank score }
        exclusion { reason } period { key } }";
    let told = arena.seen(&ann.access, rank).await;
    assert_eq!(
        told,
        json!({ "userId": ann.id, "joinedAt": arena.at(0), "size": 2,
                "line": { "rank": 2, "score": "5" }, "exclusion": null, "period": { "key": "all" } })
    );
    let excluded = json!({ "competition": "cup", "user": ann.id, "reason": "two phones" });
    arena.done(root, "excludeEntry", excluded).await;
    let told = arena.seen(&ann.access, rank).await;
    assert_eq!(
        (&told["line"], &told["exclusion"]),
        (&Value::Null, &json!({ "reason": "two phones" }))
    );
    // Who does not take part is told so, and nothing of the board.
    let cid = arena.scene.person("default", "cid", &[]).await.access;
    let told = arena.seen(&cid, rank).await;
    assert_eq!(
        (&told["joinedAt"], &told["line"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(arena.code(&arena.program(), rank).await, "VALIDATION");
    let none = "myRank(competition: \"none\") { userId }";
    assert_eq!(arena.seen(&ann.access, none).await, Value::Null);
}

#[tokio::test]
async fn what_waits_is_told_to_those_who_decide() {
    let arena = Arena::open().await;
    let rules = json!({ "guards": { "scoreMax": "10.0" }, "decimals": 1 });
    arena.joined("cup", but(arena.rules(), rules)).await;
    arena.joined("quiet", arena.rules()).await;
    let (ann, bob, root) = (&arena.ann, &arena.bob, &arena.root.access);
    let high = but(
        arena.score("cup", json!("11.5")),
        json!({ "submissionId": "s" }),
    );
    arena.done(&ann.access, "submitScore", high).await;
    let of = |user: &str, other: Value| but(json!({ "competition": "quiet", "user": user }), other);
    let excluded = of(&bob.id, json!({ "reason": "two phones" }));
    arena.done(root, "excludeEntry", excluded).await;
    let disputed = json!({ "competition": "quiet", "statement": "one was broken" });
    arena.done(&bob.access, "openDispute", disputed).await;
    let queue = |arguments: &str| {
        format!(
            "moderationQueue{arguments} {{ nodes {{ __typename
               ... on HeldScore {{ competitionId userId period attempt submissionId score achievedAt rule found }}
               ... on OpenDispute {{ competitionId userId excluded statement exclusion {{ reason }} }} }}
               pageInfo {{ hasNextPage endCursor }} }}"
        )
    };
    let told = arena.seen(root, &queue("")).await;
    let found = told["nodes"][0]["found"].clone();
    assert!(
        found.as_str().is_some_and(|found| !found.is_empty()),
        "{told}"
    );
    let held = json!({ "__typename": "HeldScore", "competitionId": "cup", "userId": ann.id,
                       "period": "all", "attempt": 1, "submissionId": "s", "score": "11.5",
                       "achievedAt": arena.at(0), "rule": "SCORE_MAX", "found": found });
    let dispute = json!({ "__typename": "OpenDispute", "competitionId": "quiet", "userId": bob.id,
                          "excluded": true, "statement": "one was broken",
                          "exclusion": { "reason": "two phones" } });
    assert_eq!(told["nodes"], json!([held, dispute]));
    let told = arena.seen(root, &queue("(first: 1)")).await;
    assert_eq!(told["nodes"], json!([held]));
    assert_eq!(told["pageInfo"]["hasNextPage"], true);
    let after = format!("(after: {})", told["pageInfo"]["endCursor"]);
    let told = arena.seen(root, &queue(&after)).await;
    assert_eq!(told["nodes"], json!([dispute]));
    for (competition, expected) in [("cup", &held), ("quiet", &dispute)] {
        let told = arena
            .seen(root, &queue(&format!("(competition: \"{competition}\")")))
            .await;
        assert_eq!(told["nodes"], json!([expected]));
    }
    let told = arena.seen(root, &queue("(competition: \"none\")")).await;
    assert_eq!(told["nodes"], json!([]));
    assert_eq!(arena.code(&ann.access, &queue("")).await, "FORBIDDEN");

    // An auditor finds that something was said, not what.
    let auditor = arena.scene.program(&[Role::Auditor], "default");
    let field = "events(aggregate: { type: \"entry\" }, types: [\"entry.excluded\", \"entry.dispute_opened\"]) {
        nodes { payload redacted { field reason } } }";
    let told = arena.look(&auditor, field).await;
    assert_eq!(outcome(&told), "ok", "{told}");
    let nodes = told["data"]["events"]["nodes"].as_array().unwrap();
    for (node, field) in nodes.iter().zip(["reason", "statement"]) {
        assert_eq!(node["payload"][field], Value::Null, "{node}");
        assert_eq!(
            node["redacted"],
            json!([{ "field": field, "reason": "PERSONAL" }])
        );
    }
    assert_eq!(nodes.len(), 2, "{told}");
}
