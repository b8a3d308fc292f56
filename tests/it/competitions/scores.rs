//! Scores: exact, within a window, once.

use futures::future::join_all;
use serde_json::json;

use super::scene::{Arena, but};
use crate::identity::scene::outcome;

/// J7, J8, J9
#[tokio::test]
async fn a_score_is_exact_or_none() {
    let arena = Arena::open().await;
    let rules = json!({ "operator": "SUM", "decimals": 1 });
    arena.joined("cup", but(arena.rules(), rules)).await;
    let ann = &arena.ann.access;
    for (score, code) in [
        (json!("NaN"), "VALIDATION"),
        (json!("Infinity"), "VALIDATION"),
        (json!("-Infinity"), "VALIDATION"),
        (json!("1e400"), "VALIDATION"),
        (json!("1e2"), "VALIDATION"),
        (json!(1e2), "VALIDATION"),
        (json!(12.5), "VALIDATION"),
        (json!("12.55"), "VALIDATION"),
        (json!(""), "VALIDATION"),
        (json!("1٣"), "VALIDATION"),
        (json!(-1), "OUT_OF_RANGE"),
        (json!("-0.1"), "OUT_OF_RANGE"),
        (json!(9_007_199_254_740_993_u64), "OUT_OF_RANGE"),
        (json!(u64::MAX), "OUT_OF_RANGE"),
        (json!("922337203685477580.8"), "OUT_OF_RANGE"),
    ] {
        let told = arena
            .refused(ann, "submitScore", arena.score("cup", score.clone()))
            .await;
        assert_eq!(told, (code.to_owned(), "score".to_owned()), "{score}");
    }
    for score in [json!(true), json!([1]), json!({ "n": 1 }), json!(null)] {
        let told = arena
            .send(ann, "submitScore", arena.score("cup", score.clone()))
            .await;
        assert_eq!(
            outcome(&told),
            "GRAPHQL_VALIDATION_FAILED",
            "{score}: {told}"
        );
    }
    let zero = arena
        .done(ann, "submitScore", arena.score("cup", json!("-0")))
        .await;
    assert_eq!(zero["period"]["score"], "0.0");
    let most = but(
        arena.score("cup", json!("922337203685477580.7")),
        json!({ "submissionId": "most" }),
    );
    let told = arena.done(ann, "submitScore", most).await;
    assert_eq!(told["period"]["score"], "922337203685477580.7");
    let one_more = but(
        arena.score("cup", json!("0.1")),
        json!({ "submissionId": "more" }),
    );
    let told = arena.refused(ann, "submitScore", one_more).await;
    assert_eq!(told, ("OUT_OF_RANGE".to_owned(), "score".to_owned()));
}

/// D17
#[tokio::test]
async fn a_score_counts_once_from_however_many_devices() {
    let arena = Arena::open().await;
    let rules = json!({ "operator": "SUM", "attemptsMax": 2 });
    arena.joined("cup", but(arena.rules(), rules)).await;
    let ann = &arena.ann.access;
    let walk = but(
        arena.score("cup", json!(5)),
        json!({ "submissionId": "walk" }),
    );
    let sent = (0..20).map(|_| arena.send(ann, "submitScore", walk.clone()));
    for answer in join_all(sent).await {
        assert_eq!(outcome(&answer), "ok", "{answer}");
        assert_eq!(
            answer["data"]["submitScore"]["period"]["score"], "5",
            "{answer}"
        );
    }
    let head = arena.scene.app.head().await;
    arena.done(ann, "submitScore", walk.clone()).await;
    assert_eq!(arena.scene.app.head().await, head, "already so");
    // Another device tells the same walk otherwise: not counted a second time.
    for other in [json!({ "score": 6 }), json!({ "source": "watch" })] {
        let input = but(walk.clone(), other);
        let (code, _) = arena.refused(ann, "submitScore", input).await;
        assert_eq!(code, "DUPLICATE_DIFFERS");
    }
    let run = but(
        arena.score("cup", json!(2)),
        json!({ "commandId": "c", "achievedAt": arena.at(-9) }),
    );
    let first = arena.done(ann, "submitScore", run.clone()).await;
    assert_eq!(
        (&first["period"]["score"], &first["period"]["attempts"]),
        (&json!("7"), &json!(2))
    );
    let again = arena.done(ann, "submitScore", run.clone()).await;
    assert_eq!(again["receipt"]["replayed"], true);
    assert_eq!(again["receipt"]["position"], first["receipt"]["position"]);
    let (code, _) = arena
        .refused(ann, "submitScore", but(run, json!({ "score": 3 })))
        .await;
    assert_eq!(code, "IDEMPOTENCY_KEY_REUSED");
    let third = but(
        arena.score("cup", json!(1)),
        json!({ "submissionId": "third" }),
    );
    let (code, _) = arena.refused(ann, "submitScore", third).await;
    assert_eq!(code, "MAX_ATTEMPTS_REACHED");
}

#[tokio::test]
async fn a_score_is_of_somebody_who_takes_part_and_of_its_time() {
    let arena = Arena::open().await;
    let rules = json!({ "countsFrom": "JOINING", "endsAt": arena.at(7_200) });
    arena.opened("cup", but(arena.rules(), rules)).await;
    let (ann, root) = (&arena.ann.access, &arena.root.access);
    let score = arena.score("cup", json!(1));
    let (code, _) = arena.refused(ann, "submitScore", score.clone()).await;
    assert_eq!(code, "JOIN_REQUIRED");
    arena
        .done(ann, "joinCompetition", json!({ "competition": "cup" }))
        .await;
    let then = |seconds| but(score.clone(), json!({ "achievedAt": arena.at(seconds) }));
    for (input, code) in [
        (then(-60), "JOIN_REQUIRED"),
        (then(301), "TIME_IN_FUTURE"),
        (then(86_400), "TIME_IN_FUTURE"),
        (
            but(score.clone(), json!({ "competition": "none" })),
            "NOT_FOUND",
        ),
        (
            but(score.clone(), json!({ "competition": "a/b" })),
            "VALIDATION",
        ),
    ] {
        let (told, _) = arena.refused(ann, "submitScore", input.clone()).await;
        assert_eq!(told, code, "{input}");
    }
    let others = but(score.clone(), json!({ "user": arena.bob.id }));
    let told = arena.send(ann, "submitScore", others).await;
    assert_eq!(outcome(&told), "FORBIDDEN");
    // Whoever may hand records in may do so for anybody, and so may a key.
    let (_, key) = arena.scene.key(root, &["scores:write"]).await;
    for (who, n) in [(root, 1), (&key, 2)] {
        let input = but(
            score.clone(),
            json!({ "user": arena.ann.id, "submissionId": n.to_string() }),
        );
        arena.done(who, "submitScore", input).await;
    }
    let told = arena
        .send(
            &key,
            "joinCompetition",
            json!({ "competition": "cup", "user": "u" }),
        )
        .await;
    assert_eq!(outcome(&told), "FORBIDDEN");

    let steps = but(
        arena.rules(),
        json!({ "metric": "STEPS", "operator": "SUM" }),
    );
    arena.joined("walks", steps).await;
    let (code, _) = arena
        .refused(ann, "submitScore", arena.score("walks", json!(1)))
        .await;
    assert_eq!(code, "AUTHORITATIVE_ONLY");
}
