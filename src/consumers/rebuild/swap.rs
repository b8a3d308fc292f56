//! The end of a rebuild: follow the log to where the live generation is, take out what is kept no longer,
//! compare, take its place.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Position;
use projections::Target;
use sqlx::{Connection, Executor, PgConnection, Postgres, Transaction};
use tokio::time::sleep;

use super::plan::{self, Plan};
use super::{FAULTS_MAX, Job, Mode, Phase, RebuildError};
use crate::consumers::batch::{self, BatchBounds, Bookmark};
use crate::consumers::connection;
use crate::consumers::retry::{Backoff, Fault};
use crate::consumers::tail::Tail;

/// How long the live generation is given to come to a position at which both can be compared, in
/// milliseconds.
const COMPARABLE_MS_MAX: u64 = 30_000;

/// How often it is looked whether it has, in milliseconds.
const COMPARABLE_LOOK_MS: u64 = 20;

/// What a swap has come to.
pub(super) struct Swapped {
    pub(super) position: Position,
    pub(super) digest: Option<String>,
}

/// The live generation's row, locked.
struct Live {
    generation: i32,
    /// The number in its tables' names.
    storage: i32,
    version: i32,
    position: Position,
    /// How many streams are parked in it.
    parked: i32,
}

/// Brings the new generation to the head, compares it if asked, and makes it the live one; one that is as
/// of a position is kept as it is. Faults of the database are waited out.
pub(super) async fn finish(job: &Job, plan: &Plan) -> Result<Swapped, RebuildError> {
    let mut backoff = Backoff::new(job.settings.retry_ms_min, job.settings.retry_ms_max);
    loop {
        match attempt(job, plan).await {
            Err(error) if error.may_pass() && backoff.faults < FAULTS_MAX => backoff.wait().await,
            outcome => return outcome,
        }
    }
}

async fn attempt(job: &Job, plan: &Plan) -> Result<Swapped, RebuildError> {
    // a fault may have hidden that the swap was committed
    if let Some((position, digest)) = plan::swapped(job, plan).await? {
        job.meter.enter(done(plan));
        return Ok(Swapped { position, digest });
    }
    job.meter.enter(Phase::CatchingUp);
    if let Mode::Scratch { up_to } = plan.mode {
        analyze(&mut connection::open(&job.store).await?, job, plan).await?;
        plan::settle(job, plan, ("scratch", None)).await?;
        job.meter.enter(Phase::Built);
        return Ok(Swapped {
            position: up_to,
            digest: None,
        });
    }
    let (events_max, bytes_max) = (job.settings.ring_events_max, job.settings.ring_bytes_max);
    let mut follower = Follower {
        job,
        plan,
        tail: Tail::new(job.store.clone(), job.tenant.clone(), events_max, bytes_max),
        bookmark: plan::bookmark(job, plan).await?,
        conn: connection::open(&job.store).await?,
    };
    analyze(&mut follower.conn, job, plan).await?;
    let compared = if plan.compare || plan.mode == Mode::Check {
        compare(&mut follower).await?
    } else {
        None
    };
    if plan.mode == Mode::Check {
        return checked(&follower, compared).await;
    }
    loop {
        // whoever goes back goes no further than they must: an event that stopped the other may stop this one
        let up_to = match plan.mode {
            Mode::RollBack => live(&follower).await?.1,
            _ => job.store.head(&job.tenant).await?,
        };
        follower.follow(up_to).await?;
        follower.sweep(plan.storage).await?;
        if swap(&mut follower, compared.as_ref()).await? {
            job.meter.enter(Phase::Swapped);
            let digest = compared.map(|both| both.new);
            return Ok(Swapped {
                position: follower.bookmark.position,
                digest,
            });
        }
    }
}

/// The live generation is what its events fold to: the one it was compared with is not needed any more.
async fn checked(follower: &Follower<'_>, compared: Option<Both>) -> Result<Swapped, RebuildError> {
    let (job, plan, position) = (follower.job, follower.plan, follower.bookmark.position);
    let both = compared.ok_or(RebuildError::NotComparable(position))?;
    plan::settle(job, plan, ("kept", Some((&both.old, &both.new)))).await?;
    plan::drop_built(job, plan).await;
    job.meter.enter(Phase::Built);
    Ok(Swapped {
        position,
        digest: Some(both.new),
    })
}

