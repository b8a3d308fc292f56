//! A database with a log of fleets, runtimes that can be killed, and what must hold of them.

use std::sync::Arc;
use std::time::Duration;

use daybook::consumers::{ConsumerSettings, Consumers, ProjectionStatus, Status};
use daybook::store::{Store, StoreSettings};
use domain::Position;
use projections::AnyProjection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, PgPool};
use tokio::runtime::Runtime;

use super::tally::{self, Counts};
use crate::support::eventually;

pub const TENANT: &str = "default";

pub fn tenant() -> Arc<str> {
    TENANT.into()
}

/// Quick to fail over and to look again.
pub fn settings() -> ConsumerSettings {
    ConsumerSettings {
        lease_ms: 600,
        poll_ms: 50,
        retry_ms_min: 5,
        ..ConsumerSettings::default()
    }
}

pub async fn store(options: PgConnectOptions) -> Store {
    let settings = StoreSettings {
        poll_every_ms: 10,
        pool_max: 8,
        pool_min: 1,
        ..StoreSettings::default()
    };
    Store::connect(options.application_name("daybook-unsafe"), settings)
        .await
        .unwrap()
}

pub async fn start(store: &Store, projections: &[Arc<dyn AnyProjection>]) -> Consumers {
    Consumers::start(store.clone(), projections.to_vec(), settings())
        .await
        .unwrap()
}

/// With leases that live so long.
pub async fn start_with(
    store: &Store,
    projections: &[Arc<dyn AnyProjection>],
    lease_ms: u64,
) -> Consumers {
    let settings = ConsumerSettings {
        lease_ms,
        ..settings()
    };
    Consumers::start(store.clone(), projections.to_vec(), settings)
        .await
        .unwrap()
}

/// A process of its own as far as the database can tell; dropped, it is gone at once, as by a kill.
pub struct Process {
    runtime: Option<Runtime>,
    pub consumers: Consumers,
}

impl Process {
    pub fn start(options: PgConnectOptions, projections: Vec<Arc<dyn AnyProjection>>) -> Process {
        Process::start_with(options, projections, settings())
    }

