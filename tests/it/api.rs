//! The whole story over real HTTP: commands in, figures with their evidence out.

use std::collections::HashSet;

use daybook::auth::Role;
use serde_json::{Value, json};

use crate::support::{TestApp, eventually};

const REGISTER: &str = "mutation($input: RegisterVehicleInput!) { registerVehicle(input: $input) {
    vehicle { id vin name status version fleetIds } receipt { position version replayed }
    userErrors { __typename code path message retryable
        ... on ConflictError { actualVersion } ... on LimitError { limit actual } } } }";
const PROFILE: &str = "mutation($input: ChangeVehicleProfileInput!) {
    changeVehicleProfile(input: $input) { vehicle { vin plate name version }
    receipt { position version replayed }
    userErrors { code path ... on ConflictError { actualVersion } } } }";
const REPORT: &str = "mutation($input: ReportPositionsInput!) { reportPositions(input: $input) {
    accepted duplicates rejected results { index status differs error { code path } }
    receipt { position replayed } userErrors { code path } } }";
const DAY: [&str; 2] = ["2016-01-04T00:00:00Z", "2016-01-05T00:00:00Z"];

/// Ten fixes of a bus on its way north, one each minute.
fn trip(vehicle: &str) -> Vec<Value> {
    let fix = |minute: i64| {
        json!({ "vehicle": vehicle, "fixTime": format!("2016-01-04T12:{minute:02}:00Z"),
                "lat": 30.25 + minute as f64 * 0.002, "lon": -97.75,
                "speedMps": 5.0 + minute as f64, "attributes": { "route": "801" } })
    };
    (0..10).map(fix).collect()
}

async fn report(app: &TestApp, fixes: Vec<Value>) -> Value {
    let input = json!({ "input": { "fixes": fixes } });
    app.data(REPORT, input).await["reportPositions"].take()
}

