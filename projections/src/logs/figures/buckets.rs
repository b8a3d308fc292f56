//! Where the buckets of a span begin, by the clocks of a zone.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use domain::Zone;

use super::super::LOG_GRAIN_S;
use crate::ReadError;

/// A span has at most so many buckets: ten years of hours.
pub const LOG_BUCKETS_MAX: u64 = 100_000;

/// How long the buckets of an answer are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogBucket {
    /// 15 minutes.
    QuarterHour,
    /// An hour of the zone. Where clocks change within one, it ends there.
    #[default]
    Hour,
    /// A day of the zone: of two midnights the first begins it.
    Day,
    /// Seven of them, from Monday.
    Week,
    /// A month of the zone.
    Month,
    /// The whole span.
    Whole,
}

/// From then on, and up to then.
pub(super) type Span = (DateTime<Utc>, DateTime<Utc>);

/// The buckets of a span. The first begins with it, each ends where the next begins, and the last ends with
/// the span. What is counted is put into them, so that a count and its records are of the same times.
#[derive(Debug)]
pub(super) struct Buckets {
    starts: Vec<DateTime<Utc>>,
    end: DateTime<Utc>,
}

impl Buckets {
    /// Cuts a span.
    pub(super) fn cut(
        bucket: LogBucket,
        zone: &str,
        (from, to): Span,
    ) -> Result<Buckets, ReadError> {
        let zone = Zone::of_name(zone).ok_or(ReadError::UnknownZone)?;
        check_length(bucket, (from, to))?;
        let mut starts = vec![from];
        let mut start = from;
        while let Some(next) = next(bucket, zone, start).filter(|next| *next < to) {
            starts.push(next);
            start = next;
        }
        Ok(Buckets { starts, end: to })
    }

    /// Where they begin: the database tells by `width_bucket` in which of them a time is, from 1.
    pub(super) fn starts(&self) -> Vec<DateTime<Utc>> {
        self.starts.clone()
    }

    /// The place of a bucket among the others, from 0, as the database told it.
    pub(super) fn place(told: i32) -> usize {
        usize::try_from(told).unwrap_or_default().saturating_sub(1)
    }

    /// From where to where one is.
    pub(super) fn span(&self, place: usize) -> Span {
        let at = |place: usize| self.starts.get(place).copied().unwrap_or(self.end);
        (at(place), at(place + 1))
    }

    /// A row for each bucket, one more than `first` at most: `rows` of those that have any, in their order.
    pub(super) fn filled<R>(
        &self,
        rows: Vec<(usize, R)>,
        first: u32,
        empty: impl Fn(Span) -> R,
    ) -> Vec<R> {
        let most = usize::try_from(first).map_or(usize::MAX, |first| first.saturating_add(1));
        let mut rows = rows.into_iter().peekable();
        let places = 0..self.starts.len().min(most);
        let row = |place| {
            let own = rows.next_if(|(of, _)| *of == place);
            own.map_or_else(|| empty(self.span(place)), |(_, row)| row)
        };
        places.map(row).collect()
    }
}

fn check_length(bucket: LogBucket, (from, to): Span) -> Result<(), ReadError> {
    if from >= to {
        return Err(ReadError::EmptySpan);
    }
    const HOUR: u64 = 3_600;
    let seconds = match bucket {
        LogBucket::QuarterHour => HOUR / 4,
        LogBucket::Hour => HOUR,
        LogBucket::Day => 24 * HOUR,
        LogBucket::Week => 7 * 24 * HOUR,
        LogBucket::Month => 28 * 24 * HOUR,
        LogBucket::Whole => return Ok(()),
    };
    let span = u64::try_from((to - from).num_seconds()).unwrap_or_default();
    let (asked, most) = (span.div_ceil(seconds), LOG_BUCKETS_MAX);
    match asked > most {
        true => Err(ReadError::TooManyBuckets { asked, most }),
        false => Ok(()),
    }
}

