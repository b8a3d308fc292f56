//! What a rebuild sets out to do: the new generation and the ranges to fold, recorded before a row
//! is written, so that whoever comes after a kill can go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::Position;
use projections::{Filling, Target};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction};

use super::{Cause, Job, Mode, RebuildError, WORKERS_MAX, order};
use crate::consumers::batch::Bookmark;
use crate::consumers::generations::{self, Kept};
use crate::consumers::parking;
use crate::store::check_held;

/// Why a rebuild failed is kept up to this many characters.
const ERROR_CHARS_MAX: usize = 2_000;

/// A rebuild under way.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) generation: i32,
    /// The number in its tables' names.
    pub(super) storage: i32,
    /// What becomes of it.
    pub(super) mode: Mode,
    /// How many ranges are folded at once.
    pub(super) workers: usize,
    /// Compare both generations before the swap.
    pub(super) compare: bool,
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

impl Plan {
    /// The tables it fills.
    pub(super) fn target<'a>(&self, job: &'a Job) -> Target<'a> {
        Target {
            tenant: &job.tenant,
            generation: self.storage,
        }
    }
}

/// A rebuild that has not come to its end.
pub(in crate::consumers) struct Unfinished {
    pub(in crate::consumers) projection: String,
    pub(in crate::consumers) generation: i32,
    /// The version of the read model that it is of.
    pub(in crate::consumers) version: i32,
    pub(in crate::consumers) paused: bool,
    mode: Mode,
}

/// Goes on with an unfinished rebuild of this version, or sets out on a new one.
pub(super) async fn open(job: &Job) -> Result<Plan, RebuildError> {
    let (tenant, name) = (&*job.tenant, job.projection.name());
    let mut conn = job.store.pool().acquire().await?;
    let found = unfinished_of(&mut conn, tenant, name).await?;
    drop(conn);
    let mut filling = None;
    match found {
        Some(found) if found.version == job.projection.version() => {
            if found.paused {
                return Err(RebuildError::Paused);
            }
            if job.cause == Cause::Asked && found.mode != job.options.mode {
                return Err(RebuildError::Running);
            }
        }
        // an earlier try of this very rebuild was under way: someone has ended it meanwhile
        None if job.meter.has_started() => return Err(RebuildError::Cancelled),
        None if !job.is_due().await? => return Err(RebuildError::Cancelled),
        _ => {
            order::begin(&job.order()).await?;
            filling = Some(Arc::default());
        }
    }
    job.meter.set_started();
    take_over(job, filling).await
}

/// The rebuild of a read model that has not come to its end, if there is one.
pub(super) async fn unfinished_of(
    conn: &mut PgConnection,
    tenant: &str,
    projection: &str,
) -> Result<Option<Unfinished>, sqlx::Error> {
    let sql = format!("{UNFINISHED} and projection = $2 order by generation desc limit 1");
    let row = sqlx::query(&sql).bind(tenant).bind(projection);
    Ok(row.fetch_optional(conn).await?.as_ref().map(unfinished_row))
}

/// Rebuilds of a tenant that have not come to an end.
pub(in crate::consumers) async fn unfinished(
    pool: &PgPool,
    tenant: &str,
) -> Result<Vec<Unfinished>, sqlx::Error> {
    let rows = sqlx::query(UNFINISHED).bind(tenant).fetch_all(pool).await?;
    Ok(rows.iter().map(unfinished_row).collect())
}

const UNFINISHED: &str = "
    select projection, generation, g.version, r.paused, r.mode, r.to_position
    from rebuilds r join generations g using (tenant, projection, generation)
    where tenant = $1 and r.phase in ('folding', 'catching_up')";

