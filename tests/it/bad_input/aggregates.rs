//! Section D: versions, races, order of arrival, long streams, events nobody knows.

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{code, fix};
use crate::support::{TestApp, eventually};

const REGISTER: &str = "mutation { registerVehicle(input: { id: \"v\" }) { receipt { version } } }";
const RENAME: &str = "mutation($i: ChangeVehicleProfileInput!) { changeVehicleProfile(input: $i) {
    receipt { version } userErrors { code ... on ConflictError { actualVersion } } } }";
const REPORT: &str = "mutation($f: [PositionFixInput!]!) { reportPositions(input: { fixes: $f }) {
    results { status differs } } }";

#[tokio::test]
async fn d13_versions_nobody_has_seen() {
    let app = TestApp::start().await;
    app.data(REGISTER, json!({})).await;
    for (version, expect) in [
        (-1, "OUT_OF_RANGE"),
        (0, "VERSION_CONFLICT"),
        (6, "VERSION_CONFLICT"),
        (i32::MAX, "VERSION_CONFLICT"),
    ] {
        let input = json!({ "i": { "id": "v", "name": "n", "expectedVersion": version } });
        assert_eq!(code(&app.ask(RENAME, input).await), expect, "{version}");
    }
    assert_eq!(app.head().await, 1, "no gap is left behind");
}

#[tokio::test]
async fn d14_a_hundred_writers_of_one_vehicle() {
    let app = TestApp::start().await;
    app.data(REGISTER, json!({})).await;
    let writers = (0..100).map(|n| {
        app.ask(
            RENAME,
            json!({ "i": { "id": "v", "name": format!("n{n}") } }),
        )
    });
    let answers = join_all(writers).await;
    let mut versions: Vec<i64> = Vec::new();
    for answer in &answers {
        match code(answer).as_str() {
            "ok" => versions.push(
                answer["data"]["changeVehicleProfile"]["receipt"]["version"]
                    .as_i64()
                    .unwrap(),
            ),
            refused => assert_eq!(refused, "VERSION_CONFLICT"),
        }
    }
    versions.sort_unstable();
    let kept = versions.len() as i64;
    assert_eq!(
        versions,
        (2..2 + kept).collect::<Vec<_>>(),
        "1..n, no gap, no twin"
    );
    assert_eq!(app.head().await, 1 + kept);
    assert!(kept > 0);
}

#[tokio::test]
async fn d16_late_double_and_impossibly_fast_fixes() {
    let app = TestApp::start().await;
    let at = |minute: i64, lat: f64| {
        fix(json!({ "fixTime": format!("2016-01-04T12:{minute:02}:00Z"), "lat": lat }))
    };
    let latest = "{ latestPositions { nodes { fixTime lat } } }";
    app.data(REPORT, json!({ "f": [at(10, 30.0), at(5, 30.1)] }))
        .await;
    let told = app
        .data(
            REPORT,
            json!({ "f": [at(3, 30.2), at(10, 30.0), at(10, 31.0), at(9, 70.0)] }),
        )
        .await;
    let statuses: Vec<_> = told["reportPositions"]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (&r["status"], &r["differs"]))
        .collect();
    let [accepted, duplicate] = [json!("ACCEPTED"), json!("DUPLICATE")];
    let [yes, no] = [json!(true), json!(false)];
    assert_eq!(
        statuses,
        [
            (&accepted, &no),
            (&duplicate, &no),
            (&duplicate, &yes),
            (&accepted, &no)
        ]
    );
    let seen = app.settled(latest, json!({})).await;
    let expect = json!([{ "fixTime": "2016-01-04T12:10:00Z", "lat": 30.0 }]);
    assert_eq!(
        seen["latestPositions"]["nodes"], expect,
        "the latest never goes back"
    );
    let history = "{ positionHistory(vehicleId: \"v\", from: \"2016-01-04T00:00:00Z\",
        to: \"2016-01-05T00:00:00Z\") { nodes { lat } } }";
    let seen = app.settled(history, json!({})).await;
    let lats = json!([{ "lat": 30.2 }, { "lat": 30.1 }, { "lat": 70.0 }, { "lat": 30.0 }]);
    assert_eq!(
        seen["positionHistory"]["nodes"], lats,
        "kept, in the order of fix times"
    );
}

