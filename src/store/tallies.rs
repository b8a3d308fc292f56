//! How many records of log batches were not accepted, by source, code and hour.
//!
//! A row for each batch and code, put in by the batch's own transaction and never touched again: no two
//! batches wait for each other, and none is counted twice. Kept as long as the ids of commands, so that
//! whoever asks adds up rows of a day or so.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Store, StoreError};

/// What is counted of one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Whose records.
    pub source: String,
    /// How many were not accepted, by code: that of a refusal, `DUPLICATE`, or `DUPLICATE_DIFFERS`.
    pub records: BTreeMap<&'static str, i32>,
}

/// So many records of a source were not accepted in an hour, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The hour's beginning, UTC.
    pub hour: DateTime<Utc>,
    /// Whose records.
    pub source: String,
    /// That of a refusal; `DUPLICATE`, or `DUPLICATE_DIFFERS` of those that say something else than the
    /// record whose id they have.
    pub code: String,
    /// How many.
    pub records: i64,
}

/// Notes what is counted of a batch that a command carries, unless that command was kept before.
pub(super) async fn note(
    conn: &mut PgConnection,
    tenant: &str,
    (batch, command_id): (Uuid, Uuid),
    tallies: &Tallies,
) -> Result<(), sqlx::Error> {
    if tallies.records.is_empty() {
        return Ok(());
    }
    let counted = tallies.records.iter().map(|(code, n)| (*code, *n));
    let (codes, records): (Vec<&str>, Vec<i32>) = counted.unzip();
    sqlx::query(
        "insert into log_tallies (tenant, source_id, batch, code, records)
         select $1, $2, $3, code, records from unnest($4::text[], $5::int4[]) u(code, records)
         where not exists (select from commands k where k.tenant = $1 and k.command_id = $6)",
    )
    .bind(tenant)
    .bind(&tallies.source)
    .bind(batch)
    .bind(codes)
    .bind(records)
    .bind(command_id)
    .execute(conn)
    .await?;
    Ok(())
}

impl Store {
    /// From when on all are there, now: what is older is forgotten with the ids of commands.
    pub fn log_tallies_since(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let hours = self.inner.bulk.settings().command_retention_h;
        now - TimeDelta::hours(hours.into())
    }

    /// How many records were not accepted from `from` on and before `to`, by hour, source and code in this
    /// order: of one source, or of all; the first `most` of them. What is older than
    /// `command_retention_h` is forgotten.
    pub async fn log_tallies(
        &self,
        tenant: &str,
        source: Option<&str>,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        most: u32,
    ) -> Result<Vec<Tally>, StoreError> {
        let tallies = sqlx::query(
            "select date_trunc('hour', recorded_at, 'UTC') as hour, source_id as source, code,
                    sum(records)::bigint as records
             from log_tallies
             where tenant = $1 and ($2::text is null or source_id = $2)
               and recorded_at >= $3 and recorded_at < $4
             group by 1, 2, 3 order by 1, 2, 3 limit $5",
        )
        .bind(tenant)
        .bind(source)
        .bind(from)
        .bind(to)
        .bind(i64::from(most))
        .fetch_all(self.pool());
        let tallies: Result<_, sqlx::Error> = tallies.await?.iter().map(tally).collect();
        Ok(tallies?)
    }
}

fn tally(row: &PgRow) -> Result<Tally, sqlx::Error> {
    Ok(Tally {
        hour: row.try_get("hour")?,
        source: row.try_get("source")?,
        code: row.try_get("code")?,
        records: row.try_get("records")?,
    })
}
