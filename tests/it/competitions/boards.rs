//! Boards: ranks by policy, who is around somebody, groups, who may see them, what is behind a line.

use daybook::auth::Role;
use serde_json::{Value, json};

use super::scene::{Arena, but, lines, ranked};
use crate::identity::scene::{SOUTH, outcome};

/// One leads, two tie at one moment, a third a little later, one is last.
const PLAYED: &[(&str, i64, i64)] = &[
    ("eve", 5, 10),
    ("dan", 7, 20),
    ("cat", 7, 30),
    ("bob", 7, 30),
    ("ada", 9, 50),
];

#[tokio::test]
async fn equal_scores_are_ranked_by_the_policy() {
    let arena = Arena::open().await;
    for (policy, ranks) in [
        ("COMPETITION", [1, 2, 2, 2, 5]),
        ("DENSE", [1, 2, 2, 2, 3]),
        ("ORDINAL", [1, 2, 3, 4, 5]),
        ("EARLIEST", [1, 2, 2, 4, 5]),
    ] {
        let id = policy.to_lowercase();
        let rules = but(arena.rules(), json!({ "ties": policy }));
        arena.played(&id, rules, PLAYED).await;
        let told = arena.lines(&format!("competition: \"{id}\"")).await;
        let users = ["ada", "bob", "cat", "dan", "eve"];
        let expected: Vec<_> = ranks.into_iter().zip(users).collect();
        assert_eq!(told, lines(&expected), "{policy}");
        // From a rank on: of that rank or of the next there is.
        for rank in 1..=6 {
            let from = format!("competition: \"{id}\", rank: {rank}");
            let rest = expected.iter().filter(|(r, _)| *r >= rank).copied();
            assert_eq!(
                arena.lines(&from).await,
                lines(&rest.collect::<Vec<_>>()),
                "{from}"
            );
        }
    }
    // Two of equal scores: 1, 2, 2, 4.
    arena
        .played(
            "four",
            arena.rules(),
            &[("a", 9, 4), ("b", 7, 3), ("c", 7, 2), ("d", 1, 1)],
        )
        .await;
    let told = arena.lines("competition: \"four\"").await;
    assert_eq!(told, lines(&[(1, "a"), (2, "b"), (2, "c"), (4, "d")]));
    let lowest = but(arena.rules(), json!({ "sort": "ASCENDING", "decimals": 1 }));
    arena
        .played("low", lowest, &[("a", 9, 4), ("b", 7, 3)])
        .await;
    let field = "leaderboard(competition: \"low\") {
        competitionId size period { key end } nodes { rank userId score subScore achievedAt } }";
    let told = arena.seen(&arena.root.access, field).await;
    assert_eq!(
        told,
        json!({ "competitionId": "low", "size": 2, "period": { "key": "all", "end": null },
                "nodes": [{ "rank": 1, "userId": "b", "score": "7.0", "subScore": "0.0",
                            "achievedAt": arena.at(-3) },
                          { "rank": 2, "userId": "a", "score": "9.0", "subScore": "0.0",
                            "achievedAt": arena.at(-4) }] })
    );
}

#[tokio::test]
async fn somebody_is_seen_among_those_around_them() {
    let arena = Arena::open().await;
    arena.played("cup", arena.rules(), PLAYED).await;
    let root = &arena.root.access;
    let around = async |user: &str, each_side: i32| {
        let field = format!(
            "leaderboardAround(competition: \"cup\", user: \"{user}\", eachSide: {each_side}) {{
               line {{ rank userId }} lines {{ rank userId }} size }}"
        );
        arena.seen(root, &field).await
    };
    for (user, each_side, rank, expected) in [
        ("ada", 1, 1, &[(1, "ada"), (2, "bob")][..]),
        ("cat", 1, 2, &[(2, "bob"), (2, "cat"), (2, "dan")]),
        ("eve", 1, 5, &[(2, "dan"), (5, "eve")]),
        ("dan", 0, 2, &[(2, "dan")]),
        (
            "cat",
            100,
            2,
            &[(1, "ada"), (2, "bob"), (2, "cat"), (2, "dan"), (5, "eve")],
        ),
    ] {
        let told = around(user, each_side).await;
        assert_eq!(
            ranked(&told["lines"]),
            lines(expected),
            "{user} {each_side}"
        );
        assert_eq!(told["line"], json!({ "rank": rank, "userId": user }));
        assert_eq!(told["size"], 5);
    }
    let nobody = around("nobody", 3).await;
    assert_eq!(
        (&nobody["line"], &nobody["lines"]),
        (&Value::Null, &json!([]))
    );
    for each_side in [-1, 101] {
        let field = format!(
            "leaderboardAround(competition: \"cup\", user: \"ada\", eachSide: {each_side}) {{ size }}"
        );
        assert_eq!(arena.code(root, &field).await, "PAGE_LIMIT", "{each_side}");
    }
}

