//! What people decide on entries, and what is said against it.

use serde_json::json;

use super::scene::{Arena, but};

#[tokio::test]
async fn a_score_that_is_hard_to_believe_waits() {
    let arena = Arena::open().await;
    let rules = json!({ "guards": { "scoreMax": 10, "manualRefused": true } });
    arena.joined("cup", but(arena.rules(), rules)).await;
    let (ann, root) = (&arena.ann, &arena.root.access);
    let high = arena.score("cup", json!(11));
    let told = arena.done(&ann.access, "submitScore", high).await;
    assert_eq!(
        told["period"],
        json!({ "key": "all", "score": null, "subScore": null, "achievedAt": null, "attempts": 1,
                "waiting": [{ "attempt": 1, "score": "11", "achievedAt": arena.at(0) }] })
    );
    let by_hand = but(
        arena.score("cup", json!(3)),
        json!({ "manual": true, "submissionId": "hand" }),
    );
    arena.done(&ann.access, "submitScore", by_hand).await;
    let of = |attempt: i32| {
        json!({ "competition": "cup", "user": ann.id, "period": "all", "attempt": attempt,
                "reason": "looked into" })
    };
    let released = arena.done(root, "releaseScore", of(1)).await;
    assert_eq!(released["entry"]["period"]["score"], "11");
    let dismissed = arena.done(root, "dismissScore", of(2)).await;
    assert_eq!(dismissed["entry"]["period"]["waiting"], json!([]));
    for (field, attempt) in [
        ("releaseScore", 1),
        ("dismissScore", 2),
        ("releaseScore", 9),
    ] {
        let told = arena.refused(root, field, of(attempt)).await;
        assert_eq!(
            told,
            ("NOT_FOUND".to_owned(), "attempt".to_owned()),
            "{field} {attempt}"
        );
    }
    let told = arena.refused(root, "releaseScore", of(-1)).await;
    assert_eq!(told, ("OUT_OF_RANGE".to_owned(), "attempt".to_owned()));
}

#[tokio::test]
async fn whoever_is_excluded_can_say_something_to_it() {
    let arena = Arena::open().await;
    arena.joined("cup", arena.rules()).await;
    let root = &arena.root.access;
    let outsider = json!({ "competition": "cup", "user": "4711" });
    arena.done(root, "joinCompetition", outsider).await;
    // Somebody with an account, and somebody without one.
    for (who, user) in [(&arena.ann.access, arena.ann.id.as_str()), (root, "4711")] {
        let of = |other| but(json!({ "competition": "cup", "user": user }), other);
        let score = but(arena.score("cup", json!(5)), json!({ "user": user }));
        arena.done(who, "submitScore", score.clone()).await;
        let excluded = of(json!({ "reason": "two phones" }));
        let excluded = arena.done(root, "excludeEntry", excluded).await;
        assert_eq!(excluded["entry"]["excluded"], true);
        let more = but(score, json!({ "submissionId": "more" }));
        for (field, input) in [("submitScore", more), ("joinCompetition", of(json!({})))] {
            let (code, _) = arena.refused(who, field, input).await;
            assert_eq!(code, "EXCLUDED", "{field}");
        }
        let disputed = of(json!({ "statement": "one was broken" }));
        let disputed = arena.done(who, "openDispute", disputed).await;
        assert_eq!(disputed["entry"]["disputed"], true);
        let again = of(json!({ "statement": "once more" }));
        let (code, _) = arena.refused(who, "openDispute", again).await;
        assert_eq!(code, "ILLEGAL_TRANSITION");
        let right = of(json!({ "outcome": "OVERTURNED", "reason": "it was" }));
        let right = arena.done(root, "resolveDispute", right.clone()).await;
        let entry = &right["entry"];
        assert_eq!(
            (
                &entry["excluded"],
                &entry["disputed"],
                &entry["period"]["score"]
            ),
            (&json!(false), &json!(false), &json!("5"))
        );
        let back = of(json!({ "reason": "already so" }));
        arena.done(root, "reinstateEntry", back).await;
    }
    // What was said of somebody is nowhere to be read.
    let said = "select count(*) from events where payload::text like '%two phones%'";
    let said: i64 = sqlx::query_scalar(said)
        .fetch_one(arena.scene.app.store().pool())
        .await
        .unwrap();
    assert_eq!(said, 0);
    let nobody = json!({ "competition": "cup", "user": "nobody", "reason": "r" });
    let (code, _) = arena.refused(root, "excludeEntry", nobody).await;
    assert_eq!(code, "NOT_FOUND");
}
