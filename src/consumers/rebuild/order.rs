//! Recording a rebuild: its generation, what was asked and the ranges to fold, in one transaction and
//! before a row is written.

use domain::Position;
use projections::AnyProjection;
use sqlx::{PgConnection, Row};

use super::plan;
use super::{Mode, RebuildError, RebuildOptions};
use crate::consumers::decisions::{self, Action, Subject};
use crate::consumers::generations;
use crate::consumers::parking;
use crate::store::{Store, check_held};

/// No range is made smaller than this many events.
const RANGE_EVENTS_MIN: i64 = 1_000;

/// Each worker gets at least this many ranges, so that all come to an end at about the same time.
const RANGES_PER_WORKER: i64 = 8;

/// A rebuild that is to be recorded.
pub(super) struct Order<'a> {
    pub(super) store: &'a Store,
    pub(super) tenant: &'a str,
    pub(super) projection: &'a dyn AnyProjection,
    pub(super) options: &'a RebuildOptions,
    /// The asker's idempotency key.
    pub(super) command_id: Option<&'a str>,
    /// How the transaction begins.
    pub(super) begin: &'static str,
}

/// Records a rebuild. Answers its generation. Refused while another one of this version is unfinished; one
/// of another version is ended.
pub(super) async fn begin(order: &Order<'_>) -> Result<i32, RebuildError> {
    let (tenant, name) = (order.tenant, order.projection.name());
    let head = order.store.head(tenant).await?;
    let to = match order.options.mode {
        Mode::Scratch { up_to } if up_to > head => {
            return Err(RebuildError::BeyondHead { up_to, head });
        }
        Mode::Scratch { up_to } => up_to,
        Mode::Replace | Mode::Check | Mode::RollBack => head,
    };
    let mut tx = projections::begin(order.store.pool(), order.begin).await?;
    if order.options.mode != Mode::RollBack {
        // a rebuild of what is left of a log would be another read model
        check_held(&mut tx, tenant, 1..=to.0).await?;
    }
    generations::lock_tables(&mut tx).await?;
    check_comparable(&mut tx, order).await?;
    if let Some(other) = plan::unfinished_of(&mut tx, tenant, name).await? {
        if other.version == order.projection.version() {
            return Err(RebuildError::Running);
        }
        plan::cancel(&mut tx, tenant, name).await?;
    }
    let (generation, to) = match order.options.mode {
        Mode::RollBack => take_back(&mut tx, order).await?,
        Mode::Replace | Mode::Check => (create(&mut tx, order).await?, to),
        Mode::Scratch { .. } => {
            check_scratches(&mut tx, order).await?;
            (create(&mut tx, order).await?, to)
        }
    };
    record(&mut tx, order, generation, to).await?;
    if let Some(decider) = &order.options.decider {
        let (action, position) = match order.options.mode {
            Mode::Replace | Mode::Check => (Action::Rebuild, None),
            Mode::Scratch { up_to } => (Action::Rebuild, Some(up_to.0)),
            Mode::RollBack => (Action::RollBack, None),
        };
        let subject = Subject {
            tenant,
            projection: name,
            generation: Some(generation),
            position,
        };
        decisions::note(&mut tx, subject, action, decider).await?;
    }
    tx.commit().await?;
    Ok(generation)
}

async fn create(conn: &mut PgConnection, order: &Order<'_>) -> Result<i32, sqlx::Error> {
    generations::create(conn, order.tenant, order.projection, "building").await
}

/// The generation that answers is compared with what its events fold to: it must be of this version, and
/// without parked streams.
async fn check_comparable(conn: &mut PgConnection, order: &Order<'_>) -> Result<(), RebuildError> {
    let is_check = order.options.mode == Mode::Check;
    if !is_check && !order.options.compare {
        return Ok(());
    }
    let (live, ours) = (live(conn, order).await?, order.projection.version());
    if is_check && live.version != ours {
        let live = live.version;
        return Err(RebuildError::OtherVersion { live, ours });
    }
    if live.parked > 0 && live.version == ours {
        return Err(RebuildError::Parked(live.parked));
    }
    Ok(())
}

/// Generations as of positions are bounded, those under way included.
async fn check_scratches(conn: &mut PgConnection, order: &Order<'_>) -> Result<(), RebuildError> {
    let there: i64 = sqlx::query_scalar(
        "select count(*) from generations g
         where tenant = $1 and (state = 'scratch' or state = 'building' and exists (
               select from rebuilds r where r.mode = 'scratch'
                 and (r.tenant, r.projection, r.generation) = (g.tenant, g.projection, g.generation)))",
    )
    .bind(order.tenant)
    .fetch_one(conn)
    .await?;
    let most = order.options.scratches_max;
    if usize::try_from(there).is_ok_and(|there| there >= most) {
        return Err(RebuildError::TooManyScratches(most));
    }
    Ok(())
}

