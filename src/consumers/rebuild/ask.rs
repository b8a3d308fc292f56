//! Asking for a rebuild that any process carries out, and what can be asked of one: pause, go on, end, and
//! drop what was built.

use std::sync::Arc;

use domain::{Code, Refusal};
use projections::AnyProjection;
use sqlx::PgConnection;

use super::order::{self, Order};
use super::record::{self, RebuildStatus};
use super::{Mode, RebuildError, RebuildOptions, plan};
use crate::consumers::decisions::{self, Action, Decider, Subject};
use crate::consumers::{ConsumerError, generations};
use crate::store::Store;

/// PostgreSQL's words for a row that is there already, and for a lock that was not had in time.
const UNIQUE_VIOLATION: &str = "23505";
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Records a rebuild, for whichever process takes it up. Asked for again under the same key, or as of a
/// position that there is a generation of, it is the one that is there.
pub async fn ask_rebuild(
    store: &Store,
    projection: &Arc<dyn AnyProjection>,
    tenant: &str,
    options: &RebuildOptions,
    command_id: Option<&str>,
) -> Result<RebuildStatus, RebuildError> {
    let pool = store.pool();
    generations::ensure(pool, tenant, std::slice::from_ref(projection)).await?;
    let name = projection.name();
    if let Some(known) = asked_before(store, tenant, (name, options), command_id).await? {
        return Ok(known);
    }
    if let Mode::Scratch { up_to } = options.mode {
        let version = (name, projection.version());
        if let Some(there) = record::of_scratch(pool, tenant, version, up_to).await? {
            return Ok(there);
        }
    }
    let order = Order {
        store,
        tenant,
        projection: projection.as_ref(),
        options,
        command_id,
        begin: "begin",
    };
    match order::begin(&order).await {
        Ok(generation) => Ok(record::one(pool, tenant, name, generation).await?),
        Err(error) if is_taken(&error) => {
            // the same may have been asked at the same moment
            let known = asked_before(store, tenant, (name, options), command_id).await?;
            known.ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// Was somebody else first?
fn is_taken(error: &RebuildError) -> bool {
    match error {
        RebuildError::Running => true,
        RebuildError::Database(error) => is(error, UNIQUE_VIOLATION),
        _ => false,
    }
}

/// What was asked for under this key before.
async fn asked_before(
    store: &Store,
    tenant: &str,
    (name, options): (&str, &RebuildOptions),
    command_id: Option<&str>,
) -> Result<Option<RebuildStatus>, RebuildError> {
    let Some(command_id) = command_id else {
        return Ok(None);
    };
    let known = record::of_command(store.pool(), tenant, command_id).await?;
    let is_other = |known: &RebuildStatus| {
        let mode = options.mode;
        let same = known.projection == name
            && known.mode == mode.as_str()
            && known.away_from == options.away_from;
        !same || matches!(mode, Mode::Scratch { up_to } if up_to != known.to_position)
    };
    if known.as_ref().is_some_and(is_other) {
        return Err(RebuildError::KeyReused);
    }
    Ok(known)
}

/// Lets a rebuild rest: whoever works at it stops within a second, in whatever process.
pub async fn pause_rebuild(
    store: &Store,
    tenant: &str,
    projection: &str,
    decider: &Decider,
) -> Result<RebuildStatus, ConsumerError> {
    set_paused(store, (tenant, projection), true, decider).await
}

/// Lets a paused rebuild go on, in whichever process takes it up.
pub async fn resume_rebuild(
    store: &Store,
    tenant: &str,
    projection: &str,
    decider: &Decider,
) -> Result<RebuildStatus, ConsumerError> {
    set_paused(store, (tenant, projection), false, decider).await
}

async fn set_paused(
    store: &Store,
    (tenant, projection): (&str, &str),
    paused: bool,
    decider: &Decider,
) -> Result<RebuildStatus, ConsumerError> {
    let mut tx = projections::begin(store.pool(), "begin").await?;
    let generation: Option<i32> = sqlx::query_scalar(
        "update rebuilds set paused = $3
         where tenant = $1 and projection = $2 and phase in ('folding', 'catching_up')
           and paused <> $3
         returning generation",
    )
    .bind(tenant)
    .bind(projection)
    .bind(paused)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(generation) = generation else {
        let why = if paused {
            "no rebuild of this read model is under way"
        } else {
            "no rebuild of this read model is paused"
        };
        return Err(no_rebuild(why));
    };
    let action = if paused {
        Action::PauseRebuild
    } else {
        Action::ResumeRebuild
    };
    note(&mut tx, (tenant, projection, generation), action, decider).await?;
    tx.commit().await?;
    Ok(record::one(store.pool(), tenant, projection, generation).await?)
}

/// Ends a rebuild that runs, rests or was interrupted, in whatever process. What it has built is dropped;
/// what was to be rolled back to stays kept.
pub async fn cancel_rebuild(
    store: &Store,
    tenant: &str,
    projection: &str,
    decider: &Decider,
) -> Result<RebuildStatus, ConsumerError> {
    let mut tx = projections::begin(store.pool(), "begin").await?;
    let closed = plan::cancel(&mut tx, tenant, projection).await?;
    let Some(generation) = closed.last().copied() else {
        return Err(no_rebuild("no rebuild of this read model is under way"));
    };
    let subject = (tenant, projection, generation);
    note(&mut tx, subject, Action::CancelRebuild, decider).await?;
    tx.commit().await?;
    let cancelled = record::one(store.pool(), tenant, projection, generation).await?;
    if cancelled.mode != Mode::RollBack.as_str() {
        for generation in closed {
            let dropped = generations::drop_one(store, tenant, projection, generation).await;
            if let Err(error) = dropped {
                tracing::info!(%error, projection, "its tables stay until the next rebuild");
            }
        }
    }
    Ok(cancelled)
}

/// Drops a generation that does not answer: one as of a position, or the one that is kept.
pub async fn drop_generation(
    store: &Store,
    tenant: &str,
    projection: &str,
    generation: i32,
    decider: &Decider,
) -> Result<(), ConsumerError> {
    let dropped =
        generations::drop_decided(store, tenant, projection, generation, Some(decider)).await;
    let refused = match dropped {
        Ok(true) => return Ok(()),
        Ok(false) => {
            let there = generations::generations(store, tenant, Some(projection)).await?;
            match there.iter().find(|found| found.generation == generation) {
                Some(found) => Refusal::new(
                    Code::GenerationInUse,
                    format!("the generation is {}, and cannot be dropped", found.state),
                ),
                None => Refusal::new(Code::NotFound, "no such generation of this read model"),
            }
        }
        Err(error) if is(&error, LOCK_NOT_AVAILABLE) => Refusal::new(
            Code::GenerationInUse,
            "the generation is being read just now",
        ),
        Err(error) => return Err(error.into()),
    };
    Err(ConsumerError::Refused(Box::new(refused.at(["generation"]))))
}

async fn note(
    conn: &mut PgConnection,
    (tenant, projection, generation): (&str, &str, i32),
    action: Action,
    decider: &Decider,
) -> Result<(), sqlx::Error> {
    let subject = Subject {
        tenant,
        projection,
        generation: Some(generation),
        position: None,
    };
    decisions::note(conn, subject, action, decider).await
}

fn no_rebuild(why: &str) -> ConsumerError {
    let refusal = Refusal::new(Code::NoRebuild, why).at(["name"]);
    ConsumerError::Refused(Box::new(refusal))
}

fn is(error: &sqlx::Error, code: &str) -> bool {
    let said = error.as_database_error().and_then(|error| error.code());
    said.is_some_and(|said| said == code)
}
