//! An objective's window, day by day or week by week.

use chrono::{DateTime, Utc};
use domain::slo::Window as Said;
use sqlx::{QueryBuilder, Row};

use super::count::push_counted;
use super::samples::push_samples;
use super::{Counted, SloQuery, window};
use crate::{ReadError, Snapshot};

/// How a window is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryBucket {
    /// Into calendar days.
    Day,
    /// Into calendar weeks, from Monday.
    Week,
}

/// A part of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SloHistory {
    /// Its start, included.
    pub start: DateTime<Utc>,
    /// Its end, excluded.
    pub end: DateTime<Utc>,
    /// What the method counts in it.
    pub counted: Counted,
}

/// The window in parts without gaps, in order of time: days or weeks of its zone, those of a rolling window
/// by UTC. The first and the last end with the window, so there are 92 at most.
pub async fn history(
    snap: &mut Snapshot,
    query: &SloQuery,
    bucket: HistoryBucket,
) -> Result<Vec<SloHistory>, ReadError> {
    let window = window::window(snap, query).await?;
    if window.from >= window.to {
        return Ok(Vec::new());
    }
    let zone = match &query.objective.window {
        Said::Rolling { .. } => "UTC",
        Said::CalendarWeek { zone } | Said::CalendarMonth { zone } => zone,
    };
    let unit = match bucket {
        HistoryBucket::Day => "day",
        HistoryBucket::Week => "week",
    };
    // Steps of local time, turned into instants afterwards: a day may have 23 or 25 hours.
    let statement = format!(
        "select distinct greatest(g at time zone $3, $1) as start
         from generate_series(date_trunc('{unit}', $1 at time zone $3), $2 at time zone $3,
                              interval '1 {unit}') g
         where g at time zone $3 < $2 order by start"
    );
    let starts: Vec<DateTime<Utc>> = sqlx::query_scalar(&statement)
        .bind(window.from)
        .bind(window.to)
        .bind(zone)
        .fetch_all(snap.connection())
        .await?;
    let mut sql = QueryBuilder::new("with ");
    push_samples(&mut sql, snap, query, window.from)?;
    sql.push(" ");
    push_counted(&mut sql, query, |sql| {
        sql.push("select width_bucket(ended, ")
            .push_bind(starts.clone())
            .push(") as n, ended, kind from samples where kind <> 'negative'");
    });
    let mut counted = vec![Counted::default(); starts.len()];
    for row in sql.build().fetch_all(snap.connection()).await? {
        let n = usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or_default();
        let (total, good) = (row.try_get(1)?, row.try_get(2)?);
        if let Some(place) = n.checked_sub(1).and_then(|n| counted.get_mut(n)) {
            *place = Counted { total, good };
        }
    }
    let ends = starts.iter().skip(1).copied().chain([window.to]);
    let parts = starts.iter().copied().zip(ends).zip(counted);
    Ok(parts
        .map(|((start, end), counted)| SloHistory {
            start,
            end,
            counted,
        })
        .collect())
}
