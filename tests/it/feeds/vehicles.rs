//! `vehicleMoved`: the snapshot first, then what is newer, conflated, of those asked for alone.

use std::collections::BTreeMap;

use daybook::consumers::feed::FeedSettings;
use serde_json::{Value, json};

use super::scene::{Feed, Node, fix};
use crate::support::{TestDb, eventually};

const HERE: (f64, f64) = (30.25, -97.75);
const THERE: (f64, f64) = (31.25, -97.75);

/// The vehicle and the minute of the next item, and whether the vehicle has left.
async fn told(feed: &mut Feed) -> ((String, u32), bool) {
    let fix = feed.item().await["vehicleMoved"].take();
    let time = fix["fixTime"].as_str().unwrap();
    let part = |at: usize| time[at..at + 2].parse::<u32>().unwrap();
    let vehicle = fix["vehicleId"].as_str().unwrap();
    let left = fix["left"].as_bool().unwrap();
    (seen(vehicle, part(11) * 60 + part(14)), left)
}

/// The vehicle and the minute of the next item, whose vehicle is here.
async fn moved(feed: &mut Feed) -> (String, u32) {
    let (seen, left) = told(feed).await;
    assert!(!left, "{seen:?}");
    seen
}

fn seen(vehicle: &str, minute: u32) -> (String, u32) {
    (vehicle.to_owned(), minute)
}

async fn subscribe(node: &Node, arguments: &str) -> Feed {
    let document =
        format!("subscription {{ vehicleMoved{arguments} {{ vehicleId fixTime lat lon left }} }}");
    node.subscribe(&document, json!({})).await.unwrap()
}

async fn report(node: &Node, vehicle: &str, minute: u32, (lat, lon): (f64, f64)) {
    node.report(vehicle, minute, lat, lon).await;
}

#[tokio::test]
async fn the_snapshot_comes_first_and_a_late_fix_never() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    for vehicle in ["a", "b", "c"] {
        report(&node, vehicle, 10, HERE).await;
    }
    let mut feed = subscribe(&node, "(maxHz: 20)").await;
    for vehicle in ["a", "b", "c"] {
        assert_eq!(moved(&mut feed).await, seen(vehicle, 10));
    }
    report(&node, "b", 9, HERE).await;
    report(&node, "b", 11, HERE).await;
    assert_eq!(moved(&mut feed).await, seen("b", 11));
    report(&node, "d", 1, HERE).await;
    assert_eq!(moved(&mut feed).await, seen("d", 1));
    // Who comes later has the same picture, once each.
    let mut late = subscribe(&node, "(maxHz: 20)").await;
    for expect in [seen("a", 10), seen("c", 10), seen("b", 11), seen("d", 1)] {
        assert_eq!(moved(&mut late).await, expect);
    }
    assert_eq!(node.api.feed_counts().groups, 1);
}

#[tokio::test]
async fn updates_that_come_too_soon_wait_and_the_latest_counts() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    // An hour between two updates of a vehicle.
    let mut feed = subscribe(&node, "(maxHz: 0.000278)").await;
    let mut quick = subscribe(&node, "(maxHz: 20)").await;
    for minute in 0..30 {
        report(&node, "a", minute, HERE).await;
    }
    report(&node, "b", 1, HERE).await;
    let first = moved(&mut feed).await;
    assert_eq!(first.0, "a", "the first goes at once");
    assert_eq!(
        moved(&mut feed).await,
        seen("b", 1),
        "and nothing more of that vehicle"
    );
    let mut last = moved(&mut quick).await;
    while last != seen("a", 29) {
        let next = moved(&mut quick).await;
        assert!(
            next.0 == "b" || last.0 == "b" || next.1 > last.1,
            "{next:?} after {last:?}"
        );
        last = next;
    }
}

