//! The journal of events: gap-free, once, in order, from wherever it is asked.

use std::time::Duration;

use daybook::auth::Role;
use daybook::consumers::feed::FeedSettings;
use serde_json::json;

use super::scene::{EVENTS, Node, TENANT, append_at_once, open_log};
use crate::support::Dice;
use crate::support::TestDb;

fn range(after: i64, last: i64) -> Vec<i64> {
    (after + 1..=last).collect()
}

#[tokio::test]
async fn a_journal_goes_on_from_wherever_it_is_asked() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    node.register_many("before", 20).await;
    let mut feeds = Vec::new();
    for after in [0, 7, 19, 20] {
        let feed = node
            .subscribe(EVENTS, json!({ "after": after.to_string() }))
            .await
            .unwrap();
        feeds.push((after, feed));
    }
    feeds.push((20, node.subscribe(EVENTS, json!({})).await.unwrap()));
    let resumed = node.subscribe_as(
        TENANT,
        &[Role::Viewer],
        EVENTS,
        json!({ "after": "1" }),
        Some(12),
    );
    feeds.push((12, resumed.await.unwrap()));
    node.register_many("after", 10).await;
    for (after, feed) in &mut feeds {
        let expect = range(*after, 30);
        assert_eq!(feed.positions(expect.len()).await, expect, "after {after}");
    }
    assert_eq!(
        node.api.feed_counts().groups,
        1,
        "where it is read from parts no readers"
    );
}

#[tokio::test]
async fn a_filter_narrows_what_was_and_what_comes() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    let write = async |round: &str| {
        node.register(&format!("v-{round}")).await;
        append_at_once(&db, 30).await;
        node.report("v-one", if round == "one" { 1 } else { 2 }, 30.25, -97.75)
            .await;
    };
    write("one").await;
    let cases = [
        ("types: [\"vehicle.registered\"]", vec!["v-one", "v-two"]),
        ("aggregate: { type: \"vehicle\" }", vec!["v-one", "v-two"]),
        (
            "aggregate: { type: \"vehicle\", id: \"v-two\" }",
            vec!["v-two"],
        ),
        (
            "aggregate: { type: \"track\" }",
            vec!["v-one/2016-01-04", "v-one/2016-01-04"],
        ),
        (
            "aggregate: { type: \"track\" }, types: [\"vehicle.registered\", \"track.positions_reported\"]",
            vec!["v-one/2016-01-04", "v-one/2016-01-04"],
        ),
    ];
    let mut feeds = Vec::new();
    for (filter, expect) in &cases {
        let document = format!(
            "subscription {{ events(after: \"0\", {filter}) {{ aggregateId type payload metadata {{ actor }} }} }}"
        );
        feeds.push((node.subscribe(&document, json!({})).await.unwrap(), expect));
    }
    write("two").await;
    for (feed, expect) in &mut feeds {
        for id in expect.iter() {
            let event = feed.item().await["events"].take();
            assert_eq!(event["aggregateId"], *id);
            assert_eq!(event["metadata"]["actor"], "user:tester");
            assert!(event["payload"].is_object());
        }
    }
}