/// What a rebuild comes to.
fn done(plan: &Plan) -> Phase {
    match plan.mode {
        Mode::Scratch { .. } | Mode::Check => Phase::Built,
        Mode::Replace | Mode::RollBack => Phase::Swapped,
    }
}

/// The new generation, as it follows the log.
struct Follower<'a> {
    job: &'a Job,
    plan: &'a Plan,
    tail: Tail,
    bookmark: Bookmark,
    conn: PgConnection,
}

impl Follower<'_> {
    /// Folds the log up to a position, batch by batch.
    async fn follow(&mut self, up_to: Position) -> Result<(), RebuildError> {
        while self.bookmark.position < up_to {
            let batch = self.fold(up_to).await?;
            if batch.up_to == self.bookmark.position {
                continue;
            }
            let (from, to) = (self.bookmark.position, batch.up_to);
            let written = batch::write(&mut self.conn, &mut self.bookmark, batch).await;
            if let Err(error) = written {
                self.give_up(error.into(), (from, to)).await?;
            }
        }
        Ok(())
    }

    /// The database did not take a batch: an event of it that was given up before is given up again, and it
    /// is to be folded anew. If there is none, that is the end.
    async fn give_up(
        &mut self,
        error: RebuildError,
        (from, up_to): (Position, Position),
    ) -> Result<(), RebuildError> {
        let is_row = matches!(&error, RebuildError::Database(e) if Fault::of(e) == Fault::OfRow);
        let within = from.0 + 1..=up_to.0;
        match self.plan.decided(within, &self.bookmark.skipped) {
            Some(position) if is_row => self.forgive(position).await,
            _ => Err(lasting(error, from, up_to)),
        }
    }

    /// Goes on without an event, as someone had decided.
    async fn forgive(&mut self, position: Position) -> Result<(), RebuildError> {
        plan::forgive(self.job, self.plan, position).await?;
        let skipped: &BTreeSet<i64> = &self.bookmark.skipped;
        self.bookmark.skipped = Arc::new(skipped.iter().copied().chain([position.0]).collect());
        Ok(())
    }

    /// Takes out of a generation's tables what is kept no longer.
    async fn sweep(&mut self, generation: i32) -> Result<(), RebuildError> {
        let tenant = &self.job.tenant;
        let target = Target { tenant, generation };
        let today = self.job.options.clock.now().date_naive();
        let mut more = true;
        while more {
            let mut tx = self.conn.begin().await?;
            let swept = self.job.projection.sweep(&mut tx, &target, today);
            more = swept.await?.more;
            tx.commit().await?;
        }
        Ok(())
    }

    /// The same of both: the live one may not have been looked at today.
    async fn sweep_both(&mut self, live: i32) -> Result<(), RebuildError> {
        self.sweep(live).await?;
        self.sweep(self.plan.storage).await
    }

    /// The next batch. An event that was given up before is given up again; another that cannot be
    /// folded ends the rebuild.
    async fn fold(&mut self, up_to: Position) -> Result<batch::Batch, RebuildError> {
        let events_max = self.job.settings.batch_events_max;
        let events = self.tail.after(self.bookmark.position, events_max).await?;
        let bounds = BatchBounds {
            up_to,
            ..BatchBounds::of(&self.job.settings)
        };
        let batch = batch::fold(&self.bookmark, events, bounds).await;
        if batch.up_to > self.bookmark.position {
            return Ok(batch);
        }
        let position = Position(self.bookmark.position.0 + 1);
        let Some(reason) = batch.poison.clone() else {
            return Ok(batch);
        };
        if !self.plan.forgiven.contains(&position.0) {
            return Err(RebuildError::Poison { position, reason });
        }
        self.forgive(position).await?;
        Ok(batch)
    }
}

