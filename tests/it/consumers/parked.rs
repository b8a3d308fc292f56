//! Parked streams as others see them: rebuilds and what can be gone back to, the archive, whoever asks.

use daybook::consumers::{Consumers, Mode, RebuildError, RebuildOptions, Rebuilt};
use domain::{Code, Position};
use serde_json::{Value, json};

use super::parking::{REFUSED, ann, held_up, keyed, mended, parked, places};
use super::poison::without;
use super::scene::{CREATED, TENANT, append, append_many, caught_up, live, start, store, tenant};
use crate::support::{TestApp, TestDb, eventually};

fn check() -> RebuildOptions {
    RebuildOptions {
        mode: Mode::Check,
        ..RebuildOptions::default()
    }
}

fn back() -> RebuildOptions {
    RebuildOptions {
        mode: Mode::RollBack,
        ..RebuildOptions::default()
    }
}

#[tokio::test]
async fn a_rebuild_takes_in_all_or_fails_and_nothing_is_compared_with_what_lacks_a_stream() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[keyed()]).await;
    let at = append(db.pool(), "f1", &[CREATED, REFUSED, CREATED])
        .await
        .0
        - 1;
    append_many(db.pool(), 60, 3).await;
    parked(&consumers, 1).await;
    let rebuild = async |consumers: &Consumers, options| {
        consumers.rebuild(&tenant(), "tally", options, |_| {}).await
    };
    let refused = rebuild(&consumers, RebuildOptions::default()).await;
    assert!(
        matches!(&refused, Err(RebuildError::Poison { position, .. }) if position.0 == at),
        "{refused:?}"
    );
    for options in [
        check(),
        RebuildOptions {
            compare: true,
            ..RebuildOptions::default()
        },
    ] {
        let refused = rebuild(&consumers, options).await.unwrap_err();
        assert!(matches!(refused, RebuildError::Parked(1)), "{refused:?}");
        assert_eq!(refused.refusal().unwrap().code, Code::ReadModelParked);
    }
    parked(&consumers, 1).await;
    consumers.stop().await;

    // A release that can take it in has all of it by a rebuild, and what it was before by going back.
    let consumers = start(&store, &[mended()]).await;
    rebuild(&consumers, RebuildOptions::default())
        .await
        .unwrap();
    parked(&consumers, 0).await;
    caught_up(db.pool(), "tally").await;
    append_many(db.pool(), 60, 3).await;
    rebuild(&consumers, back()).await.unwrap();
    parked(&consumers, 1).await;
    let expected = held_up(&db, &[("f1", Position(at))]).await;
    assert_eq!(live(db.pool(), "tally").await.0, expected);
    assert_eq!(places(&store).await, [("f1".to_owned(), at, 1)]);
    append_many(db.pool(), 60, 3).await;
    consumers
        .retry(TENANT, "tally", Position(at), &ann())
        .await
        .unwrap();
    parked(&consumers, 0).await;
    caught_up(db.pool(), "tally").await;
    let checked = rebuild(&consumers, check()).await.unwrap();
    assert!(checked.digest.is_some(), "live is what is rebuilt");
    consumers.stop().await;
}

#[tokio::test]
async fn what_was_skipped_is_skipped_by_a_rebuild_as_well() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[keyed()]).await;
    let at = append(db.pool(), "f1", &[CREATED, REFUSED]).await;
    append_many(db.pool(), 60, 3).await;
    parked(&consumers, 1).await;
    consumers
        .skip(TENANT, "tally", at, "user:ann", "lost")
        .await
        .unwrap();
    parked(&consumers, 0).await;
    let checked = consumers.rebuild(&tenant(), "tally", check(), |_| {}).await;
    assert!(checked.unwrap().digest.is_some());
    let (counts, _, position) = live(db.pool(), "tally").await;
    assert_eq!(counts, without(&db, position, &[at.0]).await);
    consumers.stop().await;
}

#[tokio::test]
async fn what_cannot_be_written_and_was_skipped_is_skipped_by_whatever_folds_it_anew() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[keyed()]).await;
    let rebuild = async |options| consumers.rebuild(&tenant(), "tally", options, |_| {}).await;
    append_many(db.pool(), 60, 3).await;
    rebuild(RebuildOptions::default()).await.unwrap();
    let at = append(db.pool(), "unwritable", &[CREATED]).await;
    append_many(db.pool(), 60, 3).await;
    parked(&consumers, 1).await;
    consumers
        .skip(TENANT, "tally", at, "user:ann", "lost")
        .await
        .unwrap();
    parked(&consumers, 0).await;
    let checked = rebuild(check()).await;
    assert!(checked.unwrap().digest.is_some(), "ranges are folded");
    rebuild(back()).await.unwrap();
    let head = store.head(TENANT).await.unwrap();
    eventually("it is at the head again", async || {
        live(db.pool(), "tally").await.2 >= head
    })
    .await;
    let (counts, _, position) = live(db.pool(), "tally").await;
    assert_eq!(counts, without(&db, position, &[at.0]).await, "followed");
    // Nobody has decided about the next.
    append(db.pool(), "unwritable", &[CREATED]).await;
    parked(&consumers, 1).await;
    let refused = rebuild(RebuildOptions::default()).await;
    assert!(
        matches!(&refused, Err(RebuildError::Poison { .. })),
        "{refused:?}"
    );
    consumers.stop().await;
}

