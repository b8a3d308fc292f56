//! Checked values: what a text, an id, a number or a time must be before it enters a command.
//!
//! Each check returns the value in its one canonical form or a [`Refusal`] whose path is the
//! field's name; callers put the field's parents in front with [`Refusal::under`].

mod email;
mod text;
mod time;

pub use email::{EMAIL_BYTES_MAX, EMAIL_LOCAL_BYTES_MAX, email, email_canonical};
pub use text::{
    ID_MAX, KEY_MAX, NAME_MAX, REASON_MAX, TextRule, id, key_part, optional_text, text, vehicle_id,
};
pub use time::{AHEAD_SECONDS_MAX, TIMESTAMP_CHARS_MAX, TimeFault, parse_timestamp, timestamp};
pub(crate) use time::{MICROS_END, after, excerpt, happened, instant, known, lasting, not_before};

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::attributes::Attributes;
use crate::refusal::{Code, Refusal};

/// How many bytes the attributes of one record may take as JSON.
pub const ATTRIBUTES_BYTES_MAX: usize = 64 * 1024;

/// How many keys the attributes of one record may have, nested ones included.
pub const ATTRIBUTE_KEYS_MAX: usize = 1_000;

/// A finite number within `min..=max`, else `code` with the bounds and the actual value.
/// `-0.0` becomes `0.0`.
pub fn number(value: f64, min: f64, max: f64, code: Code, field: &str) -> Result<f64, Refusal> {
    if value >= min && value <= max {
        return Ok(value + 0.0);
    }
    Err(Refusal::new(
        code,
        format!("{field} is not a number within {min}..={max}"),
    )
    .at([field])
    .with("min", min)
    .with("max", max)
    .with("actual", describe(value)))
}

/// A whole number within bounds, or `OUT_OF_RANGE` with both bounds and the number.
pub(crate) fn between(value: u32, bounds: RangeInclusive<u32>, field: &str) -> Result<(), Refusal> {
    if bounds.contains(&value) {
        return Ok(());
    }
    let (min, max) = (*bounds.start(), *bounds.end());
    let message = format!("{field} is not within {min} to {max}");
    Err(Refusal::new(Code::OutOfRange, message)
        .at([field])
        .with("min", min)
        .with("max", max)
        .with("actual", value))
}

/// JSON has no NaN and no infinity: those are told in words.
fn describe(value: f64) -> Value {
    if value.is_finite() {
        value.into()
    } else {
        value.to_string().into()
    }
}

/// Attributes within their limits and without NUL, in keys and texts alike.
/// Keys are data: none is interpreted, whatever its name.
pub fn attributes(attributes: &Attributes, field: &str) -> Result<Attributes, Refusal> {
    attributes.check_once(|attributes| check_attributes(attributes, field))?;
    Ok(attributes.clone())
}

fn check_attributes(attributes: &Attributes, field: &str) -> Result<(), Refusal> {
    let mut keys = 0;
    for (key, value) in attributes.iter() {
        keys += 1;
        refuse_nul(key, field)?;
        walk(value, &mut keys, field)?;
    }
    within(keys, ATTRIBUTE_KEYS_MAX, "keys", field)?;
    within(
        attributes.json_bytes(),
        ATTRIBUTES_BYTES_MAX,
        "bytes",
        field,
    )
}

fn walk(value: &Value, keys: &mut usize, field: &str) -> Result<(), Refusal> {
    match value {
        Value::String(text) => refuse_nul(text, field),
        Value::Array(items) => items.iter().try_for_each(|item| walk(item, keys, field)),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            *keys += 1;
            refuse_nul(key, field)?;
            walk(value, keys, field)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn refuse_nul(text: &str, field: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        return Err(
            Refusal::new(Code::BadText, format!("{field} holds a NUL character"))
                .at([field])
                .with("character", "U+0000"),
        );
    }
    Ok(())
}

/// How many characters SHA-256 has in hexadecimal.
const SHA256_CHARS: usize = 64;

/// SHA-256 as lower-case hexadecimal, or `VALIDATION`.
pub(crate) fn sha256(value: &str, field: &str) -> Result<String, Refusal> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if value.len() != SHA256_CHARS || !value.bytes().all(hex) {
        let message = format!("{field} is not SHA-256 in lower-case hexadecimal");
        return Err(Refusal::new(Code::Validation, message).at([field]));
    }
    Ok(value.to_owned())
}

