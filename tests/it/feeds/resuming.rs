//! A journal's reader is killed again and again, and goes on at one node or the other.

use std::time::Duration;

use daybook::auth::Role;
use serde_json::json;

use super::scene::{EVENTS, Feed, Node, TENANT};
use crate::support::Dice;
use crate::support::TestDb;

const EACH: usize = 400;

/// Reads the log while two nodes write it, and is killed a hundred times; the positions it saw. A
/// reader that does not say where it was is what a naive client would be.
async fn killed_and_resumed(says_where: bool) -> Vec<i64> {
    let mut dice = Dice::from_env("kills");
    let db = TestDb::create().await;
    let nodes = [Node::start(&db).await, Node::start(&db).await];
    let subscribe = async |kill: usize, resume: Option<i64>| -> Feed {
        let feed = nodes[kill % 2].subscribe_as(TENANT, &[Role::Viewer], EVENTS, json!({}), resume);
        feed.await.unwrap()
    };
    let writing = async {
        tokio::join!(
            nodes[0].register_many("a", EACH),
            nodes[1].register_many("b", EACH)
        );
    };
    let reading = async {
        let (mut seen, mut last) = (Vec::new(), 0);
        for kill in 0..100 {
            let mut feed = subscribe(kill, says_where.then_some(last)).await;
            for _ in 0..dice.below(9) {
                let next = tokio::time::timeout(Duration::from_secs(2), feed.position()).await;
                let Ok(position) = next else { break };
                last = position;
                seen.push(last);
            }
        }
        (seen, last)
    };
    let ((), (mut seen, last)) = tokio::join!(writing, reading);
    if says_where {
        let mut feed = subscribe(1, Some(last)).await;
        seen.extend(feed.positions(2 * EACH - last as usize).await);
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_a_hundred_times_every_event_is_seen_once_in_order() {
    let all: Vec<i64> = (1..=2 * EACH as i64).collect();
    assert_eq!(killed_and_resumed(true).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_say_where_it_was_is_caught() {
    let seen = killed_and_resumed(false).await;
    let gaps = seen
        .windows(2)
        .filter(|pair| pair[1] != pair[0] + 1)
        .count();
    assert!(gaps > 0, "nothing was missed: {seen:?}");
}

#[tokio::test]
async fn when_a_node_stops_its_readers_are_told_where_to_go_on() {
    let db = TestDb::create().await;
    let nodes = [Node::start(&db).await, Node::start(&db).await];
    let mut feed = nodes[0].subscribe(EVENTS, json!({})).await.unwrap();
    let mut moves = nodes[0]
        .subscribe("subscription { vehicleMoved { id } }", json!({}))
        .await
        .unwrap();
    nodes[0].register_many("a", 3).await;
    assert_eq!(feed.positions(2).await, [1, 2]);
    nodes[0].consumers.stop().await;
    let fault = feed.fault().await;
    assert_eq!(fault.code(), "RESUME");
    let last = fault.facts["position"].as_str().unwrap().parse().unwrap();
    assert!((2..=3).contains(&last), "{fault:?}");
    assert_eq!(moves.fault().await.code(), "RESUME");
    match nodes[0].subscribe(EVENTS, json!({})).await {
        Ok(mut late) => assert_eq!(late.fault().await.code(), "RESUME"),
        Err(fault) => assert_eq!(fault.code(), "RESUME"),
    }
    nodes[1].register_many("b", 2).await;
    let feed = nodes[1].subscribe_as(TENANT, &[Role::Viewer], EVENTS, json!({}), Some(last));
    let left: Vec<i64> = (last + 1..=5).collect();
    assert_eq!(feed.await.unwrap().positions(left.len()).await, left);
}

#[tokio::test]
async fn what_the_log_does_not_hold_any_more_is_not_passed_over() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    node.register_many("a", 9).await;
    // Nothing of ours can do this.
    let mut tx = projections::begin(db.pool(), "begin").await.unwrap();
    for statement in [
        "set local session_replication_role = replica",
        "delete from events where position between 3 and 5",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let resumed = node.subscribe_as(TENANT, &[Role::Viewer], EVENTS, json!({}), Some(4));
    let fault = resumed.await.unwrap().fault().await;
    // Subscribing again would not bring it back: the client is told where there is something again.
    assert_eq!(
        (fault.code(), &fault.facts["missing"], &fault.facts["first"]),
        ("ARCHIVED", &json!("5"), &json!("6"))
    );
    let mut rest = node
        .subscribe_as(TENANT, &[Role::Viewer], EVENTS, json!({}), Some(5))
        .await
        .unwrap();
    assert_eq!(rest.positions(4).await, [6, 7, 8, 9]);
}