/// Writes `count` events behind the process's back, of one type and payload.
async fn plant(pool: &PgPool, kind: &str, id: &str, event_type: &str, payload: &str, count: i64) {
    let mut tx = projections::begin(pool, "begin").await.unwrap();
    sqlx::query(
        "insert into events (tenant, position, aggregate_type, aggregate_id, sequence, event_type,
                             event_version, event_id, recorded_at, payload, metadata)
         select 'default', l.position + n, $1, $2, coalesce(s.version, 0) + n, $3, '1',
                gen_random_uuid(), now(), replace($4, '#', n::text)::json,
                '{\"actor\":\"system:test\",\"command_id\":\"x\"}'
         from logs l
         left join streams s on s.tenant = l.tenant and s.aggregate_type = $1 and s.aggregate_id = $2
         cross join generate_series(1, $5) n
         where l.tenant = 'default'",
    )
    .bind(kind)
    .bind(id)
    .bind(event_type)
    .bind(payload)
    .bind(count)
    .execute(&mut *tx)
    .await
    .unwrap();
    sqlx::query(
        "insert into streams (tenant, aggregate_type, aggregate_id, version, first_position, last_position)
         select 'default', $1, $2, $3, position + 1, position + $3 from logs where tenant = 'default'
         on conflict (tenant, aggregate_type, aggregate_id) do update
         set version = streams.version + excluded.version, last_position = excluded.last_position",
    )
    .bind(kind)
    .bind(id)
    .bind(count)
    .execute(&mut *tx)
    .await
    .unwrap();
    sqlx::query("update logs set position = position + $1 where tenant = 'default'")
        .bind(count)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn d21_a_stream_longer_than_any_page() {
    let app = TestApp::start().await;
    app.data(REGISTER, json!({})).await;
    // Another vehicle's stream, so that no process has its state.
    plant(
        app.db().pool(),
        "vehicle",
        "long",
        "vehicle.registered",
        r#"{"profile":{},"onFirstReport":false}"#,
        1,
    )
    .await;
    let payload = r##"{"profile":{"name":"n#"}}"##;
    plant(
        app.db().pool(),
        "vehicle",
        "long",
        "vehicle.profile_changed",
        payload,
        20_000,
    )
    .await;
    let input = json!({ "i": { "id": "long", "name": "last", "expectedVersion": 20_001 } });
    let done = app.data(RENAME, input).await;
    assert_eq!(done["changeVehicleProfile"]["receipt"]["version"], 20_002);
    let same = json!({ "i": { "id": "long", "name": "last" } });
    let done = app.data(RENAME, same).await;
    assert_eq!(
        done["changeVehicleProfile"]["receipt"]["version"], 20_002,
        "already so"
    );
}

#[tokio::test]
async fn d22_an_event_nobody_knows_stops_its_read_models_and_no_other() {
    let app = TestApp::start().await;
    app.data(REGISTER, json!({})).await;
    let unknown = ["vehicle", "deployment"];
    for kind in unknown {
        let (event_type, payload) = (format!("{kind}.teleported"), r##"{"to":"#"}"##);
        plant(app.db().pool(), kind, "v", &event_type, payload, 1).await;
    }
    let status = "{ projections { name status position error parkedStreams } }";
    let mut rows = Value::Null;
    eventually("the read model of deployments stops", async || {
        rows = app.data(status, json!({})).await["projections"].take();
        rows[5]["status"] == "stopped" && rows[0]["position"] == "3"
    })
    .await;
    assert_eq!(
        (&rows[5]["name"], &rows[5]["position"]),
        (&json!("deployments"), &json!("2"))
    );
    let said = rows[5]["error"].as_str().unwrap();
    assert!(said.contains("deployment.teleported"), "{rows}");
    // Where every row is of one stream, the vehicle is parked, and nothing stops.
    let vehicles = json!({ "name": "vehicles", "status": "running", "position": "3",
                           "error": null, "parkedStreams": 1 });
    assert_eq!(rows[0], vehicles);
    eventually("health tells it", async || {
        app.get("/healthz").await.json()["status"] == "degraded"
    })
    .await;
    assert_eq!(app.get("/readyz").await.status, 200, "the rest goes on");

    app.data(REPORT, json!({ "f": [fix(json!({ "vehicle": "w" }))] }))
        .await;
    let seen = app
        .settled("{ latestPositions { nodes { vehicleId } } }", json!({}))
        .await;
    assert_eq!(
        seen["latestPositions"]["nodes"],
        json!([{ "vehicleId": "w" }])
    );
}
