//! Retention: what its source does not keep any longer is taken out of the tables, never out of the log.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use domain::log_source::{LogRetention, LogType};
use sqlx::types::Json;
use sqlx::{Executor, PgConnection, Row};

use super::write::partition;
use super::{type_code, word};
use crate::Target;

/// Takes out records of at most this many days at a time: the caller commits and asks again.
const DAYS_MAX: usize = 8;

/// What was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many records.
    pub records: u64,
    /// There may be more to take out.
    pub more: bool,
}

/// Takes the records out that are kept no longer on the day `today` (UTC): those recorded before the last
/// so many days of their source and type. Of the oldest days first. A day of which nothing is left to
/// anybody loses its partition.
///
/// Inside the caller's transaction, on the generation that answers. Volumes and active users, which are
/// figures, stay.
pub async fn sweep(
    conn: &mut PgConnection,
    target: &Target<'_>,
    today: NaiveDate,
) -> Result<Swept, sqlx::Error> {
    let mut expired = expired(conn, target, today).await?;
    let more = expired.len() > DAYS_MAX;
    while expired.len() > DAYS_MAX {
        expired.pop_last();
    }
    let days: Vec<NaiveDate> = expired.keys().copied().collect();
    let mut records = 0;
    for (day, what) in expired {
        let (sources, types): (Vec<String>, Vec<i16>) = what.into_iter().unzip();
        for (base, column) in [("log_records", "recorded_day"), ("log_days", "day")] {
            let statement = format!(
                "delete from {} where tenant = $1 and {column} = $2
                 and (source_id, event_type) in (select * from unnest($3::text[], $4::smallint[]))",
                target.table(base)
            );
            let deleted = sqlx::query(&statement)
                .bind(target.tenant)
                .bind(day)
                .bind(&sources)
                .bind(&types)
                .execute(&mut *conn)
                .await?;
            if base == "log_records" {
                records += deleted.rows_affected();
            }
        }
    }
    // Last, since from then on nobody else reads or writes.
    for day in days {
        drop_if_empty(conn, target, day).await?;
    }
    Ok(Swept { records, more })
}

/// What is kept no longer, by the day it was recorded on.
async fn expired(
    conn: &mut PgConnection,
    target: &Target<'_>,
    today: NaiveDate,
) -> Result<BTreeMap<NaiveDate, BTreeSet<(String, i16)>>, sqlx::Error> {
    let statement = format!(
        "select d.day, d.source_id, d.event_type, s.retention
         from {} d join {} s on s.tenant = d.tenant and s.source_id = d.source_id
         where d.tenant = $1 and s.retention <> '{{}}'::jsonb and d.day < $2
         order by d.day",
        target.table("log_days"),
        target.table("log_sources")
    );
    let rows = sqlx::query(&statement)
        .bind(target.tenant)
        .bind(today)
        .fetch_all(conn)
        .await?;
    let mut expired: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for row in &rows {
        let day: NaiveDate = row.try_get("day")?;
        let log_type = word(LogType::ALL, row.try_get("event_type")?)?;
        let Json::<LogRetention>(retention) = row.try_get("retention")?;
        let Some(days) = retention.days_of(log_type) else {
            continue;
        };
        if day + Days::new(days.into()) < today {
            let what = (row.try_get("source_id")?, type_code(log_type));
            expired.entry(day).or_default().insert(what);
        }
    }
    Ok(expired)
}

/// A partition is shared by tenants: it goes when none has anything in it. Somebody may be writing to it,
/// so that is looked at again once nobody can.
async fn drop_if_empty(
    conn: &mut PgConnection,
    target: &Target<'_>,
    day: NaiveDate,
) -> Result<(), sqlx::Error> {
    let (table, partition) = (target.table("log_records"), partition(target, day));
    let is_empty = format!("select not exists (select from {partition})");
    if !sqlx::query_scalar(&is_empty).fetch_one(&mut *conn).await? {
        return Ok(());
    }
    // In the order in which readers and writers take them.
    for table in [&format!("only {table}"), &partition] {
        let lock = format!("lock table {table} in access exclusive mode");
        conn.execute(lock.as_str()).await?;
    }
    if sqlx::query_scalar(&is_empty).fetch_one(&mut *conn).await? {
        conn.execute(format!("drop table {partition}").as_str())
            .await?;
    }
    Ok(())
}
