//! Reading the heat map: cells at a resolution, whole or by hour or day, and the fixes behind a cell.

use chrono::{DateTime, Utc};
use domain::Position;

use crate::evidence::{EvidenceCursor, EvidencePage};
use crate::{BoundingBox, H3Cell, ReadError, Snapshot};

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
pub async fn heatmap(_snap: &mut Snapshot, _query: &HeatmapQuery) -> Result<Heatmap, ReadError> {
    todo!()
}

/// The fixes behind a cell's figures over `[from, to)`, cut to the base grain like the map itself;
/// by fix time, then vehicle, position and index. There are as many as the cell's `fixes`.
pub async fn evidence(
    _snap: &mut Snapshot,
    _cell: H3Cell,
    _from: DateTime<Utc>,
    _to: DateTime<Utc>,
    _after: Option<&EvidenceCursor>,
    _first: u32,
) -> Result<EvidencePage, ReadError> {
    todo!()
}
