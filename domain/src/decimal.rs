//! Exact decimals: whole numbers of a smallest unit, with a declared number of decimal places.
//!
//! No value goes through a floating-point number: what was written is what counts.

use std::fmt::Write as _;

use crate::refusal::{Code, Refusal};
use crate::values::{between, excerpt};

/// How many decimal places a value may be declared to have.
pub const DECIMALS_MAX: u8 = 6;

/// How many digits a value may have that is rounded.
pub const DIGITS_MAX: usize = 28;

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
    let Written {
        negative,
        whole,
        places,
    } = written(text, field)?;
    if places.len() > usize::from(decimals) {
        let message = format!("has more than {decimals} decimal places");
        return Err(malformed(text, field, &message).with("decimals", decimals));
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

/// Reads such a number with up to [`DIGITS_MAX`] digits, takes it `times` a whole number, and rounds that to
/// the nearest whole one, a half up: `0.5000005` kilometres in millimetres are 500,001.
///
/// `VALIDATION`: not such a number, or more digits. `OUT_OF_RANGE`: below zero, or more than 2^63 - 1.
pub fn scaled(text: &str, times: u32, field: &str) -> Result<i64, Refusal> {
    let Written {
        negative,
        whole,
        places,
    } = written(text, field)?;
    if whole.len() + places.len() > DIGITS_MAX {
        let message = format!("has more than {DIGITS_MAX} digits");
        return Err(malformed(text, field, &message));
    }
    // 28 digits times ten of a whole number are below 2^127.
    let digits = whole.bytes().chain(places.bytes());
    let value = digits.fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    if negative && value > 0 {
        return Err(outside(text, field));
    }
    let one = places.bytes().fold(1_i128, |one, _| one * 10);
    let rounded = (value * i128::from(times) + one / 2) / one;
    i64::try_from(rounded).map_err(|_| outside(text, field))
}

/// The digits of a number as it is written.
struct Written<'t> {
    negative: bool,
    whole: &'t str,
    places: &'t str,
}

fn written<'t>(text: &'t str, field: &str) -> Result<Written<'t>, Refusal> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, places) = match digits.split_once('.') {
        Some((whole, places)) if !places.is_empty() => (whole, places),
        Some(_) => return Err(malformed(text, field, "ends with a point")),
        None => (digits, ""),
    };
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let starts_well = whole == "0" || !whole.starts_with('0');
    if whole.is_empty() || !starts_well || !is_number(whole) || !is_number(places) {
        return Err(malformed(text, field, "is not a decimal number"));
    }
    Ok(Written {
        negative,
        whole,
        places,
    })
}

fn malformed(text: &str, field: &str, what: &str) -> Refusal {
    Refusal::new(Code::Validation, format!("{field} {what}"))
        .at([field])
        .with("actual", excerpt(text))
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
    fn what_has_more_places_is_rounded_once() {
        let metre = 1_000;
        let kilometre = 1_000_000;
        let mile = 1_609_344;
        let cases = [
            ("0", kilometre, 0),
            ("-0.0", kilometre, 0),
            ("8.5", kilometre, 8_500_000),
            ("6.96999979019165", kilometre, 6_970_000),
            ("0.00999999977648258", kilometre, 10_000),
            ("1.0000004999999999999999", kilometre, 1_000_000),
            ("1.0000005", kilometre, 1_000_001),
            ("26.2", mile, 42_164_813),
            ("0.0005", metre, 1),
            ("0.00049999999", metre, 0),
            ("9223372036854775807", 1, i64::MAX),
            ("9223372036854775806.5", 1, i64::MAX),
        ];
        for (text, times, value) in cases {
            assert_eq!(scaled(text, times, "distance"), Ok(value), "{text}");
        }
        let refused = [
            ("", Code::Validation),
            ("1e3", Code::Validation),
            ("NaN", Code::Validation),
            ("1.", Code::Validation),
            ("00.1", Code::Validation),
            ("0.0000000000000000000000000001", Code::Validation),
            ("-0.1", Code::OutOfRange),
            ("9223372036854775807.5", Code::OutOfRange),
        ];
        for (text, code) in refused {
            let refusal = scaled(text, 1, "distance").expect_err(text);
            assert_eq!(refusal.code, code, "{text}");
        }
        let most = "9".repeat(DIGITS_MAX);
        let refusal = scaled(&most, u32::MAX, "distance").expect_err("too much");
        assert_eq!(refusal.code, Code::OutOfRange);
    }

    proptest! {
        /// A value that needs no rounding is the one that [`parse`] reads.
        #[test]
        fn what_is_exact_is_not_rounded(value in 0..=i64::MAX, places in 0..=DECIMALS_MAX) {
            let times = 10_u32.pow(places.into());
            prop_assert_eq!(scaled(&text(value, places), times, "distance"), Ok(value));
        }
    }

    #[test]
    fn a_value_below_zero_can_be_shown() {
        assert_eq!(text(-5, 1), "-0.5");
        assert_eq!(text(i64::MIN, 0), "-9223372036854775808");
    }
}
