//! Questions in SQL as of a position: of generations that were built for it, and of nothing else.

use daybook::analysts::AnalystError;
use daybook::consumers::{Mode, RebuildOptions, rebuild};
use domain::Position;
use serde_json::{Value, json};

use super::scene::{Scene, TALLY, TENANT, append_many, tenant};
use crate::consumers::scene::truth;
use crate::support::{TestApp, eventually};

const ALL: &str = "select fleet, events, positions from fleet_tally";

async fn build_as_of(scene: &Scene, up_to: Position) {
    let options = RebuildOptions {
        mode: Mode::Scratch { up_to },
        ..RebuildOptions::default()
    };
    let model = scene.model("fleet_tally").await;
    let built = rebuild(&scene.store, &model, &tenant(), options, |_| {}).await;
    assert_eq!(built.unwrap().position, up_to);
}

fn is_unbuilt<T>(told: &Result<T, AnalystError>) -> bool {
    matches!(told, Err(AnalystError::NotBuiltAsOf { name, .. }) if name == "fleet_tally")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_as_of_then_is_asked_of_what_was_built_for_it() {
    let scene = Scene::new().await;
    scene.install(TALLY).await.unwrap();
    let then = append_many(scene.db.pool(), 300, 7).await;
    let consumers = scene.start(&[]).await;
    let now = append_many(scene.db.pool(), 300, 7).await;
    scene.reaches("fleet_tally", now).await;
    assert!(is_unbuilt(&scene.ask_as_of(ALL, then).await));
    build_as_of(&scene, then).await;
    let told = scene.ask_as_of(ALL, then).await.unwrap();
    assert_eq!(told.read, [("fleet_tally".to_owned(), then)]);
    let rows = told.rows.iter();
    let rows = rows.map(|row| serde_json::from_str(row.get()).unwrap());
    let tally = rows.map(|(fleet, events, positions)| (fleet, (events, positions)));
    assert_eq!(
        tally.collect::<std::collections::BTreeMap<String, (i64, i64)>>(),
        truth(scene.db.pool(), then).await
    );
    // The one that answers goes on answering, and no other position does.
    assert_eq!(scene.tally().await, truth(scene.db.pool(), now).await);
    for other in [Position(then.0 - 1), Position(then.0 + 1), now] {
        assert!(is_unbuilt(&scene.ask_as_of(ALL, other).await), "{other}");
    }
    let unknown = scene.ask_as_of("select * from nothing", then).await;
    let said = unknown.unwrap_err().to_string();
    assert!(said.contains("no relation nothing"), "{said}");
    // What one version built is not what another would.
    let raised = TALLY.replace("version: 1", "version: 2");
    scene.install(&raised).await.unwrap();
    assert!(is_unbuilt(&scene.ask_as_of(ALL, then).await));
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_asks_as_of_a_position_as_it_does_of_other_read_models() {
    let app = TestApp::start().await;
    let analysts = app.app().consumers.analysts().unwrap();
    let examined = analysts.examine(TENANT, TALLY).await.unwrap();
    let installed =
        daybook::consumers::install(app.store(), analysts, TENANT, &examined, "ann").await;
    installed.unwrap();
    let create = async |id: &str| {
        let query = "mutation($id: ID!) { createFleet(input: { id: $id, name: \"F\" }) { receipt { position } } }";
        app.data(query, json!({ "id": id })).await["createFleet"]["receipt"]["position"].clone()
    };
    let then = create("one").await;
    create("two").await;
    let ask = async |as_of: &Value| {
        let query = "{ analystQuery(sql: \"select fleet from fleet_tally order by 1\") {
            rows projections { name position } } }";
        let extensions = json!({ "asOf": { "position": as_of } });
        let body = json!({ "query": query, "extensions": extensions }).to_string();
        app.post(body.as_bytes(), &[]).await.json()
    };
    let unbuilt = &ask(&then).await["errors"][0]["extensions"];
    assert_eq!(
        (&unbuilt["code"], &unbuilt["readModel"], &unbuilt["asOf"]),
        (&json!("AS_OF_NOT_BUILT"), &json!("fleet_tally"), &then)
    );
    let build = "mutation($at: Position!) { rebuildProjection(
        input: { name: \"fleet_tally\", mode: SCRATCH, upTo: { position: $at } }) { userErrors { code } } }";
    let asked = app.data(build, json!({ "at": then })).await;
    assert_eq!(asked["rebuildProjection"]["userErrors"], json!([]));
    let mut told = json!(null);
    eventually("it is built", async || {
        told = ask(&then).await;
        told["errors"].is_null()
    })
    .await;
    let told = &told["data"]["analystQuery"];
    assert_eq!(told["rows"], json!([["one"]]));
    assert_eq!(
        told["projections"],
        json!([{ "name": "fleet_tally", "position": then }])
    );
}