fn unfinished_row(row: &PgRow) -> Unfinished {
    Unfinished {
        projection: row.get(0),
        generation: row.get(1),
        version: row.get(2),
        paused: row.get(3),
        mode: Mode::of(row.get(4), Position(row.get(5))),
    }
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

/// Drops what earlier rebuilds have left: of those that were to answer, once another takes their place;
/// of those that never were to, whenever. Whoever still reads it keeps it until the next rebuild.
pub(super) async fn drop_leftovers(job: &Job, mode: Mode) {
    let (tenant, name) = (&*job.tenant, job.projection.name());
    let which = match mode {
        Mode::Replace => Kept::All,
        Mode::Scratch { .. } | Mode::Check | Mode::RollBack => Kept::NeverToAnswer,
    };
    if let Err(error) = generations::drop_kept(&job.store, tenant, name, which).await {
        tracing::warn!(%error, projection = name, "old tables of {name} are left: {error}");
    }
}

/// Makes the unfinished rebuild this process's: older tokens write nothing from here on.
async fn take_over(job: &Job, filling: Option<Arc<Filling>>) -> Result<Plan, RebuildError> {
    let (tenant, name) = (&*job.tenant, job.projection.name());
    if job.cause == Cause::Asked {
        // whoever is at it by hand says how
        sqlx::query(
            "update rebuilds set workers = $3, compare = $4
             where tenant = $1 and projection = $2 and phase in ('folding', 'catching_up')",
        )
        .bind(tenant)
        .bind(name)
        .bind(order::workers(&job.options))
        .bind(job.options.compare)
        .execute(job.store.pool())
        .await?;
    }
    let row = sqlx::query(
        "update generations g set fence = $3
         from rebuilds r where g.tenant = $1 and g.projection = $2 and g.state = 'building'
           and g.fence <= $3 and r.phase in ('folding', 'catching_up') and not r.paused
           and (r.tenant, r.projection, r.generation) = (g.tenant, g.projection, g.generation)
         returning g.generation, coalesce(g.storage, g.generation), r.to_position, r.phase, r.mode,
                   r.workers, r.compare",
    )
    .bind(tenant)
    .bind(name)
    .bind(job.token)
    .fetch_optional(job.store.pool())
    .await?;
    let row = row.ok_or(RebuildError::LeaseLost)?;
    let to = Position(row.get(2));
    let forgiven: Vec<i64> = sqlx::query_scalar(
        "select distinct position from failed_events
         where tenant = $1 and projection = $2 and skipped_by is not null",
    )
    .bind(tenant)
    .bind(name)
    .fetch_all(job.store.pool())
    .await?;
    let forgiven = Arc::new(forgiven.into_iter().collect());
    let mut plan = Plan {
        generation: row.get(0),
        storage: row.get(1),
        mode: Mode::of(row.get(4), to),
        workers: usize::try_from(row.get::<i32, _>(5)).map_or(1, |n| n.min(WORKERS_MAX)),
        compare: row.get(6),
        to,
        folding: row.get::<&str, _>(3) == "folding",
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

/// All ranges are done: the new generation stands where they end, and stays there if it is as of then.
/// Refused while any of them is not.
pub(super) async fn folded(job: &Job, plan: &Plan) -> Result<(), RebuildError> {
    let mut tx = projections::begin(job.store.pool(), "begin").await?;
    hold(&mut tx, job, plan).await?;
    let left: bool = sqlx::query_scalar(
        "select exists (select from rebuild_ranges
         where tenant = $1 and projection = $2 and generation = $3 and not done)",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .fetch_one(&mut *tx)
    .await?;
    if left {
        return Err(RebuildError::Unfolded);
    }
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
    let which = (&*job.tenant, job.projection.name(), plan.generation);
    let parked = parking::parked(job.store.pool(), which).await?;
    Ok(Bookmark {
        projection: job.projection.clone(),
        tenant: job.tenant.clone(),
        generation: plan.generation,
        storage: plan.storage,
        position: Position(position),
        fence: job.token,
        state: "building",
        skipped: Arc::default(),
        // Only what was gone back to can have any: a rebuild takes in all of the log, or fails.
        parked: Arc::new(parked),
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
        "swapped" | "built" => Ok(Some((Position(position), digest))),
        "catching_up" => Ok(None),
        _ => Err(RebuildError::Cancelled),
    }
}

/// The generation is whole, and does not become the live one: it is this from now on, with the digests of
/// the live one and of this one if they were compared.
pub(super) async fn settle(
    job: &Job,
    plan: &Plan,
    (state, digests): (&str, Option<(&str, &str)>),
) -> Result<(), RebuildError> {
    let mut tx = projections::begin(job.store.pool(), "begin").await?;
    hold(&mut tx, job, plan).await?;
    sqlx::query(
        "update generations set state = $4, updated_at = now()
         where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .bind(state)
    .execute(&mut *tx)
    .await?;
    let built = sqlx::query(
        "update rebuilds set phase = 'built', finished_at = now(), digest_old = $4, digest_new = $5
         where tenant = $1 and projection = $2 and generation = $3 and phase = 'catching_up'
           and not paused",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .bind(digests.map(|both| both.0))
    .bind(digests.map(|both| both.1))
    .execute(&mut *tx)
    .await?;
    if built.rows_affected() != 1 {
        return Err(stopped(job, plan).await?);
    }
    tx.commit().await?;
    Ok(())
}

/// Drops what was built and is not to answer. Whoever is killed before leaves it to the next rebuild.
pub(super) async fn drop_built(job: &Job, plan: &Plan) {
    let (tenant, name) = (&*job.tenant, job.projection.name());
    if let Err(error) = generations::drop_one(&job.store, tenant, name, plan.generation).await {
        tracing::warn!(%error, projection = name, "tables of {name} are left: {error}");
    }
}

/// Why a rebuild of ours may not come to its end.
pub(super) async fn stopped(job: &Job, plan: &Plan) -> Result<RebuildError, sqlx::Error> {
    let paused: bool = sqlx::query_scalar(
        "select paused and phase in ('folding', 'catching_up') from rebuilds
         where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .fetch_one(job.store.pool())
    .await?;
    Ok(if paused {
        RebuildError::Paused
    } else {
        RebuildError::Cancelled
    })
}

/// Ends the rebuild that was planned, and keeps why; unless it has come to another end, or is another's
/// by now. What was never to answer is dropped.
pub(super) async fn fail(job: &Job, plan: &Plan, why: &RebuildError) -> Result<(), RebuildError> {
    let (tenant, name) = (&*job.tenant, job.projection.name());
    let (mut digests, mut difference) = ((None, None), None);
    if let RebuildError::DigestsDiffer {
        old,
        new,
        difference: first,
        ..
    } = why
    {
        digests = (Some(old), Some(new));
        difference = first.as_deref().map(sqlx::types::Json);
    }
    let error: String = why.to_string().chars().take(ERROR_CHARS_MAX).collect();
    let failed = sqlx::query(
        "with ours as (
             update generations g set state = 'kept' from rebuilds r
             where g.tenant = $1 and g.projection = $2 and g.generation = $3 and g.fence <= $8
               and g.state = 'building' and r.phase in ('folding', 'catching_up')
               and (r.tenant, r.projection, r.generation) = (g.tenant, g.projection, g.generation)
             returning g.generation)
         update rebuilds set phase = 'failed', finished_at = now(), error = $4, digest_old = $5,
                digest_new = $6, difference = $7
         where tenant = $1 and projection = $2 and generation in (select generation from ours)",
    )
    .bind(tenant)
    .bind(name)
    .bind(plan.generation)
    .bind(error)
    .bind(digests.0)
    .bind(digests.1)
    .bind(difference)
    .bind(job.token)
    .execute(job.store.pool())
    .await?;
    if failed.rows_affected() == 1 && matches!(plan.mode, Mode::Check | Mode::Scratch { .. }) {
        drop_built(job, plan).await;
    }
    Ok(())
}

/// Cancels unfinished rebuilds. Answers their generations: dropped by the next rebuild at the latest.
pub(in crate::consumers) async fn cancel(
    conn: &mut PgConnection,
    tenant: &str,
    projection: &str,
) -> Result<Vec<i32>, sqlx::Error> {
    let closed: Vec<i32> = sqlx::query_scalar(
        "update generations g set state = 'kept' from rebuilds r
         where r.tenant = $1 and r.projection = $2 and r.phase in ('folding', 'catching_up')
           and (r.tenant, r.projection, r.generation) = (g.tenant, g.projection, g.generation)
           and g.state = 'building'
         returning g.generation",
    )
    .bind(tenant)
    .bind(projection)
    .fetch_all(&mut *conn)
    .await?;
    sqlx::query(
        "update rebuilds set phase = 'cancelled', finished_at = now()
         where tenant = $1 and projection = $2 and generation = any($3)",
    )
    .bind(tenant)
    .bind(projection)
    .bind(&closed)
    .execute(conn)
    .await?;
    Ok(closed)
}
