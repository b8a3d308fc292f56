//! Times: RFC 3339 with a zone, years 1970 to 9999, kept to the microsecond.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::refusal::{Code, Refusal};

/// How many characters a time may have: date, time, zone and a fraction of 32 digits.
pub const TIMESTAMP_CHARS_MAX: usize = 64;

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFault {
    /// It is not RFC 3339 with a zone, or names a moment that never was.
    Malformed,
    /// It is before 1970.
    Before1970,
    /// It is after the year 9999.
    After9999,
}

/// A time from outside, or `BAD_TIMESTAMP`.
pub fn timestamp(text: &str, field: &str) -> Result<DateTime<Utc>, Refusal> {
    parse_timestamp(text).map_err(|_| {
        let message = format!("{field} is not an RFC 3339 time with a zone within 1970 to 9999");
        Refusal::new(Code::BadTimestamp, message)
            .at([field])
            .with("actual", excerpt(text))
    })
}

/// How many seconds ahead of our clock a time may lie at which something is said to have happened:
/// a day, since clocks of others are wrong by their zone before they are wrong by more.
pub const AHEAD_SECONDS_MAX: u32 = 86_400;

/// When something happened, as somebody tells it: within 1970 to 9999 (`BAD_TIMESTAMP`) and no
/// further ahead of `now` than [`AHEAD_SECONDS_MAX`] (`TIME_IN_FUTURE`).
pub(crate) fn happened(
    time: DateTime<Utc>,
    now: DateTime<Utc>,
    field: &str,
) -> Result<DateTime<Utc>, Refusal> {
    let time = known(time, field)?;
    if time > after(now, AHEAD_SECONDS_MAX) {
        let message = format!("{field} is more than {AHEAD_SECONDS_MAX} seconds from now");
        return Err(Refusal::new(Code::TimeInFuture, message)
            .at([field])
            .with("maxSeconds", AHEAD_SECONDS_MAX)
            .with("actualSeconds", (time - now).num_seconds()));
    }
    Ok(time)
}

/// A time within 1970 to 9999, or `BAD_TIMESTAMP`.
pub(crate) fn known(time: DateTime<Utc>, field: &str) -> Result<DateTime<Utc>, Refusal> {
    if !(0..MICROS_END).contains(&time.timestamp_micros()) {
        let message = format!("{field} is not within 1970 to 9999");
        return Err(Refusal::new(Code::BadTimestamp, message).at([field]));
    }
    Ok(time)
}

/// `TIME_TRAVEL` if `time` lies before what it comes after. Names are those of fields.
pub(crate) fn not_before(
    time: DateTime<Utc>,
    field: &str,
    earlier: DateTime<Utc>,
    earlier_field: &str,
) -> Result<(), Refusal> {
    if time < earlier {
        let message = format!("{field} is before {earlier_field}");
        return Err(Refusal::new(Code::TimeTravel, message)
            .at([field])
            .with(earlier_field, instant(earlier))
            .with(field, instant(time)));
    }
    Ok(())
}

/// `TIME_TRAVEL` unless what begins at `from` lasts at all. `field` is that of the end.
pub(crate) fn lasting(from: DateTime<Utc>, end: DateTime<Utc>, field: &str) -> Result<(), Refusal> {
    if end <= from {
        let message = format!("{field} is not after from");
        return Err(Refusal::new(Code::TimeTravel, message)
            .at([field])
            .with("from", instant(from))
            .with(field, instant(end)));
    }
    Ok(())
}

