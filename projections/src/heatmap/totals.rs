//! Adding up the heat map's rows to cells of any resolution and span of time.

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{HeatmapCell, HeatmapMetric, HeatmapQuery, HeatmapSpan, NAME};
use crate::geo::parent_sql;
use crate::hash::FastMap;
use crate::{H3Cell, ReadError, Snapshot};

/// Every cell with fixes, wherever it is, in no order.
pub(super) async fn cells(
    snap: &mut Snapshot,
    query: &HeatmapQuery,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<HeatmapCell>, ReadError> {
    let cell = parent_sql("cell", query.resolution);
    let (start, zone) = match &query.span {
        HeatmapSpan::Whole => ("$2::timestamptz", "UTC"),
        HeatmapSpan::Hour => ("date_trunc('hour', bucket, $6)", "UTC"),
        HeatmapSpan::Day { zone } => ("date_trunc('day', bucket, $6)", zone.as_str()),
    };
    let (conn, tenant, table) = snap.table(NAME, "heatmap")?;
    let statement = format!(
        "select {start}, {cell}, fixes, stopped, speed_n, speed_sum, vehicles, bucket, cell
         from {table}
         where tenant = $1 and bucket >= $2 and bucket < $3 and (bucket, cell) > ($4, $5)
               and $6::text is not null
         order by bucket, cell limit {ROWS_MAX}"
    );
    let mut totals: FastMap<(i64, i64), Total> = FastMap::default();
    let mut after = (from, -1_i64);
    loop {
        let rows = sqlx::query(&statement)
            .bind(tenant.as_ref())
            .bind(from)
            .bind(to)
            .bind(after.0)
            .bind(after.1)
            .bind(zone)
            .fetch_all(&mut *conn)
            .await?;
        for row in &rows {
            let start: DateTime<Utc> = row.try_get(0)?;
            let key = (start.timestamp_micros(), row.try_get(1)?);
            totals.entry(key).or_default().add(row)?;
        }
        match rows.last() {
            Some(last) if rows.len() == ROWS_MAX => after = (last.try_get(7)?, last.try_get(8)?),
            _ => break,
        }
    }
    let cells = totals
        .into_iter()
        .map(|((start, cell), total)| total.cell(query, start, cell));
    Ok(cells.collect::<Result<_, _>>()?)
}

/// Rows are fetched in pages of this many, so that a long span does not fill the memory.
const ROWS_MAX: usize = 20_000;

/// What the rows of one cell and span of time add up to.
#[derive(Default)]
struct Total {
    fixes: i64,
    stopped: i64,
    speed_n: i64,
    speed_sum_um: i64,
    vehicles: VehicleUnion,
}

impl Total {
    fn add(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        self.fixes += i64::from(row.try_get::<i32, _>(2)?);
        self.stopped += i64::from(row.try_get::<i32, _>(3)?);
        self.speed_n += i64::from(row.try_get::<i32, _>(4)?);
        self.speed_sum_um += row.try_get::<i64, _>(5)?;
        self.vehicles.add(&row.try_get::<Vec<i64>, _>(6)?);
        Ok(())
    }

    fn cell(
        self,
        query: &HeatmapQuery,
        start_us: i64,
        cell: i64,
    ) -> Result<HeatmapCell, sqlx::Error> {
        let cell = H3Cell::from_stored(cell).map_err(|e| sqlx::Error::Decode(e.into()))?;
        let start = match query.span {
            HeatmapSpan::Whole => None,
            HeatmapSpan::Hour | HeatmapSpan::Day { .. } => {
                DateTime::from_timestamp_micros(start_us)
            }
        };
        let vehicles = self.vehicles.count();
        let density_per_km2 = vehicles as f64 / cell.area_km2();
        let speed_sum_mps = self.speed_sum_um as f64 / 1e6;
        let mean_speed_mps = (self.speed_n > 0).then(|| speed_sum_mps / self.speed_n as f64);
        let value = match query.metric {
            HeatmapMetric::Fixes => Some(self.fixes as f64),
            HeatmapMetric::Vehicles => Some(vehicles as f64),
            HeatmapMetric::Density => Some(density_per_km2),
            HeatmapMetric::MeanSpeed => mean_speed_mps,
        };
        let (fixes, stopped) = (self.fixes, self.stopped);
        Ok(HeatmapCell {
            cell,
            start,
            fixes,
            vehicles,
            density_per_km2,
            mean_speed_mps,
            stopped,
            value,
        })
    }
}

/// Vehicles seen, sorted and rid of repetitions whenever it has doubled.
#[derive(Default)]
struct VehicleUnion {
    seen: Vec<i64>,
    settled: usize,
}

impl VehicleUnion {
    fn add(&mut self, vehicles: &[i64]) {
        self.seen.extend_from_slice(vehicles);
        if self.seen.len() > 2 * self.settled + 32 {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.seen.sort_unstable();
        self.seen.dedup();
        self.settled = self.seen.len();
    }

    fn count(mut self) -> i64 {
        self.settle();
        count(self.settled)
    }
}

/// A number of things in memory.
pub(super) fn count(n: usize) -> i64 {
    i64::try_from(n).expect("a count of rows in memory")
}
