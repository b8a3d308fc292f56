//! Tails of log records: a thousand at once hold what a few hold, of news and of the past.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use daybook::auth::Role;
use daybook::consumers::feed::FeedSettings;
use daybook::store::{EventFilter, PageLimits};
use domain::Position;
use futures::StreamExt as _;
use futures::future::{join_all, poll_fn};
use serde_json::json;

use super::scene::{EVENTS, Feed, Node, TENANT, open_log};
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

/// The ids of so many records of a tail.
async fn read(tail: &mut Feed, records: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < records {
        ids.extend(tail.records().await);
    }
    ids
}

/// A page says how far it has looked: what its bytes cut off is behind that, and never passed over.
#[tokio::test]
async fn a_page_cut_by_its_bytes_is_gone_on_from() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    let mut batches = Vec::new();
    for n in 0..9 {
        node.register(&format!("v-{n}")).await;
        batches.push(node.log("t", 1 + n * 20).await);
    }
    node.register("v-last").await;
    let filter = EventFilter {
        aggregate_type: Some("log_batch".to_owned()),
        ..EventFilter::default()
    };
    let (tenant, head): (Arc<str>, _) = (TENANT.into(), Position(node.head().await));
    for (bytes_max, events_max) in [(1, 100), (1, 1), (2_000, 100), (2_000, 2), (i64::MAX, 100)] {
        let limits = PageLimits {
            events_max,
            bytes_max,
            up_to: head,
        };
        let (mut at, mut seen, mut pages) = (Position::START, Vec::new(), 0);
        while at < head {
            let page = node.store.read_filtered(&tenant, &filter, at, limits);
            let page = page.await.unwrap();
            assert!(page.up_to > at && page.events.len() as i64 <= events_max);
            seen.extend(page.events.iter().map(|event| event.position));
            (at, pages) = (page.up_to, pages + 1);
        }
        assert_eq!(seen, batches, "{bytes_max} bytes, {events_max} events");
        assert_eq!(pages == 1, bytes_max == i64::MAX, "{pages} pages");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_larger_than_a_page_are_each_told_once() {
    let db = TestDb::create().await;
    let feed = FeedSettings {
        scan_page_bytes_max: 1,
        ring_items_max: 1,
        tail_records_max: 4,
        ..FeedSettings::default()
    };
    let node = Node::with(&db, feed).await;
    let (mut all, mut batches) = (Vec::new(), Vec::new());
    for n in 0..12 {
        let position = node.log("t", 1 + n).await;
        batches.push(position.0);
        all.extend((0..=n).map(|index| format!("{position}:{index}")));
        node.register(&format!("v-{n}")).await;
    }
    let mut tail = node.subscribe(TAIL, json!({ "after": "0" })).await.unwrap();
    assert_eq!(read(&mut tail, all.len()).await, all);
    let of_batches =
        "subscription { events(after: \"0\", types: [\"log_batch.accepted\"]) { position } }";
    let events = node.subscribe_as(TENANT, &[Role::Auditor], of_batches, json!({}), None);
    let mut events = events.await.unwrap();
    assert_eq!(events.positions(12).await, batches);
    let head = node.head().await;
    let every = node.subscribe_as(
        TENANT,
        &[Role::Auditor],
        EVENTS,
        json!({ "after": "0" }),
        None,
    );
    let told = every.await.unwrap().positions(head as usize).await;
    assert_eq!(told, (1..=head).collect::<Vec<_>>());
}

/// Readers take their items when they like: what they keep of the past until then is bounded for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tails_far_behind_keep_a_bounded_part_of_the_past() {
    const ROOM: usize = 256 << 10;
    let db = TestDb::create().await;
    let feed = FeedSettings {
        scan_bytes_max: ROOM,
        scan_wait_ms: 600_000,
        ring_items_max: 1,
        tail_records_max: 5,
        ..FeedSettings::default()
    };
    let scans_max = feed.scans_max;
    let node = Node::with(&db, feed).await;
    let mut all = Vec::new();
    for _ in 0..100 {
        let position = node.log("t", 12).await;
        all.extend((0..12).map(|index| format!("{position}:{index}")));
    }
    let past: i64 = sqlx::query_scalar(
        "select sum(length(payload::text) + length(metadata::text))::bigint from events
         where event_type = 'log_batch.accepted'",
    )
    .fetch_one(db.pool())
    .await
    .unwrap();
    let mut tails = Vec::new();
    for _ in 0..1_000 {
        tails.push(node.subscribe(TAIL, json!({ "after": "0" })).await.unwrap());
    }
    let most = AtomicUsize::new(0);
    let first = tails.iter_mut().map(async |tail| {
        let ids = tail.records().await;
        most.fetch_max(node.api.feed_counts().scanned_bytes, Ordering::Relaxed);
        ids
    });
    for ids in join_all(first).await {
        assert_eq!(ids, all[..5]);
    }
    // All of the past is less than a page, and so many pages are read at once.
    let (most, past) = (most.into_inner(), usize::try_from(past).unwrap());
    let kept = node.api.feed_counts().scanned_bytes;
    assert!(most <= ROOM + scans_max * past, "{most} of pages of {past}");
    assert!(kept > 0 && kept <= ROOM / 2 + past, "{kept} are kept");
    assert!(
        tails.len() * past > 10 * (ROOM + scans_max * past),
        "{past}"
    );
    // Of the first, who keep what they read, and the last, who read again: none is left out, none doubled.
    for n in [0, 1, 998, 999] {
        assert_eq!(read(&mut tails[n], all.len() - 5).await, all[5..], "{n}");
    }
    drop(tails);
    assert_eq!(node.api.feed_counts().scanned_bytes, 0);
}

