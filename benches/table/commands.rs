//! P2: durable interactive commands, one event each, against stock postgres-es called the same way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cqrs_es::AggregateError;
use daybook::commands::Door;
use daybook::store::Store;
use domain::fleet::Fleet;
use tokio::task::JoinSet;

use super::fleets::{Fleets, Stock, context, door, rename, stock, stock_tables};
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::stand::Stand;

/// Connections of postgres-es: what its own `default_postgress_pool` takes. 32 were no faster.
pub const STOCK_CONNECTIONS: u32 = 10;

/// Events of each fleet before the first command.
pub const HISTORY_EVENTS: usize = 10;

/// Fleets that commands go to, so that no stream's history grows by much.
pub const FLEETS: usize = 4_096;

/// Our side: a write door over a log.
pub struct Ours {
    door: Door,
    tenant: Arc<str>,
    next: AtomicU64,
}

/// Both sides of the line.
struct Sides {
    ours: Arc<Ours>,
    stock: Stock,
    next: AtomicU64,
}

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, ours_in) = stand.store().await?;
    let stock_in = stand.database().await?;
    let pool = stand.pool(stock_in.clone(), STOCK_CONNECTIONS).await?;
    stock_tables(&pool).await?;
    let wide = fleets("fleet-", FLEETS);
    let hot = fleets("hot-", 4);
    for fleets in [wide, hot] {
        fleets.seed_stock(&pool).await?;
    }
    let sides = Arc::new(Sides {
        ours: Arc::new(Ours::start(&store, &[wide, hot]).await?),
        stock: stock(pool.clone()),
        next: AtomicU64::new(0),
    });
    sides.ours.warm(&wide).await?;
    let mut rows = Vec::new();
    for (callers, goal) in [(1, 2.0), (32, 6.0), (256, 10.0)] {
        let rounds = self::rounds(stand, &sides, wide, callers).await?;
        rows.extend(rows_of(
            &rounds,
            &format!("{callers} callers"),
            Goal::AtLeast(goal),
        ));
        if callers == 32 {
            let last = rows.last_mut().expect("a rate and a latency");
            last.goal = Goal::AtMost(1.0 / 3.0);
        }
    }
    let rounds = self::rounds(stand, &sides, hot, 32).await?;
    rows.extend(rows_of(&rounds, "32 callers on 4 streams", Goal::Shown));
    pool.close().await;
    stand.drop_database(&ours_in).await?;
    stand.drop_database(&stock_in).await?;
    Ok(rows)
}

/// So many fleets, each with a history.
pub fn fleets(prefix: &'static str, count: usize) -> Fleets {
    Fleets {
        prefix,
        count,
        events: HISTORY_EVENTS,
    }
}

fn rows_of(rounds: &Rounds, what: &str, goal: Goal) -> [Row; 2] {
    [
        rounds.row(format!("commands, {what}"), "/s", goal, Round::rate),
        rounds.row(format!("their p99, {what}"), "ms", Goal::Shown, |r| {
            r.latency_ms(99.0)
        }),
    ]
}

impl Ours {
    /// Appends the histories.
    pub async fn start(store: &Store, sets: &[Fleets]) -> anyhow::Result<Ours> {
        let tenant: Arc<str> = "default".into();
        for fleets in sets {
            fleets.seed(store, &tenant).await?;
        }
        Ok(Ours {
            door: door(store),
            tenant,
            next: AtomicU64::new(0),
        })
    }

    /// The door itself.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// States in the door's cache, pages in the server's.
    pub async fn warm(&self, fleets: &Fleets) -> anyhow::Result<()> {
        for n in 0..fleets.count {
            self.door.load::<Fleet>(&self.tenant, &fleets.id(n)).await?;
        }
        Ok(())
    }

    async fn rename(&self, id: &str, n: u64) -> anyhow::Result<()> {
        let ctx = context(&self.tenant);
        self.door.execute::<Fleet>(&ctx, id, rename(n)).await?;
        Ok(())
    }

    /// A round of so many callers.
    pub async fn round(
        self: &Arc<Ours>,
        stand: &Stand,
        to: Fleets,
        callers: usize,
    ) -> anyhow::Result<Round> {
        round(stand, callers, |caller| {
            let ours = self.clone();
            move |turn| {
                let (ours, n) = (ours.clone(), ours.next.fetch_add(1, Ordering::Relaxed));
                let id = to.id(turn * callers + caller);
                async move { ours.rename(&id, n).await }
            }
        })
        .await
    }
}

impl Sides {
    async fn stock(&self, id: &str, n: u64) -> anyhow::Result<()> {
        loop {
            match self.stock.execute(id, rename(n)).await {
                Ok(()) => return Ok(()),
                // A lost race is the caller's to repeat.
                Err(AggregateError::AggregateConflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Both sides in turn, with so many callers.
async fn rounds(
    stand: &Stand,
    sides: &Arc<Sides>,
    to: Fleets,
    callers: usize,
) -> anyhow::Result<Rounds> {
    stand.settle().await?;
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let ours = sides.ours.round(stand, to, callers).await?;
        let reference = round(stand, callers, |caller| {
            let sides = sides.clone();
            move |turn| {
                let (sides, n) = (sides.clone(), sides.next.fetch_add(1, Ordering::Relaxed));
                let id = to.id(turn * callers + caller);
                async move { sides.stock(&id, n).await }
            }
        });
        let reference = reference.await?;
        // The first round of each warms caches, connections and plans.
        if n > 0 || stand.is_quick() {
            rounds.ours.push(ours);
            rounds.reference.push(reference);
        }
    }
    Ok(rounds)
}

/// Callers, each a task of its own that sends the next command when the last is answered, for the
/// time of a round.
pub async fn round<C, F>(
    stand: &Stand,
    callers: usize,
    caller: impl Fn(usize) -> C,
) -> anyhow::Result<Round>
where
    C: Fn(usize) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let watch = stand.watch();
    let until = Instant::now() + stand.round();
    let mut tasks = JoinSet::new();
    for n in 0..callers {
        let command = caller(n);
        tasks.spawn(async move {
            let mut latencies_us = Vec::new();
            while Instant::now() < until {
                let sent = Instant::now();
                command(latencies_us.len()).await?;
                latencies_us.push(sent.elapsed().as_micros() as u32);
            }
            anyhow::Ok(latencies_us)
        });
    }
    let mut latencies_us = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        latencies_us.extend(ended??);
    }
    Ok(watch.stop(latencies_us.len() as f64, latencies_us))
}