/// Lets the planner know the new tables: nobody has read them yet.
async fn analyze(conn: &mut PgConnection, job: &Job, plan: &Plan) -> Result<(), RebuildError> {
    for base in job.projection.tables() {
        let sql = format!("analyze {}", plan.target(job).table(base));
        conn.execute(sql.as_str()).await?;
    }
    Ok(())
}

/// Digests of both generations at one position.
struct Both {
    old: String,
    new: String,
}

/// Compares both generations at one position. The live one is held there only until a snapshot is
/// taken that sees both; the digests are computed in it while life goes on. `None` if the live one
/// was built by another version: then they need not be equal.
async fn compare(follower: &mut Follower<'_>) -> Result<Option<Both>, RebuildError> {
    follower.job.meter.enter(Phase::Comparing);
    let until = Instant::now() + Duration::from_millis(COMPARABLE_MS_MAX);
    let mut holder = connection::open(&follower.job.store).await?;
    let mut reader = connection::open(&follower.job.store).await?;
    loop {
        // come close first, so that the live one is held for one small batch only
        let (storage, near) = live(follower).await?;
        follower.follow(near).await?;
        follower.sweep_both(storage).await?;
        let mut held = holder.begin().await?;
        let live = lock_live(&mut held, follower).await?;
        if live.version != follower.job.projection.version() {
            return Ok(None);
        }
        if live.parked > 0 {
            return Err(RebuildError::Parked(live.parked));
        }
        if live.position < follower.bookmark.position {
            held.rollback().await?;
            if Instant::now() > until {
                return Err(RebuildError::NotComparable(follower.bookmark.position));
            }
            sleep(Duration::from_millis(COMPARABLE_LOOK_MS)).await;
            continue;
        }
        follower.follow(live.position).await?;
        follower.sweep_both(live.storage).await?;
        let mut snapshot = reader
            .begin_with(
                "begin isolation level repeatable read read only; select 1 from logs limit 1",
            )
            .await?;
        held.rollback().await?;
        let new = digest(&mut snapshot, follower, follower.plan.storage).await?;
        let old = digest(&mut snapshot, follower, live.storage).await?;
        if new != old {
            let (tenant, projection) = (&*follower.job.tenant, &*follower.job.projection);
            let of = |generation| Target { tenant, generation };
            let both = (&of(live.storage), &of(follower.plan.storage));
            let difference = projections::first_difference(&mut snapshot, projection, both).await?;
            return Err(RebuildError::DigestsDiffer {
                position: live.position,
                old,
                new,
                difference: difference.map(Box::new),
            });
        }
        snapshot.rollback().await?;
        return Ok(Some(Both { old, new }));
    }
}

async fn digest(
    conn: &mut PgConnection,
    follower: &Follower<'_>,
    generation: i32,
) -> Result<String, sqlx::Error> {
    let target = Target {
        tenant: &follower.job.tenant,
        generation,
    };
    projections::digest(conn, follower.job.projection.as_ref(), &target).await
}

/// The number in the names of the live generation's tables, and where it is by now.
async fn live(follower: &Follower<'_>) -> Result<(i32, Position), sqlx::Error> {
    let (storage, position) = sqlx::query_as(
        "select coalesce(storage, generation), position from generations
         where tenant = $1 and projection = $2 and state = 'live'",
    )
    .bind(&*follower.job.tenant)
    .bind(follower.job.projection.name())
    .fetch_one(follower.job.store.pool())
    .await?;
    Ok((storage, Position(position)))
}

/// Holds the live generation where it is, to the end of the transaction: its projector waits.
async fn lock_live(
    tx: &mut Transaction<'_, Postgres>,
    follower: &Follower<'_>,
) -> Result<Live, sqlx::Error> {
    let (generation, storage, version, position, parked): (_, _, _, i64, _) = sqlx::query_as(
        "select generation, coalesce(storage, generation), version, position, parked from generations
         where tenant = $1 and projection = $2 and state = 'live' for update",
    )
    .bind(&*follower.job.tenant)
    .bind(follower.job.projection.name())
    .fetch_one(&mut **tx)
    .await?;
    Ok(Live {
        generation,
        storage,
        version,
        position: Position(position),
        parked,
    })
}

