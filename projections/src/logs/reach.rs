//! Where records may be: the days on which they were recorded, and how far a walk has to go for some.
//!
//! A record's own time says little of when it was recorded, so that is kept by day (`log_days`).

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{QueryBuilder, Row};

use super::NAME;
use super::conditions::{DaySpan, Sql, codes};
use super::read::{LogCursor, LogFilter};
use crate::{ReadError, Snapshot};

/// Records of a time, source and type, as far as that is known by day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known {
    /// The days on which they were recorded.
    pub(super) days: DaySpan,
    /// None of them happened before then.
    pub(super) first_at: DateTime<Utc>,
    /// None of them happened later.
    pub(super) last_at: DateTime<Utc>,
}

/// What is known of the records of a filter; `None` if there are none.
pub(super) async fn known(
    snap: &mut Snapshot,
    filter: &LogFilter,
) -> Result<Option<Known>, ReadError> {
    if let (Some(from), Some(to)) = (filter.from, filter.to)
        && from >= to
    {
        return Err(ReadError::EmptySpan);
    }
    let (conn, tenant, table) = snap.table(NAME, "log_days")?;
    let mut sql = QueryBuilder::new(format!(
        "select min(day), max(day), min(first_at), max(last_at) from {table} where tenant = "
    ));
    sql.push_bind(tenant.as_ref());
    push_overlap(&mut sql, filter);
    if let Some(source_id) = &filter.source_id {
        sql.push(" and source_id = ").push_bind(source_id);
    }
    let row = sql.build().fetch_one(conn).await?;
    let days: (Option<NaiveDate>, Option<NaiveDate>) = (row.try_get(0)?, row.try_get(1)?);
    let times: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) = (row.try_get(2)?, row.try_get(3)?);
    let known = days.0.zip(days.1).zip(times.0.zip(times.1));
    Ok(known.map(|(days, (first_at, last_at))| Known {
        days,
        first_at,
        last_at,
    }))
}

fn push_overlap(sql: &mut Sql<'_>, filter: &LogFilter) {
    if let Some(from) = filter.from {
        sql.push(" and last_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        sql.push(" and first_at < ").push_bind(to);
    }
    if !filter.event_types.is_empty() {
        sql.push(" and event_type = any(")
            .push_bind(codes(&filter.event_types))
            .push(")");
    }
}

/// A walk through the records of a time and some types, in the order of time.
pub(super) struct Course<'a> {
    pub(super) filter: &'a LogFilter,
    /// Through what was recorded on these days.
    pub(super) days: DaySpan,
    pub(super) ascending: bool,
    /// From this place on.
    pub(super) beyond: Option<LogCursor>,
    /// So many records are enough.
    pub(super) enough: i64,
}

/// How far a walk has to go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reach {
    /// Through what was recorded on these days.
    pub(super) days: DaySpan,
    /// Up to then, or down to then, included; `None`: to the end.
    pub(super) end: Option<DateTime<Utc>>,
}

/// Records of one day of recording.
#[derive(Clone, Copy, Debug)]
struct Day {
    day: NaiveDate,
    /// How many of them the walk is sure to meet.
    sure: i64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
}

