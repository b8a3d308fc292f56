//! Times: RFC 3339 with a zone, years 1970 to 9999, kept to the microsecond.

use chrono::{DateTime, NaiveDate, Utc};

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

/// The beginning of what was sent, printable, for a refusal's details.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars()
        .take(TIMESTAMP_CHARS_MAX)
        .filter(|c| !c.is_control())
        .collect()
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)`, truncated to the microsecond.
///
/// A leap second (`:60`) is the next second. `24:00:00`, the 30th of February, an offset of a day or
/// more, a missing zone and epoch numbers are malformed. A year of more than four digits is no
/// RFC 3339 but plainly meant as the future, so it is told apart.
pub fn parse_timestamp(text: &str) -> Result<DateTime<Utc>, TimeFault> {
    let b = text.as_bytes();
    if b.len() > TIMESTAMP_CHARS_MAX {
        return Err(TimeFault::Malformed);
    }
    if has_long_year(b) {
        return Err(TimeFault::After9999);
    }
    let (year, month, day) = read_date(b).ok_or(TimeFault::Malformed)?;
    let (second_of_day, rest) = read_clock(b).ok_or(TimeFault::Malformed)?;
    let (micros, zone) = read_fraction(rest).ok_or(TimeFault::Malformed)?;
    let offset_s = read_offset(zone).ok_or(TimeFault::Malformed)?;
    let date = NaiveDate::from_ymd_opt(year, month, day).ok_or(TimeFault::Malformed)?;
    let midnight = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
    let at = midnight + second_of_day - offset_s;
    match at {
        ..0 => Err(TimeFault::Before1970),
        SECONDS_END.. => Err(TimeFault::After9999),
        _ => DateTime::from_timestamp(at, micros * 1_000).ok_or(TimeFault::Malformed),
    }
}

/// The first second of the year 10000.
const SECONDS_END: i64 = 253_402_300_800;

fn has_long_year(b: &[u8]) -> bool {
    let b = b.strip_prefix(b"+").unwrap_or(b);
    let digits = b.iter().take_while(|c| c.is_ascii_digit()).count();
    digits > 4 && digits <= 12 && b.get(digits) == Some(&b'-') && b.contains(&b':')
}

fn read_date(b: &[u8]) -> Option<(i32, u32, u32)> {
    let (&d, _) = b.split_first_chunk::<10>()?;
    if d[4] != b'-' || d[7] != b'-' {
        return None;
    }
    let year = two(d[0], d[1])? * 100 + two(d[2], d[3])?;
    Some((
        i32::try_from(year).ok()?,
        two(d[5], d[6])?,
        two(d[8], d[9])?,
    ))
}

/// Seconds since midnight, 86,400 for a leap second at its end, and what follows the seconds.
fn read_clock(b: &[u8]) -> Option<(i64, &[u8])> {
    let (&c, rest) = b.get(10..)?.split_first_chunk::<9>()?;
    if !c[0].eq_ignore_ascii_case(&b'T') || c[3] != b':' || c[6] != b':' {
        return None;
    }
    let (hour, minute, second) = (two(c[1], c[2])?, two(c[4], c[5])?, two(c[7], c[8])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some((i64::from(hour * 3_600 + minute * 60 + second), rest))
}

fn read_fraction(b: &[u8]) -> Option<(u32, &[u8])> {
    let Some(fraction) = b.strip_prefix(b".") else {
        return Some((0, b));
    };
    let digits = fraction.iter().take_while(|c| c.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let (digits, rest) = fraction.split_at(digits);
    let micros = (0..6).fold(0, |micros, i| {
        micros * 10 + u32::from(digits.get(i).map_or(0, |digit| digit - b'0'))
    });
    Some((micros, rest))
}

fn read_offset(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours * 3_600 + minutes * 60);
            Some(if sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

fn two(a: u8, b: u8) -> Option<u32> {
    if !a.is_ascii_digit() || !b.is_ascii_digit() {
        return None;
    }
    Some(u32::from(a - b'0') * 10 + u32::from(b - b'0'))
}
