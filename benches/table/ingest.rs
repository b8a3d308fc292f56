//! P1: bulk ingest of vehicle fixes, against raw COPY BINARY of the same fixes.

use std::sync::Arc;

use anyhow::ensure;
use chrono::DateTime;
use daybook::commands::{Door, ReportPositions};
use domain::track::{Fix, FixReport};
use serde_json::json;
use tokio::task::JoinSet;

use super::copy::{Shape, Table};
use super::cpu::peak_mib;
use super::fleets::{context, door};
use super::measure::{Round, Rounds, Watch};
use super::report::{Goal, Row};
use super::served::{Connection, Served, request, token};
use super::stand::Stand;
use super::traffic::{Batch, Bus, count, report_of};

/// Batches of a round.
const BATCHES: usize = 120;

/// Vehicles of a batch.
const BATCH_VEHICLES: usize = 50;

/// Fixes of each vehicle in a batch: the fewest the target speaks of.
const VEHICLE_FIXES: usize = 20;

/// Who sends batches at once. Each has vehicles of its own.
pub const CALLERS: usize = 4;

/// The most memory that the process may hold under this load.
const LOAD_MIB_MAX: f64 = 200.0;

/// Groups of vehicles that take turns.
const GROUPS: usize = 2 * CALLERS;

const MUTATION: &str = "mutation($fixes: [PositionFixInput!]!) {
  reportPositions(input: { fixes: $fixes }) {
    accepted duplicates rejected receipt { position replayed } userErrors { code message } } }";

/// What bulk ingest is held against: a store that keeps each fix as an event of its own.
const EVENT: References = &[(Shape::Event, "", Goal::Shown)];

/// The shapes of the table, what a row against each is called, and its goal.
type References = &'static [(Shape, &'static str, Goal)];

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let references: References = &[
        (Shape::Event, "", Goal::AtLeast(2.0)),
        (
            Shape::EventOnce,
            ", against events of one fix keyed by vehicle and time too",
            Goal::Shown,
        ),
        (Shape::Narrow, ", against bare measurements", Goal::Shown),
    ];
    let mut rows = over_http(stand, Way::Bulk, false, references).await?;
    rows.extend(over_http(stand, Way::Bulk, true, EVENT).await?);
    rows.extend(over_http(stand, Way::Mutation, false, EVENT).await?);
    rows.extend(in_process(stand).await?);
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
async fn over_http(
    stand: &Stand,
    way: Way,
    projecting: bool,
    references: References,
) -> anyhow::Result<Vec<Row>> {
    let mut traffic = Traffic::new();
    let mut contest = Contest::open(stand, references).await?;
    let database = stand.database().await?;
    let data_dir = stand.dir().join("ingest");
    let project = if projecting { "true" } else { "false" };
    let settings = [("DAYBOOK_CONSUMERS__PROJECT", project)];
    let served = Served::start(&data_dir, Some(&database), &settings).await?;
    let token = token(&data_dir, Some(&database)).await?;
    for n in 0..=stand.rounds() {
        let batches = traffic.batches(stand.size(BATCHES).max(GROUPS));
        let requests = requests(way, &served, &token, &batches);
        stand.settle().await?;
        let watch = Watch::start(served.pid, stand.postmaster());
        send_all(&served.address, requests).await?;
        let ours = watch.stop(count(&batches), Vec::new());
        contest.round(stand, n, ours, &batches).await?;
    }
    let most = peak_mib(served.pid)?;
    served.stop().await?;
    stand.drop_database(&database).await?;
    let what = match (way, projecting) {
        (Way::Bulk, false) => "fixes over HTTP in batches of 1,000",
        (Way::Bulk, true) => "the same with all read models following",
        (Way::Mutation, _) => "the same fixes as a GraphQL mutation",
    };
    let mut rows = contest.close(stand, what).await?;
    let memory = format!("most memory resident, {what}");
    rows.push(Row::memory(memory, vec![most], LOAD_MIB_MAX));
    Ok(rows)
}

