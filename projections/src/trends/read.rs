//! Reading a trend: a bucketed series, each point beside what it is compared with.

use chrono::{DateTime, Utc};
use domain::Position;

use crate::evidence::{EvidenceCursor, EvidencePage};
use crate::{ReadError, Snapshot};

/// Whose fixes count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every vehicle's.
    #[default]
    All,
    /// One vehicle's.
    Vehicle(String),
    /// Those of the vehicles that are members of a fleet now.
    Fleet(String),
}

/// What is measured in a bucket. A bucket without data has no value, which is not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrendMetric {
    /// Number of fixes.
    #[default]
    Fixes,
    /// Number of distinct vehicles with a fix.
    Vehicles,
    /// Mean reported speed, m/s.
    MeanSpeed,
    /// Greatest reported speed, m/s.
    MaxSpeed,
    /// Metres along the vehicles' fixes, each step in the bucket of its later fix; a step longer than
    /// [`crate::STOP_GAP_S`] is unobserved and adds nothing.
    Distance,
}

/// How time is cut. Hours, days and weeks (from Monday) are those of the query's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrendBucket {
    /// Five minutes.
    FiveMinutes,
    /// A quarter of an hour.
    QuarterHour,
    /// An hour.
    Hour,
    /// A calendar day.
    Day,
    /// A calendar week, from Monday.
    Week,
}

/// What a point is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrendCompare {
    /// The point before it in the series; the first has none.
    #[default]
    PreviousBucket,
    /// The bucket at the same local time one day earlier, inside or before the span.
    PreviousDay,
    /// The bucket at the same local time one week earlier, inside or before the span.
    PreviousWeek,
}

/// What a trend is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct TrendQuery {
    /// What is measured.
    pub metric: TrendMetric,
    /// Fix time, included; cut down to the start of its bucket.
    pub from: DateTime<Utc>,
    /// Fix time, excluded; the bucket it falls in is whole.
    pub to: DateTime<Utc>,
    /// How time is cut.
    pub bucket: TrendBucket,
    /// A zone of the IANA database, such as `America/Chicago`.
    pub zone: String,
    /// Whose fixes.
    pub scope: Scope,
    /// How many points a moving average spans, from 1.
    pub window: u32,
    /// What a point is compared with.
    pub compare: TrendCompare,
}

/// A trend.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// One point per bucket, without gaps, in time order.
    pub points: Vec<TrendPoint>,
    /// Median of the values, interpolated.
    pub median: Option<f64>,
    /// 95th percentile of the values, interpolated.
    pub p95: Option<f64>,
    /// Slope of the least-squares line through the values, per bucket.
    pub slope_per_bucket: Option<f64>,
    /// The log position the trend is as of.
    pub as_of: Position,
}

/// One bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct TrendPoint {
    /// Its start, included.
    pub start: DateTime<Utc>,
    /// Its end, excluded.
    pub end: DateTime<Utc>,
    /// The metric; `None` without data.
    pub value: Option<f64>,
    /// What it is compared with; `None` without data.
    pub previous: Option<f64>,
    /// 100 (value - previous) / previous; `None` if either is missing or previous is 0.
    pub change_percent: Option<f64>,
    /// Mean of the values of this point and the `window - 1` before it, those without data left out.
    pub moving_average: Option<f64>,
    /// False while there are fewer than `window` points up to this one.
    pub complete: bool,
}

/// The series of a metric. At most [`crate::TREND_POINTS_MAX`] points.
pub async fn trend(_snap: &mut Snapshot, _query: &TrendQuery) -> Result<Trend, ReadError> {
    todo!()
}

/// The fixes behind a point, `[start, end)`; by fix time, then vehicle, position and index.
/// There are as many as the point's number of fixes.
pub async fn evidence(
    _snap: &mut Snapshot,
    _scope: &Scope,
    _start: DateTime<Utc>,
    _end: DateTime<Utc>,
    _after: Option<&EvidenceCursor>,
    _first: u32,
) -> Result<EvidencePage, ReadError> {
    todo!()
}
