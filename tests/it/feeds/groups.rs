//! Who asks the same is served once; who may not see something is never served it.

use daybook::auth::Role;
use daybook::consumers::feed::FeedSettings;
use serde_json::{Value, json};

use super::scene::{EVENTS, Node, TENANT, open_log};
use crate::support::{TestDb, eventually};

const MOVED: &str = "subscription { vehicleMoved { vehicleId fixTime } }";

#[tokio::test]
async fn an_item_is_made_once_for_all_who_ask_the_same() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    let mut feeds = Vec::new();
    for _ in 0..50 {
        feeds.push(node.subscribe(EVENTS, json!({})).await.unwrap());
        feeds.push(node.subscribe(MOVED, json!({})).await.unwrap());
    }
    assert_eq!(node.api.feed_counts().groups, 2);
    for minute in 0..10 {
        node.report(&format!("v{minute}"), minute, 30.25, -97.75)
            .await;
    }
    let last = node.head().await as usize;
    let mut items = std::collections::HashSet::new();
    for pair in feeds.chunks_mut(2) {
        for _ in 0..last {
            items.insert(pair[0].next().await.unwrap().unwrap().payload.as_ptr() as usize);
        }
        for _ in 0..10 {
            items.insert(pair[1].next().await.unwrap().unwrap().payload.as_ptr() as usize);
        }
    }
    assert_eq!(items.len(), last + 10, "all were handed the same bytes");
    let counts = node.api.feed_counts();
    assert_eq!((counts.members, counts.made), (100, last as u64 + 10));
    drop(feeds);
    assert_eq!(
        (
            node.api.feed_counts().groups,
            node.api.feed_counts().members
        ),
        (0, 0)
    );
    let mut again = node.subscribe(EVENTS, json!({})).await.unwrap();
    let next = node.register("again").await.0;
    assert_eq!(again.position().await, next);
    eventually("nobody is served beside it", async || {
        node.api.feed_counts().made == counts.made + 1
    })
    .await;
}

#[tokio::test]
async fn tenants_and_rights_are_kept_apart() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    open_log(&db, "other").await;
    let mut feeds = Vec::new();
    for (tenant, roles) in [
        (TENANT, vec![Role::Viewer]),
        ("other", vec![Role::Viewer]),
        (TENANT, vec![Role::Admin]),
    ] {
        let document = "subscription { events { aggregateId } }";
        let feed = node
            .subscribe_as(tenant, &roles, document, json!({}), None)
            .await;
        feeds.push((tenant, feed.unwrap()));
    }
    assert_eq!(node.api.feed_counts().groups, 3);
    for n in 0..5 {
        node.register_in(TENANT, &format!("{TENANT}-{n}")).await;
        node.register_in("other", &format!("other-{n}")).await;
    }
    for (tenant, feed) in &mut feeds {
        for n in 0..5 {
            let seen = feed.item().await;
            assert_eq!(
                seen,
                json!({ "events": { "aggregateId": format!("{tenant}-{n}") } })
            );
        }
    }
}

#[tokio::test]
async fn there_is_a_most_of_everything() {
    let db = TestDb::create().await;
    let feed = FeedSettings {
        groups_max: 2,
        members_max: 4,
        keys_max: 2,
        ..FeedSettings::default()
    };
    let node = Node::with(&db, feed).await;
    let refused = async |document: &str| {
        let feed = node.subscribe(document, json!({})).await;
        feed.err().map(|fault| fault.code())
    };
    let mut moved = node.subscribe(MOVED, json!({})).await.unwrap();
    let mut feeds = vec![node.subscribe(EVENTS, json!({})).await.unwrap()];
    let another = "subscription { events { id } }";
    assert_eq!(
        refused(another).await,
        Some("TOO_MANY_SUBSCRIPTIONS"),
        "a third group"
    );
    for _ in 0..2 {
        feeds.push(node.subscribe(EVENTS, json!({})).await.unwrap());
    }
    assert_eq!(
        refused(EVENTS).await,
        Some("TOO_MANY_SUBSCRIPTIONS"),
        "a fifth member"
    );
    for vehicle in ["a", "b", "c"] {
        node.report(vehicle, 1, 30.25, -97.75).await;
    }
    let fault = moved.fault().await;
    assert_eq!(
        (fault.code(), &fault.facts["limit"]),
        ("COST_LIMIT", &json!(2))
    );
    drop((moved, feeds));
    assert_eq!(
        refused(MOVED).await,
        Some("COST_LIMIT"),
        "there are three from the start"
    );
    assert_eq!(refused(another).await, None, "a seat given up is free");
}

#[tokio::test]
async fn arguments_are_refused_before_anything_runs() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    let day = "from: \"2016-01-04T00:00:00Z\", to: \"2016-01-05T00:00:00Z\"";
    let many: Vec<Value> = (0..201).map(|n| n.to_string().into()).collect();
    let many = Value::from(many);
    let place = h3o::LatLng::new(30.25, -97.75).unwrap();
    let fine = place.to_cell(h3o::Resolution::Ten);
    let cases = [
        ("vehicleMoved(maxHz: 21) { id }".to_owned(), "OUT_OF_RANGE"),
        ("vehicleMoved(maxHz: 0) { id }".to_owned(), "OUT_OF_RANGE"),
        (
            format!("vehicleMoved(vehicleIds: {many}) {{ id }}"),
            "PAGE_LIMIT",
        ),
        (format!("events(types: {many}) {{ id }}"), "PAGE_LIMIT"),
        (
            format!("vehicleMoved(cells: [\"{fine}\"]) {{ id }}"),
            "VALIDATION",
        ),
        (
            "vehicleMoved(bbox: { south: 1, west: 0, north: 0, east: 1 }) { id }".to_owned(),
            "VALIDATION",
        ),
        (
            "vehicleMoved(bbox: { south: 1 }) { id }".to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            format!("heatmapChanged({day}, resolution: 10) {{ more }}"),
            "VALIDATION",
        ),
        (
            format!("heatmapChanged({day}, limit: 0) {{ more }}"),
            "PAGE_LIMIT",
        ),
        (
            format!("heatmapChanged({day}, zone: \"Mars\") {{ more }}"),
            "VALIDATION",
        ),
        (
            format!("heatmapChanged({day}, maxHz: 1000) {{ more }}"),
            "OUT_OF_RANGE",
        ),
        ("events { nothing }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        (
            "events @skip(if: true) { id }".to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "events { id } vehicleMoved { id }".to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ];
    for (field, code) in cases {
        let feed = node
            .subscribe(&format!("subscription {{ {field} }}"), json!({}))
            .await;
        assert_eq!(feed.err().map(|fault| fault.code()), Some(code), "{field}");
    }
    assert_eq!(
        (
            node.api.feed_counts().groups,
            node.api.feed_counts().members
        ),
        (0, 0)
    );
}
