//! Reading the heat map: cells at a resolution, whole or by hour or day.

use chrono::{DateTime, Utc};
use domain::Position;

use super::NAME;
use super::totals::{cells, count};
use crate::grain::whole_buckets;
use crate::zone::check_zone;
use crate::{BASE_RESOLUTION, BoundingBox, H3Cell, ReadError, Snapshot};

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
    if let HeatmapSpan::Day { zone } = &query.span {
        check_zone(snap, zone).await?;
    }
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
