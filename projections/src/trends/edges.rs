//! Where a trend's buckets begin and end in a zone, and which earlier ones they are compared with.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row;

use super::{TrendBucket, TrendCompare, TrendQuery};
use crate::{ReadError, Snapshot, TREND_POINTS_MAX};

/// Consecutive buckets: each ends where the next starts.
#[derive(Debug)]
pub(super) struct Edges {
    pub(super) starts: Vec<DateTime<Utc>>,
    /// For each, the start of the bucket it is compared with, if that is another series' and there is
    /// such a local time.
    pub(super) earlier: Vec<Option<DateTime<Utc>>>,
    /// Where the last one ends.
    pub(super) end: DateTime<Utc>,
}

/// The buckets that `[from, to)` touches.
pub(super) async fn edges(
    snap: &mut Snapshot,
    query: &TrendQuery,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Edges, ReadError> {
    check_length(query.bucket, from, to)?;
    let starts = starts_sql(query.bucket);
    let shift = match query.compare {
        TrendCompare::PreviousBucket => None,
        TrendCompare::PreviousDay => Some("1 day"),
        TrendCompare::PreviousWeek => Some("7 days"),
    };
    // A local time that a change of clocks skipped comes back as another one: nothing to compare.
    let statement = format!(
        "select start, case when earlier at time zone $3 = local - $4::interval then earlier end
         from ({starts}) s (start)
         cross join lateral (select start at time zone $3) l (local)
         cross join lateral (select (local - $4::interval) at time zone $3) e (earlier)
         order by start"
    );
    let rows = sqlx::query(&statement)
        .bind(from)
        .bind(to)
        .bind(&query.zone)
        .bind(shift)
        .fetch_all(snap.connection())
        .await?;
    let mut edges = Edges {
        starts: Vec::new(),
        earlier: Vec::new(),
        end: to,
    };
    for row in &rows {
        let start: DateTime<Utc> = row.try_get(0)?;
        if start >= to {
            edges.end = start;
            break;
        }
        if start <= from {
            edges.starts.clear();
            edges.earlier.clear();
        }
        edges.starts.push(start);
        edges.earlier.push(row.try_get(1)?);
    }
    Ok(edges)
}

impl Edges {
    /// A span that touches all earlier buckets; `None` if there are none.
    pub(super) fn earlier_span(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let first = self.earlier.iter().flatten().min()?;
        let last = self.earlier.iter().flatten().max()?;
        Some((*first, *last + TimeDelta::microseconds(1)))
    }
}

/// Starts of buckets from at or before `$1` to at or after `$2`, in the zone `$3`.
fn starts_sql(bucket: TrendBucket) -> String {
    let by_clock = |length: &str| {
        format!(
            "select generate_series(date_bin('{length}', $1, 'epoch'), $2 + interval '{length}',
                                    interval '{length}')"
        )
    };
    // Steps shorter than the bucket, cut to it: an hour may begin at any quarter of an hour.
    let by_hour = "select distinct date_trunc('hour', g, $3)
         from generate_series($1, $2 + interval '2 hours', interval '15 minutes') g";
    // Steps of local days, turned into instants afterwards: a day may have 23 or 25 hours.
    let by_calendar = |unit: &str| {
        format!(
            "select distinct g at time zone $3
             from generate_series(date_trunc('{unit}', $1 at time zone $3),
                                  ($2 at time zone $3) + interval '8 days',
                                  interval '1 {unit}') g"
        )
    };
    match bucket {
        TrendBucket::FiveMinutes => by_clock("5 minutes"),
        TrendBucket::QuarterHour => by_clock("15 minutes"),
        TrendBucket::Hour => by_hour.to_owned(),
        TrendBucket::Day => by_calendar("day"),
        TrendBucket::Week => by_calendar("week"),
    }
}

fn check_length(
    bucket: TrendBucket,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(), ReadError> {
    if from >= to {
        return Err(ReadError::EmptySpan);
    }
    let seconds: u64 = match bucket {
        TrendBucket::FiveMinutes => 300,
        TrendBucket::QuarterHour => 900,
        TrendBucket::Hour => 3_600,
        TrendBucket::Day => 86_400,
        TrendBucket::Week => 7 * 86_400,
    };
    let span = u64::try_from((to - from).num_seconds()).unwrap_or_default();
    let asked = span.div_ceil(seconds);
    let most = TREND_POINTS_MAX as u64;
    if asked > most {
        Err(ReadError::TooManyBuckets { asked, most })
    } else {
        Ok(())
    }
}
