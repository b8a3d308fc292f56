//! Reading the heat map: cells at a resolution, whole or by hour or day, and the fixes behind a cell.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row};

use super::NAME;
use crate::evidence::{
    EvidenceCursor, EvidencePage, evidence_as_of, push_page, qualified, read_page,
};
use crate::geo::{BaseCells, parent_sql};
use crate::grain::whole_buckets;
use crate::trends::unknown_zone;
use crate::{BASE_RESOLUTION, BoundingBox, H3Cell, ReadError, Snapshot, positions};

/// What a heat map is asked.
///
/// Times are cut to the base grain outwards: `from` down and `to` up to a multiple of five minutes
/// ([`Heatmap::from`] and [`Heatmap::to`] tell the span that was counted).
#[derive(Clone, Debug, PartialEq)]
pub struct HeatmapQuery {
    /// Fix time, included.
    pub from: DateTime<Utc>,
    /// Fix time, excluded.
    pub to: DateTime<Utc>,
    /// H3 resolution 0..=9. Below 9 a cell is the union of the base cells whose parent it is, which
    /// at its rim differs slightly from encoding the places at that resolution directly.
    pub resolution: u8,
    /// Only cells whose centre is in it.
    pub area: Option<BoundingBox>,
    /// One map of the whole span, or one for each hour or day.
    pub span: HeatmapSpan,
    /// What cells are ranked by: the largest come first.
    pub metric: HeatmapMetric,
    /// Cells with fewer distinct vehicles are counted, not shown.
    pub min_vehicles: u32,
    /// At most this many cells are given.
    pub limit: u32,
}

/// How a heat map's time is cut.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum HeatmapSpan {
    /// Not at all.
    #[default]
    Whole,
    /// By UTC hour.
    Hour,
    /// By calendar day in a zone of the IANA database.
    Day {
        /// Such as `America/Chicago`.
        zone: String,
    },
}

/// What a cell's value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeatmapMetric {
    /// Number of fixes.
    #[default]
    Fixes,
    /// Number of distinct vehicles.
    Vehicles,
    /// Distinct vehicles per square kilometre of the cell's exact area.
    Density,
    /// Mean reported speed, m/s.
    MeanSpeed,
}

/// A heat map.
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// The span counted, from (included).
    pub from: DateTime<Utc>,
    /// The span counted, to (excluded).
    pub to: DateTime<Utc>,
    /// Largest value first; without a value last; then by time and cell.
    pub cells: Vec<HeatmapCell>,
    /// How many cells had fixes but fewer than `min_vehicles` vehicles.
    pub suppressed: i64,
    /// How many more cells there are than were given.
    pub more: i64,
    /// The log position the map is as of.
    pub as_of: Position,
}

/// One cell in one span of time.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatmapCell {
    /// Which cell.
    pub cell: H3Cell,
    /// Start of its hour or day; `None` for the whole span.
    pub start: Option<DateTime<Utc>>,
    /// Number of fixes.
    pub fixes: i64,
    /// Number of distinct vehicles, a union over time and child cells, not a sum.
    pub vehicles: i64,
    /// Distinct vehicles per square kilometre of the cell's exact area.
    pub density_per_km2: f64,
    /// Mean of the reported speeds, m/s; `None` if no fix reported one.
    pub mean_speed_mps: Option<f64>,
    /// Number of fixes that reported a speed below [`crate::STOPPED_BELOW_MPS`].
    pub stopped: i64,
    /// The asked metric.
    pub value: Option<f64>,
}

/// The heat map of a span.
pub async fn heatmap(snap: &mut Snapshot, query: &HeatmapQuery) -> Result<Heatmap, ReadError> {
    if query.resolution > BASE_RESOLUTION {
        return Err(ReadError::ResolutionTooFine {
            asked: query.resolution,
            finest: BASE_RESOLUTION,
        });
    }
    let (from, to) = whole_buckets(query.from, query.to)?;
    let as_of = snap.position(&[NAME])?;
    let mut cells = cells(snap, query, from, to).await?;
    if let Some(area) = query.area {
        cells.retain(|cell| {
            let (lat, lon) = cell.cell.centre();
            area.contains(lat, lon)
        });
    }
    let all = cells.len();
    cells.retain(|cell| cell.vehicles >= i64::from(query.min_vehicles));
    let suppressed = all - cells.len();
    cells.sort_unstable_by(|a, b| {
        // Largest first; no value is below every value.
        let by_value = match (a.value, b.value) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        by_value
            .then(a.start.cmp(&b.start))
            .then(a.cell.cmp(&b.cell))
    });
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let more = cells.len().saturating_sub(limit);
    cells.truncate(limit);
    Ok(Heatmap {
        from,
        to,
        cells,
        suppressed: count(suppressed),
        more: count(more),
        as_of,
    })
}