/// Through the door, called in process.
async fn in_process(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let mut traffic = Traffic::new();
    let mut contest = Contest::open(stand, EVENT).await?;
    let (store, database) = stand.store().await?;
    let (door, tenant) = (door(&store), Arc::<str>::from("default"));
    for n in 0..=stand.rounds() {
        let batches = traffic.batches(stand.size(BATCHES).max(GROUPS));
        let mut reports: Vec<Vec<Vec<FixReport>>> = vec![Vec::new(); CALLERS];
        for (n, batch) in batches.iter().enumerate() {
            reports[n % CALLERS].push(reports_of(batch));
        }
        stand.settle().await?;
        let watch = stand.watch();
        let mut callers = JoinSet::new();
        for reports in reports {
            callers.spawn(report_all(door.clone(), tenant.clone(), reports));
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        let ours = watch.stop(count(&batches), Vec::new());
        contest.round(stand, n, ours, &batches).await?;
    }
    stand.drop_database(&database).await?;
    let what = "fixes through the write door in process";
    contest.close(stand, what).await
}

/// Our rounds, and those of each reference that follow them.
struct Contest {
    references: References,
    tables: Vec<(Table, Rounds)>,
}

impl Contest {
    async fn open(stand: &Stand, references: References) -> anyhow::Result<Contest> {
        let mut tables = Vec::with_capacity(references.len());
        for (shape, ..) in references {
            tables.push((Table::open(stand, *shape).await?, Rounds::default()));
        }
        Ok(Contest { references, tables })
    }

    /// The references' turn. The first round warms connections, plans and caches.
    async fn round(
        &mut self,
        stand: &Stand,
        n: usize,
        ours: Round,
        batches: &[Batch],
    ) -> anyhow::Result<()> {
        for (table, rounds) in &mut self.tables {
            let copied = table.copy(stand, batches).await?;
            if n > 0 || stand.is_quick() {
                rounds.ours.push(ours.clone());
                rounds.reference.push(copied);
            }
        }
        Ok(())
    }

    async fn close(self, stand: &Stand, what: &str) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(self.tables.len());
        for ((table, rounds), (_, against, goal)) in self.tables.into_iter().zip(self.references) {
            table.close(stand).await?;
            rows.push(rounds.row(format!("{what}{against}"), "fixes/s", *goal, Round::rate));
        }
        Ok(rows)
    }
}

/// Hands in batch after batch through the door.
pub async fn report_all(
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
pub struct Traffic {
    buses: Vec<Bus>,
    next: usize,
}

impl Traffic {
    /// Buses of all callers.
    pub fn new() -> Traffic {
        Traffic::between(0, GROUPS)
    }

    /// Buses of one caller, the `n`-th.
    pub fn of(n: usize) -> Traffic {
        let groups = GROUPS / CALLERS;
        Traffic::between(n * groups, (n + 1) * groups)
    }

    /// Buses of these groups.
    fn between(first: usize, end: usize) -> Traffic {
        let from = DateTime::from_timestamp(1_480_000_000, 0).expect("a time");
        let buses = first * BATCH_VEHICLES..end * BATCH_VEHICLES;
        Traffic {
            buses: buses.map(|n| Bus::new(n as u64, from)).collect(),
            next: 0,
        }
    }

    /// Batches of the groups in turn, so that each caller has vehicles of its own.
    pub fn batches(&mut self, count: usize) -> Vec<Batch> {
        let groups = self.buses.len() / BATCH_VEHICLES;
        let mut batches = Vec::with_capacity(count);
        for _ in 0..count {
            let group = self
                .buses
                .chunks_mut(BATCH_VEHICLES)
                .nth(self.next % groups);
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

/// The fixes of a batch as they are reported.
pub fn reports_of(batch: &Batch) -> Vec<FixReport> {
    let of_one = |(id, fixes): &(String, Vec<Fix>)| -> Vec<FixReport> {
        fixes.iter().map(|fix| report_of(id, fix)).collect()
    };
    batch.iter().flat_map(of_one).collect()
}

/// Hands in so many batches over HTTP, in bulk; the fixes that were kept.
pub async fn hand_in(served: &Served, token: &str, batches: usize) -> anyhow::Result<f64> {
    let batches = Traffic::new().batches(batches);
    let requests = requests(Way::Bulk, served, token, &batches);
    send_all(&served.address, requests).await?;
    Ok(count(&batches))
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
