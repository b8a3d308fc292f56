//! P6: rebuilding a read model, against COPY OUT of the same rows; and what writers lose meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use daybook::consumers::{RebuildOptions, rebuild};
use daybook::store::Store;
use futures::TryStreamExt;
use projections::AnyProjection;
use sqlx::{ConnectOptions, PgConnection};

use super::commands::round as commands_round;
use super::fleets::{Fleets, context, door, rename};
use super::log::{Kind, fill};
use super::measure::{Round, Rounds, figure};
use super::report::{Goal, Row};
use super::stand::Stand;

/// Fixes of the packed log.
const FIXES: usize = 1_000_000;

/// Fixes of each of its events.
const FIXES_PER_EVENT: usize = 50;

/// Events of the mixed log, where nothing else is said.
const MIXED_EVENTS: usize = 400_000;

/// What the logs are called.
const MIXED: &str = "events of one row each";
const PACKED: &str = "packed events of 50 fixes";

/// Who writes while a rebuild runs.
const WRITERS: usize = 32;

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let events = stand.records().unwrap_or_else(|| stand.size(MIXED_EVENTS));
    let mixed = (Kind::Mixed, events, 1);
    let packed_kind = Kind::Packed {
        fixes: FIXES_PER_EVENT,
    };
    let packed_events = stand.size(FIXES) / FIXES_PER_EVENT;
    let packed = (packed_kind, packed_events, FIXES_PER_EVENT);
    let cases = [
        (MIXED, mixed, "heatmap"),
        (MIXED, mixed, "vehicles"),
        (PACKED, packed, "heatmap"),
        (PACKED, packed, "trends"),
    ];
    let mut open: Option<(&str, Stock)> = None;
    for (log, (kind, events, per_event), name) in cases {
        if open.as_ref().is_none_or(|(filled, _)| *filled != log) {
            if let Some((_, old)) = open.take() {
                old.close(stand).await?;
            }
            open = Some((log, Stock::filled(stand, kind, events).await?));
        }
        let (_, stock) = open.as_ref().context("it was just filled")?;
        rows.extend(stock.rows(stand, log, name, per_event).await?);
    }
    if let Some((_, old)) = open.take() {
        old.close(stand).await?;
    }
    rows.extend(writers_beside(stand).await?);
    Ok(rows)
}

/// A filled log.
struct Stock {
    store: Store,
    tenant: Arc<str>,
    database: sqlx::postgres::PgConnectOptions,
}

impl Stock {
    async fn filled(stand: &Stand, kind: Kind, events: usize) -> anyhow::Result<Stock> {
        let (store, database) = stand.store().await?;
        let tenant: Arc<str> = "default".into();
        fill(&store, &tenant, kind, events).await?;
        sqlx::query("vacuum analyze events")
            .execute(store.pool())
            .await?;
        stand.settle().await?;
        Ok(Stock {
            store,
            tenant,
            database,
        })
    }

    async fn close(self, stand: &Stand) -> anyhow::Result<()> {
        stand.drop_database(&self.database).await
    }

    async fn rows(
        &self,
        stand: &Stand,
        log: &str,
        name: &str,
        per_event: usize,
    ) -> anyhow::Result<[Row; 2]> {
        let projection = of_name(name)?;
        let (mut one, mut two) = (Rounds::default(), Rounds::default());
        let mut conn = self.database.connect().await?;
        for n in 0..=stand.rounds() {
            let copied = self
                .copy_out(stand, &mut conn, &projection, per_event)
                .await?;
            let alone = self.rebuild(stand, &projection, 1, copied.units).await?;
            let paired = self.rebuild(stand, &projection, 2, copied.units).await?;
            if n > 0 || stand.is_quick() {
                one.ours.push(alone.clone());
                one.reference.push(copied);
                two.ours.push(paired);
                two.reference.push(alone);
            }
        }
        // A packed row costs next to nothing to copy out: what limits a rebuild is folding its fixes.
        let (unit, against, paired) = if per_event > 1 {
            ("fixes/s", Goal::Shown, Goal::Shown)
        } else {
            ("events/s", Goal::AtLeast(0.6), Goal::AtLeast(1.7))
        };
        let cores = figure(&two.reference, cores_busy).value;
        let of_both = figure(&two.ours, cores_busy).value;
        Ok([
            one.row(
                format!("rebuild of {name}, {log}, against COPY OUT"),
                unit,
                against,
                Round::rate,
            ),
            two.row(
                format!(
                    "rebuild of {name}, {log}, two workers ({of_both:.1} cores busy) against one \
                     ({cores:.1})"
                ),
                unit,
                paired,
                Round::rate,
            ),
        ])
    }

