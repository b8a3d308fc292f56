//! `leaderboardChanged`: the first lines of a board, then each that is another.

use daybook::auth::Role;
use daybook::ops::Clock;
use serde_json::{Value, json};

use super::scene::{Feed, Node, TENANT, open_log};
use crate::support::TestDb;

const LINE: &str = "rank userId score left asOfPosition";

fn document(arguments: &str) -> String {
    format!(
        "subscription {{ leaderboardChanged(competition: \"cup\", maxHz: 20, {arguments}) {{ {LINE} }} }}"
    )
}

/// Sends a command that must be kept.
async fn done(node: &Node, field: &str, input: Value) {
    let kind = field[..1].to_uppercase() + &field[1..] + "Input";
    let document = format!(
        "mutation($i: {kind}!) {{ {field}(input: $i) {{ userErrors {{ code message }} }} }}"
    );
    let told = node.ask(&document, json!({ "i": input })).await;
    assert_eq!(told[field]["userErrors"], json!([]), "{field} {input}");
}

async fn score(node: &Node, user: &str, score: i64) {
    let at = Clock::system().now().to_rfc3339();
    let input = json!({ "competition": "cup", "user": user, "score": score, "achievedAt": at });
    done(node, "submitScore", input).await;
}

/// A node with a competition that these take part in.
async fn cup(db: &TestDb, users: &[&str]) -> Node {
    let node = Node::start(db).await;
    let rules = json!({ "name": "Cup", "metric": "SUBMITTED", "operator": "BEST",
                        "startsAt": "2026-01-01T00:00:00Z" });
    done(
        &node,
        "createCompetition",
        json!({ "id": "cup", "rules": rules }),
    )
    .await;
    done(&node, "openCompetition", json!({ "id": "cup" })).await;
    for user in users {
        done(
            &node,
            "joinCompetition",
            json!({ "competition": "cup", "user": user }),
        )
        .await;
    }
    node
}

/// What so many items tell, without where in the log.
async fn told(feed: &mut Feed, items: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..items {
        let line = feed.item().await["leaderboardChanged"].take();
        let word = |name: &str| line[name].to_string().replace('"', "");
        let gone = if line["left"] == true { " left" } else { "" };
        told.push(format!(
            "{} {} {}{gone}",
            word("rank"),
            word("userId"),
            word("score")
        ));
    }
    told
}

#[tokio::test]
async fn the_first_lines_are_told_then_those_that_are_others() {
    let db = TestDb::create().await;
    let node = cup(&db, &["ada", "bob", "cyd"]).await;
    for (user, points) in [("ada", 5), ("bob", 3), ("cyd", 1)] {
        score(&node, user, points).await;
    }
    let mut feed = node
        .subscribe(&document("first: 2"), json!({}))
        .await
        .unwrap();
    assert_eq!(told(&mut feed, 2).await, ["1 ada 5", "2 bob 3"]);
    score(&node, "cyd", 2).await; // still behind
    score(&node, "bob", 9).await;
    assert_eq!(
        told(&mut feed, 2).await,
        ["1 bob 9", "2 ada 5"],
        "and nothing before"
    );
    score(&node, "cyd", 7).await;
    assert_eq!(told(&mut feed, 2).await, ["2 cyd 7", "2 ada 5 left"]);
    let excluded = json!({ "competition": "cup", "user": "bob", "reason": "a bicycle" });
    done(&node, "excludeEntry", excluded).await;
    let news = told(&mut feed, 3).await;
    assert_eq!(news, ["1 cyd 7", "2 ada 5", "1 bob 9 left"]);
    // Whoever comes later is shown the board as it is.
    let mut late = node
        .subscribe(&document("first: 2"), json!({}))
        .await
        .unwrap();
    let mut lines = told(&mut late, 2).await;
    lines.sort();
    assert_eq!(lines, ["1 cyd 7", "2 ada 5"]);
}

#[tokio::test]
async fn many_changes_are_told_as_the_last_of_each() {
    let db = TestDb::create().await;
    let node = cup(&db, &["ada", "bob"]).await;
    let mut feed = node
        .subscribe(&document("first: 5"), json!({}))
        .await
        .unwrap();
    for points in 1..=60 {
        score(&node, if points % 2 == 0 { "ada" } else { "bob" }, points).await;
    }
    let (mut items, mut last) = (0, Vec::new());
    while last != ["1 ada 60", "2 bob 59"] {
        let line = told(&mut feed, 1).await.remove(0);
        last.retain(|other: &String| other.split(' ').nth(1) != line.split(' ').nth(1));
        last.push(line);
        last.sort();
        items += 1;
    }
    assert!((2..120).contains(&items), "{items}");
}

#[tokio::test]
async fn a_board_is_told_to_those_who_take_part_and_those_who_may_see() {
    let db = TestDb::create().await;
    let node = cup(&db, &["ada"]).await;
    score(&node, "ada", 5).await;
    node.register_tester().await;
    let (asked, nothing) = (document("first: 5"), json!({}));
    let refused = node
        .subscribe_as(TENANT, &[], &asked, nothing.clone(), None)
        .await;
    assert_eq!(refused.err().unwrap().code(), "FORBIDDEN");
    done(
        &node,
        "joinCompetition",
        json!({ "competition": "cup", "user": "tester" }),
    )
    .await;
    let mut feed = node
        .subscribe_as(TENANT, &[], &asked, nothing, None)
        .await
        .unwrap();
    assert_eq!(told(&mut feed, 1).await, ["1 ada 5"]);
    // Whoever takes part no more is told nothing more.
    done(
        &node,
        "leaveCompetition",
        json!({ "competition": "cup", "user": "tester" }),
    )
    .await;
    assert_eq!(feed.fault().await.code(), "FORBIDDEN");
    let viewer = node.subscribe_as(TENANT, &[Role::Viewer], &asked, json!({}), None);
    assert_eq!(told(&mut viewer.await.unwrap(), 1).await, ["1 ada 5"]);
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_at_once() {
    let db = TestDb::create().await;
    let node = cup(&db, &[]).await;
    for (arguments, code) in [
        ("first: 0", "PAGE_LIMIT"),
        ("first: 201", "PAGE_LIMIT"),
        ("period: \"2016-05-01\"", "NOT_FOUND"),
    ] {
        let refused = node.subscribe(&document(arguments), json!({})).await;
        assert_eq!(refused.err().unwrap().code(), code, "{arguments}");
    }
    for (competition, hz, code) in [("mug", 2, "NOT_FOUND"), ("cup", 21, "OUT_OF_RANGE")] {
        let document = format!(
            "subscription {{ leaderboardChanged(competition: \"{competition}\", maxHz: {hz}) {{ rank }} }}"
        );
        let refused = node.subscribe(&document, json!({})).await;
        assert_eq!(refused.err().unwrap().code(), code, "{competition} {hz}");
    }
}

/// Another tenant has its own boards, whatever they are called.
#[tokio::test]
async fn a_board_is_told_to_nobody_of_another_tenant() {
    let db = TestDb::create().await;
    open_log(&db, "other").await;
    let node = cup(&db, &["ada"]).await;
    score(&node, "ada", 5).await;
    let asked = document("first: 5");
    let admin = [Role::Admin];
    let there = node.subscribe_as("other", &admin, &asked, json!({}), None);
    assert_eq!(there.await.err().unwrap().code(), "NOT_FOUND");
}