fn within(actual: usize, limit: usize, unit: &str, field: &str) -> Result<(), Refusal> {
    if actual > limit {
        return Err(too_large(actual, limit, unit, field));
    }
    Ok(())
}

pub(crate) fn too_large(actual: usize, limit: usize, unit: &str, field: &str) -> Refusal {
    let message = format!("{field} is larger than {limit} {unit}");
    Refusal::new(Code::TooLarge, message)
        .at([field])
        .with("limit", limit)
        .with("actual", actual)
        .with("unit", unit)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn object(value: Value) -> Attributes {
        match value {
            Value::Object(map) => map.into(),
            other => panic!("{other} is no object"),
        }
    }

    fn keys(count: usize) -> Attributes {
        let entries = (0..count).map(|i| (format!("k{i}"), Value::from(i)));
        entries.collect::<Map<_, _>>().into()
    }

    /// J7
    #[test]
    fn numbers_are_finite_within_bounds_and_have_one_zero() {
        let check = |v| number(v, -90.0, 90.0, Code::InvalidCoordinates, "lat");
        for good in [-90.0, -0.1, 90.0, f64::MIN_POSITIVE] {
            assert_eq!(check(good), Ok(good));
        }
        assert_eq!(check(-0.0).map(f64::to_bits), Ok(0));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 90.000_1, -91.0] {
            let refusal = check(bad).expect_err("outside");
            assert_eq!(
                (refusal.code, &refusal.path[..]),
                (Code::InvalidCoordinates, &["lat".into()][..])
            );
            assert_eq!(
                (&refusal.details["min"], &refusal.details["max"]),
                (&json!(-90.0), &json!(90.0))
            );
            assert!(
                !refusal.details["actual"].is_null(),
                "{bad} is told, finite or not"
            );
        }
    }

    /// J3, J25
    #[test]
    fn attributes_are_data_but_for_nul() {
        let data =
            json!({"__proto__": {"a": [1, null]}, "$where": "1=1", "": "line\nbreak", "n": -0.0});
        assert_eq!(
            attributes(&object(data.clone()), "attributes"),
            Ok(object(data))
        );
        assert_eq!(
            attributes(&Attributes::default(), "attributes"),
            Ok(Attributes::default())
        );
        let bad = [
            json!({"a\0": 1}),
            json!({"a": "\0"}),
            json!({"a": [[{"b": "x\0"}]]}),
            json!({"a": {"b\0": 1}}),
        ];
        for value in bad {
            let refusal = attributes(&object(value), "attributes").expect_err("NUL");
            assert_eq!(
                (refusal.code, &refusal.path[..]),
                (Code::BadText, &["attributes".into()][..])
            );
        }
    }

    /// J22
    #[test]
    fn attributes_are_bounded_in_keys_and_bytes() {
        let refused = |map: &Attributes| {
            let refusal = attributes(map, "attributes").expect_err("too large");
            assert_eq!(refusal.code, Code::TooLarge);
            let fact = |name: &str| refusal.details[name].as_u64();
            (
                fact("limit"),
                fact("actual"),
                refusal.details["unit"].clone(),
            )
        };
        assert!(attributes(&keys(1_000), "attributes").is_ok());
        assert_eq!(
            refused(&keys(1_001)),
            (Some(1_000), Some(1_001), json!("keys"))
        );
        let nested = object(json!({"a": *keys(500), "b": [*keys(500)]}));
        assert_eq!(refused(&nested), (Some(1_000), Some(1_002), json!("keys")));

        let text = |bytes: usize| object(json!({ "t": "x".repeat(bytes - r#"{"t":""}"#.len()) }));
        assert!(attributes(&text(65_536), "attributes").is_ok());
        assert_eq!(
            refused(&text(65_537)),
            (Some(65_536), Some(65_537), json!("bytes"))
        );
    }
}
