//! Trends.

use async_graphql::{ComplexObject, Context, Enum, Result, SimpleObject};
use chrono::{DateTime as Instant, Utc};
use projections::trends::TrendQuery;
use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Figure};
use crate::api::scalars::{DateTime, Position};

/// What is measured in a bucket. A bucket without data has no value, which is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "projections::trends::TrendMetric")]
pub enum TrendMetric {
    /// Number of fixes.
    Fixes,
    /// Number of distinct vehicles with a fix.
    Vehicles,
    /// Mean reported speed, metres per second.
    MeanSpeed,
    /// Greatest reported speed, metres per second.
    MaxSpeed,
    /// Metres along the vehicles' fixes, each step in the bucket of its later fix. A step longer than
    /// an hour is unobserved and adds nothing.
    Distance,
}

/// How time is cut. Hours, days and weeks are those of the query's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "projections::trends::TrendBucket")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "projections::trends::TrendCompare")]
#[expect(
    clippy::enum_variant_names,
    reason = "each says which earlier bucket is meant"
)]
pub enum TrendCompare {
    /// The point before it in the series; the first has none.
    PreviousBucket,
    /// The bucket at the same local time one day earlier, inside or before the span.
    PreviousDay,
    /// The bucket at the same local time one week earlier, inside or before the span.
    PreviousWeek,
}

/// A figure over time.
#[derive(SimpleObject)]
pub struct Trend {
    /// One point per bucket without gaps, in time order; at most 2,000.
    points: Vec<TrendPoint>,
    /// Median of the values, interpolated; null without data.
    median: Option<f64>,
    /// 95th percentile of the values, interpolated; null without data.
    p95: Option<f64>,
    /// Slope of the least-squares line through the values, per bucket; null with fewer than two.
    slope_per_bucket: Option<f64>,
    /// The zone whose hours, days and weeks these are.
    zone: String,
    /// The position in the log the trend is as of.
    as_of_position: Position,
}

/// One bucket of a trend.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct TrendPoint {
    /// Start of the bucket, included.
    start: DateTime,
    /// End of the bucket, excluded.
    end: DateTime,
    /// The metric; null without data.
    value: Option<f64>,
    /// The value it is compared with; null without data.
    previous: Option<f64>,
    /// 100 × (value − previous) ÷ previous; null if either is missing or previous is 0.
    change_percent: Option<f64>,
    /// Mean of the values of this point and the `window` − 1 before it, those without data left out.
    moving_average: Option<f64>,
    /// False while there are fewer than `window` points up to this one.
    complete: bool,
    #[graphql(skip)]
    figure: Figure,
}

/// A trend as it is kept in the cache.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    points: Vec<KeptPoint>,
    median: Option<f64>,
    p95: Option<f64>,
    slope_per_bucket: Option<f64>,
    as_of: domain::Position,
}

#[derive(Serialize, Deserialize)]
struct KeptPoint {
    start: Instant<Utc>,
    end: Instant<Utc>,
    value: Option<f64>,
    previous: Option<f64>,
    change_percent: Option<f64>,
    moving_average: Option<f64>,
    complete: bool,
}

impl From<projections::trends::Trend> for Kept {
    fn from(trend: projections::trends::Trend) -> Kept {
        let points = trend.points.into_iter().map(|point| KeptPoint {
            start: point.start,
            end: point.end,
            value: point.value,
            previous: point.previous,
            change_percent: point.change_percent,
            moving_average: point.moving_average,
            complete: point.complete,
        });
        Kept {
            points: points.collect(),
            median: trend.median,
            p95: trend.p95,
            slope_per_bucket: trend.slope_per_bucket,
            as_of: trend.as_of,
        }
    }
}

impl Trend {
    /// The answer to a question.
    pub fn new(question: &TrendQuery, kept: Kept) -> Trend {
        let points = kept.points.into_iter().map(|point| TrendPoint {
            start: DateTime(point.start),
            end: DateTime(point.end),
            value: point.value,
            previous: point.previous,
            change_percent: point.change_percent,
            moving_average: point.moving_average,
            complete: point.complete,
            figure: Figure::Scope(question.scope.clone(), point.start, point.end),
        });
        Trend {
            points: points.collect(),
            median: kept.median,
            p95: kept.p95,
            slope_per_bucket: kept.slope_per_bucket,
            zone: question.zone.clone(),
            as_of_position: Position(kept.as_of),
        }
    }
}

#[ComplexObject]
impl TrendPoint {
    /// The fixes of the bucket, by fix time, vehicle, position and index.
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Evidence> {
        self.figure.evidence(ctx, first, after).await
    }
}