#[tokio::test]
async fn a_tail_that_finds_nothing_leaves_others_their_turns() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    for _ in 0..150 {
        node.log("t", 1).await;
    }
    node.log("wanted", 1).await;
    let variables = json!({ "name": "wanted_0", "after": "0" });
    let mut tail = node.subscribe(TAIL, variables).await.unwrap();
    let mut turns = 0;
    let item = poll_fn(|cx| {
        turns += 1;
        tail.0.poll_next_unpin(cx)
    });
    assert!(item.await.unwrap().is_ok());
    assert!(
        turns > 150,
        "{turns} turns for 150 batches without a record of it"
    );
}

/// Each filter has a group of its own, and a burst is too much for each of them.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_filters_miss_nothing_of_a_burst() {
    let db = TestDb::create().await;
    let feed = FeedSettings {
        queue_events_max: 2,
        ring_items_max: 4,
        scan_wait_ms: 600_000,
        ..FeedSettings::default()
    };
    let node = Node::with(&db, feed).await;
    let mut tails = Vec::new();
    for n in 0..200 {
        let variables = json!({ "name": format!("t_{n}") });
        tails.push(node.subscribe(TAIL, variables).await.unwrap());
    }
    assert_eq!(node.api.feed_counts().groups, 200);
    let mut batches = Vec::new();
    for _ in 0..10 {
        batches.push(node.log_in(TENANT, "t", 200, 200).await);
    }
    let told = join_all(tails.iter_mut().map(|tail| read(tail, batches.len()))).await;
    for (n, told) in told.into_iter().enumerate() {
        let own: Vec<String> = batches.iter().map(|at| format!("{at}:{n}")).collect();
        assert_eq!(told, own, "t_{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_tells_of_its_own_tenant_alone() {
    const SHOWN: &str = "subscription($after: String) {
        logTail(after: $after) { records { id eventName } } }";
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    open_log(&db, "other").await;
    let tenants = [(TENANT, "ours"), ("other", "theirs")];
    for (tenant, name) in tenants {
        node.log_in(tenant, name, 1, 2).await;
    }
    node.register("one more").await;
    let mut feeds = Vec::new();
    for (tenant, name) in tenants {
        for (after, items) in [(Some("0"), 2), (None, 1)] {
            let after = json!({ "after": after });
            let feed = node.subscribe_as(tenant, &[Role::Viewer], SHOWN, after, None);
            feeds.push((feed.await.unwrap(), name, items));
        }
    }
    assert_eq!(node.api.feed_counts().groups, 2);
    for (tenant, name) in tenants {
        node.log_in(tenant, name, 1, 2).await;
    }
    for (feed, name, items) in &mut feeds {
        for _ in 0..*items {
            let item = feed.item().await;
            let records = item["logTail"]["records"].as_array().unwrap();
            assert_eq!(records.len(), 2);
            for record in records {
                assert_eq!(record["eventName"], format!("{name}_0"));
            }
        }
    }
    // What stands further back than one's own log goes is no place in it.
    let beyond = json!({ "after": node.head().await.to_string() });
    let refused = node.subscribe_as("other", &[Role::Viewer], SHOWN, beyond, None);
    let refused = refused.await.err().map(|fault| fault.code());
    assert_eq!(refused, Some("BAD_POSITION"));
}