    /// Raw COPY OUT of the rows a rebuild reads.
    async fn copy_out(
        &self,
        stand: &Stand,
        conn: &mut PgConnection,
        projection: &Arc<dyn AnyProjection>,
        per_event: usize,
    ) -> anyhow::Result<Round> {
        let types: Vec<String> = projection
            .aggregates()
            .iter()
            .map(|t| format!("'{t}'"))
            .collect();
        let rows = format!(
            "select position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                    event_id, recorded_at, payload, metadata
             from events where tenant = 'default' and aggregate_type in ({}) order by position",
            types.join(", ")
        );
        let count = format!("select count(*) from ({rows}) counted");
        let events: i64 = sqlx::query_scalar(&count).fetch_one(&mut *conn).await?;
        let watch = stand.watch();
        let mut out = conn
            .copy_out_raw(&format!("copy ({rows}) to stdout (format binary)"))
            .await?;
        while out.try_next().await?.is_some() {}
        Ok(watch.stop((events as usize * per_event) as f64, Vec::new()))
    }

    async fn rebuild(
        &self,
        stand: &Stand,
        projection: &Arc<dyn AnyProjection>,
        workers: usize,
        units: f64,
    ) -> anyhow::Result<Round> {
        let options = RebuildOptions {
            workers,
            ..RebuildOptions::default()
        };
        let watch = stand.watch();
        rebuild(&self.store, projection, &self.tenant, options, |_| {}).await?;
        Ok(watch.stop(units, Vec::new()))
    }
}

/// How many cores a round kept busy: two workers can be no faster than one by more than is left.
fn cores_busy(round: &Round) -> f64 {
    (round.cpu.own + round.cpu.postgres) / 1e6 / round.seconds
}

fn of_name(name: &str) -> anyhow::Result<Arc<dyn AnyProjection>> {
    projections::all()
        .into_iter()
        .find(|p| p.name() == name)
        .with_context(|| format!("no read model is called {name}"))
}

/// Commands a second while a rebuild runs, against commands a second without: as it is by default, and
/// where it never rests.
async fn writers_beside(stand: &Stand) -> anyhow::Result<[Row; 2]> {
    let kind = Kind::Packed {
        fixes: FIXES_PER_EVENT,
    };
    let stock = Stock::filled(stand, kind, stand.size(FIXES) / FIXES_PER_EVENT).await?;
    let fleets = Fleets {
        prefix: "fleet-",
        count: 1_024,
        events: 10,
    };
    fleets.seed(&stock.store, &stock.tenant).await?;
    let (mut resting, mut restless) = (Rounds::default(), Rounds::default());
    let never = RebuildOptions {
        slowdown_max: 1.0,
        ..RebuildOptions::default()
    };
    for n in 0..=stand.rounds() {
        let alone = writers(stand, &stock, fleets).await?;
        let beside = while_rebuilding(stand, &stock, fleets, &RebuildOptions::default()).await?;
        let beside_restless = while_rebuilding(stand, &stock, fleets, &never).await?;
        if n > 0 || stand.is_quick() {
            resting.ours.push(beside);
            resting.reference.push(alone.clone());
            restless.ours.push(beside_restless);
            restless.reference.push(alone);
        }
    }
    stock.close(stand).await?;
    let what = format!("commands of {WRITERS} callers beside a rebuild, against without");
    let same = "the same, if the rebuild never rests".to_owned();
    Ok([
        resting.row(what, "/s", Goal::AtLeast(0.7), Round::rate),
        restless.row(same, "/s", Goal::Shown, Round::rate),
    ])
}

/// A round of writers beside a rebuild that begins anew whenever it ends.
async fn while_rebuilding(
    stand: &Stand,
    stock: &Stock,
    fleets: Fleets,
    options: &RebuildOptions,
) -> anyhow::Result<Round> {
    let stop = Arc::new(AtomicBool::new(false));
    let rebuilding = {
        let (stop, options) = (stop.clone(), options.clone());
        let (store, tenant) = (stock.store.clone(), stock.tenant.clone());
        let projection = of_name("heatmap")?;
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                rebuild(&store, &projection, &tenant, options.clone(), |_| {}).await?;
            }
            anyhow::Ok(())
        })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let beside = writers(stand, stock, fleets).await?;
    stop.store(true, Ordering::Relaxed);
    rebuilding.await??;
    Ok(beside)
}

async fn writers(stand: &Stand, stock: &Stock, fleets: Fleets) -> anyhow::Result<Round> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let door = door(&stock.store);
    commands_round(stand, WRITERS, |caller| {
        let (door, tenant) = (door.clone(), stock.tenant.clone());
        move |turn| {
            let (door, tenant) = (door.clone(), tenant.clone());
            let id = fleets.id(turn * WRITERS + caller);
            async move {
                let n = NEXT.fetch_add(1, Ordering::Relaxed);
                door.execute::<domain::fleet::Fleet>(&context(&tenant), &id, rename(n))
                    .await?;
                Ok(())
            }
        }
    })
    .await
}
