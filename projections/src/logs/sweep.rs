//! Retention: what its source does not keep any longer is taken out of the tables, never out of the log.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use domain::log_source::{LogRetention, LogType};
use sqlx::types::Json;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use super::{type_code, word};
use crate::{Swept, Target};

/// Takes out records of at most this many days at a time: the caller commits and asks again.
const DAYS_MAX: usize = 8;

/// Takes the records out that are kept no longer on the day `today` (UTC): those recorded before the last
/// so many days of their source and type. Of the oldest days first, inside the caller's transaction; a day of
/// which nothing is left is for [`drop_empty_days`]. Volumes and active users, which are figures, stay.
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
    let mut records = 0;
    for (day, what) in expired {
        let (sources, types): (Vec<String>, Vec<i16>) = what.into_iter().unzip();
        // What an index knows of records; the other table has a key.
        let known = " and hashtext(tenant) = hashtext($1) and event_type = any($4)";
        for (base, column, known) in [
            ("log_records", "recorded_day", known),
            ("log_days", "day", ""),
        ] {
            let statement = format!(
                "delete from {} where tenant = $1 and {column} = $2{known}
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

/// Drops the partitions of days of which nothing is left to anybody, whoever took out the last of it. Each in
/// a transaction of its own, apart from what took records out: that is done whether or not a day that
/// somebody reads or writes for longer than `wait_ms` has to be left for another time.
pub async fn drop_empty_days(
    conn: &mut PgConnection,
    target: &Target<'_>,
    wait_ms: u32,
) -> Result<(), sqlx::Error> {
    for partition in days_of_nobody(conn, target).await? {
        match drop_if_empty(conn, target, &partition, wait_ms).await {
            Err(error) if is_in_use(&error) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// The partitions of days of which no tenant is known to have anything.
async fn days_of_nobody(
    conn: &mut PgConnection,
    target: &Target<'_>,
) -> Result<Vec<String>, sqlx::Error> {
    let statement = format!(
        "select 'read.' || c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = to_regclass($1)
           and not exists (select from {} d where d.day = to_date(right(c.relname, 8), 'YYYYMMDD'))
         order by 1",
        target.table("log_days")
    );
    sqlx::query_scalar(&statement)
        .bind(target.table("log_records"))
        .fetch_all(conn)
        .await
}

/// Somebody may be writing to the day, or drop it too, so it is looked at once nobody else can.
async fn drop_if_empty(
    conn: &mut PgConnection,
    target: &Target<'_>,
    partition: &str,
    wait_ms: u32,
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    // The table first, then the partition: in the order in which readers and writers take them.
    let lock = format!(
        "set local lock_timeout = {wait_ms}; lock table only {} in access exclusive mode",
        target.table("log_records")
    );
    tx.execute(lock.as_str()).await?;
    let is_there = sqlx::query_scalar("select to_regclass($1) is not null").bind(partition);
    if !is_there.fetch_one(&mut *tx).await? {
        return Ok(());
    }
    let lock = format!("lock table {partition} in access exclusive mode");
    tx.execute(lock.as_str()).await?;
    let is_empty = format!("select not exists (select from {partition})");
    if sqlx::query_scalar(&is_empty).fetch_one(&mut *tx).await? {
        tx.execute(format!("drop table {partition}").as_str())
            .await?;
    }
    tx.commit().await
}

/// Did somebody else hold the day for too long, or take it in another order?
fn is_in_use(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}