#[tokio::test]
async fn who_reads_seldom_gets_the_latest_of_each_once() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    let mut slow = subscribe(&node, "(maxHz: 20)").await;
    let mut quick = subscribe(&node, "(maxHz: 20)").await;
    for minute in 0..20 {
        let fixes = ["a", "b", "c"].map(|v| fix(v, minute, HERE.0, HERE.1));
        node.report_all(fixes.into()).await;
    }
    let mut latest = BTreeMap::new();
    while latest.len() < 3 || latest.values().any(|minute| *minute < 19) {
        let (vehicle, minute) = moved(&mut quick).await;
        latest.insert(vehicle, minute);
    }
    let mut all = BTreeMap::new();
    for _ in 0..3 {
        let (vehicle, minute) = moved(&mut slow).await;
        assert_eq!(all.insert(vehicle, minute), None, "each once");
    }
    assert_eq!(all, latest);
    report(&node, "d", 1, HERE).await;
    assert_eq!(
        moved(&mut slow).await,
        seen("d", 1),
        "and nothing else stood between"
    );
}

#[tokio::test]
async fn only_those_asked_for_are_told_of() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    report(&node, "in", 10, HERE).await;
    report(&node, "out", 10, THERE).await;
    let latest = "{ latestPositions { nodes { vehicleId cell } } }";
    let cell = node.ask(latest, json!({})).await["latestPositions"]["nodes"][0]["cell"].take();
    let areas = [
        "(maxHz: 20, bbox: { south: 30, west: -98, north: 30.5, east: -97 })".to_owned(),
        format!("(maxHz: 20, cells: [{cell}])"),
        "(maxHz: 20, bbox: { south: 30, west: -98, north: 30.5, east: -97 }, vehicleIds: [\"in\", \"out\", \"new\"])".to_owned(),
    ];
    let mut feeds = Vec::new();
    for arguments in &areas {
        feeds.push(subscribe(&node, arguments).await);
    }
    let mut named = subscribe(&node, "(maxHz: 20, vehicleIds: [\"out\"])").await;
    assert_eq!(moved(&mut named).await, seen("out", 10));
    for feed in &mut feeds {
        assert_eq!(moved(feed).await, seen("in", 10));
    }
    report(&node, "in", 11, THERE).await;
    report(&node, "out", 9, HERE).await; // late: it is elsewhere since
    report(&node, "out", 11, HERE).await;
    report(&node, "new", 1, HERE).await;
    report(&node, "in", 12, HERE).await;
    assert_eq!(moved(&mut named).await, seen("out", 11));
    for feed in &mut feeds {
        let mut here = Vec::new();
        while here.len() < 3 {
            match told(feed).await {
                (seen, false) => here.push(seen),
                // It left for a while, perhaps too short to be told.
                (left, true) => assert_eq!(left, seen("in", 11)),
            }
        }
        here.sort();
        assert_eq!(here, [seen("in", 12), seen("new", 1), seen("out", 11)]);
    }
}

#[tokio::test]
async fn who_leaves_an_area_is_told_of_once_more() {
    // Given who follows a rectangle, and who follows a cell in it.
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    report(&node, "a", 10, HERE).await;
    let latest = "{ latestPositions { nodes { cell } } }";
    let cell = node.ask(latest, json!({})).await["latestPositions"]["nodes"][0]["cell"].take();
    for (minute, area) in [
        (
            20,
            "bbox: { south: 30, west: -98, north: 30.5, east: -97 }".to_owned(),
        ),
        (30, format!("cells: [{cell}]")),
    ] {
        let arguments = format!("(maxHz: 20, {area})");
        report(&node, "a", minute, HERE).await;
        let mut feed = subscribe(&node, &arguments).await;
        while moved(&mut feed).await != seen("a", minute) {}
        // When a vehicle leaves it, and goes on outside.
        report(&node, "a", minute + 1, THERE).await;
        // Then that is told, with the fix that shows it, and no more of the vehicle.
        let mut next = told(&mut feed).await;
        while !next.1 {
            next = told(&mut feed).await;
        }
        assert_eq!(next.0, seen("a", minute + 1));
        report(&node, "a", minute + 2, THERE).await;
        let other = format!("other {minute}");
        report(&node, &other, 1, HERE).await;
        assert_eq!(moved(&mut feed).await, seen(&other, 1));
        // Whoever comes now is told of those who are there alone.
        let mut late = subscribe(&node, &arguments).await;
        assert!(moved(&mut late).await.0.starts_with("other"));
        // When it comes back, it is shown again.
        report(&node, "a", minute + 3, HERE).await;
        for feed in [&mut feed, &mut late] {
            let mut next = moved(feed).await;
            while next.0 != "a" {
                next = moved(feed).await;
            }
            assert_eq!(next, seen("a", minute + 3));
        }
    }
}

