//! What is in the archive, asked for over GraphQL: nobody is told half of it, and nothing is decided on it.

use daybook::seals::Seals;
use serde_json::{Value, json};

use super::PARTITION;
use crate::support::{Scratch, TestApp, eventually};

const HISTORY: &str = r#"query($id: String!) {
    aggregateHistory(type: "fleet", id: $id) { nodes { version } } }"#;

const RENAME: &str = r#"mutation($id: ID!) {
    renameFleet(input: { id: $id, name: "Other" }) { receipt { version } userErrors { code } } }"#;

/// Makes fleets, one event each, from position 1 on.
async fn create(app: &TestApp, fleets: i64) {
    let query =
        "mutation($i: CreateFleetInput!) { createFleet(input: $i) { userErrors { code } } }";
    for n in 0..fleets {
        let fleet = json!({ "id": format!("f{n}"), "name": "Buses" });
        app.data(query, json!({ "i": fleet })).await;
    }
    assert_eq!(app.head().await, fleets);
}

/// Takes everything before a position to files.
async fn archive(app: &TestApp, before: i64, dir: &Scratch) {
    let (store, tenants) = (app.store(), ["default".to_owned()]);
    let seals = Seals::new(store.clone(), app.app().vault.clone());
    let (tenant, now) = ("default".into(), chrono::DateTime::UNIX_EPOCH);
    while seals.seal_next(&tenant, now, 1_000).await.unwrap() > 0 {}
    eventually("nothing that is to go is needed", async || {
        let behind = store.read_model_behind(&tenants, before).await;
        behind.unwrap().is_none()
    })
    .await;
    let files = dir.path().join("archive");
    daybook::export::archive(store, (before, &files), "test", |_| ())
        .await
        .unwrap();
}

#[tokio::test]
async fn histories_and_commands_of_what_is_archived_say_so() {
    let small = |settings: &mut daybook::config::Settings| {
        settings.append.partition_positions = PARTITION.unsigned_abs();
    };
    let (app, dir) = (TestApp::with(small).await, Scratch::new());
    create(&app, 100).await;
    archive(&app, PARTITION, &dir).await;
    // One that has no state of them in memory.
    let app = app.beside(small).await;
    for query in [HISTORY, RENAME] {
        let told = app.ask(query, json!({ "id": "f0" })).await;
        let error = &told["errors"][0];
        let expected = json!(["ARCHIVED", "1", "64"]);
        let facts = ["code", "missing", "first"].map(|fact| error["extensions"][fact].clone());
        assert_eq!(json!(facts), expected, "{told}");
        assert_eq!(told["errors"][1], Value::Null, "{told}");
    }
    assert_eq!(app.head().await, 100, "nothing was decided");
    // What lies behind is as ever.
    let there = app.data(HISTORY, json!({ "id": "f80" })).await;
    assert_eq!(
        there["aggregateHistory"]["nodes"],
        json!([{ "version": 1 }])
    );
    let renamed = app.data(RENAME, json!({ "id": "f80" })).await;
    let expected = json!({ "receipt": { "version": 2 }, "userErrors": [] });
    assert_eq!(renamed["renameFleet"], expected);
}