#[tokio::test]
async fn what_a_parked_stream_still_needs_is_not_archived() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let consumers = start(&store, &[keyed()]).await;
    let at = append(db.pool(), "f1", &[CREATED, REFUSED]).await;
    let head = append_many(db.pool(), 60, 3).await;
    parked(&consumers, 1).await;
    let behind = async |position: i64| {
        let tenants = [TENANT.to_owned()];
        store.read_model_behind(&tenants, position).await.unwrap()
    };
    assert_eq!(behind(at.0 - 1).await, None, "nobody needs what is folded");
    let needed = behind(at.0).await.unwrap();
    assert_eq!(
        (needed.projection.as_str(), needed.position),
        ("tally", at.0 - 1)
    );
    consumers
        .skip(TENANT, "tally", at, "user:ann", "lost")
        .await
        .unwrap();
    parked(&consumers, 0).await;
    assert_eq!(behind(head.0).await, None);
    consumers.stop().await;
}

const LIST: &str = "{ vehicles(first: 200) { asOfPosition nodes { id name } } }";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_that_a_stream_is_parked_and_sees_it_once_it_is_taken_in() {
    let app = TestApp::start().await;
    let register = |id: &str| {
        let input = json!({ "i": { "id": id, "name": "Bus" } });
        app.data(
            "mutation($i: RegisterVehicleInput!) { registerVehicle(input: $i) { userErrors { code } } }",
            input,
        )
    };
    register("v1").await;
    let kind = "vehicle";
    let poison = (kind, "vehicle.registered", "1", r#"{"name":7}"#);
    let said = r#"{"profile":{"name":"Tram"},"onFirstReport":false}"#;
    let good = (kind, "vehicle.registered", "1", said);
    let at = append(app.db().pool(), "bad", &[poison, good]).await.0 - 1;
    register("v2").await;

    // All that is asked twice would be kept, were it not parked.
    let (ids, before) = told(&app).await;
    assert_eq!(ids, ["v1", "v2"]);
    assert_eq!(told(&app).await.0, ids);
    assert_eq!(
        before["extensions"]["parked"],
        json!(["vehicles"]),
        "{before}"
    );
    let by_rest = app.get("/api/vehicles/latest?fleetId=f1").await;
    assert_eq!(by_rest.header("daybook-parked"), "vehicles");
    let status = "{ projections { name status parkedStreams } }";
    let vehicles = app.data(status, json!({})).await["projections"][0].take();
    let expected = json!({ "name": "vehicles", "status": "running", "parkedStreams": 1 });
    assert_eq!(vehicles, expected);
    let health = app.get("/healthz").await.json();
    assert_eq!(health["status"], "degraded", "{health}");
    let detailed = app.get("/health/detailed").await.json();
    let why = detailed["components"][2].to_string();
    assert!(why.contains("parked: vehicles (1 streams)"), "{why}");
    assert_eq!(app.get("/readyz").await.status, 200);
    let failed = r#"{ failedEvents(name: "vehicles") { nodes {
        position blocks parked aggregateType aggregateId skippedBy } } }"#;
    let listed = app.data(failed, json!({})).await["failedEvents"]["nodes"].take();
    let place = json!({ "position": at.to_string(), "blocks": false, "parked": true,
                        "aggregateType": "vehicle", "aggregateId": "bad", "skippedBy": null });
    assert_eq!(listed, json!([place]));

    let skip = r#"mutation($i: SkipFailedEventInput!) { skipFailedEvent(input: $i) {
        projection { parkedStreams } userErrors { code } } }"#;
    let input = json!({ "name": "vehicles", "position": at.to_string(), "reason": "lost" });
    let done = app.data(skip, json!({ "i": input })).await;
    assert_eq!(done["skipFailedEvent"]["userErrors"], json!([]));
    eventually("nothing is parked", async || {
        app.data(status, json!({})).await["projections"][0]["parkedStreams"] == 0
    })
    .await;
    // At the same position as before.
    let (ids, after) = told(&app).await;
    assert_eq!(ids, ["bad", "v1", "v2"]);
    assert_eq!(
        after["extensions"]["position"],
        before["extensions"]["position"]
    );
    assert_eq!(after["extensions"].get("parked"), None, "{after}");
    let listed = app.data(failed, json!({})).await["failedEvents"]["nodes"].take();
    assert_eq!(listed[0]["parked"], false);
    assert_eq!(listed[0]["skippedBy"], "user:tester");
    let fresh = rebuild_check(&app).await;
    assert!(fresh.digest.is_some(), "live is what is rebuilt");
}

/// The vehicles there are, as of the log's end, and all that was answered.
async fn told(app: &TestApp) -> (Vec<String>, Value) {
    let body = json!({ "query": LIST, "extensions": { "atLeast": app.head().await.to_string() } });
    let told = app.post(body.to_string().as_bytes(), &[]).await.json();
    let nodes = told["data"]["vehicles"]["nodes"].as_array().unwrap();
    let mut ids: Vec<String> = nodes
        .iter()
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    (ids, told)
}

/// Compares the vehicles that answer with what their events fold to.
async fn rebuild_check(app: &TestApp) -> Rebuilt {
    let store = store(app.db().options()).await;
    let vehicles = projections::all().swap_remove(0);
    daybook::consumers::rebuild(&store, &vehicles, &tenant(), check(), |_| {})
        .await
        .unwrap()
}
