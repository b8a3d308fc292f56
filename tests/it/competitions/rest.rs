//! `/api/v1/leaderboard`: the same operations by plain HTTP.

use serde_json::{Value, json};

use super::scene::{Arena, but, lines, ranked};
use crate::identity::scene::As;
use crate::support::Reply;

impl Arena {
    /// Asks for a path once the read models show all that was written.
    async fn get(&self, who: &As, path: &str) -> Reply {
        let head = self.scene.app.head().await.to_string();
        let waits = [("daybook-at-least", head.as_str())];
        self.scene
            .send(who, &format!("GET {path}"), &waits, b"")
            .await
    }

    /// Hands a score in.
    async fn update(&self, who: &As, headers: &[(&str, &str)], body: &Value) -> Reply {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = body.to_string();
        self.scene
            .send(
                who,
                "POST /api/v1/leaderboard/update",
                &all,
                body.as_bytes(),
            )
            .await
    }
}

#[tokio::test]
async fn a_score_goes_by_way_of_rest() {
    let arena = Arena::open().await;
    let sum = but(arena.rules(), json!({ "operator": "SUM", "decimals": 1 }));
    arena.joined("cup", sum).await;
    let (ann, root) = (&arena.ann, &arena.root.access);
    let body = json!({ "competition_id": "cup", "score": "2.5", "sub_score": 1, "source": "app",
                       "achieved_at": arena.at(-60), "submission_id": "s1" });
    let key = [("idempotency-key", "k1")];
    for replayed in ["", "true"] {
        let reply = arena.update(&ann.access, &key, &body).await;
        let told = reply.json();
        assert_eq!(reply.status, 200, "{told}");
        assert_eq!(told["entry"]["userId"], json!(ann.id));
        assert_eq!(told["period"]["score"], "2.5");
        assert_eq!(told["period"]["subScore"], "1.0");
        assert_eq!(reply.header("idempotent-replayed"), replayed);
        assert_eq!(
            reply.header("daybook-position"),
            told["receipt"]["position"]
        );
    }
    // Who says no time means the one at which it came first, however often it comes.
    let untimed = [
        json!({ "competition_id": "cup", "score": 3, "submission_id": "s2" }),
        json!({ "competition_id": "cup", "score": 4, "command_id": "c1" }),
    ];
    for (n, body) in untimed.iter().enumerate() {
        for _ in 0..3 {
            arena.clock.advance(chrono::TimeDelta::seconds(1));
            let reply = arena.update(&ann.access, &[], body).await;
            let told = reply.json();
            assert_eq!(reply.status, 200, "{told}");
            let score = ["5.5", "9.5"][n];
            assert_eq!(told["period"]["score"], score, "{body}: {told}");
        }
    }
    let otherwise = json!({ "competition_id": "cup", "score": 5, "submission_id": "s2" });
    let reply = arena.update(&ann.access, &[], &otherwise).await.json();
    assert_eq!(reply["code"], "DUPLICATE_DIFFERS");
    // For somebody else, by whoever may.
    let of_bob = json!({ "competition_id": "cup", "user_id": arena.bob.id, "score": 1 });
    assert_eq!(arena.update(root, &[], &of_bob).await.status, 200);
    let reply = arena.update(&ann.access, &[], &of_bob).await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (403, &json!("FORBIDDEN"))
    );
}

/// J7, J8, J9, D17
#[tokio::test]
async fn a_bad_score_is_a_problem() {
    let arena = Arena::open().await;
    let sum = but(arena.rules(), json!({ "operator": "SUM" }));
    arena.joined("cup", sum).await;
    let ann = &arena.ann.access;
    let head = arena.scene.app.head().await;
    let scored = |score: Value| json!({ "competition_id": "cup", "score": score });
    let with = |other: Value| but(scored(json!(1)), other);
    for (body, status, code) in [
        (scored(json!("NaN")), 422, "VALIDATION"),
        (scored(json!("Infinity")), 422, "VALIDATION"),
        (scored(json!("-Infinity")), 422, "VALIDATION"),
        (scored(json!("1e400")), 422, "VALIDATION"),
        (scored(json!(1e2)), 422, "VALIDATION"),
        (scored(json!(0.5)), 422, "VALIDATION"),
        (scored(json!(-1)), 422, "OUT_OF_RANGE"),
        (scored(json!("9223372036854775808")), 422, "OUT_OF_RANGE"),
        (
            scored(json!(9_007_199_254_740_993_u64)),
            422,
            "OUT_OF_RANGE",
        ),
        (scored(json!(i64::MIN)), 422, "OUT_OF_RANGE"),
        (
            with(json!({ "achieved_at": arena.at(86_400) })),
            422,
            "TIME_IN_FUTURE",
        ),
        (with(json!({ "competition_id": "none" })), 404, "NOT_FOUND"),
        (with(json!({ "points": 1 })), 422, "VALIDATION"),
        (json!({ "competition_id": "cup" }), 422, "VALIDATION"),
        (json!({ "score": 1 }), 422, "VALIDATION"),
        (json!([1]), 400, "BAD_REQUEST"),
    ] {
        let reply = arena.update(ann, &[], &body).await;
        let told = reply.json();
        assert_eq!(
            (reply.status, &told["code"]),
            (status, &json!(code)),
            "{body}: {told}"
        );
    }
    let twice = with(json!({ "command_id": "a" }));
    let reply = arena.update(ann, &[("idempotency-key", "b")], &twice).await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (400, &json!("BAD_REQUEST"))
    );
    let text = b"{\"competition_id\": \"cup\", \"score\": NaN}";
    let json = [("content-type", "application/json")];
    let line = "POST /api/v1/leaderboard/update";
    let reply = arena.scene.send(ann, line, &json, text).await;
    assert_eq!(reply.status, 400, "{}", reply.json());
    assert_eq!(arena.scene.app.head().await, head, "nothing was kept");
    // -0 is 0, and the sum ends where numbers do.
    for (n, (score, told)) in [("-0", "0"), ("9223372036854775807", "9223372036854775807")]
        .into_iter()
        .enumerate()
    {
        let body = but(
            scored(json!(score)),
            json!({ "submission_id": n.to_string() }),
        );
        let reply = arena.update(ann, &[], &body).await.json();
        assert_eq!(reply["period"]["score"], told, "{reply}");
    }
    let reply = arena
        .update(ann, &[], &with(json!({ "submission_id": "more" })))
        .await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (422, &json!("OUT_OF_RANGE"))
    );
}

