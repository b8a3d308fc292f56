//! Tails of log records: a thousand at once hold what a few hold.

use std::collections::HashSet;

use daybook::consumers::feed::FeedSettings;
use serde_json::json;

use super::scene::Node;
use crate::support::TestDb;

const TAIL: &str = "subscription($name: String, $after: String) {
    logTail(filter: { name: $name }, after: $after) { records { id } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tails_are_as_many_groups_as_filters_and_share_their_bytes() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    let mut tails = Vec::new();
    for n in 0..1_000 {
        let name = format!("t_{}", n % 4);
        let variables = json!({ "name": name, "after": "0" });
        tails.push(node.subscribe(TAIL, variables).await.unwrap());
    }
    let counts = node.api.feed_counts();
    assert_eq!((counts.groups, counts.members), (4, 1_000));
    // Of three filters one item each, of the fourth none; again for the second batch.
    for _ in 0..2 {
        node.log("t", 9).await;
    }
    let mut payloads = HashSet::new();
    for (n, tail) in tails.iter_mut().enumerate().filter(|(n, _)| n % 4 < 3) {
        for _ in 0..2 {
            let item = tail.next().await.unwrap().unwrap();
            payloads.insert((n % 4, item.payload.as_ptr() as usize));
        }
    }
    assert_eq!(
        payloads.len(),
        6,
        "all of a filter were handed the same bytes"
    );
    assert_eq!(node.api.feed_counts().made, 6);
}

/// A group keeps so much and no more; whoever is further behind reads the log, and misses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_has_forgotten_is_read_from_the_log() {
    let db = TestDb::create().await;
    let feed = FeedSettings {
        ring_items_max: 3,
        tail_records_max: 4,
        ..FeedSettings::default()
    };
    let node = Node::with(&db, feed).await;
    let mut fast = node.subscribe(TAIL, json!({})).await.unwrap();
    let mut slow = node.subscribe(TAIL, json!({})).await.unwrap();
    let (mut all, mut seen) = (Vec::new(), Vec::new());
    for n in 0..8 {
        let position = node.log("t", 1 + n * 2).await;
        all.extend((0..=n * 2).map(|index| format!("{position}:{index}")));
        while seen.len() < all.len() {
            seen.extend(fast.records().await);
        }
    }
    assert_eq!(seen, all);
    seen.clear();
    while seen.len() < all.len() {
        seen.extend(slow.records().await);
    }
    assert_eq!(seen, all);
    // From the middle of what the group still has, and of what it has not.
    for from in [0, 5, all.len() - 13, all.len() - 6, all.len() - 2] {
        let after = json!({ "after": all[from] });
        let mut again = node.subscribe(TAIL, after).await.unwrap();
        let mut rest = Vec::new();
        while rest.len() < all.len() - from - 1 {
            rest.extend(again.records().await);
        }
        assert_eq!(rest, all[from + 1..], "after {}", all[from]);
    }
    assert_eq!(node.api.feed_counts().groups, 1);
}
