//! The table of cells, and how a delta gets into it.

use std::hash::BuildHasher;

use sqlx::PgConnection;

use super::{Delta, Gain};
use crate::copy::CopyRows;
use crate::filling::copy_new;
use crate::grain::bucket_start;
use crate::hash::FastMap;
use crate::{Filling, GRAIN_S, Target};

/// What one (bucket, cell) gained.
type Row = ((i64, i64), Gain);

/// Statements that make the table.
pub(super) fn ddl(target: &Target<'_>) -> Vec<String> {
    let table = target.table("heatmap");
    vec![format!(
        r#"create table if not exists {table} (
            tenant    text collate "C" not null, -- whose
            bucket    timestamptz not null, -- start of five minutes of fix time
            cell      bigint not null,  -- H3 index at resolution 9
            fixes     integer not null, -- number of fixes
            stopped   integer not null, -- of these, how many reported a speed below 0.5 m/s
            speed_n   integer not null, -- of these, how many reported a speed
            speed_sum bigint not null,  -- sum of the reported speeds, micrometres a second
            vehicles  bigint[] not null, -- hashes of the distinct vehicles, ascending
            primary key (tenant, bucket, cell)) with (fillfactor = 90)"#
    )]
}

/// Adds the gains to what is there.
pub(super) async fn write(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
) -> Result<(), sqlx::Error> {
    upsert(conn, target, &in_key_order(delta)).await
}

/// The same, sooner for cells not written before.
pub(super) async fn fill(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
    filling: &Filling,
) -> Result<(), sqlx::Error> {
    let mut known = in_key_order(delta);
    let hashes = FastMap::<(i64, i64), ()>::default();
    let new = filling.take_new(&mut known, |(key, _)| hashes.hasher().hash_one(key));
    let rows = copied(target.tenant, &new);
    let table = target.table("heatmap");
    let columns = "tenant, bucket, cell, fixes, stopped, speed_n, speed_sum, vehicles";
    if !copy_new(conn, rows, &table, columns).await? {
        upsert(conn, target, &new).await?;
    }
    upsert(conn, target, &known).await
}

/// In key order, so that two writers cannot wait for each other.
fn in_key_order(delta: Delta) -> Vec<Row> {
    let mut gains: Vec<Row> = delta.0.into_iter().collect();
    gains.sort_unstable_by_key(|(key, _)| *key);
    gains
}

fn copied(tenant: &str, gains: &[Row]) -> CopyRows {
    let mut rows = CopyRows::default();
    for ((bucket, cell), gain) in gains {
        rows.row(8);
        rows.text(tenant);
        rows.time(bucket_start(*bucket));
        rows.bigint(*cell);
        rows.integer(gain.fixes);
        rows.integer(gain.stopped);
        rows.integer(gain.speed_n);
        rows.bigint(gain.speed_sum_um);
        rows.bigints(gain.vehicles.as_slice());
    }
    rows
}

async fn upsert(
    conn: &mut PgConnection,
    target: &Target<'_>,
    gains: &[Row],
) -> Result<(), sqlx::Error> {
    if gains.is_empty() {
        return Ok(());
    }
    let table = target.table("heatmap");
    let statement = format!(
        "insert into {table} as h
             (tenant, bucket, cell, fixes, stopped, speed_n, speed_sum, vehicles)
         select $1, to_timestamp(n.bucket * {GRAIN_S}), n.cell, n.fixes, n.stopped, n.speed_n,
                n.speed_sum, n.vehicles::bigint[]
         from unnest($2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::int[], $7::bigint[],
                     $8::text[])
              as n (bucket, cell, fixes, stopped, speed_n, speed_sum, vehicles)
         on conflict (tenant, bucket, cell) do update set
             fixes = h.fixes + excluded.fixes,
             stopped = h.stopped + excluded.stopped,
             speed_n = h.speed_n + excluded.speed_n,
             speed_sum = h.speed_sum + excluded.speed_sum,
             vehicles = case when h.vehicles @> excluded.vehicles then h.vehicles else
                 array(select distinct v from unnest(h.vehicles || excluded.vehicles) v order by v)
             end"
    );
    let column = Column(gains);
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(column.of(|(bucket, _), _| *bucket))
        .bind(column.of(|(_, cell), _| *cell))
        .bind(column.of(|_, g| g.fixes))
        .bind(column.of(|_, g| g.stopped))
        .bind(column.of(|_, g| g.speed_n))
        .bind(column.of(|_, g| g.speed_sum_um))
        .bind(column.of(|_, g| array_literal(g.vehicles.as_slice())))
        .execute(conn)
        .await?;
    Ok(())
}

fn array_literal(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}

/// Gains turned into one array for each column.
struct Column<'a>(&'a [Row]);

impl Column<'_> {
    fn of<T>(&self, value: impl Fn(&(i64, i64), &Gain) -> T) -> Vec<T> {
        self.0.iter().map(|(key, gain)| value(key, gain)).collect()
    }
}