    pub fn start_with(
        options: PgConnectOptions,
        projections: Vec<Arc<dyn AnyProjection>>,
        settings: ConsumerSettings,
    ) -> Process {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let starting = std::thread::spawn(move || {
            let consumers = runtime.block_on(async {
                let store = store(options).await;
                let started = Consumers::start(store, projections, settings).await;
                started.unwrap()
            });
            (runtime, consumers)
        });
        let (runtime, consumers) = starting.join().unwrap();
        Process {
            runtime: Some(runtime),
            consumers,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// What is put into the log: who, event type, version, payload.
pub type Fact<'a> = (&'a str, &'a str, &'a str, &'a str);

pub const CREATED: Fact<'static> = ("fleet", "fleet.created", "1", r#"{"name":"Buses"}"#);

/// Appends facts of one stream as any appender would: under the head's lock, in one transaction.
pub async fn append(pool: &PgPool, fleet: &str, facts: &[Fact<'_>]) -> Position {
    let mut tx = projections::begin(pool, "begin").await.unwrap();
    let head: i64 = sqlx::query_scalar(
        "update logs set position = position + $2 where tenant = $1 returning position",
    )
    .bind(TENANT)
    .bind(facts.len() as i64)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    for (n, (kind, event_type, version, payload)) in facts.iter().enumerate() {
        sqlx::query(
            "insert into events values ($1, $2, $3, $4, $2, $5, $6, gen_random_uuid(),
             clock_timestamp(), $7::json, '{\"actor\":\"user:ann\",\"command_id\":\"c\"}')",
        )
        .bind(TENANT)
        .bind(head - facts.len() as i64 + 1 + n as i64)
        .bind(kind)
        .bind(fleet)
        .bind(event_type)
        .bind(version)
        .bind(payload)
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    note_streams(&mut tx, head - facts.len() as i64).await;
    tx.commit().await.unwrap();
    Position(head)
}

/// Notes where the streams of the events behind a position lie, as any appender does.
async fn note_streams(conn: &mut PgConnection, after: i64) {
    sqlx::query(
        "insert into streams
         select tenant, aggregate_type, aggregate_id, max(sequence), min(position), max(position)
         from events where tenant = $1 and position > $2 group by 1, 2, 3
         on conflict (tenant, aggregate_type, aggregate_id) do update
         set version = excluded.version, last_position = excluded.last_position",
    )
    .bind(TENANT)
    .bind(after)
    .execute(conn)
    .await
    .unwrap();
}

/// Appends `count` events of `fleets` fleets, and of vehicles in between, in one transaction.
pub async fn append_many(pool: &PgPool, count: i64, fleets: i64) -> Position {
    let mut tx = projections::begin(pool, "begin").await.unwrap();
    let head: i64 = sqlx::query_scalar(
        "update logs set position = position + $2 where tenant = $1 returning position",
    )
    .bind(TENANT)
    .bind(count)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    sqlx::query(
        "insert into events
         select $1, p, case p % 5 when 0 then 'vehicle' else 'fleet' end, 'f' || p % $4, p,
                case p % 5 when 0 then 'vehicle.reinstated' else 'fleet.created' end, '1',
                gen_random_uuid(), clock_timestamp(),
                (case p % 5 when 0 then '{}' else '{\"name\":\"Buses\"}' end)::json,
                '{\"actor\":\"user:ann\",\"command_id\":\"c\"}'
         from generate_series($2::bigint, $3) p",
    )
    .bind(TENANT)
    .bind(head - count + 1)
    .bind(head)
    .bind(fleets)
    .execute(&mut *tx)
    .await
    .unwrap();
    note_streams(&mut tx, head - count).await;
    tx.commit().await.unwrap();
    Position(head)
}

/// What a tally must hold at a position, from the log itself.
pub async fn truth(pool: &PgPool, at: Position) -> Counts {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select aggregate_id, count(*), sum(position)::bigint from events
         where tenant = $1 and aggregate_type = 'fleet' and position <= $2 group by 1",
    )
    .bind(TENANT)
    .bind(at.0)
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(fleet, n, sum)| (fleet, (n, sum)))
        .collect()
}

/// What a read model's live generation holds, its number and position, all of one moment.
pub async fn live(pool: &PgPool, name: &str) -> (Counts, i32, Position) {
    let begin = "begin isolation level repeatable read";
    let mut tx = projections::begin(pool, begin).await.unwrap();
    let (generation, storage, position): (i32, i32, i64) = sqlx::query_as(
        "select generation, coalesce(storage, generation), position from generations
         where tenant = $1 and projection = $2 and state = 'live'",
    )
    .bind(TENANT)
    .bind(name)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    let counts = tally::counts(&mut tx, name, storage).await;
    (counts, generation, Position(position))
}

/// Waits until a read model is at the head, and checks that it is what the log says.
pub async fn caught_up(pool: &PgPool, name: &str) {
    let head: i64 = sqlx::query_scalar("select position from logs where tenant = $1")
        .bind(TENANT)
        .fetch_one(pool)
        .await
        .unwrap();
    eventually("the read model is at the head", async || {
        live(pool, name).await.2.0 >= head
    })
    .await;
    let (counts, _, position) = live(pool, name).await;
    assert_eq!(counts, truth(pool, position).await, "{name} at {position}");
}

pub async fn status_of(consumers: &Consumers, name: &str) -> ProjectionStatus {
    let all = consumers.status(TENANT).await.unwrap();
    all.into_iter().find(|s| s.name == name).unwrap()
}

pub async fn stopped(consumers: &Consumers, name: &str) -> ProjectionStatus {
    eventually("the read model is stopped", async || {
        status_of(consumers, name).await.status == Status::Stopped
    })
    .await;
    status_of(consumers, name).await
}

/// A number from a seed, for pauses that differ from run to run without a random source.
pub fn jitter(seed: u64, ms_max: u64) -> Duration {
    let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    Duration::from_millis(mixed % ms_max)
}
