//! P1: bulk ingest of vehicle fixes, against raw COPY BINARY of the same fixes.

use std::sync::Arc;

use anyhow::ensure;
use chrono::DateTime;
use daybook::commands::{Door, ReportPositions};
use domain::track::{Fix, FixReport};
use serde_json::json;
use sqlx::{ConnectOptions, PgConnection};
use tokio::task::JoinSet;

use super::copy::{self, Rows};
use super::fleets::{context, door};
use super::measure::{Round, Rounds, Watch};
use super::report::{Goal, Row};
use super::served::{Connection, Served, request, token};
use super::stand::Stand;
use super::traffic::{Bus, report_of};

/// Batches of a round.
const BATCHES: usize = 120;

/// Vehicles of a batch.
const BATCH_VEHICLES: usize = 50;

/// Fixes of each vehicle in a batch: the fewest the target speaks of.
const VEHICLE_FIXES: usize = 20;

/// Who sends batches at once. Each has vehicles of its own.
const CALLERS: usize = 4;

/// Groups of vehicles that take turns.
const GROUPS: usize = 2 * CALLERS;

const MUTATION: &str = "mutation($fixes: [PositionFixInput!]!) {
  reportPositions(input: { fixes: $fixes }) {
    accepted duplicates rejected receipt { position replayed } userErrors { code message } } }";

/// Fixes of a batch, by vehicle.
type Batch = Vec<(String, Vec<Fix>)>;

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![over_http(stand, Way::Bulk, false).await?];
    rows.push(over_http(stand, Way::Bulk, true).await?);
    rows.push(over_http(stand, Way::Mutation, false).await?);
    rows.push(in_process(stand).await?);
    Ok(rows)
}

/// The two ways in over HTTP.
#[derive(Clone, Copy)]
enum Way {
    /// `POST /api/vehicles/positions`, made for it.
    Bulk,
    /// The mutation `reportPositions`.
    Mutation,
}

/// Over HTTP; with read models kept up to date by the same process, or not.
async fn over_http(stand: &Stand, way: Way, projecting: bool) -> anyhow::Result<Row> {
    let mut traffic = Traffic::new();
    let mut reference = Reference::open(stand).await?;
    let database = stand.database().await?;
    let data_dir = stand.dir().join("ingest");
    let project = if projecting { "true" } else { "false" };
    let settings = [("DAYBOOK_CONSUMERS__PROJECT", project)];
    let served = Served::start(&data_dir, Some(&database), &settings).await?;
    let token = token(&data_dir).await?;
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let batches = traffic.batches(stand.size(BATCHES).max(GROUPS));
        let rows = rows(&batches);
        let requests = requests(way, &served, &token, &batches);
        let fixes = count(&batches);
        let watch = Watch::start(served.pid, stand.postmaster());
        send_all(&served.address, requests).await?;
        let ours = watch.stop(fixes, Vec::new());
        let copied = reference.copy(stand, &rows, fixes).await?;
        // The first round warms connections, plans and caches.
        if n > 0 || stand.is_quick() {
            rounds.ours.push(ours);
            rounds.reference.push(copied);
        }
    }
    served.stop().await?;
    stand.drop_database(&database).await?;
    reference.close(stand).await?;
    let (what, goal) = match (way, projecting) {
        (Way::Bulk, false) => ("fixes over HTTP in batches of 1,000", Goal::AtLeast(2.0)),
        (Way::Bulk, true) => ("the same with four read models following", Goal::Shown),
        (Way::Mutation, _) => ("the same fixes as a GraphQL mutation", Goal::Shown),
    };
    Ok(rounds.row(what, "fixes/s", goal, Round::rate))
}

/// Through the door, called in process.
async fn in_process(stand: &Stand) -> anyhow::Result<Row> {
    let mut traffic = Traffic::new();
    let mut reference = Reference::open(stand).await?;
    let (store, database) = stand.store().await?;
    let (door, tenant) = (door(&store), Arc::<str>::from("default"));
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let batches = traffic.batches(stand.size(BATCHES).max(GROUPS));
        let (rows, fixes) = (rows(&batches), count(&batches));
        let mut reports: Vec<Vec<Vec<FixReport>>> = vec![Vec::new(); CALLERS];
        for (n, batch) in batches.iter().enumerate() {
            reports[n % CALLERS].push(reports_of(batch));
        }
        let watch = stand.watch();
        let mut callers = JoinSet::new();
        for reports in reports {
            callers.spawn(report_all(door.clone(), tenant.clone(), reports));
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        let ours = watch.stop(fixes, Vec::new());
        let copied = reference.copy(stand, &rows, fixes).await?;
        if n > 0 || stand.is_quick() {
            rounds.ours.push(ours);
            rounds.reference.push(copied);
        }
    }
    stand.drop_database(&database).await?;
    reference.close(stand).await?;
    let what = "fixes through the write door in process";
    Ok(rounds.row(what, "fixes/s", Goal::Shown, Round::rate))
}

