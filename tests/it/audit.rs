//! What auditors ask over GraphQL: what became of one thing, who did what, and what proves it.

use serde_json::{Value, json};

use crate::support::{Scratch, TestApp, command};

const DO: &str = r#"mutation {
  a: createFleet(input: { id: "north", name: "North" }) { receipt { position } }
  b: createFleet(input: { id: "south", name: "South" }) { receipt { position } }
  c: renameFleet(input: { id: "north", name: "Far north" }) { receipt { position } }
  d: registerVehicle(input: { id: "v", name: "Van" }) { receipt { position } userErrors { message } }
  e: archiveFleet(input: { id: "south" }) { receipt { position } }
}"#;

/// Positions of what was done, by name.
async fn begun() -> (TestApp, Value) {
    let app = TestApp::start().await;
    let done = app.data(DO, json!({})).await;
    (app, done)
}

fn place(done: &Value, name: &str) -> String {
    done[name]["receipt"]["position"]
        .as_str()
        .unwrap()
        .to_owned()
}

const STATE: &str = "query($kind: String!, $id: String!, $asOf: VersionInput) {
  aggregate(type: $kind, id: $id, asOf: $asOf) { type id version position state } }";

async fn state(app: &TestApp, id: &str, as_of: Value) -> Value {
    let asked = json!({ "kind": "fleet", "id": id, "asOf": as_of });
    app.data(STATE, asked).await["aggregate"].clone()
}

#[tokio::test]
async fn a_thing_is_told_as_it_was_at_any_version_position_or_time() {
    let (app, done) = begun().await;
    let now = state(&app, "north", Value::Null).await;
    assert_eq!(now["version"], 2);
    assert_eq!(now["state"]["name"], "Far north");
    assert_eq!(now["position"], place(&done, "c"));
    let first = state(&app, "north", json!({ "version": 1 })).await;
    assert_eq!(first["state"]["name"], "North");
    assert_eq!(first["position"], place(&done, "a"));
    let before = state(&app, "north", json!({ "position": place(&done, "b") })).await;
    assert_eq!(before, first);
    let at = state(&app, "north", json!({ "position": place(&done, "c") })).await;
    assert_eq!(at, now);
    for never in [
        state(&app, "north", json!({ "version": 3 })).await,
        state(&app, "south", json!({ "position": place(&done, "a") })).await,
        state(&app, "west", Value::Null).await,
        state(&app, "north", json!({ "time": "2001-01-01T00:00:00Z" })).await,
    ] {
        assert_eq!(never, Value::Null);
    }
    for (asked, code) in [
        (json!({ "kind": "ship", "id": "x" }), "VALIDATION"),
        (
            json!({ "kind": "fleet", "id": "x", "asOf": { "version": 0 } }),
            "BAD_POSITION",
        ),
        (
            json!({ "kind": "fleet", "id": "x", "asOf": { "position": "99999" } }),
            "BAD_POSITION",
        ),
    ] {
        let told = app.ask(STATE, asked).await;
        assert_eq!(told["errors"][0]["extensions"]["code"], code, "{told}");
    }
}

#[tokio::test]
async fn every_version_tells_its_event_its_state_and_what_changed() {
    let (app, _) = begun().await;
    let query = r#"query($first: Int, $after: String) {
      aggregateHistory(type: "fleet", id: "north", first: $first, after: $after) {
        nodes { version event { type metadata { actor } } state changes { path before after } }
        pageInfo { hasNextPage endCursor } } }"#;
    let page = app.data(query, json!({ "first": 1 })).await;
    let page = &page["aggregateHistory"];
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let created = &page["nodes"][0];
    assert_eq!(created["event"]["type"], "fleet.created");
    let actor = created["event"]["metadata"]["actor"].as_str().unwrap();
    assert!(actor.starts_with("user:"), "{actor}");
    let after = &page["pageInfo"]["endCursor"];
    let page = app.data(query, json!({ "after": after })).await;
    let page = &page["aggregateHistory"];
    assert_eq!(page["pageInfo"]["hasNextPage"], false);
    let renamed = &page["nodes"][0];
    assert_eq!(renamed["version"], 2);
    assert_eq!(renamed["state"]["name"], "Far north");
    let name = json!([{ "path": "/name", "before": "North", "after": "Far north" }]);
    assert_eq!(renamed["changes"], name);
    let vehicle = r#"{ aggregateHistory(type: "vehicle", id: "v") {
      nodes { changes { path after } } } }"#;
    let vehicle = app.data(vehicle, json!({})).await;
    let changes = &vehicle["aggregateHistory"]["nodes"][0]["changes"];
    assert!(!changes.as_array().unwrap().is_empty(), "{vehicle}");
}

