//! Retention of bookkeeping: command ids, rejected records, ids of log records and what was counted of them;
//! and partitions made ahead of the head.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};

use super::{StoreError, StoreSettings, partitions};

/// How often the sweep looks.
const EVERY: Duration = Duration::from_secs(60);

/// Rows of one delete: short transactions, so that appends never wait for a sweep.
const ROWS_MAX: i64 = 5_000;

/// Sweeps for ever. Several processes may: deleting twice is harmless.
pub(super) async fn run(pool: PgPool, options: PgConnectOptions, settings: Arc<StoreSettings>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let ahead = make_partitions(&options, &settings).await;
        if let Err(e) = ahead.and(sweep(&pool, &settings).await) {
            tracing::warn!(error = %e, "retention was not applied this time: {e}");
        }
    }
}

/// Partitions belong to the schema's owner: not through the pool, whose role may only append.
async fn make_partitions(
    options: &PgConnectOptions,
    settings: &StoreSettings,
) -> Result<(), StoreError> {
    let mut owner = PgConnection::connect_with(options).await?;
    partitions::ensure(&mut owner, settings, 0).await?;
    let _ = owner.close().await;
    Ok(())
}

/// Takes away what has been kept for as long as the settings say.
pub(super) async fn sweep(pool: &PgPool, settings: &StoreSettings) -> Result<(), StoreError> {
    let hours = i32::try_from(settings.command_retention_h).unwrap_or(i32::MAX);
    let days = i32::try_from(settings.rejected_retention_d).unwrap_or(i32::MAX);
    delete_all(pool, COMMANDS, i64::from(hours)).await?;
    delete_all(pool, LOG_TALLIES, i64::from(hours)).await?;
    delete_all(pool, REJECTED_BY_AGE, i64::from(days)).await?;
    delete_all(pool, REJECTED_BY_COUNT, settings.rejected_records_max).await?;
    delete_all(pool, RECORD_IDS, 0).await
}

async fn delete_all(pool: &PgPool, statement: &str, bound: i64) -> Result<(), StoreError> {
    loop {
        let done = sqlx::query(statement)
            .bind(bound)
            .bind(ROWS_MAX)
            .execute(pool)
            .await?
            .rows_affected();
        if done < ROWS_MAX as u64 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

const COMMANDS: &str = "
    delete from commands where (tenant, command_id) in (
        select tenant, command_id from commands
        where recorded_at < now() - make_interval(hours => $1::int) limit $2)";

const LOG_TALLIES: &str = "
    delete from log_tallies where (tenant, source_id, recorded_at, batch, code) in (
        select tenant, source_id, recorded_at, batch, code from log_tallies
        where recorded_at < now() - make_interval(hours => $1::int) limit $2)";

const REJECTED_BY_AGE: &str = "
    delete from rejected_records where (tenant, id) in (
        select tenant, id from rejected_records
        where recorded_at < now() - make_interval(days => $1::int) limit $2)";

const REJECTED_BY_COUNT: &str = "
    delete from rejected_records where (tenant, id) in (
        select tenant, id from (
            select tenant, id, row_number() over (partition by tenant order by id desc) as newest
            from rejected_records) counted
        where newest > $1 limit $2)";

/// The day says itself when it is over: none is left of it today.
const RECORD_IDS: &str = "
    delete from record_ids where (tenant, id_hash) in (
        select tenant, id_hash from record_ids where forget_on <= current_date - $1::int limit $2)";
