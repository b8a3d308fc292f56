//! P8: a list over GraphQL, kept and made, against an axum handler that returns the same bytes and against
//! stock async-graphql over the same tables.

use anyhow::ensure;
use serde_json::json;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

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

/// Our side: a process that keeps answers and one that makes each, over the same vehicles.
pub struct Ours {
    keeping: Served,
    making: Served,
    token: String,
    /// Answers it has kept.
    pub kept: Target,
    /// Answers it makes.
    pub made: Target,
    /// The body of the request.
    pub body: Vec<u8>,
    /// The body of the answer.
    pub answer: Vec<u8>,
}

impl Ours {
    /// Starts both on a directory of this name, and registers the vehicles.
    pub async fn start(
        stand: &Stand,
        database: &PgConnectOptions,
        name: &str,
    ) -> anyhow::Result<Ours> {
        let data_dir = stand.dir().join(name);
        let keeping = Served::start(&data_dir, Some(database), &[]).await?;
        let making = [
            ("DAYBOOK_CACHE__ANSWERS", "false"),
            ("DAYBOOK_CONSUMERS__PROJECT", "false"),
        ];
        let making = Served::start(&data_dir, Some(database), &making).await?;
        let token = token(&data_dir, Some(database)).await?;
        let last = register(&keeping.address, &token).await?;
        let body = serde_json::to_vec(&json!({
            "query": LIST, "variables": { "first": VEHICLES },
        }))?;
        let settled = serde_json::to_vec(&json!({
            "query": LIST, "variables": { "first": VEHICLES }, "extensions": { "atLeast": last },
        }))?;
        let target = |served: &Served, body: &[u8]| Target {
            address: served.address.clone(),
            pid: served.pid,
            request: request("/graphql", &served.address, &token, body),
        };
        target(&keeping, &settled).body().await?;
        let kept = target(&keeping, &body);
        let made = target(&making, &body);
        let answer = kept.body().await?;
        ensure!(answer == made.body().await?, "kept and made differ");
        Ok(Ours {
            keeping,
            making,
            token,
            kept,
            made,
            body,
            answer,
        })
    }

    /// Another server, sent what ours are sent but for the body.
    pub fn other(&self, address: &str, pid: u32, body: &[u8]) -> Target {
        Target {
            address: address.to_owned(),
            pid,
            request: request("/graphql", address, &self.token, body),
        }
    }

    /// Stops both.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.keeping.stop().await?;
        self.making.stop().await
    }
}

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let database = stand.database().await?;
    let ours = Ours::start(stand, &database, "cached").await?;
    let file = stand.dir().join("answer.json");
    std::fs::write(&file, &ours.answer)?;
    let bytes = Reference::start("bytes", &file.to_string_lossy()).await?;
    let stock_process = Reference::start("stock", database.to_url_lossy().as_str()).await?;
    let target = |reference: &Reference| ours.other(&reference.address, reference.pid, &ours.body);
    let same = target(&bytes);
    let hello = Target {
        request: format!("GET /hello HTTP/1.1\r\nHost: {}\r\n\r\n", bytes.address).into_bytes(),
        ..same.clone()
    };
    let stock = target(&stock_process);
    let size = ours.answer.len();
    let mut rows = vec![
        rounds(stand, &ours.kept, &same).await?.row(
            format!("kept list of {size} bytes against axum returning the same"),
            "/s",
            Goal::AtLeast(0.8),
            Round::rate,
        ),
        rounds(stand, &ours.kept, &hello).await?.row(
            "the same against axum saying hello",
            "/s",
            Goal::AtLeast(0.6),
            Round::rate,
        ),
        rounds(stand, &ours.made, &stock).await?.row(
            "list made each time against stock async-graphql",
            "/s",
            Goal::AtLeast(1.0),
            Round::rate,
        ),
    ];
    for (what, pid) in [("kept", ours.kept.pid), ("made", ours.made.pid)] {
        let what = format!("most memory resident, lists {what}, 64 connections");
        rows.push(Row::memory(what, vec![peak_mib(pid)?], 100.0));
    }
    ours.stop().await?;
    drop((bytes, stock_process));
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
