//! Events that were taken out of the log: whoever asks for them is told so, and where to go on.

use daybook::api::fault::Fault;
use serde_json::{Value, json};

use super::scene::{EVENTS, Node, append_at_once};
use crate::support::TestDb;

const QUERY: &str = "query($after: Position, $aggregate: AggregateInput) {
    events(afterPosition: $after, aggregate: $aggregate, first: 200) { nodes { position } } }";

/// What a fault says, as the client sees it.
fn told(fault: &Fault) -> Value {
    let (code, facts) = (fault.code(), &fault.facts);
    json!([code, facts["missing"], facts["first"]])
}

#[tokio::test]
async fn what_is_not_there_any_more_is_named_and_never_passed_over() {
    let db = TestDb::create().await;
    // A log whose first partition ends at 63; the next ones are as large as ever.
    let partitions = "select ensure_event_partitions(60, 64)";
    sqlx::raw_sql(partitions).execute(db.pool()).await.unwrap();
    let node = Node::start(&db).await;
    append_at_once(&db, 100).await;
    let detach = "alter table events detach partition events_p0";
    sqlx::raw_sql(detach).execute(db.pool()).await.unwrap();

    let ask = async |after: Option<&str>, aggregate: Value| {
        let variables = json!({ "after": after, "aggregate": aggregate });
        let data = node.try_ask(QUERY, variables).await.map_err(|f| told(&f))?;
        let nodes = data["events"]["nodes"].as_array().unwrap();
        Ok::<_, Value>((nodes.len(), nodes.first().map(|n| n["position"].clone())))
    };
    let fleets = || json!({ "type": "fleet" });
    for (after, aggregate, missing) in [
        (None, Value::Null, "1"),
        (Some("0"), Value::Null, "1"),
        (Some("62"), fleets(), "63"),
    ] {
        let expected = Err(json!(["ARCHIVED", missing, "64"]));
        assert_eq!(ask(after, aggregate).await, expected, "{after:?}");
    }
    let there = Ok((37, Some(json!("64"))));
    assert_eq!(ask(Some("63"), fleets()).await, there);

    // A subscription ends with the same, instead of beginning anew for ever.
    let mut feed = node
        .subscribe(EVENTS, json!({ "after": "10" }))
        .await
        .unwrap();
    let fault = feed.fault().await;
    assert_eq!(told(&fault), json!(["ARCHIVED", "11", "64"]));
    assert!(!fault.is_passing(), "asking again would not help");
    let mut feed = node
        .subscribe(EVENTS, json!({ "after": "63" }))
        .await
        .unwrap();
    assert_eq!(feed.positions(37).await, (64..=100).collect::<Vec<_>>());
}
