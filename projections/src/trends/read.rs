//! Reading a trend: a bucketed series, each point beside what it is compared with.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::{QueryBuilder, Row};

use super::edges::{Edges, edges};
use super::scope::{Scope, push_buckets, push_steps, scope_as_of};
use crate::zone::check_zone;
use crate::{ReadError, Snapshot, TREND_WINDOW_MAX};

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
pub async fn trend(snap: &mut Snapshot, query: &TrendQuery) -> Result<Trend, ReadError> {
    if !(1..=TREND_WINDOW_MAX).contains(&query.window) {
        return Err(ReadError::WindowOutOfRange {
            asked: query.window,
            most: TREND_WINDOW_MAX,
        });
    }
    let as_of = scope_as_of(snap, &query.scope)?;
    check_zone(snap, &query.zone).await?;
    let edges = edges(snap, query, query.from, query.to).await?;
    let values = values(snap, query, &edges).await?;
    let compared = match edges.earlier_span() {
        Some((from, to)) => {
            let earlier = self::edges(snap, query, from, to).await?;
            let found = self::values(snap, query, &earlier).await?;
            let by_start: HashMap<_, _> = earlier.starts.iter().copied().zip(found).collect();
            let value_at = |at: &Option<DateTime<Utc>>| *by_start.get(&(*at)?)?;
            edges.earlier.iter().map(value_at).collect()
        }
        None => vec![None; edges.starts.len()],
    };
    series(snap, query, &edges, &values, &compared, as_of).await
}

/// The metric's value in each bucket.
async fn values(
    snap: &mut Snapshot,
    query: &TrendQuery,
    edges: &Edges,
) -> Result<Vec<Option<f64>>, ReadError> {
    let mut values = vec![None; edges.starts.len()];
    let Some(&from) = edges.starts.first() else {
        return Ok(values);
    };
    let value = match query.metric {
        TrendMetric::Fixes => "sum(fixes)::float8",
        TrendMetric::Vehicles => "count(distinct vehicle_id)::float8",
        TrendMetric::MeanSpeed => "(sum(speed_sum) / 1e6 / nullif(sum(speed_n), 0))::float8",
        TrendMetric::MaxSpeed => "max(speed_max)",
        TrendMetric::Distance => "sum(distance_m)",
    };
    let mut sql = QueryBuilder::new("select width_bucket(bucket, ");
    sql.push_bind(&edges.starts)
        .push(format!(") as n, {value} as value from "));
    if query.metric == TrendMetric::Distance {
        push_steps(&mut sql, snap, &query.scope, from, edges.end)?;
    } else {
        push_buckets(&mut sql, snap, &query.scope, from, edges.end)?;
    }
    sql.push(" group by n");
    for row in sql.build().fetch_all(snap.connection()).await? {
        // `width_bucket` counts from 1, and 0 is before the first start, which is excluded.
        let n: i32 = row.try_get("n")?;
        let place = usize::try_from(n - 1).ok().and_then(|n| values.get_mut(n));
        if let Some(place) = place {
            *place = row.try_get("value")?;
        }
    }
    Ok(values)
}

/// Puts each value beside what it is compared with. The database does the statistics.
async fn series(
    snap: &mut Snapshot,
    query: &TrendQuery,
    edges: &Edges,
    values: &[Option<f64>],
    compared: &[Option<f64>],
    as_of: Position,
) -> Result<Trend, ReadError> {
    let previous = match query.compare {
        TrendCompare::PreviousBucket => "lag(value) over (order by n)",
        TrendCompare::PreviousDay | TrendCompare::PreviousWeek => "compared",
    };
    let statement = format!(
        "with given as (
             select * from unnest($1::float8[], $2::float8[])
                      with ordinality as given (value, compared, n)),
         beside as (
             select value, n, {previous} as previous,
                    avg(value) over (order by n rows between $3 preceding and current row) as moving
             from given)
         select value, previous, 100 * (value - previous) / nullif(previous, 0) as change, moving,
                n > $3 as complete, overall.*
         from beside cross join (
             select percentile_cont(0.5) within group (order by value) as median,
                    percentile_cont(0.95) within group (order by value) as p95,
                    regr_slope(value, n) as slope
             from given) overall
         order by n"
    );
    let rows = sqlx::query(&statement)
        .bind(values)
        .bind(compared)
        .bind(i64::from(query.window) - 1)
        .fetch_all(snap.connection())
        .await?;
    let mut points = Vec::with_capacity(rows.len());
    for (n, row) in rows.iter().enumerate() {
        points.push(TrendPoint {
            start: edges.starts[n],
            end: edges.starts.get(n + 1).copied().unwrap_or(edges.end),
            value: row.try_get("value")?,
            previous: row.try_get("previous")?,
            change_percent: row.try_get("change")?,
            moving_average: row.try_get("moving")?,
            complete: row.try_get("complete")?,
        });
    }
    let overall = rows.first();
    let statistic = |name| overall.map_or(Ok(None), |row| row.try_get(name));
    Ok(Trend {
        points,
        median: statistic("median")?,
        p95: statistic("p95")?,
        slope_per_bucket: statistic("slope")?,
        as_of,
    })
}
