//! The span that is asked for, cut into buckets at the edges of a zone's days, weeks or months.

use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::Row;

use super::{BUCKETS_MAX, DoraBucket, DoraQuery};
use crate::zone::check_zone;
use crate::{ReadError, Snapshot};

/// The number of the whole span; buckets count from 1.
pub(super) const WHOLE: usize = 0;

/// Consecutive buckets.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) starts: Vec<DateTime<Utc>>,
    cut: bool,
    /// The whole span, then each bucket.
    spans: Vec<Span>,
}

/// From when to when, and the same by the clocks of the zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: DateTime<Utc>,
    pub(super) end: DateTime<Utc>,
    pub(super) local_start: NaiveDateTime,
    pub(super) local_end: NaiveDateTime,
}

impl Window {
    /// Between these edges, of which there are two at least: instants, and the same by the clocks of the zone.
    fn new(query: &DoraQuery, edges: &[(DateTime<Utc>, NaiveDateTime)]) -> Window {
        let span = |((start, local_start), (end, local_end))| Span {
            start,
            end,
            local_start,
            local_end,
        };
        let buckets = edges.windows(2).map(|edges| span((edges[0], edges[1])));
        let whole = edges.first().copied().zip(edges.last().copied()).map(span);
        let spans: Vec<Span> = whole.into_iter().chain(buckets).collect();
        Window {
            cut: query.bucket.is_some(),
            starts: spans.iter().skip(1).map(|span| span.start).collect(),
            spans,
        }
    }

    pub(super) fn buckets(&self) -> usize {
        self.starts.len()
    }

    /// SQL that groups by bucket and as a whole: a column that tells which, and the clause. As a whole
    /// only, where there are no buckets.
    pub(super) fn grouping(&self) -> (&'static str, &'static str) {
        if self.cut {
            let which = "case when grouping(n) = 0 then n end";
            (which, "group by grouping sets ((n), ())")
        } else {
            ("null::integer", "")
        }
    }

    /// The place of a group's figures: null is the whole.
    pub(super) fn place(n: Option<i32>) -> usize {
        n.map_or(WHOLE, |n| usize::try_from(n).unwrap_or(WHOLE))
    }

    /// The whole span or a bucket, by number.
    pub(super) fn span(&self, n: usize) -> Span {
        self.spans[n]
    }
}

impl Span {
    /// How many days it has, by the clocks of the zone: a day on which they change is one day.
    pub(super) fn days(self) -> f64 {
        (self.local_end - self.local_start).as_seconds_f64() / 86_400.0
    }
}

pub(super) async fn window(snap: &mut Snapshot, query: &DoraQuery) -> Result<Window, ReadError> {
    check_length(query)?;
    // Most questions are of this kind, and the shortest take little longer than asking.
    if query.bucket.is_none() && query.zone == "UTC" {
        let edges = [query.from, query.to].map(|edge| (edge, edge.naive_utc()));
        return Ok(Window::new(query, &edges));
    }
    check_zone(snap, &query.zone).await?;
    // Steps of local time, turned into instants afterwards: a day may have 23 or 25 hours.
    let starts = match query.bucket {
        None => "select $1".to_owned(),
        Some(bucket) => {
            let unit = unit(bucket);
            format!(
                "select distinct greatest(g at time zone $3, $1)
                 from generate_series(date_trunc('{unit}', $1 at time zone $3),
                                      $2 at time zone $3, interval '1 {unit}') g
                 where g at time zone $3 < $2"
            )
        }
    };
    let statement = format!(
        "select edge, edge at time zone $3 as local from ({starts} union select $2) e (edge)
         order by edge"
    );
    let rows = sqlx::query(&statement)
        .bind(query.from)
        .bind(query.to)
        .bind(&query.zone)
        .fetch_all(snap.connection())
        .await?;
    let edges = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let edges = edges.collect::<Result<Vec<(DateTime<Utc>, NaiveDateTime)>, sqlx::Error>>()?;
    Ok(Window::new(query, &edges))
}

fn unit(bucket: DoraBucket) -> &'static str {
    match bucket {
        DoraBucket::Day => "day",
        DoraBucket::Week => "week",
        DoraBucket::Month => "month",
    }
}

fn check_length(query: &DoraQuery) -> Result<(), ReadError> {
    if query.from >= query.to {
        return Err(ReadError::EmptySpan);
    }
    // The shortest a bucket can be, in days.
    let days: u64 = match query.bucket {
        None => return Ok(()),
        Some(DoraBucket::Day) => 1,
        Some(DoraBucket::Week) => 7,
        Some(DoraBucket::Month) => 28,
    };
    let seconds = u64::try_from((query.to - query.from).num_seconds()).unwrap_or_default();
    let asked = seconds.div_ceil(days * 86_400);
    if asked > BUCKETS_MAX {
        return Err(ReadError::TooManyBuckets {
            asked,
            most: BUCKETS_MAX,
        });
    }
    Ok(())
}