#[tokio::test]
async fn positions_that_cannot_be_are_refused() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    open_log(&db, "other").await;
    node.register_many("v", 3).await;
    let refused = async |tenant: &str, document: &str, after: serde_json::Value, resume| {
        let variables = json!({ "after": after });
        let feed = node
            .subscribe_as(tenant, &[Role::Viewer], document, variables, resume)
            .await;
        feed.err().map(|fault| fault.code())
    };
    for after in [
        "4",
        "-1",
        "",
        "x",
        "1e3",
        "9223372036854775807",
        "9223372036854775808",
    ] {
        assert_eq!(
            refused(TENANT, EVENTS, json!(after), None).await,
            Some("BAD_POSITION"),
            "{after}"
        );
        let literal = format!("subscription {{ events(after: \"{after}\") {{ position }} }}");
        assert_eq!(
            refused(TENANT, &literal, json!(null), None).await,
            Some("BAD_POSITION"),
            "{after}"
        );
    }
    assert_eq!(
        refused(TENANT, EVENTS, json!(2), None).await,
        Some("BAD_POSITION")
    );
    assert_eq!(
        refused(TENANT, EVENTS, json!("1"), Some(4)).await,
        Some("BAD_POSITION")
    );
    // Another tenant's position lies beyond the end of one's own log, or is one of one's own.
    assert_eq!(
        refused("other", EVENTS, json!("3"), None).await,
        Some("BAD_POSITION")
    );
    assert_eq!(refused(TENANT, EVENTS, json!("3"), None).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_costs_the_others_nothing() {
    let db = TestDb::create().await;
    let feed = FeedSettings {
        ring_items_max: 16,
        ..FeedSettings::default()
    };
    let node = Node::with(&db, feed).await;
    let _never = node.subscribe(EVENTS, json!({})).await.unwrap();
    let mut seldom = node.subscribe(EVENTS, json!({})).await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..198 {
        let mut feed = node.subscribe(EVENTS, json!({})).await.unwrap();
        readers.push(tokio::spawn(async move { feed.positions(300).await }));
    }
    let seldom = tokio::spawn(async move {
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(seldom.position().await);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        seen.extend(seldom.positions(297).await);
        seen
    });
    node.register_many("v", 300).await;
    for reader in readers {
        assert_eq!(reader.await.unwrap(), range(0, 300));
    }
    assert_eq!(
        seldom.await.unwrap(),
        range(0, 300),
        "what the group had forgotten was scanned"
    );
    let counts = node.api.feed_counts();
    assert_eq!(counts.groups, 1);
    assert!(counts.made >= 300, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_too_slow_for_the_log_scans_it() {
    let db = TestDb::create().await;
    let feed = FeedSettings {
        queue_events_max: 2,
        ring_items_max: 8,
        scan_events_max: 7,
        scan_positions_max: 11,
        ..FeedSettings::default()
    };
    let node = Node::with(&db, feed).await;
    let filter = "subscription { events(types: [\"fleet.created\"]) { position } }";
    let mut feeds = Vec::new();
    for document in [EVENTS, EVENTS, filter, filter] {
        feeds.push(node.subscribe(document, json!({})).await.unwrap());
    }
    let mut readers = Vec::new();
    for mut feed in feeds {
        readers.push(tokio::spawn(async move { feed.positions(700).await }));
    }
    for count in [500, 1, 150, 49] {
        append_at_once(&db, count).await;
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), range(0, 700));
    }
}

/// Subscribers come at any moment, from any position, while three writers of two nodes append.
#[tokio::test(flavor = "multi_thread")]
async fn the_hand_over_from_past_to_present_loses_nothing_and_doubles_nothing() {
    let mut dice = Dice::from_env("hand-over");
    let db = TestDb::create().await;
    let small = FeedSettings {
        ring_items_max: 4,
        queue_events_max: 8,
        scan_events_max: 20,
        scan_positions_max: 50,
        ..FeedSettings::default()
    };
    let (node, other) = (Node::with(&db, small).await, Node::start(&db).await);
    let bulks: Vec<i64> = (0..40).map(|n| 1 + n % 9).collect();
    let last = 400 + bulks.iter().sum::<i64>();
    let writing = async {
        let direct = async {
            for count in bulks {
                append_at_once(&db, count).await;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        tokio::join!(
            node.register_many("a", 200),
            other.register_many("b", 200),
            direct
        );
    };
    let reading = async {
        let mut readers = Vec::new();
        for _ in 0..30 {
            tokio::time::sleep(dice.pause(40)).await;
            let after = dice.below(node.head().await as u64 + 1) as i64;
            let leaves = dice.below(3) == 0;
            let until = if leaves { last.min(after + 20) } else { last };
            let pace = Duration::from_millis(dice.below(3));
            let variables = json!({ "after": after.to_string() });
            let mut feed = node.subscribe(EVENTS, variables).await.unwrap();
            readers.push(tokio::spawn(async move {
                for expect in after + 1..=until {
                    assert_eq!(feed.position().await, expect, "after {after}");
                    tokio::time::sleep(pace).await;
                }
            }));
        }
        readers
    };
    let ((), readers) = tokio::join!(writing, reading);
    assert_eq!(node.head().await, last);
    for reader in readers {
        reader.await.unwrap();
    }
}
