//! The table of track buckets, and how a delta gets into it.

use std::hash::BuildHasher;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::points::{Path, Point, Points};
use super::{Delta, Gain};
use crate::copy::CopyRows;
use crate::filling::copy_new;
use crate::grain::{bucket_of, bucket_start};
use crate::hash::{FastMap, vehicle_hash};
use crate::{Filling, Target};

/// Statements that make the table.
pub(super) fn ddl(target: &Target<'_>) -> Vec<String> {
    let (table, generation) = (target.table("track_buckets"), target.generation);
    vec![
        format!(
            r#"create table if not exists {table} (
                tenant     text collate "C" not null, -- whose log
                vehicle_id text collate "C" not null, -- which vehicle
                bucket     timestamptz not null, -- start of five minutes of fix time
                fixes      integer not null, -- number of fixes
                speed_n    integer not null, -- of these, how many reported a speed
                speed_sum  bigint not null,  -- sum of the reported speeds, micrometres a second
                speed_max  double precision, -- greatest reported speed, m/s
                first_at   timestamptz not null, -- first point: when,
                first_lat  double precision not null, -- where, degrees
                first_lon  double precision not null, -- where, degrees
                last_at    timestamptz not null, -- last point: when,
                last_lat   double precision not null, -- where, degrees
                last_lon   double precision not null, -- where, degrees
                distance_m double precision not null, -- along the points
                moving_s   double precision not null, -- time of the steps that move
                idle_s     double precision not null, -- time of the steps that do not
                loose      boolean not null default false, -- points were added, path not yet worked out
                points     bytea compression lz4 not null, -- (offset us u32, lat f64, lon f64), by time
                primary key (tenant, vehicle_id, bucket)) with (fillfactor = 80)"#
        ),
        format!(
            "create index if not exists track_buckets_g{generation}_bucket
             on {table} (tenant, bucket, vehicle_id)"
        ),
    ]
}

/// What is to be written of one vehicle and bucket.
struct Entry {
    vehicle: String,
    bucket: i64,
    gain: Gain,
    path: Path,
}

/// Counts add up; new points are appended to those that are there, and the row is marked.
const GAIN_SQL: &str = "
    fixes = t.fixes + excluded.fixes,
    speed_n = t.speed_n + excluded.speed_n,
    speed_sum = t.speed_sum + excluded.speed_sum,
    speed_max = greatest(t.speed_max, excluded.speed_max),
    points = t.points || excluded.points,
    loose = true";
/// Points and path are replaced, the mark is taken off.
const SETTLE_SQL: &str = "
    first_at = excluded.first_at, first_lat = excluded.first_lat, first_lon = excluded.first_lon,
    last_at = excluded.last_at, last_lat = excluded.last_lat, last_lon = excluded.last_lon,
    distance_m = excluded.distance_m, moving_s = excluded.moving_s, idle_s = excluded.idle_s,
    points = excluded.points,
    loose = false";

/// Adds the gains. A bucket that had points already gets the new ones appended, comes back with all
/// of them, and its path is worked out again; its row stays locked in between.
pub(super) async fn write(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
) -> Result<(), sqlx::Error> {
    add(conn, target, &in_key_order(delta)).await
}

/// The same, sooner for buckets not written before.
pub(super) async fn fill(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
    filling: &Filling,
) -> Result<(), sqlx::Error> {
    let mut known = in_key_order(delta);
    let hashes = FastMap::<(i64, i64), ()>::default();
    let new = filling.take_new(&mut known, |entry| {
        let key = (vehicle_hash(&entry.vehicle), entry.bucket);
        hashes.hasher().hash_one(key)
    });
    let rows = copied(target.tenant, &new);
    if !copy_new(conn, rows, &target.table("track_buckets"), COLUMNS).await? {
        add(conn, target, &new).await?;
    }
    add(conn, target, &known).await
}

async fn add(
    conn: &mut PgConnection,
    target: &Target<'_>,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    let loose = upsert(conn, target, entries, GAIN_SQL).await?;
    upsert(conn, target, &loose, SETTLE_SQL).await?;
    Ok(())
}

/// In key order, so that two writers cannot wait for each other.
fn in_key_order(delta: Delta) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(delta.buckets);
    for (vehicle, buckets) in delta.vehicles {
        for (bucket, mut gain) in buckets {
            let path = gain.points.settle().expect("a gain has at least one point");
            entries.push(Entry {
                vehicle: vehicle.clone(),
                bucket,
                gain,
                path,
            });
        }
    }
    entries.sort_unstable_by(|a, b| (&a.vehicle, a.bucket).cmp(&(&b.vehicle, b.bucket)));
    entries
}

