//! The span of time over which an objective is to be met.

use chrono::{DateTime, TimeDelta, Utc};
use domain::slo::Window as Said;
use sqlx::Row;

use super::SloQuery;
use crate::zone::check_zone;
use crate::{ReadError, Snapshot};

/// The window that a moment lies in, as far as it is over by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Its start, included.
    pub(super) from: DateTime<Utc>,
    /// That moment, excluded.
    pub(super) to: DateTime<Utc>,
    /// How long all of it is.
    pub(super) length: TimeDelta,
}

/// A day of a rolling window has 24 hours. A week or a month is the zone's own, an hour shorter or longer
/// where its clocks change.
pub(super) async fn window(snap: &mut Snapshot, query: &SloQuery) -> Result<Window, ReadError> {
    let to = query.at;
    let (unit, zone) = match &query.objective.window {
        Said::Rolling { days } => {
            let length = TimeDelta::days(i64::from(*days));
            let from = to - length;
            return Ok(Window { from, to, length });
        }
        Said::CalendarWeek { zone } => ("week", zone),
        Said::CalendarMonth { zone } => ("month", zone),
    };
    check_zone(snap, zone).await?;
    let statement = format!(
        "select s at time zone $2, (s + interval '1 {unit}') at time zone $2
         from date_trunc('{unit}', $1 at time zone $2) s"
    );
    let row = sqlx::query(&statement)
        .bind(to)
        .bind(zone)
        .fetch_one(snap.connection())
        .await?;
    let (from, end): (DateTime<Utc>, DateTime<Utc>) = (row.try_get(0)?, row.try_get(1)?);
    let length = end - from;
    Ok(Window { from, to, length })
}