#[tokio::test]
async fn a_fleet_is_followed_as_vehicles_join_and_leave() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    let change = async |field: &str| {
        let told = node
            .ask(
                &format!("mutation {{ done: {field} {{ userErrors {{ code }} }} }}"),
                json!({}),
            )
            .await;
        assert_eq!(told["done"]["userErrors"], json!([]), "{field}");
    };
    let member = async |what: &str, vehicle: &str| {
        change(&format!(
            "{what}(input: {{ vehicleId: \"{vehicle}\", fleetId: \"north\" }})"
        ))
        .await;
    };
    change("createFleet(input: { id: \"north\", name: \"North\" })").await;
    node.register("quiet").await;
    for vehicle in ["a", "b"] {
        report(&node, vehicle, 10, HERE).await;
    }
    member("joinFleet", "a").await;
    member("joinFleet", "quiet").await;
    let mut feed = subscribe(&node, "(maxHz: 20, fleetId: \"north\")").await;
    assert_eq!(moved(&mut feed).await, seen("a", 10));
    report(&node, "b", 11, HERE).await;
    report(&node, "quiet", 1, HERE).await;
    assert_eq!(
        moved(&mut feed).await,
        seen("quiet", 1),
        "a member without a fix so far"
    );
    member("joinFleet", "b").await;
    assert_eq!(moved(&mut feed).await, seen("b", 11), "shown as it joins");
    member("leaveFleet", "a").await;
    report(&node, "a", 12, HERE).await;
    report(&node, "b", 13, HERE).await;
    let ((vehicle, _), left) = told(&mut feed).await;
    assert_eq!((vehicle.as_str(), left), ("a", true), "told of once more");
    assert_eq!(moved(&mut feed).await, seen("b", 13));
    let mut late = subscribe(&node, "(maxHz: 20, fleetId: \"north\")").await;
    assert_eq!(
        moved(&mut late).await,
        seen("quiet", 1),
        "who left is not shown"
    );
    assert_eq!(moved(&mut late).await, seen("b", 13));
}

/// Vehicles go in and out of an area, reported out of order, while a group that can hold next to
/// nothing has to begin again and again: in the end it shows what the query shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_too_slow_begins_again_and_ends_up_right() {
    let db = TestDb::create().await;
    let feed = FeedSettings {
        queue_events_max: 1,
        ..FeedSettings::default()
    };
    let node = Node::with(&db, feed).await;
    let area = "bbox: { south: 30, west: -98, north: 30.5, east: -97 }";
    let mut feed = subscribe(&node, &format!("(maxHz: 20, {area})")).await;
    for round in 0..30_u32 {
        let fixes = (0..20).map(|n| {
            let minute = (round * 7 + n) % 60 + round;
            let (lat, lon) = if (round + n) % 3 == 0 { THERE } else { HERE };
            fix(&format!("v{n}"), minute, lat, lon)
        });
        node.report_all(fixes.collect()).await;
    }
    report(&node, "last", 1, HERE).await;
    let mut shown = BTreeMap::new();
    while !shown.contains_key("last") {
        let ((vehicle, minute), _) = told(&mut feed).await;
        shown.insert(vehicle, minute);
    }
    let document = format!("{{ latestPositions({area}) {{ nodes {{ vehicleId fixTime }} }} }}");
    let nodes = node.ask(&document, json!({})).await["latestPositions"]["nodes"].take();
    let minute = |time: &Value| {
        let time = time.as_str().unwrap();
        time[11..13].parse::<u32>().unwrap() * 60 + time[14..16].parse::<u32>().unwrap()
    };
    let vehicle = |node: &Value| node["vehicleId"].as_str().unwrap().to_owned();
    let nodes = nodes.as_array().unwrap().iter();
    let expect: BTreeMap<_, _> = nodes.map(|n| (vehicle(n), minute(&n["fixTime"]))).collect();
    eventually("a new member is shown what the query shows", async || {
        let mut late = subscribe(&node, &format!("(maxHz: 20, {area})")).await;
        let mut now = BTreeMap::new();
        for _ in 0..expect.len() {
            let (vehicle, minute) = moved(&mut late).await;
            now.insert(vehicle, minute);
        }
        now == expect
    })
    .await;
}
