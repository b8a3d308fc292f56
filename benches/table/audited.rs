//! What auditors cost: verifying the log, a thing as it was, and the seals that appends are put under.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use daybook::commands::Door;
use daybook::config::Settings;
use daybook::ops::Clock;
use daybook::seals::{Seals, Verify, verify};
use daybook::store::Store;
use daybook::vault::Vault;
use domain::fleet::Fleet;
use domain::{Aggregate as _, StreamKey};
use sqlx::ConnectOptions as _;
use tokio::time::{MissedTickBehavior, interval};

use super::commands::round as commands_round;
use super::exports::copy_out;
use super::fleets::{Fleets, context, door, rename};
use super::log::{Kind, fill};
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::stand::Stand;

/// Events of the log that is verified.
const EVENTS: usize = 1_000_000;

/// Events under a seal, as by default.
const SEAL_EVENTS: u32 = 4_096;

/// How often appended events are sealed, as by default.
const SEAL_EVERY: Duration = Duration::from_secs(1);

/// Callers whose commands are sealed beside them.
const WRITERS: usize = 32;

/// Questions of a round.
const QUESTIONS: usize = 200;

/// Things with a long past.
const LONG: Fleets = Fleets {
    prefix: "long-",
    count: 16,
    events: 1_000,
};

fn seals(stand: &Stand, store: &Store) -> anyhow::Result<Seals> {
    let pool = store.pool().clone();
    let vault = Vault::open(&Settings::default().vault, stand.dir(), pool)?;
    Ok(Seals::new(store.clone(), vault))
}

/// Verifying with one worker and with two, against COPY OUT of the same rows.
pub async fn verifying(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let tenant: Arc<str> = "default".into();
    let events = stand.records().unwrap_or_else(|| stand.size(EVENTS));
    fill(&store, &tenant, Kind::Mixed, events).await?;
    let seals = seals(stand, &store)?;
    seal_all(&seals, &tenant).await?;
    sqlx::query("vacuum analyze events")
        .execute(store.pool())
        .await?;
    stand.settle().await?;
    let mut conn = database.connect().await?;
    let (mut one, mut two) = (Rounds::default(), Rounds::default());
    for n in 0..=stand.rounds() {
        let copied = copy_out(stand, &mut conn, events).await?;
        let by_one = verified(stand, &store, &tenant, 1).await?;
        let by_two = verified(stand, &store, &tenant, 2).await?;
        if n > 0 || stand.is_quick() {
            one.ours.push(by_one.clone());
            one.reference.push(copied);
            two.ours.push(by_two);
            two.reference.push(by_one);
        }
    }
    stand.drop_database(&database).await?;
    Ok(vec![
        one.row(
            "verify, one worker, against COPY OUT",
            "events/s",
            Goal::AtLeast(0.6),
            Round::rate,
        ),
        two.row(
            "verify, two workers against one",
            "events/s",
            Goal::AtLeast(1.7),
            Round::rate,
        ),
    ])
}

async fn verified(
    stand: &Stand,
    store: &Store,
    tenant: &Arc<str>,
    workers: usize,
) -> anyhow::Result<Round> {
    let what = Verify {
        tenant: tenant.clone(),
        positions: 1..=i64::MAX,
        workers,
        trusted: None,
        noted: Vec::new(),
    };
    let watch = stand.watch();
    let verified = verify(store, &what, |_| ()).await?;
    ensure!(verified.difference.is_none(), "{:?}", verified.difference);
    Ok(watch.stop(verified.events as f64, Vec::new()))
}

/// A thing with a thousand events as it was at a position of its last tenth.
pub async fn as_of(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let tenant: Arc<str> = "default".into();
    LONG.seed(&store, &tenant).await?;
    stand.settle().await?;
    let (door, head) = (door(&store), store.head(&tenant).await?);
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let mut latencies = Vec::new();
        let watch = stand.watch();
        for question in 0..stand.size(QUESTIONS) {
            let stream = StreamKey {
                aggregate_type: Fleet::TYPE,
                aggregate_id: LONG.id(question).into(),
            };
            let asked = Instant::now();
            let keep = |_: &_, _: &_| std::ops::ControlFlow::Continue(());
            let folded = door.fold_any(&tenant, &stream, head, 1_000, keep).await?;
            ensure!(folded.is_some_and(|state| state.show().is_object()));
            latencies.push(u32::try_from(asked.elapsed().as_micros())?);
        }
        let round = watch.stop(latencies.len() as f64, latencies);
        if n > 0 || stand.is_quick() {
            rounds.ours.push(round);
        }
    }
    stand.drop_database(&database).await?;
    let row = |what, goal, percent| rounds.row(what, "ms", goal, move |r| r.latency_ms(percent));
    Ok(vec![
        row(
            "a thing of 1,000 events as of a position, p50",
            Goal::OursAtMost(3.0),
            50.0,
        ),
        row("the same, p99", Goal::Shown, 99.0),
    ])
}

/// Commands a second while they are sealed, against without.
pub async fn sealing(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let tenant: Arc<str> = "default".into();
    let fleets = Fleets {
        prefix: "fleet-",
        count: 4_096,
        events: 10,
    };
    fleets.seed(&store, &tenant).await?;
    let (seals, door) = (seals(stand, &store)?, door(&store));
    // States are loaded once, not by whichever side comes first.
    for n in 0..fleets.count {
        door.load::<Fleet>(&tenant, &fleets.id(n)).await?;
    }
    stand.settle().await?;
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let without = writers(stand, &door, &tenant, fleets).await?;
        // What was appended without seals is not sealed in the round with them.
        seal_all(&seals, &tenant).await?;
        let beside = sealed_beside(seals.clone(), tenant.clone());
        let with = writers(stand, &door, &tenant, fleets).await?;
        beside.abort();
        if n > 0 || stand.is_quick() {
            rounds.ours.push(with);
            rounds.reference.push(without);
        }
    }
    stand.drop_database(&database).await?;
    Ok(vec![rounds.row(
        format!("commands of {WRITERS} callers while they are sealed, against without"),
        "/s",
        Goal::AtLeast(0.98),
        Round::rate,
    )])
}

async fn seal_all(seals: &Seals, tenant: &Arc<str>) -> anyhow::Result<()> {
    while seal_next(seals, tenant).await? > 0 {}
    Ok(())
}

async fn seal_next(seals: &Seals, tenant: &Arc<str>) -> anyhow::Result<u64> {
    let now = Clock::system().now();
    Ok(seals.seal_next(tenant, now, SEAL_EVENTS).await?)
}

fn sealed_beside(seals: Seals, tenant: Arc<str>) -> tokio::task::JoinHandle<anyhow::Result<()>> {
    tokio::spawn(async move {
        let mut turns = interval(SEAL_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            // As the process does: what comes meanwhile is the next turn's.
            while seal_next(&seals, &tenant).await? == u64::from(SEAL_EVENTS) {}
        }
    })
}

async fn writers(
    stand: &Stand,
    door: &Door,
    tenant: &Arc<str>,
    fleets: Fleets,
) -> anyhow::Result<Round> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    commands_round(stand, WRITERS, |caller| {
        let (door, tenant) = (door.clone(), tenant.clone());
        move |turn| {
            let (door, tenant) = (door.clone(), tenant.clone());
            let id = fleets.id(turn * WRITERS + caller);
            async move {
                let n = NEXT.fetch_add(1, Ordering::Relaxed);
                door.execute::<Fleet>(&context(&tenant), &id, rename(n))
                    .await?;
                Ok(())
            }
        }
    })
    .await
}