/// The reach within which there are enough records, so that no other day is looked at; `None` if there are
/// no records.
pub(super) async fn reach(
    snap: &mut Snapshot,
    course: &Course<'_>,
) -> Result<Option<Reach>, ReadError> {
    let filter = course.filter;
    let (conn, tenant, table) = snap.table(NAME, "log_days")?;
    let mut sql = QueryBuilder::new("select day, coalesce(sum(records) filter (where true");
    if let Some(from) = filter.from {
        sql.push(" and first_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        sql.push(" and last_at < ").push_bind(to);
    }
    match (&course.beyond, course.ascending) {
        (None, _) => {}
        (Some(place), true) => {
            sql.push(" and first_at > ").push_bind(place.timestamp);
        }
        (Some(place), false) => {
            sql.push(" and last_at < ").push_bind(place.timestamp);
        }
    }
    sql.push(format!(
        "), 0)::bigint, min(first_at), max(last_at) from {table} where tenant = "
    ));
    sql.push_bind(tenant.as_ref());
    sql.push(" and day between ").push_bind(course.days.0);
    sql.push(" and ").push_bind(course.days.1);
    push_overlap(&mut sql, filter);
    match (&course.beyond, course.ascending) {
        (None, _) => {}
        (Some(place), true) => {
            sql.push(" and last_at >= ").push_bind(place.timestamp);
        }
        (Some(place), false) => {
            sql.push(" and first_at <= ").push_bind(place.timestamp);
        }
    }
    sql.push(" group by day");
    let rows = sql.build().fetch_all(conn).await?;
    let mut days = Vec::with_capacity(rows.len());
    for row in &rows {
        days.push(Day {
            day: row.try_get(0)?,
            sure: row.try_get(1)?,
            first_at: row.try_get(2)?,
            last_at: row.try_get(3)?,
        });
    }
    Ok(enough(days, course.ascending, course.enough))
}

/// The days that are met first come first: once there is enough, the walk need not go beyond the last
/// record of those.
fn enough(mut days: Vec<Day>, ascending: bool, enough: i64) -> Option<Reach> {
    match ascending {
        true => days.sort_unstable_by_key(|day| day.last_at),
        false => days.sort_unstable_by_key(|day| std::cmp::Reverse(day.first_at)),
    }
    let mut met = 0;
    let end = days.iter().find_map(|day| {
        met += day.sure;
        let end = if ascending { day.last_at } else { day.first_at };
        (met >= enough).then_some(end)
    });
    if let Some(end) = end {
        days.retain(|day| match ascending {
            true => day.first_at <= end,
            false => day.last_at >= end,
        });
    }
    let first = days.iter().map(|day| day.day).min()?;
    let last = days.iter().map(|day| day.day).max()?;
    Some(Reach {
        days: (first, last),
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u32) -> DateTime<Utc> {
        let time = date(day).and_hms_opt(0, 0, 0);
        time.expect("a time").and_utc()
    }

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2016, 1, day).expect("a day")
    }

    /// Recorded on a day, what happened from one day to another.
    fn day(day: u32, sure: i64, first: u32, last: u32) -> Day {
        Day {
            day: date(day),
            sure,
            first_at: at(first),
            last_at: at(last),
        }
    }

    #[track_caller]
    fn check(days: &[Day], ascending: bool, most: i64, expect: (u32, u32, Option<u32>)) {
        let reach = enough(days.to_vec(), ascending, most).expect("days");
        let expect = Reach {
            days: (date(expect.0), date(expect.1)),
            end: expect.2.map(at),
        };
        assert_eq!(reach, expect, "{most} of {days:?}, ascending: {ascending}");
    }

    #[test]
    fn a_walk_goes_as_far_as_there_is_enough() {
        let days: Vec<Day> = (1..=9).map(|n| day(n, 10, n, n)).collect();
        check(&days, false, 10, (9, 9, Some(9)));
        check(&days, false, 11, (8, 9, Some(8)));
        check(&days, true, 30, (1, 3, Some(3)));
        check(&days, true, 90, (1, 9, Some(9)));
        check(&days, false, 91, (1, 9, None));
        assert_eq!(enough(vec![], false, 1), None);
    }

    #[test]
    fn what_happened_long_before_it_was_recorded_is_reached() {
        // On the 5th an import of the 2nd to the 4th; on the 6th one straggler among today's.
        let days = [
            day(2, 10, 2, 2),
            day(3, 10, 3, 3),
            day(5, 5, 2, 4),
            day(6, 10, 3, 6),
        ];
        // The newest ten: the sixth's may be as old as the 3rd, and what the 3rd and the 5th have lies there.
        check(&days, false, 10, (3, 6, Some(3)));
        check(&days, true, 10, (2, 5, Some(2)));
        // Nothing is sure of a day of which the walk meets a part.
        let part = [day(1, 10, 1, 1), day(2, 0, 1, 2)];
        check(&part, false, 5, (1, 2, Some(1)));
    }
}
