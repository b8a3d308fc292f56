//! What a rebuild sets out to do: the new generation and the ranges to fold, recorded before a row
//! is written, so that whoever comes after a kill can go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::Position;
use projections::Filling;
use sqlx::{PgPool, Postgres, Transaction};

use super::{Job, RebuildError};
use crate::consumers::batch::Bookmark;
use crate::consumers::generations;
use crate::store::check_held;

/// No range is made smaller than this many events.
const RANGE_EVENTS_MIN: i64 = 1_000;

/// Each worker gets at least this many ranges, so that all come to an end at about the same time.
const RANGES_PER_WORKER: i64 = 8;

/// A rebuild under way.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) generation: i32,
    /// The ranges cover 1..=to.
    pub(super) to: Position,
    /// Is any of them still to be folded, or marked as folded?
    pub(super) folding: bool,
    /// Ranges to fold: first and last position.
    pub(super) ranges: Vec<(i64, i64)>,
    /// Positions someone decided to go on without, in any generation of this read model.
    pub(super) forgiven: Arc<BTreeSet<i64>>,
    /// What has been written, if all of it was by this very try.
    pub(super) filling: Option<Arc<Filling>>,
}

/// Goes on with an unfinished rebuild of this version, or sets out on a new one.
pub(super) async fn open(job: &Job) -> Result<Plan, RebuildError> {
    let (tenant, name) = (&*job.tenant, job.projection.name());
    let unfinished: Option<(i32, i32)> = sqlx::query_as(
        "select generation, g.version from rebuilds r join generations g
                using (tenant, projection, generation)
         where tenant = $1 and projection = $2 and phase in ('folding', 'catching_up')
         order by generation desc limit 1",
    )
    .bind(tenant)
    .bind(name)
    .fetch_optional(job.store.pool())
    .await?;
    let mut filling = None;
    match unfinished {
        Some((_, version)) if version == job.projection.version() => {}
        // an earlier try of this very rebuild was under way: someone has ended it meanwhile
        None if job.meter.has_started() => return Err(RebuildError::Cancelled),
        None if !job.is_due().await? => return Err(RebuildError::Cancelled),
        _ => {
            let head = job.store.head(tenant).await?;
            check_held_from(job, 1, head).await?;
            mark(job.store.pool(), tenant, name, "cancelled").await?;
            begin(job).await?;
            filling = Some(Arc::default());
        }
    }
    job.meter.set_started();
    take_over(job, filling).await
}

