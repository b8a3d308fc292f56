//! Exact decimals: whole numbers of a smallest unit, with a declared number of decimal places.
//!
//! No value goes through a floating-point number: what was written is what counts.

use std::fmt::Write as _;

use crate::refusal::{Code, Refusal};
use crate::values::{between, excerpt};

/// How many decimal places a value may be declared to have.
pub const DECIMALS_MAX: u8 = 6;

/// Refuses more places than [`DECIMALS_MAX`] with `OUT_OF_RANGE`.
pub(crate) fn decimals(value: u8, field: &str) -> Result<u8, Refusal> {
    between(value.into(), 0..=DECIMALS_MAX.into(), field)?;
    Ok(value)
}

/// Reads digits, and a point with more digits where `decimals` allows places: `12.5` with one place
/// is 125. The value is at least zero, and `-0` is zero.
///
/// `VALIDATION`: not such a number (a word such as `NaN` or `Infinity`, an exponent, a plus sign, a
/// leading zero, a space), or more places than declared. `OUT_OF_RANGE`: below zero, or more than
/// 2^63 - 1 of the smallest unit.
pub fn parse(text: &str, decimals: u8, field: &str) -> Result<i64, Refusal> {
    let malformed = |what: &str| {
        Refusal::new(Code::Validation, format!("{field} {what}"))
            .at([field])
            .with("actual", excerpt(text))
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, places) = match digits.split_once('.') {
        Some((whole, places)) if !places.is_empty() => (whole, places),
        Some(_) => return Err(malformed("ends with a point")),
        None => (digits, ""),
    };
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let starts_well = whole == "0" || !whole.starts_with('0');
    if whole.is_empty() || !starts_well || !is_number(whole) || !is_number(places) {
        return Err(malformed("is not a decimal number"));
    }
    if places.len() > usize::from(decimals) {
        let message = format!("has more than {decimals} decimal places");
        return Err(malformed(&message).with("decimals", decimals));
    }
    let missing = usize::from(decimals) - places.len();
    let units = whole.bytes().chain(places.bytes());
    let mut units = units.chain(std::iter::repeat_n(b'0', missing));
    let value = units.try_fold(0_i64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
    });
    match value {
        Some(value) if !negative || value == 0 => Ok(value),
        _ => Err(outside(text, field)),
    }
}

fn outside(text: &str, field: &str) -> Refusal {
    let message = format!("{field} is below zero or too large to be counted exactly");
    Refusal::new(Code::OutOfRange, message)
        .at([field])
        .with("min", 0)
        .with("maxUnits", i64::MAX)
        .with("actual", excerpt(text))
}

/// The value with all its places: 125 with one place is `12.5`.
pub fn text(value: i64, decimals: u8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let unit = 10_u64.pow(u32::from(decimals.min(DECIMALS_MAX)));
    let size = value.unsigned_abs();
    let mut text = format!("{sign}{}", size / unit);
    if unit > 1 {
        let width = usize::from(decimals.min(DECIMALS_MAX));
        write!(text, ".{:0width$}", size % unit).expect("a text takes more text");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_what_counts() {
        let cases = [
            ("0", 0, 0),
            ("-0", 0, 0),
            ("-0.00", 2, 0),
            ("12.5", 1, 125),
            ("12.5", 3, 12_500),
            ("12", 6, 12_000_000),
            ("0.000001", 6, 1),
            ("9223372036854775807", 0, i64::MAX),
            ("9223372036854.775807", 6, i64::MAX),
        ];
        for (text, decimals, value) in cases {
            assert_eq!(parse(text, decimals, "score"), Ok(value), "{text}");
        }
    }

    /// J7, J8, J9
    #[test]
    fn what_is_no_exact_number_is_refused() {
        let malformed = [
            "",
            "-",
            ".",
            ".5",
            "5.",
            "-.5",
            "+5",
            " 5",
            "5 ",
            "05",
            "00",
            "-00",
            "1e3",
            "1E3",
            "1e400",
            "NaN",
            "nan",
            "Infinity",
            "-Infinity",
            "inf",
            "0x10",
            "1_000",
            "1,000",
            "1.2.3",
            "\u{661}",
            "\u{ff15}",
            "12.55",
            "1.0000000",
            "--1",
        ];
        for text in malformed {
            let refusal = parse(text, 1, "score").expect_err(text);
            assert_eq!(refusal.code, Code::Validation, "{text}");
            assert_eq!(refusal.path, ["score"]);
        }
        let outside = [
            "-1",
            "-0.1",
            "9223372036854775808",
            "922337203685477580.8",
            "99999999999999999999",
        ];
        for text in outside {
            let refusal = parse(text, 1, "score").expect_err(text);
            assert_eq!(refusal.code, Code::OutOfRange, "{text}");
        }
        let long = "9".repeat(100_000);
        let refusal = parse(&long, 0, "score").expect_err("long");
        assert!(refusal.details["actual"].to_string().len() < 100);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(value in 0..=i64::MAX, places in 0..=DECIMALS_MAX) {
            prop_assert_eq!(parse(&text(value, places), places, "score"), Ok(value));
        }

        #[test]
        fn nothing_panics(said in "[0-9.eE+-]{0,30}|\\PC{0,30}", places in 0..=DECIMALS_MAX) {
            let _ = parse(&said, places, "score");
        }
    }

    #[test]
    fn a_value_below_zero_can_be_shown() {
        assert_eq!(text(-5, 1), "-0.5");
        assert_eq!(text(i64::MIN, 0), "-9223372036854775808");
    }
}