/// Where the bucket ends that begins then; `None`: with the span.
fn next(bucket: LogBucket, zone: Zone, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let date = zone.shown(start).date();
    let day = match bucket {
        LogBucket::QuarterHour => return next_quarter(start),
        LogBucket::Hour => return next_hour(zone, start),
        LogBucket::Day => date.checked_add_days(Days::new(1))?,
        LogBucket::Week => {
            let gone = u64::from(date.weekday().num_days_from_monday());
            date.checked_add_days(Days::new(7 - gone))?
        }
        LogBucket::Month => date.with_day(1)?.checked_add_months(Months::new(1))?,
        LogBucket::Whole => return None,
    };
    midnight(zone, day, start)
}

/// When a day begins: of two midnights with the first, of none when its first minute is shown.
fn midnight(zone: Zone, day: NaiveDate, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let begin = zone.shows(day.and_time(NaiveTime::MIN), after)?;
    (begin > after).then_some(begin)
}

fn next_quarter(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let quarter = at.timestamp().div_euclid(LOG_GRAIN_S) + 1;
    DateTime::from_timestamp(quarter.checked_mul(LOG_GRAIN_S)?, 0)
}

/// Where the clocks show the next full hour, or another hour begins since they changed: they do so at
/// quarters of an hour.
fn next_hour(zone: Zone, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let ahead = |at: DateTime<Utc>| zone.shown(at) - at.naive_utc();
    let local = zone.shown(start);
    let gone = TimeDelta::nanoseconds(local.and_utc().timestamp_subsec_nanos().into())
        + TimeDelta::seconds(local.and_utc().timestamp().rem_euclid(3_600));
    let full = start.checked_add_signed(TimeDelta::hours(1) - gone)?;
    let mut at = next_quarter(start)?;
    while at < full && ahead(at) == ahead(start) {
        at = next_quarter(at)?;
    }
    Some(at.min(full))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    /// The buckets of a span of a zone begin then.
    #[track_caller]
    fn check(bucket: LogBucket, zone: &str, span: (&str, &str), expect: &[&str]) {
        let buckets = Buckets::cut(bucket, zone, (at(span.0), at(span.1))).expect("buckets");
        let expect: Vec<_> = expect.iter().map(|start| at(start)).collect();
        assert_eq!(buckets.starts(), expect, "{bucket:?} of {zone} in {span:?}");
        let last = buckets.span(expect.len() - 1);
        assert_eq!(last, (expect[expect.len() - 1], at(span.1)));
    }

    #[test]
    fn days_weeks_and_months_are_those_of_the_zone() {
        // Of 25 hours and of 23.
        let span = ("2016-10-28T23:00:00Z", "2016-10-31T12:00:00Z");
        let days = [
            "2016-10-28T23:00:00Z",
            "2016-10-29T22:00:00Z",
            "2016-10-30T23:00:00Z",
        ];
        check(LogBucket::Day, "Europe/Berlin", span, &days);
        let span = ("2016-03-26T12:00:00Z", "2016-03-28T00:00:00Z");
        let days = [
            "2016-03-26T12:00:00Z",
            "2016-03-26T23:00:00Z",
            "2016-03-27T22:00:00Z",
        ];
        check(LogBucket::Day, "Europe/Berlin", span, &days);
        let weeks = ["2016-03-26T12:00:00Z", "2016-03-27T22:00:00Z"];
        check(LogBucket::Week, "Europe/Berlin", span, &weeks);
        let span = ("2016-02-29T23:00:00Z", "2016-05-01T00:00:00Z");
        let months = [
            "2016-02-29T23:00:00Z",
            "2016-03-31T22:00:00Z",
            "2016-04-30T22:00:00Z",
        ];
        check(LogBucket::Month, "Europe/Berlin", span, &months);
        check(
            LogBucket::Whole,
            "Europe/Berlin",
            span,
            &["2016-02-29T23:00:00Z"],
        );
    }

    #[test]
    fn a_day_begins_with_the_first_of_two_midnights() {
        // Clocks went from one o'clock back to midnight.
        let span = ("2025-10-25T12:00:00Z", "2025-10-27T12:00:00Z");
        let days = [
            "2025-10-25T12:00:00Z",
            "2025-10-26T00:00:00Z",
            "2025-10-27T01:00:00Z",
        ];
        check(LogBucket::Day, "Atlantic/Azores", span, &days);
        let span = ("2026-10-31T12:00:00Z", "2026-11-02T06:00:00Z");
        let days = [
            "2026-10-31T12:00:00Z",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        ];
        check(LogBucket::Day, "America/Havana", span, &days);
        let months = ["2026-10-31T12:00:00Z", "2026-11-01T04:00:00Z"];
        check(LogBucket::Month, "America/Havana", span, &months);
        // Midnight of that day was left out.
        let span = ("2018-11-03T12:00:00Z", "2018-11-04T12:00:00Z");
        let days = ["2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z"];
        check(LogBucket::Day, "America/Sao_Paulo", span, &days);
        // A whole day was left out.
        let span = ("2011-12-29T12:00:00Z", "2011-12-30T12:00:00Z");
        let days = ["2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z"];
        check(LogBucket::Day, "Pacific/Apia", span, &days);
    }

    #[test]
    fn an_hour_ends_where_clocks_change() {
        // Half an hour back, at two by the clocks.
        let span = ("2025-04-05T13:30:00Z", "2025-04-05T16:00:00Z");
        let hours = [
            "2025-04-05T13:30:00Z",
            "2025-04-05T14:00:00Z",
            "2025-04-05T15:00:00Z",
            "2025-04-05T15:30:00Z",
        ];
        check(LogBucket::Hour, "Australia/Lord_Howe", span, &hours);
        // Half an hour on, at half past two.
        let span = ("2016-05-01T06:00:00Z", "2016-05-01T09:00:00Z");
        let hours = [
            "2016-05-01T06:00:00Z",
            "2016-05-01T06:30:00Z",
            "2016-05-01T07:00:00Z",
            "2016-05-01T08:00:00Z",
        ];
        check(LogBucket::Hour, "America/Caracas", span, &hours);
        // An hour twice is two hours.
        let span = ("2016-10-30T00:00:00Z", "2016-10-30T02:00:00Z");
        let hours = ["2016-10-30T00:00:00Z", "2016-10-30T01:00:00Z"];
        check(LogBucket::Hour, "Europe/Berlin", span, &hours);
        let span = ("2016-01-01T00:01:02.5Z", "2016-01-01T02:00:00Z");
        let hours = ["2016-01-01T00:01:02.5Z", "2016-01-01T01:00:00Z"];
        check(LogBucket::Hour, "UTC", span, &hours);
        let quarters = [
            "2016-01-01T00:01:02.5Z",
            "2016-01-01T00:15:00Z",
            "2016-01-01T00:30:00Z",
            "2016-01-01T00:45:00Z",
        ];
        let span = (span.0, "2016-01-01T01:00:00Z");
        check(LogBucket::QuarterHour, "UTC", span, &quarters);
    }

    #[test]
    fn buckets_without_rows_are_filled_in() {
        let span = (at("2016-01-01T00:00:00Z"), at("2016-01-01T04:00:00Z"));
        let buckets = Buckets::cut(LogBucket::Hour, "UTC", span).expect("buckets");
        let rows = || vec![(1, "b".to_owned()), (2, "c".to_owned())];
        let empty = |(start, _): Span| start.format("%H").to_string();
        assert_eq!(buckets.filled(rows(), 9, empty), ["00", "b", "c", "03"]);
        assert_eq!(buckets.filled(rows(), 1, empty), ["00", "b"]);
    }

    #[test]
    fn a_span_is_not_cut_into_too_many() {
        let span = |to: &str| (at("2016-01-01T00:00:00Z"), at(to));
        let cut = |bucket, to: &str| Buckets::cut(bucket, "UTC", span(to));
        assert!(cut(LogBucket::Hour, "2026-01-01T00:00:00Z").is_ok());
        assert!(matches!(
            cut(LogBucket::QuarterHour, "2026-01-01T00:00:00Z"),
            Err(ReadError::TooManyBuckets { .. })
        ));
        assert!(matches!(
            cut(LogBucket::Hour, "2016-01-01T00:00:00Z"),
            Err(ReadError::EmptySpan)
        ));
        let nowhere = Buckets::cut(LogBucket::Day, "Moon/Base", span("2016-01-02T00:00:00Z"));
        assert!(matches!(nowhere, Err(ReadError::UnknownZone)));
    }
}
