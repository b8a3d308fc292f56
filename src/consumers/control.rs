//! Pausing, resuming and skipping: decisions of a person, recorded where every process sees them.

use domain::Position;

use super::ConsumerError;
use super::decisions::{self, Action, Decider, Subject};
use crate::store::Store;

/// Lets a read model rest where it is. Its present batch is rolled back or finished, no other
/// begins.
pub async fn pause(
    store: &Store,
    tenant: &str,
    projection: &str,
    decider: &Decider,
) -> Result<(), ConsumerError> {
    let sql =
        "update generations set status = case status when 'running' then 'paused' else status end
         where tenant = $1 and projection = $2 and state = 'live' returning generation";
    decide(store, (tenant, projection), sql, Action::Pause, decider).await
}

/// Lets a paused read model go on, or a stopped one try its event again; streams it has parked are tried
/// again too.
pub async fn resume(
    store: &Store,
    tenant: &str,
    projection: &str,
    decider: &Decider,
) -> Result<(), ConsumerError> {
    let sql = "with live as (
             update generations set status = 'running', error = null
             where tenant = $1 and projection = $2 and state = 'live' returning generation),
         parked as (
             update parked_streams p set asked = true from live l
             where p.tenant = $1 and p.projection = $2 and p.generation = l.generation)
         select generation from live";
    decide(store, (tenant, projection), sql, Action::Resume, decider).await
}

/// Carries out a statement on the live generation, and keeps who decided so.
async fn decide(
    store: &Store,
    (tenant, projection): (&str, &str),
    sql: &str,
    action: Action,
    decider: &Decider,
) -> Result<(), ConsumerError> {
    let mut tx = projections::begin(store.pool(), "begin").await?;
    let found: Option<i32> = sqlx::query_scalar(sql)
        .bind(tenant)
        .bind(projection)
        .fetch_optional(&mut *tx)
        .await?;
    if found.is_none() {
        return Err(ConsumerError::NotStarted(projection.to_owned()));
    }
    let subject = Subject {
        tenant,
        projection,
        generation: found,
        position: None,
    };
    decisions::note(&mut tx, subject, action, decider).await?;
    tx.commit().await?;
    Ok(())
}

/// Lets a read model that is stopped at an event, or has parked its stream, try it again.
pub async fn retry(
    store: &Store,
    tenant: &str,
    projection: &str,
    position: Position,
    decider: &Decider,
) -> Result<(), ConsumerError> {
    let mut tx = projections::begin(store.pool(), "begin").await?;
    let generation = go_on(&mut tx, tenant, projection, position).await?;
    if generation.is_none() {
        return Err(not_stopped_there(projection, position));
    }
    let subject = Subject {
        tenant,
        projection,
        generation,
        position: Some(position.0),
    };
    decisions::note(&mut tx, subject, Action::Resume, decider).await?;
    tx.commit().await?;
    Ok(())
}

/// Lets a stopped read model, or a parked stream, go on without the event it is stopped at. Who decided so and why is
/// kept beside the failure; rebuilds try the event again and only then go on without it as well.
pub async fn skip(
    store: &Store,
    tenant: &str,
    projection: &str,
    position: Position,
    by: &str,
    reason: &str,
) -> Result<(), ConsumerError> {
    let mut tx = projections::begin(store.pool(), "begin").await?;
    let generation = go_on(&mut tx, tenant, projection, position).await?;
    // One that has been taken in meanwhile is not skipped any more.
    let skipped = sqlx::query(
        "update failed_events set skipped_by = $5, skip_reason = $6, skipped_at = now()
         where tenant = $1 and projection = $2 and generation = $3 and position = $4
           and not exists (select from parked_streams p
                           where (p.tenant, p.projection, p.generation, p.position) = ($1, $2, $3, $4)
                             and p.folded_to >= $4)",
    )
    .bind(tenant)
    .bind(projection)
    .bind(generation)
    .bind(position.0)
    .bind(by)
    .bind(reason)
    .execute(&mut *tx)
    .await?;
    if skipped.rows_affected() != 1 {
        return Err(not_stopped_there(projection, position));
    }
    let subject = Subject {
        tenant,
        projection,
        generation,
        position: Some(position.0),
    };
    let decider = Decider::of(by).because(Some(reason.to_owned()));
    decisions::note(&mut tx, subject, Action::Skip, &decider).await?;
    tx.commit().await?;
    tracing::warn!(projection, tenant, %position, by, reason,
        "read model {projection} goes on without position {position}, decided by {by}: {reason}");
    Ok(())
}

/// Lets the live generation go on from the event it is stopped at, or has the stream taken in that is parked
/// at it; which generation that is, if it is.
async fn go_on(
    conn: &mut sqlx::PgConnection,
    tenant: &str,
    projection: &str,
    position: Position,
) -> Result<Option<i32>, sqlx::Error> {
    // Its row first, as whoever folds takes hold of it: neither waits for the other.
    let live: Option<(i32, bool)> = sqlx::query_as(
        "select generation, status = 'stopped' and position = $3 - 1 from generations
         where tenant = $1 and projection = $2 and state = 'live' for update",
    )
    .bind(tenant)
    .bind(projection)
    .bind(position.0)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((generation, is_stopped_there)) = live else {
        return Ok(None);
    };
    if !is_stopped_there {
        let parked = sqlx::query(
            "update parked_streams set asked = true
             where tenant = $1 and projection = $2 and generation = $3 and position = $4",
        )
        .bind(tenant)
        .bind(projection)
        .bind(generation)
        .bind(position.0)
        .execute(&mut *conn)
        .await?;
        if parked.rows_affected() == 0 {
            return Ok(None);
        }
    }
    // One that is stopped because no more streams could be parked goes on with this one.
    sqlx::query(
        "update generations set status = 'running', error = null
         where tenant = $1 and projection = $2 and generation = $3 and status = 'stopped'",
    )
    .bind(tenant)
    .bind(projection)
    .bind(generation)
    .execute(conn)
    .await?;
    Ok(Some(generation))
}

fn not_stopped_there(projection: &str, position: Position) -> ConsumerError {
    let projection = projection.to_owned();
    ConsumerError::NotStoppedThere {
        projection,
        position,
    }
}