/// The generation that answers.
struct Live {
    generation: i32,
    version: i32,
    position: i64,
    /// How many streams are parked in it.
    parked: i32,
}

/// No rebuild is under way that could put another in its place: the caller holds the tables' lock.
async fn live(conn: &mut PgConnection, order: &Order<'_>) -> Result<Live, sqlx::Error> {
    let live = sqlx::query(
        "select generation, version, position, parked from generations
         where tenant = $1 and projection = $2 and state = 'live'",
    )
    .bind(order.tenant)
    .bind(order.projection.name())
    .fetch_one(conn)
    .await?;
    Ok(Live {
        generation: live.get(0),
        version: live.get(1),
        position: live.get(2),
        parked: live.get(3),
    })
}

/// Gives the tables of the generation that is kept a new number, so that of two states the later one still
/// is the greater. Answers it, and where the live generation is. A generation whose building was ended or
/// failed is none to go back to, nor one that cannot follow because what it lacks is archived.
async fn take_back(
    conn: &mut PgConnection,
    order: &Order<'_>,
) -> Result<(i32, Position), RebuildError> {
    let (tenant, name) = (order.tenant, order.projection.name());
    let live = live(conn, order).await?;
    match order.options.away_from {
        Some(asked) if asked != live.generation => {
            let live = live.generation;
            return Err(RebuildError::NotLive { asked, live });
        }
        _ => {}
    }
    let kept: Option<(i32, i64)> = sqlx::query_as(
        "update generations set state = 'dropped'
         where tenant = $1 and projection = $2 and state = 'kept' and generation = (
               select max(generation) from generations g
               where tenant = $1 and projection = $2 and state = 'kept' and version = $3
                 and not exists (
                     select from rebuilds r where r.phase <> 'swapped' and r.mode <> 'roll_back'
                       and (r.tenant, r.projection, r.generation)
                           = (g.tenant, g.projection, g.generation)))
         returning generation, position",
    )
    .bind(tenant)
    .bind(name)
    .bind(order.projection.version())
    .fetch_optional(&mut *conn)
    .await?;
    let (kept, position) = kept.ok_or(RebuildError::NothingKept)?;
    let generation = generations::next_number(conn, tenant, order.projection).await?;
    sqlx::query(
        "insert into generations
            (tenant, projection, generation, version, tables, state, storage, position)
         select tenant, projection, $4, version, tables, 'building',
                coalesce(storage, generation), position
         from generations where tenant = $1 and projection = $2 and generation = $3",
    )
    .bind(tenant)
    .bind(name)
    .bind(kept)
    .bind(generation)
    .execute(&mut *conn)
    .await?;
    let of = (tenant, name);
    let folded_to = parking::carry_over(&mut *conn, of, (kept, generation)).await?;
    let from = folded_to.map_or(position, |parked| position.min(parked.0));
    check_held(&mut *conn, tenant, from + 1..=live.position).await?;
    Ok((generation, Position(live.position)))
}

async fn record(
    conn: &mut PgConnection,
    order: &Order<'_>,
    generation: i32,
    to: Position,
) -> Result<(), sqlx::Error> {
    let (tenant, name, options) = (order.tenant, order.projection.name(), order.options);
    let decider = options.decider.as_ref();
    let folds = options.mode != Mode::RollBack;
    sqlx::query(
        "insert into rebuilds (tenant, projection, generation, to_position, phase, mode, workers,
                               compare, asked_by, reason, command_id, away_from)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(tenant)
    .bind(name)
    .bind(generation)
    .bind(to.0)
    .bind(if folds { "folding" } else { "catching_up" })
    .bind(options.mode.as_str())
    .bind(workers(options))
    .bind(options.compare)
    .bind(decider.map(|decider| &decider.by))
    .bind(decider.and_then(|decider| decider.reason.as_ref()))
    .bind(order.command_id)
    .bind(options.away_from)
    .execute(&mut *conn)
    .await?;
    if !folds {
        return Ok(());
    }
    let parts = i64::from(workers(options)) * RANGES_PER_WORKER;
    let range = (to.0 / parts + 1)
        .max(RANGE_EVENTS_MIN)
        .min(options.range_events.max(1));
    sqlx::query(
        "insert into rebuild_ranges (tenant, projection, generation, from_position, to_position)
         select $1, $2, $3, p, least(p + $5 - 1, $4) from generate_series(1, $4, $5) p",
    )
    .bind(tenant)
    .bind(name)
    .bind(generation)
    .bind(to.0)
    .bind(range)
    .execute(conn)
    .await?;
    Ok(())
}

/// How many workers, as recorded.
pub(super) fn workers(options: &RebuildOptions) -> i32 {
    i32::try_from(options.workers.clamp(1, super::WORKERS_MAX)).unwrap_or(1)
}
