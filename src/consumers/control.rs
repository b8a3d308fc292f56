//! Pausing, resuming and skipping: decisions of a person, recorded where every process sees them.

use domain::Position;

use super::ConsumerError;
use crate::store::Store;

/// Lets a read model rest where it is. Its present batch is rolled back or finished, no other
/// begins.
pub async fn pause(store: &Store, tenant: &str, projection: &str) -> Result<(), ConsumerError> {
    let found = sqlx::query(
        "update generations set status = case status when 'running' then 'paused' else status end
         where tenant = $1 and projection = $2 and state = 'live'",
    )
    .bind(tenant)
    .bind(projection)
    .execute(store.pool())
    .await?;
    found_or_refused(found.rows_affected(), projection)?;
    tracing::info!(projection, tenant, "read model {projection} is paused");
    Ok(())
}

/// Lets a paused read model go on, or a stopped one try its event again.
pub async fn resume(store: &Store, tenant: &str, projection: &str) -> Result<(), ConsumerError> {
    let found = sqlx::query(
        "update generations set status = 'running', error = null
         where tenant = $1 and projection = $2 and state = 'live'",
    )
    .bind(tenant)
    .bind(projection)
    .execute(store.pool())
    .await?;
    found_or_refused(found.rows_affected(), projection)?;
    tracing::info!(projection, tenant, "read model {projection} is resumed");
    Ok(())
}

/// Lets a stopped read model go on without the event it is stopped at. Who decided so and why is
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
    let stopped: Option<i32> = sqlx::query_scalar(
        "update generations set status = 'running', error = null
         where tenant = $1 and projection = $2 and state = 'live'
           and status = 'stopped' and position = $3 - 1
         returning generation",
    )
    .bind(tenant)
    .bind(projection)
    .bind(position.0)
    .fetch_optional(&mut *tx)
    .await?;
    let skipped = sqlx::query(
        "update failed_events set skipped_by = $5, skip_reason = $6, skipped_at = now()
         where tenant = $1 and projection = $2 and generation = $3 and position = $4",
    )
    .bind(tenant)
    .bind(projection)
    .bind(stopped)
    .bind(position.0)
    .bind(by)
    .bind(reason)
    .execute(&mut *tx)
    .await?;
    if skipped.rows_affected() != 1 {
        let projection = projection.to_owned();
        return Err(ConsumerError::NotStoppedThere {
            projection,
            position,
        });
    }
    tx.commit().await?;
    tracing::warn!(projection, tenant, %position, by, reason,
        "read model {projection} goes on without position {position}, decided by {by}: {reason}");
    Ok(())
}

fn found_or_refused(rows: u64, projection: &str) -> Result<(), ConsumerError> {
    if rows == 0 {
        return Err(ConsumerError::NotStarted(projection.to_owned()));
    }
    Ok(())
}