async fn report_all(
    door: Door,
    tenant: Arc<str>,
    reports: Vec<Vec<FixReport>>,
) -> anyhow::Result<()> {
    for fixes in reports {
        let report = ReportPositions {
            fixes,
            may_register: true,
        };
        door.report_positions(&context(&tenant), report).await?;
    }
    Ok(())
}

/// Buses that go on from round to round.
struct Traffic {
    buses: Vec<Bus>,
    next: usize,
}

impl Traffic {
    fn new() -> Traffic {
        let from = DateTime::from_timestamp(1_480_000_000, 0).expect("a time");
        let buses = (0..(GROUPS * BATCH_VEHICLES) as u64).map(|n| Bus::new(n, from));
        Traffic {
            buses: buses.collect(),
            next: 0,
        }
    }

    /// Batches of the groups in turn, so that each caller has vehicles of its own.
    fn batches(&mut self, count: usize) -> Vec<Batch> {
        let mut batches = Vec::with_capacity(count);
        for _ in 0..count {
            let group = self
                .buses
                .chunks_mut(BATCH_VEHICLES)
                .nth(self.next % GROUPS);
            self.next += 1;
            let fixes = |bus: &mut Bus| {
                let fixes = (0..VEHICLE_FIXES).map(|_| bus.fix()).collect();
                (bus.id.clone(), fixes)
            };
            batches.push(group.into_iter().flatten().map(fixes).collect());
        }
        batches
    }
}

fn count(batches: &[Batch]) -> f64 {
    batches
        .iter()
        .flatten()
        .map(|(_, fixes)| fixes.len())
        .sum::<usize>() as f64
}

fn rows(batches: &[Batch]) -> Rows {
    let mut rows = Rows::default();
    for (vehicle_id, fixes) in batches.iter().flatten() {
        fixes.iter().for_each(|fix| rows.push(vehicle_id, fix));
    }
    rows
}

fn reports_of(batch: &Batch) -> Vec<FixReport> {
    let of_one = |(id, fixes): &(String, Vec<Fix>)| -> Vec<FixReport> {
        fixes.iter().map(|fix| report_of(id, fix)).collect()
    };
    batch.iter().flat_map(of_one).collect()
}

/// The requests of each caller.
fn requests(way: Way, served: &Served, token: &str, batches: &[Batch]) -> Vec<Vec<Vec<u8>>> {
    let mut requests = vec![Vec::new(); CALLERS];
    for (n, batch) in batches.iter().enumerate() {
        let fixes = reports_of(batch);
        let (path, body) = match way {
            Way::Bulk => ("/api/vehicles/positions", json!({ "fixes": fixes })),
            Way::Mutation => (
                "/graphql",
                json!({ "query": MUTATION, "variables": { "fixes": fixes } }),
            ),
        };
        let body = serde_json::to_vec(&body).expect("plain data");
        requests[n % CALLERS].push(request(path, &served.address, token, &body));
    }
    requests
}

async fn send_all(address: &str, requests: Vec<Vec<Vec<u8>>>) -> anyhow::Result<()> {
    let mut callers = JoinSet::new();
    for requests in requests {
        let mut connection = Connection::open(address).await?;
        callers.spawn(async move {
            for request in requests {
                let answer = String::from_utf8(connection.ask(&request).await?)?;
                let all = BATCH_VEHICLES * VEHICLE_FIXES;
                ensure!(
                    answer.contains(&format!("\"accepted\":{all},")),
                    "not all was accepted: {answer}"
                );
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

/// The other side: a table, and one connection that copies into it.
struct Reference {
    database: sqlx::postgres::PgConnectOptions,
    conn: PgConnection,
}

impl Reference {
    async fn open(stand: &Stand) -> anyhow::Result<Reference> {
        let database = stand.database().await?;
        let mut conn = database.connect().await?;
        copy::table(&mut conn).await?;
        stand.settle().await?;
        Ok(Reference { database, conn })
    }

    async fn copy(&mut self, stand: &Stand, rows: &Rows, fixes: f64) -> anyhow::Result<Round> {
        let watch = stand.watch();
        rows.send(&mut self.conn).await?;
        Ok(watch.stop(fixes, Vec::new()))
    }

    async fn close(self, stand: &Stand) -> anyhow::Result<()> {
        stand.drop_database(&self.database).await
    }
}
