//! `heatmapChanged`: the map first, then whenever its figures have changed.

use serde_json::{Value, json};

use super::scene::{Feed, Node};
use crate::support::TestDb;

const ASKED: &str = "from: \"2016-01-04T01:00:00Z\", to: \"2016-01-04T02:00:00Z\",
    bbox: { south: 30, west: -98, north: 30.5, east: -97 }";
const FIGURES: &str = "{ cells { cell fixes vehicles value } more suppressed asOfPosition }";

async fn fixes(feed: &mut Feed) -> Value {
    let map = feed.item().await["heatmapChanged"].take();
    let cells = map["cells"].as_array().unwrap().iter();
    cells.map(|cell| cell["fixes"].clone()).collect()
}

#[tokio::test]
async fn a_map_is_told_again_when_its_figures_have_changed() {
    let db = TestDb::create().await;
    let node = Node::start(&db).await;
    node.report("a", 61, 30.25, -97.75).await;
    let document = format!("subscription {{ heatmapChanged(maxHz: 20, {ASKED}) {FIGURES} }}");
    let mut feed = node.subscribe(&document, json!({})).await.unwrap();
    assert_eq!(fixes(&mut feed).await, json!([1]));
    node.report("a", 59, 30.25, -97.75).await; // before the span
    node.report("a", 120, 30.25, -97.75).await; // after it
    node.report("a", 62, 31.25, -97.75).await; // elsewhere
    node.report("a", 63, 30.25, -97.75).await;
    assert_eq!(
        fixes(&mut feed).await,
        json!([2]),
        "nothing was told meanwhile"
    );
    node.report("b", 64, 30.35, -97.75).await;
    let told = feed.item().await["heatmapChanged"].take();
    let asked = node
        .ask(&format!("{{ heatmap({ASKED}) {FIGURES} }}"), json!({}))
        .await;
    assert_eq!(told, asked["heatmap"], "it is what the query answers");
    let mut late = node.subscribe(&document, json!({})).await.unwrap();
    assert_eq!(late.item().await["heatmapChanged"], told);
    assert_eq!(node.api.feed_counts().made, 3);
}