#[tokio::test]
async fn a_group_and_friends_have_boards_of_their_own() {
    let arena = Arena::open().await;
    arena.opened("cup", arena.rules()).await;
    let root = &arena.root.access;
    for (user, groups, score) in [
        ("ada", json!(["red"]), 9),
        ("bob", json!(["blue"]), 8),
        ("cat", json!(["red", "blue"]), 7),
        ("dan", json!([]), 6),
    ] {
        let of = json!({ "competition": "cup", "user": user });
        let joins = but(of.clone(), json!({ "groups": groups }));
        arena.done(root, "joinCompetition", joins).await;
        let score = but(arena.score("cup", json!(score)), of);
        arena.done(root, "submitScore", score).await;
    }
    for (among, expected) in [
        ("{ group: \"red\" }", &[(1, "ada"), (2, "cat")][..]),
        ("{ group: \"blue\" }", &[(1, "bob"), (2, "cat")]),
        ("{ group: \"none\" }", &[]),
        (
            "{ users: [\"dan\", \"bob\", \"stranger\"] }",
            &[(1, "bob"), (2, "dan")],
        ),
        ("{ users: [] }", &[]),
    ] {
        let board = format!("competition: \"cup\", among: {among}");
        assert_eq!(arena.lines(&board).await, lines(expected), "{among}");
    }
    let field =
        "leaderboardAround(competition: \"cup\", user: \"cat\", among: { group: \"blue\" }) {
        line { rank } size }";
    let told = arena.seen(root, field).await;
    assert_eq!(told, json!({ "line": { "rank": 2 }, "size": 2 }));
    let both = "leaderboard(competition: \"cup\", among: { group: \"a\", users: [] }) { size }";
    assert_eq!(arena.code(root, both).await, "GRAPHQL_VALIDATION_FAILED");
    let users = vec!["\"u\""; 201].join(", ");
    let many =
        format!("leaderboard(competition: \"cup\", among: {{ users: [{users}] }}) {{ size }}");
    assert_eq!(arena.code(root, &many).await, "PAGE_LIMIT");
}

#[tokio::test]
async fn a_board_is_as_it_was_known_then() {
    let arena = Arena::open().await;
    arena.played("cup", arena.rules(), PLAYED).await;
    let before = arena.scene.app.head().await;
    let root = &arena.root.access;
    let excluded = json!({ "competition": "cup", "user": "ada", "reason": "two phones" });
    arena.done(root, "excludeEntry", excluded).await;
    let after = arena.scene.app.head().await;
    let now = [(1, "bob"), (1, "cat"), (1, "dan"), (4, "eve")];
    let then = [(1, "ada"), (2, "bob"), (2, "cat"), (2, "dan"), (5, "eve")];
    for (as_of, expected) in [
        (String::new(), &now[..]),
        (format!(", asOf: {{ position: \"{after}\" }}"), &now),
        (format!(", asOf: {{ position: \"{before}\" }}"), &then),
        (
            ", asOf: { time: \"2100-01-01T00:00:00Z\" }".to_owned(),
            &now,
        ),
        (", asOf: { time: \"1971-01-01T00:00:00Z\" }".to_owned(), &[]),
    ] {
        let told = arena.lines(&format!("competition: \"cup\"{as_of}")).await;
        assert_eq!(told, lines(expected), "{as_of}");
    }
    let field = format!(
        "leaderboardAround(competition: \"cup\", user: \"ada\", asOf: {{ position: \"{before}\" }}) {{
           line {{ rank }} size asOfPosition }}"
    );
    let told = arena.seen(root, &field).await;
    assert_eq!(
        told,
        json!({ "line": { "rank": 1 }, "size": 5, "asOfPosition": before.to_string() })
    );
    let ahead = "leaderboard(competition: \"cup\", asOf: { position: \"999999999\" }) { size }";
    assert_eq!(arena.code(root, ahead).await, "BAD_POSITION");
    // Who asks insists on more than there is.
    let stale = json!({ "query": "{ leaderboard(competition: \"cup\") { size } }",
                        "extensions": { "atLeast": "999999999" } });
    let stale = arena.scene.post(root, "/graphql", &stale).await.json();
    assert_eq!(outcome(&stale), "STALE_READ", "{stale}");
}

