//! Vehicles: where they are, where they were, and what becomes of it on maps.

use serde_json::{Value, json};

use crate::call::Call;
use crate::chance::Chance;
use crate::clock;
use crate::world::World;

/// How many fixes a feed sends at once.
const FEED_FIXES: usize = 200;

/// A page of vehicles.
pub fn list(_: &World, _: &mut Chance) -> Call {
    const DOCUMENT: &str =
        "{ vehicles(first: 20) { nodes { id name kind status version } asOfPosition } }";
    Call::query("vehicles", DOCUMENT, &json!({}))
}

/// One vehicle, and where it is.
pub fn one(world: &World, chance: &mut Chance) -> Call {
    const DOCUMENT: &str = "query($id: ID!) { vehicle(id: $id) {
        id name kind status version latestPosition { fixTime lat lon speedMps } } }";
    let id = world.vehicle(world.any(chance));
    Call::query("vehicle", DOCUMENT, &json!({ "id": id }))
}

/// Who is near a place.
pub fn near(_: &World, chance: &mut Chance) -> Call {
    const DOCUMENT: &str = "query($near: Near) { latestPositions(near: $near, first: 50) {
        nodes { vehicleId fixTime lat lon speedMps courseDeg } asOfPosition } }";
    let place = json!({ "lat": rounded(chance.within(18.7, 18.9), 2),
                        "lon": rounded(chance.within(98.9, 99.1), 2), "radiusM": 5_000 });
    Call::query("latestPositions", DOCUMENT, &json!({ "near": place }))
}

/// Where one was.
pub fn past(world: &World, chance: &mut Chance) -> Call {
    const DOCUMENT: &str = "query($id: ID!, $from: DateTime!, $to: DateTime!) {
        positionHistory(vehicleId: $id, from: $from, to: $to, first: 50) {
          nodes { fixTime lat lon speedMps } asOfPosition } }";
    let (from, to) = world.day();
    let id = world.vehicle(world.any(chance));
    let variables = json!({ "id": id, "from": from, "to": to });
    Call::query("positionHistory", DOCUMENT, &variables)
}

/// The heat map of a day.
pub fn heatmap(world: &World, _: &mut Chance) -> Call {
    const DOCUMENT: &str = "query($from: DateTime!, $to: DateTime!) {
        heatmap(from: $from, to: $to, resolution: 7, limit: 100) { cells { cell value } asOfPosition } }";
    let (from, to) = world.day();
    Call::query("heatmap", DOCUMENT, &json!({ "from": from, "to": to }))
}

/// A fleet and some of its vehicles.
pub fn fleet(world: &World, _: &mut Chance) -> Call {
    const DOCUMENT: &str = "query($id: ID!) { fleet(id: $id) {
        id name vehicleCount vehicles(first: 20) { nodes { id name status } } } }";
    Call::query("fleet", DOCUMENT, &json!({ "id": world.name() }))
}

/// A vehicle gets another name.
pub fn rename(world: &World, chance: &mut Chance) -> Call {
    rename_one(world, world.any(chance))
}

/// This vehicle gets another name.
pub fn rename_one(world: &World, n: usize) -> Call {
    const DOCUMENT: &str = "mutation($input: ChangeVehicleProfileInput!) {
        changeVehicleProfile(input: $input) { vehicle { id name version }
          receipt { position version } userErrors { code message } } }";
    let fresh = world.fresh();
    let input = json!({ "id": world.vehicle(n), "name": fresh, "commandId": fresh });
    Call {
        changes: Some(n),
        ..Call::mutation("changeVehicleProfile", DOCUMENT, &input)
    }
}

/// A driver's telephone tells where it is.
pub fn report(world: &World, chance: &mut Chance) -> Call {
    const DOCUMENT: &str =
        "mutation($input: ReportPositionsInput!) { reportPositions(input: $input) {
        accepted duplicates rejected receipt { position } userErrors { code message } } }";
    let fix = fix(world, chance);
    let input = json!({ "fixes": [fix], "commandId": world.fresh() });
    Call::mutation("reportPositions", DOCUMENT, &input)
}

/// A feed hands in what many vehicles told.
pub fn feed(world: &World, chance: &mut Chance) -> Call {
    let fixes: Vec<Value> = (0..FEED_FIXES).map(|_| fix(world, chance)).collect();
    let body = json!({ "commandId": world.fresh(), "fixes": fixes });
    Call::post("POST vehicles/positions", "/api/vehicles/positions", &body).of_records(FEED_FIXES)
}

/// The same questions by REST: where all are.
pub fn rest_latest(_: &World, _: &mut Chance) -> Call {
    Call::get(
        "GET vehicles/latest",
        "/api/vehicles/latest?first=100".to_owned(),
    )
}

/// Where one was.
pub fn rest_history(world: &World, chance: &mut Chance) -> Call {
    let id = world.vehicle(world.any(chance));
    let path = format!(
        "/api/vehicles/history?vehicleId={id}&first=100&{}",
        span(world)
    );
    Call::get("GET vehicles/history", path)
}

/// The heat map.
pub fn rest_heatmap(world: &World, _: &mut Chance) -> Call {
    let path = format!(
        "/api/analytics/heatmap?resolution=7&limit=500&{}",
        span(world)
    );
    Call::get("GET analytics/heatmap", path)
}

/// How many drove in each hour.
pub fn rest_trend(world: &World, _: &mut Chance) -> Call {
    let path = format!(
        "/api/analytics/trend?metric=VEHICLES&bucket=HOUR&{}",
        span(world)
    );
    Call::get("GET analytics/trend", path)
}

/// What the fleet did all in all.
pub fn rest_summary(world: &World, _: &mut Chance) -> Call {
    let path = format!("/api/analytics/history?{}", span(world));
    Call::get("GET analytics/history", path)
}

fn span(world: &World) -> String {
    let (from, to) = world.day();
    format!("from={from}&to={to}")
}

/// A fix in and around Chiang Mai, now.
fn fix(world: &World, chance: &mut Chance) -> Value {
    json!({
        "vehicle": world.vehicle(world.any(chance)),
        "fixTime": clock::text(clock::now()),
        "fixId": world.fresh(),
        "lat": rounded(chance.within(18.7, 18.9), 6),
        "lon": rounded(chance.within(98.9, 99.1), 6),
        "speedMps": rounded(chance.within(0.0, 20.0), 2),
        "courseDeg": rounded(chance.within(0.0, 359.0), 1),
    })
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}