/// The columns of a new row.
const COLUMNS: &str = "tenant, vehicle_id, bucket, fixes, speed_n, speed_sum, speed_max, first_at, \
     first_lat, first_lon, last_at, last_lat, last_lon, distance_m, moving_s, idle_s, points";

fn copied(tenant: &str, entries: &[Entry]) -> CopyRows {
    let mut rows = CopyRows::default();
    for entry in entries {
        let (gain, path) = (&entry.gain, &entry.path);
        rows.row(17);
        rows.text(tenant);
        rows.text(&entry.vehicle);
        rows.time(bucket_start(entry.bucket));
        rows.integer(gain.fixes);
        rows.integer(gain.speed_n);
        rows.bigint(gain.speed_sum_um);
        rows.double_or_null(gain.speed_max_mps);
        for point in [path.first, path.last] {
            rows.time(entry.at(point));
            rows.double(point.lat);
            rows.double(point.lon);
        }
        rows.double(path.distance_m);
        rows.double(path.moving_s);
        rows.double(path.idle_s);
        rows.bytes(&gain.points.to_bytes());
    }
    rows
}

/// Writes the entries, `on_conflict` where there is a row already, and gives back those rows whose
/// path is to be worked out, with the path.
async fn upsert(
    conn: &mut PgConnection,
    target: &Target<'_>,
    entries: &[Entry],
    on_conflict: &str,
) -> Result<Vec<Entry>, sqlx::Error> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let table = target.table("track_buckets");
    let statement = format!(
        "with written as (
             insert into {table} as t
                 ({COLUMNS})
             select $1, n.* from unnest(
                 $2::text[], $3::timestamptz[], $4::int[], $5::int[], $6::bigint[], $7::float8[],
                 $8::timestamptz[], $9::float8[], $10::float8[], $11::timestamptz[],
                 $12::float8[], $13::float8[], $14::float8[], $15::float8[], $16::float8[],
                 $17::bytea[]) n
             on conflict (tenant, vehicle_id, bucket) do update set {on_conflict}
             returning vehicle_id, bucket, points, loose)
         select vehicle_id, bucket, points from written where loose"
    );
    let column = Column(entries);
    let rows = sqlx::query(&statement)
        .bind(target.tenant)
        .bind(
            entries
                .iter()
                .map(|e| e.vehicle.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(column.of(|e| bucket_start(e.bucket)))
        .bind(column.of(|e| e.gain.fixes))
        .bind(column.of(|e| e.gain.speed_n))
        .bind(column.of(|e| e.gain.speed_sum_um))
        .bind(column.of(|e| e.gain.speed_max_mps))
        .bind(column.of(|e| e.at(e.path.first)))
        .bind(column.of(|e| e.path.first.lat))
        .bind(column.of(|e| e.path.first.lon))
        .bind(column.of(|e| e.at(e.path.last)))
        .bind(column.of(|e| e.path.last.lat))
        .bind(column.of(|e| e.path.last.lon))
        .bind(column.of(|e| e.path.distance_m))
        .bind(column.of(|e| e.path.moving_s))
        .bind(column.of(|e| e.path.idle_s))
        .bind(column.of(|e| e.gain.points.to_bytes()))
        .fetch_all(conn)
        .await?;
    let mut loose = rows.iter().map(read_loose).collect::<Result<Vec<_>, _>>()?;
    loose.sort_unstable_by(|a, b| (&a.vehicle, a.bucket).cmp(&(&b.vehicle, b.bucket)));
    Ok(loose)
}

fn read_loose(row: &PgRow) -> Result<Entry, sqlx::Error> {
    let bytes: &[u8] = row.try_get("points")?;
    let lies = || sqlx::Error::Decode("track_buckets.points does not hold whole points".into());
    let mut points = Points::from_bytes(bytes).ok_or_else(lies)?;
    let path = points.settle().ok_or_else(lies)?;
    let bucket: DateTime<Utc> = row.try_get("bucket")?;
    Ok(Entry {
        vehicle: row.try_get("vehicle_id")?,
        bucket: bucket_of(bucket),
        gain: Gain {
            points,
            ..Gain::default()
        },
        path,
    })
}

impl Entry {
    /// When a point of its bucket was.
    fn at(&self, point: Point) -> DateTime<Utc> {
        bucket_start(self.bucket) + TimeDelta::microseconds(point.offset_us.into())
    }
}

/// Entries turned into one array for each column.
struct Column<'a>(&'a [Entry]);

impl Column<'_> {
    fn of<T>(&self, value: impl Fn(&Entry) -> T) -> Vec<T> {
        self.0.iter().map(value).collect()
    }
}
