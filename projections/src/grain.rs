//! The base grain of time, and numbers that add up to the same sum in any order.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{GRAIN_S, ReadError};

/// The number of the five-minute bucket a time falls in, counted from 1970.
pub(crate) fn bucket_of(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(GRAIN_S)
}

/// The start of a bucket; the end of time for a bucket beyond it.
pub(crate) fn bucket_start(bucket: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(bucket.saturating_mul(GRAIN_S), 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The span `[from, to)` cut outwards to whole buckets.
pub(crate) fn whole_buckets(
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), ReadError> {
    if from >= to {
        return Err(ReadError::EmptySpan);
    }
    let last = to - TimeDelta::nanoseconds(1);
    Ok((
        bucket_start(bucket_of(from)),
        bucket_start(bucket_of(last) + 1),
    ))
}

/// A speed in m/s as whole micrometres a second.
pub(crate) fn micro_speed(speed_mps: f64) -> i64 {
    (speed_mps * 1e6).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a test's time")
    }

    #[test]
    fn a_span_is_cut_outwards() {
        let check = |from: &str, to: &str, expect: (&str, &str)| {
            let cut = whole_buckets(at(from), at(to)).expect("not empty");
            assert_eq!(cut, (at(expect.0), at(expect.1)), "[{from}, {to})");
        };
        let five_to_ten = ("2016-01-17T20:05:00Z", "2016-01-17T20:10:00Z");
        check("2016-01-17T20:05:00Z", "2016-01-17T20:10:00Z", five_to_ten);
        check(
            "2016-01-17T20:05:00.000001Z",
            "2016-01-17T20:09:59Z",
            five_to_ten,
        );
        let five_to_fifteen = ("2016-01-17T20:05:00Z", "2016-01-17T20:15:00Z");
        check(
            "2016-01-17T20:09:59Z",
            "2016-01-17T20:10:00.000001Z",
            five_to_fifteen,
        );
        check(
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00Z",
            ("1969-12-31T23:55:00Z", "1970-01-01T00:00:00Z"),
        );
    }

    #[test]
    fn a_span_that_ends_where_it_starts_is_refused() {
        let now = at("2016-01-17T20:05:00Z");
        assert!(matches!(whole_buckets(now, now), Err(ReadError::EmptySpan)));
    }
}