#[tokio::test]
async fn a_vehicle_from_registration_to_retirement() {
    let app = TestApp::start().await;
    let input = json!({ "id": "2417", "vin": "1HGCM82633A004352", "name": "Number 2417" });
    let made = app.data(REGISTER, json!({ "input": input })).await;
    assert_eq!(
        made["registerVehicle"],
        json!({ "vehicle": { "id": "2417", "vin": "1HGCM82633A004352", "name": "Number 2417",
                             "status": "ACTIVE", "version": 1, "fleetIds": [] },
                "receipt": { "position": "1", "version": 1, "replayed": false },
                "userErrors": [] })
    );

    // Left out stays, null clears.
    let patch = json!({ "input": { "id": "2417", "name": null, "plate": "ABC-123" } });
    let changed = app.data(PROFILE, patch).await["changeVehicleProfile"].take();
    let expect =
        json!({ "vin": "1HGCM82633A004352", "plate": "ABC-123", "name": null, "version": 2 });
    assert_eq!(changed["vehicle"], expect);

    let fleet = "mutation { createFleet(input: { id: \"north\", name: \"North\" }) {
        fleet { id name vehicleCount } userErrors { code } }
      joinFleet(input: { vehicleId: \"2417\", fleetId: \"north\" }) {
        vehicle { fleetIds } userErrors { code } }
      renameFleet(input: { id: \"north\", name: \"Northern\" }) {
        fleet { name vehicleCount vehicles { nodes { id } } } userErrors { code } } }";
    let done = app.data(fleet, json!({})).await;
    assert_eq!(done["createFleet"]["fleet"]["vehicleCount"], 0);
    assert_eq!(done["joinFleet"]["vehicle"]["fleetIds"], json!(["north"]));
    assert_eq!(
        done["renameFleet"]["fleet"],
        json!({ "name": "Northern", "vehicleCount": 1, "vehicles": { "nodes": [{ "id": "2417" }] } })
    );

    let ending = "mutation {
      leaveFleet(input: { vehicleId: \"2417\", fleetId: \"north\" }) { vehicle { fleetIds } }
      archiveFleet(input: { id: \"north\" }) { fleet { status } }
      again: joinFleet(input: { vehicleId: \"2417\", fleetId: \"north\" }) { userErrors { code path } }
      retireVehicle(input: { id: \"2417\", reason: \"sold\" }) { vehicle { status retiredReason } }
      late: reportPositions(input: { fixes: [{ vehicle: \"2417\", fixTime: \"2016-01-04T12:00:00Z\",
        lat: 30.25, lon: -97.75 }] }) { rejected results { status error { code } } }
      reinstateVehicle(input: { id: \"2417\" }) { vehicle { status } receipt { version } } }";
    let done = app.data(ending, json!({})).await;
    assert_eq!(done["leaveFleet"]["vehicle"]["fleetIds"], json!([]));
    assert_eq!(done["archiveFleet"]["fleet"]["status"], "ARCHIVED");
    let refused = json!([{ "code": "FLEET_ARCHIVED", "path": ["input", "fleetId"] }]);
    assert_eq!(done["again"]["userErrors"], refused);
    assert_eq!(done["retireVehicle"]["vehicle"]["retiredReason"], "sold");
    let rejected = json!([{ "status": "REJECTED", "error": { "code": "VEHICLE_RETIRED" } }]);
    assert_eq!(done["late"]["results"], rejected);
    assert_eq!(done["reinstateVehicle"]["vehicle"]["status"], "ACTIVE");

    let seen = "{ vehicle(id: \"2417\") { plate } missing: vehicle(id: \"nobody\") { id }
      node(id: \"fleet:north\") { __typename id } nodes(ids: [\"2417\", \"nobody\"]) { id }
      vehicles(filter: { text: \"abc\" }) { nodes { id } } fleet(id: \"north\") { name status } }";
    let seen = app.settled(seen, json!({})).await;
    assert_eq!(seen["vehicle"]["plate"], "ABC-123");
    assert_eq!(seen["missing"], Value::Null);
    assert_eq!(
        seen["node"],
        json!({ "__typename": "Fleet", "id": "north" })
    );
    assert_eq!(seen["nodes"], json!([{ "id": "2417" }, null]));
    assert_eq!(seen["vehicles"]["nodes"], json!([{ "id": "2417" }]));
    assert_eq!(
        seen["fleet"],
        json!({ "name": "Northern", "status": "ARCHIVED" })
    );
}

/// An array's items.
fn items(array: &Value) -> &[Value] {
    array
        .as_array()
        .unwrap_or_else(|| panic!("no array: {array}"))
}

#[tokio::test]
async fn fixes_are_told_apart() {
    let app = TestApp::start().await;
    let mut fixes = trip("bus-1");
    fixes.push(fixes[3].clone());
    let mut other = fixes[4].clone();
    other["lat"] = json!(30.9);
    fixes.push(other);
    let mut nowhere = fixes[5].clone();
    (nowhere["lat"], nowhere["lon"]) = (json!(0), json!(0));
    fixes.push(nowhere);
    let told = report(&app, fixes).await;
    let counts = json!([told["accepted"], told["duplicates"], told["rejected"]]);
    assert_eq!(counts, json!([10, 2, 1]));
    let said = |index: i64, status: &str, differs: bool| json!({ "index": index, "status": status, "differs": differs, "error": null });
    assert_eq!(told["results"][9], said(9, "ACCEPTED", false));
    assert_eq!(told["results"][10], said(10, "DUPLICATE", false));
    assert_eq!(told["results"][11], said(11, "DUPLICATE", true));
    let error = json!({ "code": "NULL_ISLAND", "path": ["input", "fixes", "12", "lat"] });
    assert_eq!(told["results"][12]["error"], error);
}

#[tokio::test]
async fn fixes_are_shown_where_they_are_and_were() {
    let app = TestApp::start().await;
    report(&app, trip("bus-1")).await;
    report(&app, trip("bus-2")).await;
    let query = "query($from: DateTime!, $to: DateTime!) {
      latestPositions(near: { lat: 30.27, lon: -97.75, radiusM: 5000 }) {
        nodes { vehicleId fixTime lat distanceM vehicle { onFirstReport } } asOfPosition }
      here: latestPositions(bbox: { south: 30, west: -98, north: 30.26, east: -97 }) { nodes { id } }
      positionHistory(vehicleId: \"bus-1\", from: $from, to: $to, order: NEWEST_FIRST, first: 4) {
        nodes { fixTime attributes event { type metadata { actor } } } } }";
    let seen = app
        .settled(query, json!({ "from": DAY[0], "to": DAY[1] }))
        .await;
    let latest = items(&seen["latestPositions"]["nodes"]);
    assert_eq!(latest.len(), 2);
    assert_eq!(latest[0]["fixTime"], "2016-01-04T12:09:00Z");
    assert_eq!(latest[0]["vehicle"]["onFirstReport"], true);
    let distance_m = latest[0]["distanceM"].as_f64().unwrap();
    assert!((distance_m - 222.4).abs() < 1.0, "{distance_m}");
    assert_eq!(seen["here"]["nodes"], json!([]), "they have moved on");
    let newest = &seen["positionHistory"]["nodes"][0];
    let event =
        json!({ "type": "track.positions_reported", "metadata": { "actor": "user:tester" } });
    assert_eq!(
        (&newest["event"], &newest["fixTime"]),
        (&event, &json!("2016-01-04T12:09:00Z"))
    );
    assert_eq!(newest["attributes"], json!({ "route": "801" }));

    // Every fix once, over pages.
    let query = "query($from: DateTime!, $to: DateTime!, $after: String) {
      positionHistory(vehicleId: \"bus-1\", from: $from, to: $to, first: 3, after: $after) {
        edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }";
    let (mut ids, mut after) = (Vec::new(), Value::Null);
    while ids.is_empty() || after != Value::Null {
        let variables = json!({ "from": DAY[0], "to": DAY[1], "after": after });
        let page = app.data(query, variables).await["positionHistory"].take();
        ids.extend(
            items(&page["edges"])
                .iter()
                .map(|e| e["node"]["id"].to_string()),
        );
        let info = &page["pageInfo"];
        let more = info["hasNextPage"] == true;
        after = if more {
            info["endCursor"].clone()
        } else {
            Value::Null
        };
    }
    assert_eq!(
        (ids.len(), ids.iter().collect::<HashSet<_>>().len()),
        (10, 10)
    );
}

const MAP: &str = "query($from: DateTime!, $to: DateTime!) {
  heatmap(from: $from, to: $to) { resolution suppressed more geoJson
    cells { cell fixes vehicles meanSpeedMps areaKm2 centre { lat lon }
      evidence(first: 200) { nodes { id cell speedMps event { position } } complete } } }
  coarse: heatmap(from: $from, to: $to, resolution: 5) { cells { fixes vehicles } } }";

/// How many fixes the cells of a map count.
fn counted(map: &Value) -> i64 {
    items(&map["cells"])
        .iter()
        .map(|cell| cell["fixes"].as_i64().unwrap())
        .sum()
}

#[tokio::test]
async fn every_cell_lists_the_fixes_it_is_made_of() {
    let app = TestApp::start().await;
    report(&app, trip("bus-1")).await;
    report(&app, trip("bus-2")).await;
    let span = json!({ "from": DAY[0], "to": DAY[1] });
    let seen = app.settled(MAP, span.clone()).await;
    let cells = items(&seen["heatmap"]["cells"]);
    let mut all = HashSet::new();
    for cell in cells {
        let fixes = items(&cell["evidence"]["nodes"]);
        assert_eq!(
            json!(fixes.len()),
            cell["fixes"],
            "evidence equals the figure"
        );
        assert!(fixes.iter().all(|fix| fix["cell"] == cell["cell"]));
        let speeds: f64 = fixes
            .iter()
            .map(|fix| fix["speedMps"].as_f64().unwrap())
            .sum();
        let mean = cell["meanSpeedMps"].as_f64().unwrap();
        assert!((speeds / fixes.len() as f64 - mean).abs() < 1e-9);
        all.extend(fixes.iter().map(|fix| fix["id"].to_string()));
    }
    assert_eq!(all.len(), 20, "each fix in one cell");
    assert_eq!(
        items(&seen["heatmap"]["geoJson"]["features"]).len(),
        cells.len()
    );
    assert_eq!(counted(&seen["coarse"]), 20);
    assert!(
        items(&seen["coarse"]["cells"])
            .iter()
            .all(|cell| cell["vehicles"] == 2)
    );

    // The same from the cache, and another answer once the log has gone on.
    assert_eq!(app.settled(MAP, span.clone()).await, seen);
    report(&app, trip("bus-3")).await;
    assert_eq!(counted(&app.settled(MAP, span).await["heatmap"]), 30);
}

#[tokio::test]
async fn every_point_and_summary_lists_the_fixes_it_is_made_of() {
    let app = TestApp::start().await;
    report(&app, trip("bus-1")).await;
    report(&app, trip("bus-2")).await;
    let query = "query($from: DateTime!, $to: DateTime!) {
      trend(metric: FIXES, from: $from, to: $to, bucket: HOUR, zone: \"America/Chicago\", window: 2) {
        points { start end value previous movingAverage complete
          evidence(first: 5) { nodes { id } } } }
      fleetSummary(from: $from, to: $to) { activeVehicles fixes moving maxSpeedMps
        evidence(first: 200) { nodes { id } } byVehicle { nodes { vehicleId fixes } } } }";
    let seen = app
        .settled(query, json!({ "from": DAY[0], "to": DAY[1] }))
        .await;
    let points = items(&seen["trend"]["points"]);
    let busy: Vec<_> = points
        .iter()
        .filter(|point| !point["value"].is_null())
        .collect();
    assert_eq!(
        (points.len(), busy.len()),
        (24, 1),
        "no data is null, not 0"
    );
    let [start, twenty] = [json!("2016-01-04T12:00:00Z"), json!(20.0)];
    assert_eq!((&busy[0]["start"], &busy[0]["value"]), (&start, &twenty));
    assert_eq!(items(&busy[0]["evidence"]["nodes"]).len(), 5);

    let mut summary = seen["fleetSummary"].clone();
    assert_eq!(items(&summary["evidence"].take()["nodes"]).len(), 20);
    let part = |vehicle: &str| json!({ "vehicleId": vehicle, "fixes": 10 });
    let expect = json!({ "activeVehicles": 2, "fixes": 20, "moving": "PT18M", "maxSpeedMps": 14.0,
                         "evidence": null,
                         "byVehicle": { "nodes": [part("bus-1"), part("bus-2")] } });
    assert_eq!(summary, expect);
}

#[tokio::test]
async fn a_command_sent_again_is_answered_again_and_done_once() {
    let app = TestApp::start().await;
    let input = json!({ "input": { "id": "v", "commandId": "c-1" } });
    let first = app.data(REGISTER, input.clone()).await["registerVehicle"].take();
    let again = app.data(REGISTER, input).await["registerVehicle"].take();
    assert_eq!(
        (&first["receipt"]["replayed"], &again["receipt"]["replayed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(first["receipt"]["position"], again["receipt"]["position"]);
    assert_eq!(first["vehicle"], again["vehicle"]);

    let other = json!({ "input": { "id": "w", "commandId": "c-1" } });
    let refused = app.data(REGISTER, other).await["registerVehicle"].take();
    assert_eq!(refused["userErrors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(
        (&refused["vehicle"], &refused["receipt"]),
        (&Value::Null, &Value::Null)
    );

    let report = json!({ "input": { "fixes": trip("v"), "commandId": "c-2" } });
    let first = app.data(REPORT, report.clone()).await["reportPositions"].take();
    let again = app.data(REPORT, report).await["reportPositions"].take();
    assert_eq!(
        (&first["accepted"], &again["accepted"]),
        (&json!(10), &json!(10))
    );
    assert_eq!(again["receipt"]["replayed"], true);
    assert_eq!(first["results"], again["results"]);
    assert_eq!(app.head().await, 2);
}

#[tokio::test]
async fn a_command_on_a_version_that_is_gone_is_refused() {
    let app = TestApp::start().await;
    app.data(REGISTER, json!({ "input": { "id": "v" } })).await;
    let rename = |name: &str, version: i64| json!({ "input": { "id": "v", "name": name, "expectedVersion": version } });
    let kept = app.data(PROFILE, rename("a", 1)).await["changeVehicleProfile"].take();
    assert_eq!(kept["receipt"]["version"], 2);
    let refused = app.data(PROFILE, rename("b", 1)).await["changeVehicleProfile"].take();
    let expect = json!([{ "code": "VERSION_CONFLICT", "path": ["input"], "actualVersion": 2 }]);
    assert_eq!(
        refused["userErrors"][0]["code"], expect[0]["code"],
        "{refused}"
    );
    assert_eq!(refused["userErrors"][0]["actualVersion"], 2);
    assert_eq!(app.head().await, 2);
}

#[tokio::test]
async fn a_write_is_seen_by_the_read_that_asks_for_it() {
    let app = TestApp::start().await;
    for n in 0..50 {
        let id = format!("v{n}");
        let made = app
            .data(
                "mutation($i: RegisterVehicleInput!) { registerVehicle(input: $i) {
            receipt { position } } }",
                json!({ "i": { "id": id } }),
            )
            .await;
        let position = made["registerVehicle"]["receipt"]["position"]
            .as_str()
            .unwrap()
            .to_owned();
        let body = json!({ "query": "query($id: ID!) { vehicle(id: $id) { id } }", "variables": { "id": id } });
        let reply = app
            .post(
                body.to_string().as_bytes(),
                &[("daybook-at-least", &position)],
            )
            .await
            .json();
        assert_eq!(reply["data"]["vehicle"]["id"], id.as_str(), "write {n}");
        let reached: i64 = reply["extensions"]["position"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(reached >= position.parse().unwrap());
    }
}

#[tokio::test]
async fn a_read_that_cannot_be_fresh_enough_says_how_far_it_got() {
    let app = TestApp::with(|s| s.consumers.wait_max = std::time::Duration::from_millis(50)).await;
    // The first read model may take its time to come up.
    app.ask(REGISTER, json!({ "input": { "id": "v" } })).await;
    eventually("the vehicle is shown", async || {
        app.data("{ vehicle(id: \"v\") { id } }", json!({})).await["vehicle"] != Value::Null
    })
    .await;
    app.app()
        .consumers
        .pause(
            "default",
            "vehicles",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    let made = app.ask(REGISTER, json!({ "input": { "id": "w" } })).await;
    let made = &made["data"]["registerVehicle"];
    assert_eq!(
        made["receipt"]["position"], "2",
        "the command is kept whatever the read models do"
    );
    let body =
        json!({ "query": "{ vehicle(id: \"w\") { id } }", "extensions": { "atLeast": "2" } });
    let reply = app.post(body.to_string().as_bytes(), &[]).await;
    assert_eq!(reply.status, 200);
    let facts = &reply.json()["errors"][0]["extensions"];
    assert_eq!(facts["code"], "STALE_READ");
    assert_eq!(
        (&facts["appliedPosition"], &facts["readModels"]["vehicles"]),
        (&json!("1"), &json!("1"))
    );
    app.app()
        .consumers
        .resume(
            "default",
            "vehicles",
            &daybook::consumers::Decider::of("user:ann"),
        )
        .await
        .unwrap();
    eventually("it is shown after all", async || {
        app.data("{ vehicle(id: \"w\") { id } }", json!({})).await["vehicle"] != Value::Null
    })
    .await;
}

/// Each operation holds one connection for its moment and borrows others for the events behind its
/// fixes: as many at once as the pool has would wait for each other.
#[tokio::test]
async fn many_readers_share_few_connections() {
    let app = TestApp::with(|settings| settings.database.pool_max = 4).await;
    report(&app, trip("bus-1")).await;
    let query = "query($from: DateTime!, $to: DateTime!) {
      positionHistory(vehicleId: \"bus-1\", from: $from, to: $to) { nodes { event { position } } } }";
    let span = json!({ "from": DAY[0], "to": DAY[1] });
    app.settled(query, span.clone()).await;
    let readers = (0..40).map(|_| app.data(query, span.clone()));
    for seen in futures::future::join_all(readers).await {
        assert_eq!(items(&seen["positionHistory"]["nodes"]).len(), 10);
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_alone() {
    let app = TestApp::start().await;
    for id in ["a", "b", "c"] {
        app.data(REGISTER, json!({ "input": { "id": id } })).await;
    }
    let page = "query($after: String, $filter: VehicleFilter) {
        vehicles(first: 2, after: $after, filter: $filter) { nodes { id } pageInfo { endCursor } } }";
    let first = app.settled(page, json!({})).await["vehicles"].take();
    let cursor = first["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    let second = app.data(page, json!({ "after": cursor })).await;
    assert_eq!(second["vehicles"]["nodes"], json!([{ "id": "c" }]));

    let touched = format!("{}0", &cursor[..cursor.len() - 1]);
    for variables in [
        json!({ "after": touched }),
        json!({ "after": "nonsense" }),
        json!({ "after": cursor, "filter": { "text": "a" } }),
    ] {
        let reply = app.ask(page, variables).await;
        assert_eq!(reply["errors"][0]["extensions"]["code"], "BAD_CURSOR");
    }
    let fleets = "query($after: String) { fleets(after: $after) { nodes { id } } }";
    let reply = app.ask(fleets, json!({ "after": cursor })).await;
    assert_eq!(reply["errors"][0]["extensions"]["code"], "BAD_CURSOR");

    sqlx::query("insert into logs (tenant) values ('other')")
        .execute(app.db().pool())
        .await
        .unwrap();
    let other = format!("Bearer {}", app.token(&[Role::Admin], "other"));
    let body = json!({ "query": page, "variables": { "after": cursor } }).to_string();
    let reply = app
        .post(body.as_bytes(), &[("authorization", &other)])
        .await
        .json();
    assert_eq!(reply["errors"][0]["extensions"]["code"], "BAD_CURSOR");
}

#[tokio::test]
async fn the_log_can_be_read() {
    let app = TestApp::start().await;
    app.data(
        REGISTER,
        json!({ "input": { "id": "v", "commandId": "c" } }),
    )
    .await;
    report(&app, trip("v")).await;
    let query = "query($after: String) { events(first: 1, after: $after) {
        nodes { position type aggregateType aggregateId sequence payload schemaVersion
                metadata { actor correlationId traceparent } }
        pageInfo { hasNextPage endCursor } asOfPosition }
      one: events(aggregate: { type: \"vehicle\", id: \"v\" }) { nodes { position } }
      typed: events(types: [\"track.positions_reported\"], afterPosition: \"1\") { nodes { position } }
      projections { name status position head lagEvents lag error } }";
    let seen = app.settled(query, json!({})).await;
    let event = &seen["events"]["nodes"][0];
    assert_eq!(
        (&event["type"], &event["position"]),
        (&json!("vehicle.registered"), &json!("1"))
    );
    assert_eq!(event["payload"]["onFirstReport"], false);
    assert_eq!(event["metadata"]["actor"], "user:tester");
    assert!(
        event["metadata"]["traceparent"]
            .as_str()
            .unwrap()
            .starts_with("00-")
    );
    assert_eq!(seen["one"]["nodes"], json!([{ "position": "1" }]));
    assert_eq!(seen["typed"]["nodes"], json!([{ "position": "2" }]));
    let next = json!({ "after": seen["events"]["pageInfo"]["endCursor"] });
    let second = app.data(query, next).await["events"].take();
    assert_eq!(second["nodes"][0]["aggregateId"], "v/2016-01-04");
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
    let names: Vec<_> = seen["projections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(
        names,
        [
            "vehicles",
            "positions",
            "heatmap",
            "trends",
            "accounts",
            "deployments",
            "slos",
            "logs",
            "competitions",
            "activities"
        ]
    );
}

#[tokio::test]
async fn roles_bound_what_a_token_may_do() {
    let app = TestApp::start().await;
    let viewer = format!("Bearer {}", app.token(&[Role::Viewer], "default"));
    let body = json!({ "query": REGISTER, "variables": { "input": { "id": "v" } } }).to_string();
    let reply = app
        .post(body.as_bytes(), &[("authorization", &viewer)])
        .await
        .json();
    assert_eq!(reply["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(app.head().await, 0);
    let body = json!({ "query": "{ vehicle(id: \"v\") { id } }" }).to_string();
    let reply = app
        .post(body.as_bytes(), &[("authorization", &viewer)])
        .await
        .json();
    assert_eq!(reply["data"]["vehicle"], Value::Null);
}