#[tokio::test]
async fn a_board_goes_by_way_of_rest() {
    let arena = Arena::open().await;
    let scores = [("a", 9, 4), ("b", 7, 3), ("c", 7, 2), ("d/e", 3, 1)];
    arena.played("cup", arena.rules(), &scores[..3]).await;
    let root = &arena.root.access;
    let before = arena.scene.app.head().await;
    let excluded = json!({ "competition": "cup", "user": "a", "reason": "r" });
    arena.done(root, "excludeEntry", excluded).await;
    let page = async |query: &str| {
        let reply = arena
            .get(root, &format!("/api/v1/leaderboard/cup{query}"))
            .await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.json());
        assert_ne!(reply.header("daybook-position"), "");
        reply.json()
    };
    let told = page("").await;
    assert_eq!(ranked(&told["items"]), lines(&[(1, "b"), (1, "c")]));
    assert_eq!((&told["next"], &told["size"]), (&Value::Null, &json!(2)));
    assert_eq!(told["period"]["key"], "all");
    let told = page(&format!("?as_of={before}")).await;
    assert_eq!(
        ranked(&told["items"]),
        lines(&[(1, "a"), (2, "b"), (2, "c")])
    );
    assert_eq!(told["asOfPosition"], before.to_string());
    let told = page("?as_of=1971-01-01T00%3A00%3A00Z").await;
    assert_eq!(ranked(&told["items"]), lines(&[]));
    let told = page("?users=c,x").await;
    assert_eq!(ranked(&told["items"]), lines(&[(1, "c")]));
    assert_eq!(ranked(&page("?group=g").await["items"]), lines(&[]));
    assert_eq!(ranked(&page("?rank=2").await["items"]), lines(&[]));
    let first = page("?first=1&period=all").await;
    let next = format!(
        "?first=1&period=all&after={}",
        first["next"].as_str().unwrap()
    );
    assert_eq!(ranked(&page(&next).await["items"]), lines(&[(1, "c")]));

    let reply = arena
        .get(root, "/api/v1/leaderboard/cup/users/c?around=1")
        .await;
    let told = reply.json();
    assert_eq!(reply.status, 200, "{told}");
    assert_eq!(told["line"]["rank"], 1);
    assert_eq!(ranked(&told["lines"]), lines(&[(1, "b"), (1, "c")]));
    for (path, status, code) in [
        ("none", 404, "NOT_FOUND"),
        ("none/users/c", 404, "NOT_FOUND"),
        ("cup/users/nobody", 404, "NOT_FOUND"),
        ("cup/users/a", 404, "NOT_FOUND"),
        ("cup?period=2027-01-15", 404, "NOT_FOUND"),
        ("cup?after=x", 422, "BAD_CURSOR"),
        ("cup?first=0", 422, "PAGE_LIMIT"),
        ("cup?first=many", 422, "VALIDATION"),
        ("cup?first=1&first=2", 422, "VALIDATION"),
        ("cup?rank=0", 422, "OUT_OF_RANGE"),
        ("cup?group=g&users=u", 422, "VALIDATION"),
        ("cup?sort=up", 422, "VALIDATION"),
        ("cup?as_of=yesterday", 422, "VALIDATION"),
        ("cup?as_of=999999999", 422, "BAD_POSITION"),
        ("cup/users/c?around=101", 422, "PAGE_LIMIT"),
        ("c%00p", 400, "BAD_TEXT"),
        ("update", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let reply = arena
            .get(root, &format!("/api/v1/leaderboard/{path}"))
            .await;
        let told = reply.json();
        assert_eq!(
            (reply.status, &told["code"]),
            (status, &json!(code)),
            "{path}: {told}"
        );
    }
    let nobody = arena.get(&As::Nobody, "/api/v1/leaderboard/cup").await;
    assert_eq!(nobody.status, 401);
    let cid = arena.scene.person("default", "cid", &[]).await.access;
    let reply = arena.get(&cid, "/api/v1/leaderboard/cup").await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (403, &json!("FORBIDDEN"))
    );
}