/// Makes the new generation the live one, in one transaction, at or beyond the old one's position:
/// who has read its own write keeps seeing it. False if the live one has run ahead too far to be
/// overtaken inside the transaction.
async fn swap(follower: &mut Follower<'_>, both: Option<&Both>) -> Result<bool, RebuildError> {
    let before = follower.bookmark.position;
    let swapped = swap_in_one(follower, both).await;
    if !matches!(swapped, Ok(true)) {
        follower.bookmark.position = before;
    }
    swapped
}

async fn swap_in_one(
    follower: &mut Follower<'_>,
    both: Option<&Both>,
) -> Result<bool, RebuildError> {
    let (job, plan) = (follower.job, follower.plan);
    let mut conn = connection::open(&job.store).await?;
    let mut tx = conn.begin().await?;
    let live = lock_live(&mut tx, follower).await?;
    while follower.bookmark.position < live.position {
        let ahead = live.position.0 - follower.bookmark.position.0;
        if ahead > job.settings.batch_events_max as i64 {
            return Ok(false);
        }
        let batch = follower.fold(live.position).await?;
        if batch.up_to == follower.bookmark.position {
            continue;
        }
        let (from, to) = (follower.bookmark.position, batch.up_to);
        let written = batch::write_within(&mut tx, &mut follower.bookmark, batch).await;
        if let Err(error) = written {
            tx.rollback().await?;
            follower.give_up(error.into(), (from, to)).await?;
            return Ok(false);
        }
    }
    put_in_place(&mut tx, follower, &live).await?;
    let swapped = sqlx::query(
        "update rebuilds
         set phase = 'swapped', finished_at = now(), digest_old = $4, digest_new = $5
         where tenant = $1 and projection = $2 and generation = $3 and phase = 'catching_up'
           and not paused",
    )
    .bind(&*job.tenant)
    .bind(job.projection.name())
    .bind(plan.generation)
    .bind(both.map(|b| &b.old))
    .bind(both.map(|b| &b.new))
    .execute(&mut *tx)
    .await?;
    if swapped.rows_affected() != 1 {
        return Err(plan::stopped(job, plan).await?);
    }
    tx.commit().await?;
    Ok(true)
}

async fn put_in_place(
    tx: &mut Transaction<'_, Postgres>,
    follower: &Follower<'_>,
    live: &Live,
) -> Result<(), RebuildError> {
    let (tenant, name) = (&*follower.job.tenant, follower.job.projection.name());
    // the fence goes with it: the live projector's token counts from here on, not the rebuild's
    let (fence, status): (i64, String) = sqlx::query_as(
        "update generations set state = 'kept'
         where tenant = $1 and projection = $2 and generation = $3 returning fence, status",
    )
    .bind(tenant)
    .bind(name)
    .bind(live.generation)
    .fetch_one(&mut **tx)
    .await?;
    let put = sqlx::query(
        "update generations set state = 'live', fence = $6,
                status = case $7 when 'paused' then 'paused' else 'running' end
         where tenant = $1 and projection = $2 and generation = $3 and state = 'building'
           and fence <= $4 and position >= $5",
    )
    .bind(tenant)
    .bind(name)
    .bind(follower.plan.generation)
    .bind(follower.job.token)
    .bind(live.position.0)
    .bind(fence)
    .bind(status)
    .execute(&mut **tx)
    .await?;
    if put.rows_affected() != 1 {
        return Err(RebuildError::LeaseLost);
    }
    Ok(())
}

/// A write that fails the same way every time is about some event of its batch.
fn lasting(error: RebuildError, from: Position, up_to: Position) -> RebuildError {
    match error {
        RebuildError::Database(e) if Fault::of(&e) != Fault::Passing => RebuildError::Poison {
            position: Position(from.0 + 1),
            reason: format!("positions {} to {up_to} cannot be written: {e}", from.0 + 1),
        },
        other => other,
    }
}