/// Records a new rebuild. Nothing waits for the disk: a crash of the server loses a rebuild that had
/// just begun, and with it everything it had written.
async fn begin(job: &Job) -> Result<(), RebuildError> {
    let (tenant, name) = (&*job.tenant, job.projection.name());
    let head = job.store.head(tenant).await?;
    let begin = "begin; set local synchronous_commit = off";
    let mut tx = projections::begin(job.store.pool(), begin).await?;
    generations::lock_tables(&mut tx).await?;
    let generation =
        generations::create(&mut tx, tenant, job.projection.as_ref(), "building").await?;
    sqlx::query(
        "insert into rebuilds (tenant, projection, generation, to_position, phase)
         values ($1, $2, $3, $4, 'folding')",
    )
    .bind(tenant)
    .bind(name)
    .bind(generation)
    .bind(head.0)
    .execute(&mut *tx)
    .await?;
    let parts = job.options.workers.max(1) as i64 * RANGES_PER_WORKER;
    let range = (head.0 / parts + 1)
        .max(RANGE_EVENTS_MIN)
        .min(job.options.range_events.max(1));
    sqlx::query(
        "insert into rebuild_ranges (tenant, projection, generation, from_position, to_position)
         select $1, $2, $3, p, least(p + $5 - 1, $4) from generate_series(1, $4, $5) p",
    )
    .bind(tenant)
    .bind(name)
    .bind(generation)
    .bind(head.0)
    .bind(range)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// A rebuild of what is left of a log would be another read model.
pub(super) async fn check_held_from(
    job: &Job,
    from: i64,
    up_to: Position,
) -> Result<(), RebuildError> {
    let mut conn = job.store.pool().acquire().await?;
    check_held(&mut conn, &job.tenant, from..=up_to.0).await?;
    Ok(())
}

/// Drops what earlier rebuilds have left. Whoever still reads it keeps it until the next rebuild.
pub(super) async fn drop_leftovers(job: &Job) {
    let (tenant, name) = (&*job.tenant, job.projection.name());
    if let Err(error) = generations::drop_kept(&job.store, tenant, name).await {
        tracing::warn!(%error, projection = name, "old tables of {name} are left: {error}");
    }
}

/// Makes the unfinished rebuild this process's: older tokens write nothing from here on.
async fn take_over(job: &Job, filling: Option<Arc<Filling>>) -> Result<Plan, RebuildError> {
    let (tenant, name) = (&*job.tenant, job.projection.name());
    let row: Option<(i32, i64, String)> = sqlx::query_as(
        "update generations g set fence = $3
         from rebuilds r where g.tenant = $1 and g.projection = $2 and g.state = 'building'
           and g.fence <= $3 and r.phase in ('folding', 'catching_up')
           and (r.tenant, r.projection, r.generation) = (g.tenant, g.projection, g.generation)
         returning g.generation, r.to_position, r.phase",
    )
    .bind(tenant)
    .bind(name)
    .bind(job.token)
    .fetch_optional(job.store.pool())
    .await?;
    let (generation, to, phase) = row.ok_or(RebuildError::LeaseLost)?;
    let forgiven: Vec<i64> = sqlx::query_scalar(
        "select distinct position from failed_events
         where tenant = $1 and projection = $2 and skipped_by is not null",
    )
    .bind(tenant)
    .bind(name)
    .fetch_all(job.store.pool())
    .await?;
    let forgiven = Arc::new(forgiven.into_iter().collect());
    let folding = phase == "folding";
    let mut plan = Plan {
        generation,
        to: Position(to),
        folding,
        ranges: Vec::new(),
        forgiven,
        filling,
    };
    plan.ranges = ranges_left(job, &plan).await?;
    Ok(plan)
}

/// The ranges not marked as done, first and last position each.
pub(super) async fn ranges_left(job: &Job, plan: &Plan) -> Result<Vec<(i64, i64)>, RebuildError> {
    let ranges: Vec<(i64, i64)> = sqlx::query_as(
        "select from_position, to_position from rebuild_ranges
         where tenant = $1 and projection = $2 and generation = $3 and not done
         order by from_position",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .fetch_all(job.store.pool())
    .await?;
    let left: i64 = ranges.iter().map(|(from, to)| to - from + 1).sum();
    job.meter
        .starts(plan.to.0 as u64, (plan.to.0 - left) as u64);
    Ok(ranges)
}

/// All ranges are done: the new generation stands where they end.
pub(super) async fn folded(job: &Job, plan: &Plan) -> Result<(), RebuildError> {
    let mut tx = projections::begin(job.store.pool(), "begin").await?;
    hold(&mut tx, job, plan).await?;
    sqlx::query(
        "update generations set position = $4, updated_at = now()
         where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .bind(plan.to.0)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "update rebuilds set phase = 'catching_up'
         where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Makes sure, to the end of the transaction, that the rebuild is neither cancelled nor another's.
/// Workers hold the row together; who takes it over or cancels waits for them.
pub(super) async fn hold(
    tx: &mut Transaction<'_, Postgres>,
    job: &Job,
    plan: &Plan,
) -> Result<(), RebuildError> {
    let ours: Option<bool> = sqlx::query_scalar(
        "select state = 'building' from generations
         where tenant = $1 and projection = $2 and generation = $3 and fence <= $4 for share",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .bind(job.token)
    .fetch_optional(&mut **tx)
    .await?;
    match ours {
        Some(true) => Ok(()),
        Some(false) => Err(RebuildError::Cancelled),
        None => Err(RebuildError::LeaseLost),
    }
}

/// Lets the new generation go on without an event that was given up before in another one.
pub(super) async fn forgive(
    job: &Job,
    plan: &Plan,
    position: Position,
) -> Result<(), RebuildError> {
    sqlx::query(
        "insert into failed_events (tenant, projection, generation, position, attempts, error,
                                    skipped_by, skip_reason, skipped_at)
         select tenant, projection, $3, position, attempts, error,
                skipped_by, skip_reason, skipped_at
         from failed_events where tenant = $1 and projection = $2 and position = $4
           and skipped_by is not null order by generation desc limit 1
         on conflict do nothing",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .bind(position.0)
    .execute(job.store.pool())
    .await?;
    Ok(())
}

/// The new generation with its checkpoint, and whatever was forgiven it.
pub(super) async fn bookmark(job: &Job, plan: &Plan) -> Result<Bookmark, RebuildError> {
    let position: i64 = sqlx::query_scalar(
        "select position from generations
         where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .fetch_one(job.store.pool())
    .await?;
    Ok(Bookmark {
        projection: job.projection.clone(),
        tenant: job.tenant.clone(),
        generation: plan.generation,
        position: Position(position),
        fence: job.token,
        state: "building",
        skipped: Arc::default(),
    })
}

/// Has the swap been made? Where the generation stands now, and its digest. An error if the rebuild
/// has come to another end.
pub(super) async fn swapped(
    job: &Job,
    plan: &Plan,
) -> Result<Option<(Position, Option<String>)>, RebuildError> {
    let (phase, position, digest): (String, i64, Option<String>) = sqlx::query_as(
        "select r.phase, g.position, r.digest_new from rebuilds r join generations g
                using (tenant, projection, generation)
         where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .fetch_one(job.store.pool())
    .await?;
    match phase.as_str() {
        "swapped" => Ok(Some((Position(position), digest))),
        "catching_up" => Ok(None),
        _ => Err(RebuildError::Cancelled),
    }
}

/// Ends the present rebuild of a job.
pub(super) async fn close(job: &Job, phase: &str) -> Result<(), RebuildError> {
    mark(job.store.pool(), &job.tenant, job.projection.name(), phase).await?;
    Ok(())
}

/// Ends unfinished rebuilds without a swap. Answers their generations: kept for a look, and dropped
/// by the next rebuild at the latest.
pub(super) async fn mark(
    pool: &PgPool,
    tenant: &str,
    projection: &str,
    phase: &str,
) -> Result<Vec<i32>, sqlx::Error> {
    let mut tx = projections::begin(pool, "begin").await?;
    let closed: Vec<i32> = sqlx::query_scalar(
        "update generations g set state = 'kept' from rebuilds r
         where r.tenant = $1 and r.projection = $2 and r.phase in ('folding', 'catching_up')
           and (r.tenant, r.projection, r.generation) = (g.tenant, g.projection, g.generation)
           and g.state = 'building'
         returning g.generation",
    )
    .bind(tenant)
    .bind(projection)
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query(
        "update rebuilds set phase = $4, finished_at = now()
         where tenant = $1 and projection = $2 and generation = any($3)",
    )
    .bind(tenant)
    .bind(projection)
    .bind(&closed)
    .bind(phase)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(closed)
}

/// Rebuilds of a tenant that have not come to an end: read model and version.
pub(in crate::consumers) async fn unfinished(
    pool: &PgPool,
    tenant: &str,
) -> Result<Vec<(String, i32)>, sqlx::Error> {
    sqlx::query_as(
        "select projection, g.version from rebuilds r join generations g
                using (tenant, projection, generation)
         where tenant = $1 and phase in ('folding', 'catching_up')",
    )
    .bind(tenant)
    .fetch_all(pool)
    .await
}
