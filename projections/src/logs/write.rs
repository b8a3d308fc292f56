//! How a delta gets into the tables of log records.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{Days, NaiveDate};
use sqlx::{Executor, PgConnection};

use super::ids::Id;
use super::tables::COLUMNS;
use super::{Day, DayKey, Delta, VolumeKey, sources, type_code};
use crate::Target;

/// Writes the tables in one order, each in key order, so that two writers cannot wait for each other.
pub(super) async fn delta(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
) -> Result<(), sqlx::Error> {
    let recorded: BTreeSet<NaiveDate> = delta.days.keys().map(|key| key.day).collect();
    make_partitions(conn, target, recorded).await?;
    let table = target.table("log_records");
    delta.records.send(conn, &table, COLUMNS).await?;
    days(conn, target, delta.days).await?;
    volume(conn, target, delta.volume).await?;
    users(conn, target, delta.users).await?;
    sources::write(conn, target, delta.sources).await
}

/// The partition of a day.
fn partition(target: &Target<'_>, day: NaiveDate) -> String {
    format!("{}_{}", target.table("log_records"), day.format("d%Y%m%d"))
}

/// Makes the partitions that are missing. A partition is made apart and then attached, which lets others
/// read and write the table meanwhile; one writer at a time makes any.
async fn make_partitions(
    conn: &mut PgConnection,
    target: &Target<'_>,
    mut days: BTreeSet<NaiveDate>,
) -> Result<(), sqlx::Error> {
    if days.is_empty() {
        return Ok(());
    }
    let table = target.table("log_records");
    // Before looking: a partition that is there now is not dropped before this transaction ends.
    let hold = format!("lock table only {table} in row exclusive mode");
    conn.execute(hold.as_str()).await?;
    retain_missing(conn, target, &mut days).await?;
    if days.is_empty() {
        return Ok(());
    }
    sqlx::query("select pg_advisory_xact_lock(hashtext($1))")
        .bind(&table)
        .execute(&mut *conn)
        .await?;
    retain_missing(conn, target, &mut days).await?;
    for day in days {
        let partition = partition(target, day);
        let after = day + Days::new(1);
        let make = format!("create table {partition} (like {table} including compression)");
        conn.execute(make.as_str()).await?;
        // Days of one year and the next are all there is: no day lies outside of the calendar.
        let attach = format!(
            "alter table {table} attach partition {partition} for values from ('{day}') to ('{after}')"
        );
        conn.execute(attach.as_str()).await?;
    }
    Ok(())
}

/// Reads the catalogue as a table: looked up by name, what another has just made may not be known yet.
async fn retain_missing(
    conn: &mut PgConnection,
    target: &Target<'_>,
    days: &mut BTreeSet<NaiveDate>,
) -> Result<(), sqlx::Error> {
    let names: Vec<String> = days.iter().map(|day| partition(target, *day)).collect();
    let there: Vec<bool> = sqlx::query_scalar(
        "select exists (select from pg_class where relnamespace = 'read'::regnamespace
                                               and relname = split_part(n.name, '.', 2)::name)
         from unnest($1::text[]) with ordinality n (name, place) order by place",
    )
    .bind(names)
    .fetch_all(conn)
    .await?;
    let mut there = there.into_iter();
    days.retain(|_| !there.next().unwrap_or(false));
    Ok(())
}

async fn days(
    conn: &mut PgConnection,
    target: &Target<'_>,
    days: BTreeMap<DayKey, Day>,
) -> Result<(), sqlx::Error> {
    if days.is_empty() {
        return Ok(());
    }
    let table = target.table("log_days");
    let statement = format!(
        "insert into {table} as d (tenant, day, source_id, event_type, records, first_at, last_at)
         select $1, n.* from unnest($2::date[], $3::text[], $4::smallint[], $5::bigint[],
                                    $6::timestamptz[], $7::timestamptz[]) n
         on conflict (tenant, day, source_id, event_type) do update
         set records = d.records + excluded.records,
             first_at = least(d.first_at, excluded.first_at),
             last_at = greatest(d.last_at, excluded.last_at)"
    );
    let keys = || days.keys();
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(keys().map(|k| k.day).collect::<Vec<_>>())
        .bind(keys().map(|k| k.source_id.as_str()).collect::<Vec<_>>())
        .bind(keys().map(|k| type_code(k.log_type)).collect::<Vec<_>>())
        .bind(days.values().map(|d| d.records).collect::<Vec<_>>())
        .bind(days.values().map(|d| d.first).collect::<Vec<_>>())
        .bind(days.values().map(|d| d.last).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

async fn volume(
    conn: &mut PgConnection,
    target: &Target<'_>,
    volume: BTreeMap<VolumeKey, i64>,
) -> Result<(), sqlx::Error> {
    if volume.is_empty() {
        return Ok(());
    }
    let table = target.table("log_volume");
    let statement = format!(
        "insert into {table} as v
             (tenant, bucket, source_id, event_type, event_name, app_version, records)
         select $1, n.* from unnest($2::bigint[], $3::text[], $4::smallint[], $5::text[],
                                    $6::text[], $7::bigint[]) n
         on conflict (tenant, bucket, source_id, event_type, event_name, app_version) do update
         set records = v.records + excluded.records"
    );
    let keys = || volume.keys();
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(keys().map(|k| k.bucket).collect::<Vec<_>>())
        .bind(keys().map(|k| k.source_id.as_str()).collect::<Vec<_>>())
        .bind(keys().map(|k| type_code(k.log_type)).collect::<Vec<_>>())
        .bind(keys().map(|k| k.name.as_str()).collect::<Vec<_>>())
        .bind(keys().map(|k| k.version.as_str()).collect::<Vec<_>>())
        .bind(volume.values().copied().collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

async fn users(
    conn: &mut PgConnection,
    target: &Target<'_>,
    users: HashSet<(NaiveDate, Id<String>)>,
) -> Result<(), sqlx::Error> {
    if users.is_empty() {
        return Ok(());
    }
    let table = target.table("log_user_days");
    let statement = format!(
        "insert into {table} (tenant, day, user_id)
         select $1, n.* from unnest($2::date[], $3::bytea[]) n
         on conflict (tenant, day, user_id) do nothing"
    );
    let users = users.into_iter().map(|(day, user)| (day, user.to_bytes()));
    let mut users: Vec<(NaiveDate, Vec<u8>)> = users.collect();
    users.sort_unstable();
    let (days, users): (Vec<NaiveDate>, Vec<Vec<u8>>) = users.into_iter().unzip();
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(days)
        .bind(users)
        .execute(conn)
        .await?;
    Ok(())
}
