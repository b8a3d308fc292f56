//! Lengths of time as ISO 8601 writes them.

use async_graphql::{Description, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::TimeDelta;

use super::text_scalar;

/// A length of time, ISO 8601 in days, hours, minutes and seconds: `PT5M`, `P1DT2H`, `PT0.25S`.
/// A day is 24 hours. Years and months, whose length varies, are not accepted; nor is a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Description)]
pub struct Duration(pub TimeDelta);

text_scalar!(
    Duration,
    "https://www.rfc-editor.org/rfc/rfc3339#appendix-A",
    |text| read(text)
        .map(Duration)
        .ok_or_else(|| "not a duration such as PT5M".to_owned()),
    |length| write(length.0)
);

/// Longest text read.
const CHARS_MAX: usize = 40;

fn read(text: &str) -> Option<TimeDelta> {
    let rest = text
        .strip_prefix('P')
        .filter(|_| text.len() <= CHARS_MAX && text.is_ascii())?;
    let (date, time) = match rest.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None if rest.is_empty() => return None,
        None => (rest, ""),
    };
    let mut sum = TimeDelta::zero();
    for (part, units) in [
        (date, &[('W', 604_800), ('D', 86_400)][..]),
        (time, &[('H', 3_600), ('M', 60), ('S', 1)]),
    ] {
        let mut rest = part;
        for (unit, seconds) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                sum = sum.checked_add(&scale(number, *seconds)?)?;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(sum)
}

/// `number` times a unit of so many seconds; decimals, at most six, only where the unit is a second.
fn scale(number: &str, seconds: i64) -> Option<TimeDelta> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole)
        || !digits(fraction)
        || fraction.len() > 6
        || (number.contains('.') && seconds != 1)
    {
        return None;
    }
    let micros = format!("{fraction:0<6}").parse().ok()?;
    let whole = whole.parse::<i64>().ok()?.checked_mul(seconds)?;
    TimeDelta::try_seconds(whole)?.checked_add(&TimeDelta::microseconds(micros))
}

fn write(length: TimeDelta) -> String {
    let (seconds, micros) = (length.num_seconds(), length.subsec_nanos() / 1_000);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let mut text = String::from("P");
    if days > 0 {
        text += &format!("{days}D");
    }
    let fraction = format!(".{micros:06}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let seconds = format!("{}{fraction}", seconds % 60);
    let parts = [
        (hours.to_string(), 'H'),
        (minutes.to_string(), 'M'),
        (seconds, 'S'),
    ];
    let time: String = parts
        .iter()
        .filter(|(n, _)| n != "0")
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect();
    match (time.is_empty(), days) {
        (true, 0) => "PT0S".to_owned(),
        (true, _) => text,
        (false, _) => format!("{text}T{time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, expect) in [
            ("PT5M", Some("PT5M")),
            ("P1D", Some("P1D")),
            ("P1W", Some("P7D")),
            ("PT90M", Some("PT1H30M")),
            ("P1DT2H3M4.5S", Some("P1DT2H3M4.5S")),
            ("PT0S", Some("PT0S")),
            ("PT36H", Some("P1DT12H")),
            ("PT0.000001S", Some("PT0.000001S")),
            ("PT", None),
            ("P", None),
            ("", None),
            ("5M", None),
            ("P1M", None),
            ("P1Y", None),
            ("-PT5M", None),
            ("PT-5M", None),
            ("PT1.5H", None),
            ("PT5", None),
            ("PT5M5H", None),
            ("PT99999999999999999999S", None),
            ("PT1.S", None),
            ("PTS", None),
        ] {
            assert_eq!(read(text).map(write).as_deref(), expect, "{text}");
        }
    }
}