/// A time in a refusal's details.
pub(crate) fn instant(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// So many seconds later, or the last time there is.
pub(crate) fn after(time: DateTime<Utc>, seconds: u32) -> DateTime<Utc> {
    time.checked_add_signed(TimeDelta::seconds(seconds.into()))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The beginning of what was sent, printable, for a refusal's details.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars()
        .take(TIMESTAMP_CHARS_MAX)
        .filter(|c| !c.is_control())
        .collect()
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)`, truncated to the microsecond.
///
/// A leap second (`:60`) is the next second. `24:00:00`, the 30th of February, an offset of a day
/// or more, a missing zone, a space for the `T` and epoch numbers are malformed. A year of more
/// than four digits is no RFC 3339 either, but plainly meant as the future, so it is told apart.
pub fn parse_timestamp(text: &str) -> Result<DateTime<Utc>, TimeFault> {
    let bytes = text.as_bytes();
    if bytes.len() > TIMESTAMP_CHARS_MAX || !bytes.is_ascii() {
        return Err(TimeFault::Malformed);
    }
    if !matches!(bytes.get(10), Some(b'T' | b't')) {
        let long = has_long_year(bytes);
        return Err(if long {
            TimeFault::After9999
        } else {
            TimeFault::Malformed
        });
    }
    let parsed = DateTime::parse_from_rfc3339(text)
        .map_err(|_| TimeFault::Malformed)?
        .to_utc();
    match parsed.timestamp_micros() {
        ..0 => Err(TimeFault::Before1970),
        MICROS_END.. => Err(TimeFault::After9999),
        _ if is_whole(&parsed) => Ok(parsed),
        // A leap second counts as a second's worth of microseconds more: the next second.
        micros => DateTime::from_timestamp_micros(micros).ok_or(TimeFault::Malformed),
    }
}

/// Microseconds without a rest, and no leap second: nothing to cut or to shift.
fn is_whole(time: &DateTime<Utc>) -> bool {
    let nanos = time.timestamp_subsec_nanos();
    nanos < 1_000_000_000 && nanos.is_multiple_of(1_000)
}

/// The first microsecond of the year 10000.
pub(crate) const MICROS_END: i64 = 253_402_300_800_000_000;

fn has_long_year(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"+").unwrap_or(bytes);
    let digits = bytes.iter().take_while(|c| c.is_ascii_digit()).count();
    let rest = &bytes[digits..];
    (5..=12).contains(&digits) && rest.first() == Some(&b'-') && rest.contains(&b'T')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str) -> Result<i64, TimeFault> {
        parse_timestamp(text).map(|t| t.timestamp_micros())
    }

    #[test]
    fn times_are_read_in_any_zone_and_cut_to_the_microsecond() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("2015-03-07T10:03:34-06:00", 1_425_744_214_000_000),
            ("2015-03-07t16:03:34z", 1_425_744_214_000_000),
            ("2015-03-07T16:03:34.5Z", 1_425_744_214_500_000),
            ("2015-03-07T16:03:34.1234569999Z", 1_425_744_214_123_456),
            // The same wall clock an hour apart, around the end of daylight saving time.
            ("2016-11-06T01:30:00-05:00", 1_478_413_800_000_000),
            ("2016-11-06T01:30:00-06:00", 1_478_417_400_000_000),
            // J13: a leap second is the next second, in any zone, with or without a fraction.
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
            ("2016-12-31T17:59:60.25-06:00", 1_483_228_800_250_000),
            ("2024-02-29T00:00:00+23:59", 1_709_078_460_000_000),
            ("9999-12-31T23:59:59.999999Z", MICROS_END - 1),
        ];
        for (text, expected) in cases {
            let expected = DateTime::from_timestamp_micros(expected).expect("a time");
            assert_eq!(parse_timestamp(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_never_was_or_has_no_zone_is_malformed() {
        let long = format!("2015-03-07T16:03:34.{}Z", "1".repeat(60));
        let cases = [
            "",
            "now",
            "2015-03-07",
            "2015-03-07T16:03:34",       // J13: no zone
            "2015-03-07T16:03:34+25:00", // J13
            "2015-03-07T16:03:34+24:00",
            "2015-03-07T16:03:34+05:60",
            "2015-03-07T16:03:34+0500",
            "2015-03-07T16:03:61Z", // J13
            "2015-03-07T24:00:00Z", // J13
            "2015-03-07T16:60:00Z",
            "2015-02-30T16:03:34Z", // J13
            "2015-02-29T16:03:34Z",
            "2015-00-10T16:03:34Z",
            "2015-03-07 16:03:34Z",
            "2015-03-07T16:03:34.Z",
            "2015-03-07T16:03:34,5Z",
            "2015-03-07T16:03Z",
            "2015-3-7T16:03:34Z",
            " 2015-03-07T16:03:34Z",
            "2015-03-07T16:03:34Z ",
            "2015-03-07T16:03:34ZZ",
            "2015-03-07T16:03:34\u{2212}06:00",
            "2015\u{661}03-07T16:03:34Z",
            "-2015-03-07T16:03:34Z",
            "1425744214",    // J14: epoch seconds
            "1425744214000", // J14: epoch milliseconds
            "1.4e9",
            "20150307T160334Z",
            long.as_str(),
        ];
        for text in cases {
            assert_eq!(micros(text), Err(TimeFault::Malformed), "{text}");
            let refusal = timestamp(text, "fixTime").expect_err(text);
            assert_eq!(
                (refusal.code, refusal.path),
                (Code::BadTimestamp, vec!["fixTime".into()])
            );
        }
    }

    #[test]
    fn years_outside_1970_to_9999_are_told_apart() {
        let cases = [
            ("1969-12-31T23:59:59.999999Z", TimeFault::Before1970),
            ("1970-01-01T00:00:00+00:01", TimeFault::Before1970),
            ("0000-01-01T00:00:00Z", TimeFault::Before1970),
            ("9999-12-31T23:59:59-00:01", TimeFault::After9999),
            ("9999-12-31T23:59:60Z", TimeFault::After9999),
            ("10000-01-01T00:00:00Z", TimeFault::After9999),
            ("+10000-01-01T00:00:00Z", TimeFault::After9999),
            ("294277-01-09T04:00:54Z", TimeFault::After9999),
        ];
        for (text, fault) in cases {
            assert_eq!(micros(text), Err(fault), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_in_any_zone(
            us in 0..MICROS_END, minutes in -1_439i32..=1_439,
        ) {
            let time = DateTime::from_timestamp_micros(us).expect("a time");
            let zone = chrono::FixedOffset::east_opt(minutes * 60).expect("a zone");
            prop_assert_eq!(parse_timestamp(&time.to_rfc3339()), Ok(time));
            let local = time.with_timezone(&zone);
            if (1970..=9999).contains(&chrono::Datelike::year(&local)) {
                prop_assert_eq!(parse_timestamp(&local.to_rfc3339()), Ok(time));
            }
        }

        #[test]
        fn nothing_panics(text in "[0-9TZtz:.+ -]{0,40}|\\PC{0,40}") {
            let refused = timestamp(&text, "t").err().map(|refusal| refusal.code);
            prop_assert!(matches!(refused, None | Some(Code::BadTimestamp)));
        }
    }
}