#[tokio::test]
async fn events_are_found_by_who_caused_them_when_and_in_which_request() {
    let (app, done) = begun().await;
    let positions = async |conditions: &str| -> Vec<String> {
        let query = format!(
            "{{ events({conditions}) {{ nodes {{ position metadata {{ actor correlationId }} recordedAt }}
               lookedThrough pageInfo {{ hasNextPage }} }} }}"
        );
        let told = app.data(&query, json!({})).await;
        assert_eq!(told["events"]["pageInfo"]["hasNextPage"], false);
        let nodes = told["events"]["nodes"].as_array().unwrap().clone();
        nodes
            .iter()
            .map(|node| node["position"].as_str().unwrap().to_owned())
            .collect()
    };
    let query = r#"{ events(aggregate: { type: "fleet" }) { nodes { metadata { actor correlationId } recordedAt } } }"#;
    let told = app.data(query, json!({})).await;
    let first = &told["events"]["nodes"][0];
    let (actor, correlation) = (
        first["metadata"]["actor"].as_str().unwrap(),
        first["metadata"]["correlationId"].as_str().unwrap(),
    );
    let ours: Vec<String> = ["a", "b", "c", "d", "e"]
        .map(|name| place(&done, name))
        .into();
    assert_eq!(
        positions(&format!("correlationId: {correlation:?}")).await,
        ours
    );
    let by = positions(&format!(
        "actor: {actor:?}, aggregate: {{ type: \"fleet\" }}"
    ))
    .await;
    assert_eq!(by, [&ours[..3], &ours[4..]].concat());
    let nobody = positions(r#"actor: "user:nobody""#).await;
    assert!(nobody.is_empty());
    // A name that only begins alike is somebody else's.
    let (short, _) = actor.split_at(actor.len() - 1);
    assert!(positions(&format!("actor: {short:?}")).await.is_empty());
    let at = first["recordedAt"].as_str().unwrap();
    let from = positions(&format!("aggregate: {{ type: \"fleet\" }}, from: {at:?}")).await;
    assert_eq!(from, by);
    assert!(
        positions(&format!("aggregate: {{ type: \"fleet\" }}, to: {at:?}"))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn seals_and_proofs_are_told_and_hold_without_the_database() {
    let (app, done) = begun().await;
    let position = place(&done, "e");
    let query = "query($position: Position!) {
      seals(first: 2) { nodes { size first root previous sealedAt publicKey signature statement } }
      inclusionProof(position: $position) { shows publicKeys file } }";
    let asked = json!({ "position": position });
    let told = loop {
        let told = app.data(query, asked.clone()).await;
        if told["inclusionProof"].is_object() {
            break told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let seal = &told["seals"]["nodes"][0];
    let statement = seal["statement"].as_str().unwrap();
    for name in ["size", "root", "previous"] {
        assert!(
            statement.contains(seal[name].as_str().unwrap()),
            "{name}: {told}"
        );
    }
    let proof = &told["inclusionProof"];
    assert_eq!(proof["publicKeys"], json!([seal["publicKey"]]));
    let dir = Scratch::new();
    let file = dir.join("proof.json");
    std::fs::write(&file, proof["file"].to_string()).unwrap();
    let key = seal["publicKey"].as_str().unwrap();
    let args = [
        "verify",
        "--proof",
        file.to_str().unwrap(),
        "--public-key",
        key,
    ];
    let done = command(dir.path(), &args, &[]).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let growth = "query($size: Position!) { consistencyProof(size: $size) { shows file } }";
    let grown = app.data(growth, json!({ "size": seal["size"] })).await;
    assert!(grown["consistencyProof"]["shows"].is_string(), "{grown}");
    let none = app.data(growth, json!({ "size": "999999" })).await;
    assert_eq!(none["consistencyProof"], Value::Null);
}