/// Every cell with fixes, wherever it is, in no order.
async fn cells(
    snap: &mut Snapshot,
    query: &HeatmapQuery,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<HeatmapCell>, ReadError> {
    let cell = parent_sql("cell", query.resolution);
    let (start, zone) = match &query.span {
        HeatmapSpan::Whole => ("$2", "UTC"),
        HeatmapSpan::Hour => ("date_trunc('hour', bucket, $4)", "UTC"),
        HeatmapSpan::Day { zone } => ("date_trunc('day', bucket, $4)", zone.as_str()),
    };
    let (conn, tenant, table) = snap.table(NAME, "heatmap")?;
    let statement = format!(
        "with part as materialized (
             select {start} as start, {cell} as cell, fixes, stopped, speed_n, speed_sum, vehicles
             from {table}
             where tenant = $1 and bucket >= $2 and bucket < $3 and $4::text is not null),
         counted as (
             select start, cell, sum(fixes)::bigint as fixes, sum(stopped)::bigint as stopped,
                    (sum(speed_sum) / 1e6 / nullif(sum(speed_n), 0))::float8 as mean_speed
             from part group by start, cell),
         seen as (
             select start, cell, count(*) as vehicles
             from (select distinct start, cell, v from part, unnest(vehicles) v) one_each
             group by start, cell)
         select start, cell, fixes, stopped, mean_speed, vehicles
         from counted join seen using (start, cell)"
    );
    let rows = sqlx::query(&statement)
        .bind(tenant.as_ref())
        .bind(from)
        .bind(to)
        .bind(zone)
        .fetch_all(conn)
        .await
        .map_err(unknown_zone)?;
    Ok(rows
        .iter()
        .map(|row| read_cell(row, query))
        .collect::<Result<_, _>>()?)
}

fn read_cell(row: &PgRow, query: &HeatmapQuery) -> Result<HeatmapCell, sqlx::Error> {
    let cell =
        H3Cell::from_stored(row.try_get("cell")?).map_err(|e| sqlx::Error::Decode(e.into()))?;
    let start = match query.span {
        HeatmapSpan::Whole => None,
        HeatmapSpan::Hour | HeatmapSpan::Day { .. } => Some(row.try_get("start")?),
    };
    let (fixes, vehicles): (i64, i64) = (row.try_get("fixes")?, row.try_get("vehicles")?);
    let density_per_km2 = vehicles as f64 / cell.area_km2();
    let mean_speed_mps = row.try_get("mean_speed")?;
    let value = match query.metric {
        HeatmapMetric::Fixes => Some(fixes as f64),
        HeatmapMetric::Vehicles => Some(vehicles as f64),
        HeatmapMetric::Density => Some(density_per_km2),
        HeatmapMetric::MeanSpeed => mean_speed_mps,
    };
    let stopped = row.try_get("stopped")?;
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

fn count(n: usize) -> i64 {
    i64::try_from(n).expect("a count of rows in memory")
}

/// The fixes behind a cell's figures over `[from, to)`, cut to the base grain like the map itself;
/// by fix time, then vehicle, position and index. There are as many as the cell's `fixes`.
pub async fn evidence(
    snap: &mut Snapshot,
    cell: H3Cell,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    after: Option<&EvidenceCursor>,
    first: u32,
) -> Result<EvidencePage, ReadError> {
    let finer = ReadError::ResolutionTooFine {
        asked: cell.resolution(),
        finest: BASE_RESOLUTION,
    };
    let base = cell.base_cells().ok_or(finer)?;
    let (from, to) = whole_buckets(from, to)?;
    let as_of = evidence_as_of(snap, NAME)?;
    let history = snap.name(positions::NAME, "positions")?;
    let columns = qualified("p");
    let mut sql = QueryBuilder::new(format!(
        "select {columns} from {history} p where p.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    match base {
        // One look into the index for each base cell and the span; few enough to list.
        BaseCells::Few(cells) => {
            sql.push(" and p.cell = any(").push_bind(cells).push(")");
        }
        BaseCells::Range(cells) => {
            sql.push(" and p.cell between ").push_bind(*cells.start());
            sql.push(" and ").push_bind(*cells.end());
        }
    }
    sql.push(" and p.fix_time >= ")
        .push_bind(from)
        .push(" and p.fix_time < ")
        .push_bind(to);
    push_page(&mut sql, &as_of, after, first);
    read_page(snap, sql, as_of, first).await
}
