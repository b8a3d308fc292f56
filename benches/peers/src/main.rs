//! Renames fleets with esrs over PostgreSQL: `daybook-peers DATABASE_URL FLEETS EVENTS`.
//!
//! Says `ready` once each fleet has its events; then each line `CALLERS MILLISECONDS` is a round,
//! answered by a line of JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use esrs::manager::AggregateManager;
use esrs::store::postgres::{PgStore, PgStoreBuilder, PgStoreError};
use esrs::{Aggregate, AggregateState};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use uuid::Uuid;

/// As many as postgres-es takes, and as `PgPoolOptions` takes by itself.
const CONNECTIONS: u32 = 10;

/// A fleet, as in the crate `domain`.
struct Fleet;

#[derive(Default)]
struct State {
    created: bool,
    archived: bool,
    name: String,
}

#[derive(Clone, Deserialize, Serialize)]
enum Event {
    #[serde(rename = "fleet.created")]
    Created { name: String },
    #[serde(rename = "fleet.renamed")]
    Renamed { name: String },
    #[serde(rename = "fleet.archived")]
    Archived {},
}

enum Command {
    Rename { name: String },
}

#[derive(Debug, thiserror::Error)]
#[error("no such fleet, or archived")]
struct Refused;

impl Aggregate for Fleet {
    const NAME: &'static str = "fleet";
    type State = State;
    type Command = Command;
    type Event = Event;
    type Error = Refused;

    fn handle_command(state: &State, command: Command) -> Result<Vec<Event>, Refused> {
        let Command::Rename { name } = command;
        match (state.created, state.archived) {
            (true, false) if state.name == name => Ok(Vec::new()),
            (true, false) => Ok(vec![Event::Renamed { name }]),
            _ => Err(Refused),
        }
    }

    fn apply_event(state: State, event: Event) -> State {
        match event {
            Event::Created { name } => State {
                created: true,
                name,
                ..state
            },
            Event::Renamed { name } => State { name, ..state },
            Event::Archived {} => State {
                archived: true,
                ..state
            },
        }
    }
}

/// What callers share.
struct Peer {
    manager: AggregateManager<PgStore<Fleet>>,
    fleets: u64,
    sent: AtomicU64,
}

impl Peer {
    /// Makes the tables as esrs does, and gives each fleet its events.
    async fn start(database: &str, fleets: u64, events: i64) -> anyhow::Result<Peer> {
        let pool = PgPoolOptions::new()
            .min_connections(CONNECTIONS)
            .max_connections(CONNECTIONS)
            .connect(database)
            .await?;
        let store: PgStore<Fleet> = PgStoreBuilder::new(pool.clone()).try_build().await?;
        seed(&pool, store.table_name(), fleets, events).await?;
        Ok(Peer {
            manager: AggregateManager::new(store),
            fleets,
            sent: AtomicU64::new(0),
        })
    }

    /// A rename; a lost race is the caller's to repeat.
    async fn rename(&self, n: u64) -> anyhow::Result<()> {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed);
        let fleet = id(n % self.fleets);
        loop {
            let state = self.manager.load(fleet).await?;
            let state: AggregateState<State> = state.context("a fleet that was seeded")?;
            let command = Command::Rename {
                name: format!("Buses of depot {sent} and neighbours"),
            };
            match self.manager.handle_command(state, command).await {
                Ok(decided) => return decided.map(drop).map_err(Into::into),
                Err(error) if lost_race(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Callers that send the next command when the last is answered.
    async fn round(self: Arc<Peer>, callers: u64, time: Duration) -> anyhow::Result<String> {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let peer = self.clone();
            tasks.spawn(async move {
                let mut latencies_us = Vec::new();
                while began.elapsed() < time {
                    let at = Instant::now();
                    let turn = latencies_us.len() as u64;
                    peer.rename(turn * callers + caller).await?;
                    latencies_us.push(at.elapsed().as_micros() as u32);
                }
                anyhow::Ok(latencies_us)
            });
        }
        let mut latencies_us = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            latencies_us.extend(ended??);
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(json!({ "seconds": seconds, "latenciesUs": latencies_us }).to_string())
    }
}

fn lost_race(error: &PgStoreError) -> bool {
    let PgStoreError::Sqlx(error) = error else {
        return false;
    };
    error
        .as_database_error()
        .is_some_and(|e| e.is_unique_violation())
}

/// esrs knows things by UUID.
fn id(fleet: u64) -> Uuid {
    Uuid::from_u128(u128::from(fleet))
}

async fn seed(pool: &PgPool, table: &str, fleets: u64, events: i64) -> anyhow::Result<()> {
    let statement = format!(
        "insert into {table} (id, aggregate_id, payload, sequence_number)
         select gen_random_uuid(), lpad(to_hex(n), 32, '0')::uuid,
                jsonb_build_object(case i when 1 then 'fleet.created' else 'fleet.renamed' end,
                                   jsonb_build_object('name', 'Buses of depot ' || i - 1)), i
         from generate_series(0, $1::bigint - 1) n, generate_series(1, $2::bigint) i"
    );
    sqlx::query(&statement)
        .bind(fleets as i64)
        .bind(events)
        .execute(pool)
        .await?;
    sqlx::query("analyze").execute(pool).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, fleets, events] = arguments.as_slice() else {
        bail!("daybook-peers DATABASE_URL FLEETS EVENTS");
    };
    let peer = Arc::new(Peer::start(database, fleets.parse()?, events.parse()?).await?);
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (callers, milliseconds) = line.split_once(' ').context("CALLERS MILLISECONDS")?;
        let time = Duration::from_millis(milliseconds.parse()?);
        println!("{}", peer.clone().round(callers.parse()?, time).await?);
    }
    Ok(())
}