#[tokio::test]
async fn boards_are_for_those_who_take_part_and_those_who_see_what_there_is() {
    let arena = Arena::open().await;
    arena.joined("cup", arena.rules()).await;
    let (ann, root) = (&arena.ann.access, &arena.root.access);
    arena
        .done(ann, "submitScore", arena.score("cup", json!(3)))
        .await;
    let cid = arena.scene.person("default", "cid", &[]).await.access;
    let viewer = arena.scene.program(&[Role::Viewer], "default");
    let (_, reader) = arena
        .scene
        .key(&arena.scene.admin("default"), &["competitions:read"])
        .await;
    let (_, writer) = arena.scene.key(root, &["competitions:write"]).await;
    for field in [
        "leaderboard(competition: \"cup\") { size }",
        "leaderboardAround(competition: \"cup\", user: \"u\") { size }",
        "prizes(competition: \"cup\") { period { key } }",
    ] {
        for (who, expected) in [
            (ann, "ok"),
            (root, "ok"),
            (&viewer, "ok"),
            (&reader, "ok"),
            (&cid, "FORBIDDEN"),
            (&writer, "FORBIDDEN"),
        ] {
            assert_eq!(arena.code(who, field).await, expected, "{field} {who:?}");
        }
    }
    // The rules are for whoever may join.
    let rules = "competition(id: \"cup\") { status entries rules { name } }";
    let told = arena.seen(&cid, rules).await;
    assert_eq!(
        told,
        json!({ "status": "OPEN", "entries": 2, "rules": { "name": "Cup" } })
    );
    arena
        .done(ann, "leaveCompetition", json!({ "competition": "cup" }))
        .await;
    let board = "leaderboard(competition: \"cup\") { size }";
    assert_eq!(arena.code(ann, board).await, "FORBIDDEN", "not any more");

    // There is nothing where there is none, nor in another tenant.
    arena.scene.tenant(SOUTH).await;
    let south = arena.scene.admin(SOUTH);
    let other = json!({ "id": "other", "rules": arena.rules() });
    arena.done(&south, "createCompetition", other).await;
    for field in [
        "competition(id: $) { id }",
        "leaderboard(competition: $) { size }",
        "leaderboardAround(competition: $, user: \"u\") { size }",
        "prizes(competition: $) { period { key } }",
    ] {
        for (who, tenant, id) in [(root, "default", "\"none\""), (&south, SOUTH, "\"cup\"")] {
            let query = format!("{{ it: {} }}", field.replace('$', id));
            let told = arena.scene.settled(who, tenant, &query, json!({})).await;
            assert_eq!(told["data"], json!({ "it": null }), "{field}: {told}");
        }
    }
}

#[tokio::test]
async fn a_line_shows_the_events_behind_it() {
    let arena = Arena::open().await;
    let sum = but(arena.rules(), json!({ "operator": "SUM" }));
    arena.joined("cup", sum).await;
    let steps = json!({ "metric": "STEPS", "operator": "SUM", "sources": ["watch"] });
    arena.joined("walks", but(arena.rules(), steps)).await;
    let (ann, bob) = (&arena.ann, &arena.bob);
    let mut positions = Vec::new();
    for ago in [30, 20, 10] {
        let score = but(
            arena.score("cup", json!(5)),
            json!({ "achievedAt": arena.at(-ago) }),
        );
        let told = arena.done(&ann.access, "submitScore", score).await;
        positions.push(told["receipt"]["position"].clone());
    }
    let walk = |source: &str, from: i64| {
        json!({ "activity": { "source": source, "externalId": format!("{source}{from}"),
                "kind": "walking", "start": arena.at(-from), "end": arena.at(60 - from),
                "measures": { "steps": 50 } } })
    };
    let mut synced = Vec::new();
    // The phone tells of what the watch tells as well: it counts nothing, and is behind nothing.
    for record in [walk("watch", 600), walk("phone", 590), walk("watch", 300)] {
        let input = json!({ "records": [record] });
        let told = arena.done(&ann.access, "syncActivities", input).await;
        synced.push(told["receipt"]["position"].clone());
    }
    synced.remove(1);
    let evidence = |id: &str, first: i32| {
        format!(
            "leaderboard(competition: \"{id}\", first: 5) {{ nodes {{ score evidence(first: {first}) {{
               nodes {{ position event {{ type position }} }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
        )
    };
    for (id, score, kind, positions) in [
        ("cup", "15", "entry.score_accepted", &positions),
        ("walks", "100", "activity_log.synced", &synced),
    ] {
        let told = arena.seen(&ann.access, &evidence(id, 50)).await;
        let line = &told["nodes"][0];
        assert_eq!(line["score"], score, "{told}");
        let nodes: Vec<_> = positions
            .iter()
            .map(|p| json!({ "position": p, "event": { "type": kind, "position": p } }))
            .collect();
        assert_eq!(line["evidence"]["nodes"], json!(nodes), "{told}");
        // Page by page.
        let told = arena.seen(&ann.access, &evidence(id, 1)).await;
        let page = &told["nodes"][0]["evidence"];
        assert_eq!(page["nodes"], json!(nodes[..1]));
        assert_eq!(page["pageInfo"]["hasNextPage"], true);
        // Somebody else's doings are none of one's business.
        let told = arena.look(&bob.access, &evidence(id, 50)).await;
        assert_eq!(outcome(&told), "FORBIDDEN", "{told}");
        assert_eq!(
            told["data"]["leaderboard"]["nodes"][0]["score"], score,
            "{told}"
        );
        let auditor = arena.scene.program(&[Role::Auditor], "default");
        assert_eq!(arena.code(&auditor, &evidence(id, 50)).await, "ok");
    }
}
