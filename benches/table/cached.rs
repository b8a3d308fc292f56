//! P8: a list over GraphQL, kept and made, against an axum handler that returns the same bytes and against
//! stock async-graphql over the same tables.

use anyhow::ensure;
use serde_json::json;
use sqlx::ConnectOptions;

use super::cpu::peak_mib;
use super::measure::{Round, Rounds};
use super::references::Reference;
use super::report::{Goal, Row};
use super::served::{Connection, Served, request, token};
use super::stand::Stand;
use super::wire::Target;

/// Vehicles on the page: 50 of 8 fields.
pub const VEHICLES: usize = 50;

/// The list that is asked for.
pub const LIST: &str = "query($first: Int!) { vehicles(first: $first) { nodes {
  id externalId vin plate name kind registeredAt version } asOfPosition } }";

const REGISTER: &str = "mutation($input: RegisterVehicleInput!) {
  registerVehicle(input: $input) { receipt { position } } }";

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let database = stand.database().await?;
    let data_dir = stand.dir().join("cached");
    let keeping = Served::start(&data_dir, Some(&database), &[]).await?;
    let making = [
        ("DAYBOOK_CACHE__ANSWERS", "false"),
        ("DAYBOOK_CONSUMERS__PROJECT", "false"),
    ];
    let making = Served::start(&data_dir, Some(&database), &making).await?;
    let token = token(&data_dir, Some(&database)).await?;
    let last = register(&keeping.address, &token).await?;
    let body = serde_json::to_vec(&json!({
        "query": LIST, "variables": { "first": VEHICLES },
    }))?;
    let settled = serde_json::to_vec(&json!({
        "query": LIST, "variables": { "first": VEHICLES }, "extensions": { "atLeast": last },
    }))?;
    let target = |address: &str, pid, body: &[u8]| Target {
        address: address.to_owned(),
        pid,
        request: request("/graphql", address, &token, body),
    };
    target(&keeping.address, keeping.pid, &settled)
        .body()
        .await?;
    let kept = target(&keeping.address, keeping.pid, &body);
    let made = target(&making.address, making.pid, &body);
    let answer = kept.body().await?;
    ensure!(answer == made.body().await?, "kept and made differ");

    let file = stand.dir().join("answer.json");
    std::fs::write(&file, &answer)?;
    let bytes = Reference::start("bytes", &file.to_string_lossy()).await?;
    let stock = Reference::start("stock", database.to_url_lossy().as_str()).await?;
    let same = target(&bytes.address, bytes.pid, &body);
    let hello = Target {
        request: format!("GET /hello HTTP/1.1\r\nHost: {}\r\n\r\n", bytes.address).into_bytes(),
        ..same.clone()
    };
    let stock = target(&stock.address, stock.pid, &body);
    let size = answer.len();
    let mut rows = vec![
        rounds(stand, &kept, &same).await?.row(
            format!("kept list of {size} bytes against axum returning the same"),
            "/s",
            Goal::AtLeast(0.8),
            Round::rate,
        ),
        rounds(stand, &kept, &hello).await?.row(
            "the same against axum saying hello",
            "/s",
            Goal::AtLeast(0.6),
            Round::rate,
        ),
        rounds(stand, &made, &stock).await?.row(
            "list made each time against stock async-graphql",
            "/s",
            Goal::AtLeast(1.0),
            Round::rate,
        ),
    ];
    for (what, pid) in [("kept", keeping.pid), ("made", making.pid)] {
        let what = format!("most memory resident, lists {what}, 64 connections");
        rows.push(Row::memory(what, vec![peak_mib(pid)?], 100.0));
    }
    keeping.stop().await?;
    making.stop().await?;
    drop((bytes, stock));
    stand.drop_database(&database).await?;
    Ok(rows)
}

/// Rounds of both, one after the other.
pub async fn rounds(stand: &Stand, ours: &Target, reference: &Target) -> anyhow::Result<Rounds> {
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let (ours, reference) = (ours.round(stand).await?, reference.round(stand).await?);
        // The first round of each warms caches, connections and plans.
        if n > 0 || stand.is_quick() {
            rounds.ours.push(ours);
            rounds.reference.push(reference);
        }
    }
    Ok(rounds)
}

/// Makes the vehicles known; the position of the last one's event.
pub async fn register(address: &str, token: &str) -> anyhow::Result<String> {
    let mut connection = Connection::open(address).await?;
    for n in 0..VEHICLES {
        let input = json!({
            "id": format!("bus-{n:05}"), "externalId": format!("feed/{n:05}"),
            "vin": format!("1HGCM82633A{n:06}"), "plate": format!("TX-{n:05}"),
            "name": format!("Bus {n} of the northern depot"), "kind": "bus",
        });
        let body = json!({ "query": REGISTER, "variables": { "input": input } });
        let body = serde_json::to_vec(&body)?;
        connection
            .ask(&request("/graphql", address, token, &body))
            .await?;
    }
    Ok(VEHICLES.to_string())
}
