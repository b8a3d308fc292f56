//! P12: what a unit of work costs with ten times as much stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use daybook::commands::Door;
use daybook::consumers::{RebuildOptions, rebuild};
use daybook::store::{PageLimits, Store};
use domain::Position;
use domain::fleet::Fleet;
use projections::Reader;
use projections::positions::{LatestFilter, NAME, latest};
use sqlx::postgres::PgConnectOptions;

use super::boards::Ranked;
use super::commands::round as commands_round;
use super::fleets::{Fleets, context, door, rename};
use super::log::{Kind, fill};
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::searched::Searched;
use super::stand::{Stand, upkeep};

/// Stored where much is stored, unless the command line says otherwise; a tenth of it where little is.
const STORED: usize = 1_000_000;

/// How much more that is.
const TIMES: usize = 10;

/// A unit may cost this many times as much.
const FLAT: Goal = Goal::AtMost(1.2);

/// Who sends commands.
const CALLERS: usize = 32;

/// The fleets they are about.
const FLEETS: Fleets = Fleets {
    prefix: "fleet-",
    count: 2_048,
    events: 4,
};

/// Events of the log's end that a round reads.
const TAIL_EVENTS: i64 = 20_000;

/// Questions of a round.
const QUESTIONS: usize = 200;

/// Log records of a user, on average. As many in either log: of as many users, somebody's two hours would
/// hold ten times as much in the large one, and its answers would be longer.
const RECORDS_OF_USER: usize = 50;

/// Vehicles of an answer.
const PAGE: u32 = 50;

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let much = stand.records().unwrap_or_else(|| stand.size(STORED));
    let little = (much / TIMES).max(1);
    let mut rows = of_log(stand, much, little).await?;
    rows.push(of_search(stand, much, little).await?);
    rows.push(of_boards(stand, much / TIMES, little / TIMES).await?);
    Ok(rows)
}

async fn of_log(stand: &Stand, much: usize, little: usize) -> anyhow::Result<Vec<Row>> {
    let large = Log::filled(stand, much).await?;
    let small = Log::filled(stand, little).await?;
    let (mut appends, mut tails, mut positions) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    for n in 0..=stand.rounds() {
        let counted = n > 0 || stand.is_quick();
        let add = |rounds: &mut Rounds, ours: Round, reference: Round| {
            if counted {
                rounds.ours.push(ours);
                rounds.reference.push(reference);
            }
        };
        add(
            &mut appends,
            large.append(stand).await?,
            small.append(stand).await?,
        );
        add(
            &mut tails,
            large.tail(stand).await?,
            small.tail(stand).await?,
        );
        let (ours, reference) = (large.latest(stand).await?, small.latest(stand).await?);
        add(&mut positions, ours, reference);
    }
    for log in [large, small] {
        log.store.pool().close().await;
        stand.drop_database(&log.database).await?;
    }
    let with = format!("with {much} events stored against {little}");
    Ok(vec![
        appends.row(
            format!("CPU of a command of {CALLERS} callers, {with}"),
            "us",
            FLAT,
            cpu_us,
        ),
        tails.row(
            format!("CPU of an event read at the log's end, {with}"),
            "us",
            FLAT,
            cpu_us,
        ),
        positions.row(
            format!("a page of {PAGE} latest positions of the same vehicles, p50, {with}"),
            "ms",
            FLAT,
            |r| r.latency_ms(50.0),
        ),
    ])
}

async fn of_search(stand: &Stand, much: usize, little: usize) -> anyhow::Result<Row> {
    let large = Searched::open(stand, much, much / RECORDS_OF_USER).await?;
    let small = Searched::open(stand, little, little / RECORDS_OF_USER).await?;
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let (ours, reference) = (large.ask().await?, small.ask().await?);
        if n > 0 || stand.is_quick() {
            rounds.ours.push(ours);
            rounds.reference.push(reference);
        }
    }
    large.close(stand).await?;
    small.close(stand).await?;
    let what = format!(
        "a page of log records of a user by time, p50, with {much} stored against {little}"
    );
    Ok(rounds.row(what, "ms", FLAT, |r| r.latency_ms(50.0)))
}

async fn of_boards(stand: &Stand, much: usize, little: usize) -> anyhow::Result<Row> {
    let (much, little) = (much.max(1), little.max(1));
    let large = Ranked::open(stand, much).await?;
    let small = Ranked::open(stand, little).await?;
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let (ours, reference) = (large.ranks(stand).await?, small.ranks(stand).await?);
        if n > 0 || stand.is_quick() {
            rounds.ours.push(ours);
            rounds.reference.push(reference);
        }
    }
    large.close(stand).await?;
    small.close(stand).await?;
    let what = format!("a rank and the lines around it, p50, among {much} users against {little}");
    Ok(rounds.row(what, "ms", FLAT, |r| r.latency_ms(50.0)))
}

/// What the database would do by itself within the hour: it vacuums all but what of the log is being filled.
async fn vacuum(store: &Store) -> anyhow::Result<()> {
    let tables: String = sqlx::query_scalar(
        "select string_agg(oid::regclass::text, ', ') from pg_class
         where relkind = 'r' and relnamespace in ('public'::regnamespace, 'read'::regnamespace)
           and reloptions is distinct from '{autovacuum_vacuum_insert_threshold=-1}'",
    )
    .fetch_one(store.pool())
    .await?;
    upkeep(store.pool(), &format!("vacuum analyze {tables}")).await?;
    upkeep(store.pool(), "analyze events").await
}

/// What one unit took of the machine.
fn cpu_us(round: &Round) -> f64 {
    (round.cpu.own + round.cpu.postgres) / round.units
}

/// A log with so many events, and the read model of positions that folded it.
struct Log {
    store: Store,
    database: PgConnectOptions,
    tenant: Arc<str>,
    door: Door,
    next: AtomicU64,
}

impl Log {
    async fn filled(stand: &Stand, events: usize) -> anyhow::Result<Log> {
        let (store, database) = stand.store().await?;
        let tenant: Arc<str> = "default".into();
        fill(&store, &tenant, Kind::Mixed, events).await?;
        FLEETS.seed(&store, &tenant).await?;
        let projection = projections::all().into_iter().find(|p| p.name() == NAME);
        let projection = projection.context("positions are a read model")?;
        rebuild(
            &store,
            &projection,
            &tenant,
            RebuildOptions::default(),
            |_| {},
        )
        .await?;
        vacuum(&store).await?;
        stand.settle().await?;
        Ok(Log {
            door: door(&store),
            store,
            database,
            tenant,
            next: AtomicU64::new(0),
        })
    }

    async fn append(&self, stand: &Stand) -> anyhow::Result<Round> {
        let next = Arc::new(AtomicU64::new(
            self.next.fetch_add(1 << 32, Ordering::Relaxed),
        ));
        commands_round(stand, CALLERS, |caller| {
            let (door, tenant, next) = (self.door.clone(), self.tenant.clone(), next.clone());
            move |turn| {
                let (door, tenant) = (door.clone(), tenant.clone());
                let id = FLEETS.id(turn * CALLERS + caller);
                let n = next.fetch_add(1, Ordering::Relaxed);
                async move {
                    door.execute::<Fleet>(&context(&tenant), &id, rename(n))
                        .await?;
                    Ok(())
                }
            }
        })
        .await
    }

    async fn tail(&self, stand: &Stand) -> anyhow::Result<Round> {
        let head = self.store.head(&self.tenant).await?;
        let mut after = Position((head.0 - TAIL_EVENTS).max(0));
        let (watch, mut events) = (stand.watch(), 0);
        loop {
            let page = self
                .store
                .read_log(&self.tenant, after, PageLimits::default())
                .await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            events += page.len();
        }
        Ok(watch.stop(events as f64, Vec::new()))
    }

    async fn latest(&self, stand: &Stand) -> anyhow::Result<Round> {
        let reader = Reader::new(self.store.pool().clone());
        let (watch, mut latencies) = (stand.watch(), Vec::new());
        for _ in 0..stand.size(QUESTIONS).max(4) {
            let asked = Instant::now();
            let mut snap = reader.snapshot(&self.tenant).await?;
            let page = latest(&mut snap, &LatestFilter::default(), None, PAGE).await?;
            latencies.push(u32::try_from(asked.elapsed().as_micros())?);
            ensure!(!page.items.is_empty(), "no vehicle is anywhere");
        }
        Ok(watch.stop(latencies.len() as f64, latencies))
    }
}
