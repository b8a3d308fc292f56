//! Scalars: how values of the domain are written in GraphQL, each with the document that specifies it.
//!
//! `is_valid` runs before anything else does: a bad literal or variable is refused with the document.

mod duration;
mod number;
mod score;

pub use duration::Duration;
pub use number::{Latitude, Long, Longitude};
pub use score::Score;

use async_graphql::{Description, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{NaiveDate, SecondsFormat, Utc};
use domain::values;

/// A scalar whose value is a text: how it is read and how it is written.
macro_rules! text_scalar {
    ($name:ident, $url:literal, $read:expr, $write:expr) => {
        #[Scalar(specified_by_url = $url, use_type_description)]
        impl ScalarType for $name {
            fn parse(value: Value) -> InputValueResult<Self> {
                let read: fn(&str) -> Result<$name, String> = $read;
                match &value {
                    Value::String(text) => read(text).map_err(InputValueError::custom),
                    _ => Err(InputValueError::expected_type(value)),
                }
            }

            fn is_valid(value: &Value) -> bool {
                Self::parse(value.clone()).is_ok()
            }

            fn to_value(&self) -> Value {
                let write: fn(&$name) -> String = $write;
                Value::String(write(self))
            }
        }
    };
}
use text_scalar;

/// An instant: RFC 3339 with a zone, years 1970 to 9999. Given out in UTC with `Z` and as many
/// decimals as it needs: none, three or six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Description)]
pub struct DateTime(pub chrono::DateTime<Utc>);

text_scalar!(
    DateTime,
    "https://scalars.graphql.org/andimarek/date-time.html",
    |text| values::timestamp(text, "time")
        .map(DateTime)
        .map_err(|refusal| refusal.message),
    |at| at.0.to_rfc3339_opts(SecondsFormat::AutoSi, true)
);

/// A calendar day, `YYYY-MM-DD` (RFC 3339 full-date).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Description)]
pub struct Date(pub NaiveDate);

text_scalar!(
    Date,
    "https://scalars.graphql.org/andimarek/local-date.html",
    |text| match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(day) if text.len() == 10 => Ok(Date(day)),
        _ => Err("not a day written YYYY-MM-DD".to_owned()),
    },
    |day| day.0.format("%Y-%m-%d").to_string()
);

/// A universally unique identifier, lower-case with hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Description)]
#[graphql(name = "UUID")]
pub struct Uuid(pub uuid::Uuid);

#[Scalar(
    name = "UUID",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc9562",
    use_type_description
)]
impl ScalarType for Uuid {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) if text.len() == 36 => uuid::Uuid::parse_str(text)
                .map(Uuid)
                .map_err(InputValueError::custom),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        Self::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.hyphenated().to_string())
    }
}

/// A cell of the H3 grid: its index in lower-case hexadecimal, such as `89489e3466fffff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Description)]
pub struct H3Cell(pub projections::H3Cell);

text_scalar!(
    H3Cell,
    "https://h3geo.org/docs/core-library/h3Indexing/",
    |text| text
        .parse()
        .map(H3Cell)
        .map_err(|_| "not an H3 cell".to_owned()),
    |cell| cell.0.to_string()
);

/// A place in the tenant's log: a whole number in decimal digits, as a text because it outgrows
/// `Int`. The first event's position is `"1"`; `"0"` is before it. Treat it as opaque: positions
/// compare as numbers, nothing else may be read out of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Description)]
pub struct Position(pub domain::Position);

text_scalar!(
    Position,
    "https://www.w3.org/TR/xmlschema-2/#nonNegativeInteger",
    |text| position(text)
        .map(Position)
        .ok_or_else(|| "not a position".to_owned()),
    |at| at.0.to_string()
);

/// Reads a position: decimal digits without sign or leading zeros.
pub fn position(text: &str) -> Option<domain::Position> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    plain
        .then(|| text.parse().ok())
        .flatten()
        .map(domain::Position)
}

/// Any JSON value.
#[derive(Clone, Debug, PartialEq, Description)]
pub struct Json(pub Value);

#[Scalar(
    name = "JSON",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259",
    use_type_description
)]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Json(value))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}

/// A JSON object: names and any values.
#[derive(Clone, Debug, Default, PartialEq, Description)]
pub struct JsonObject(pub serde_json::Map<String, serde_json::Value>);

#[Scalar(
    name = "JSONObject",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259#section-4",
    use_type_description
)]
impl ScalarType for JsonObject {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value.into_json() {
            Ok(serde_json::Value::Object(object)) => Ok(JsonObject(object)),
            _ => Err(InputValueError::custom("not a JSON object")),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::Object(_))
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone().into()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<S: ScalarType>(text: &str, expect: Option<&str>) {
        let got = S::parse(Value::String(text.to_owned()))
            .ok()
            .map(|s| s.to_value());
        assert_eq!(got, expect.map(|e| Value::String(e.to_owned())), "{text}");
    }

    #[test]
    fn texts_are_read_strictly_and_written_one_way() {
        round::<DateTime>("2015-12-16T08:00:00-06:00", Some("2015-12-16T14:00:00Z"));
        round::<DateTime>("2015-12-16T08:00:00.5Z", Some("2015-12-16T08:00:00.500Z"));
        for bad in [
            "2015-12-16",
            "2015-12-16T08:00:00",
            "2015-02-30T00:00:00Z",
            "1450253000",
            "",
        ] {
            round::<DateTime>(bad, None);
        }
        round::<Date>("2016-02-29", Some("2016-02-29"));
        round::<Date>("2015-02-29", None);
        round::<Date>("2016-2-9", None);
        round::<Uuid>(
            "0190A6C4-0000-7000-8000-00000000000A",
            Some("0190a6c4-0000-7000-8000-00000000000a"),
        );
        round::<Uuid>("{0190a6c4-0000-7000-8000-00000000000a}", None);
        round::<H3Cell>("89489e3466fffff", Some("89489e3466fffff"));
        round::<H3Cell>("zzz", None);
        for (text, expect) in [
            ("0", Some("0")),
            ("42", Some("42")),
            ("-1", None),
            ("042", None),
            ("+1", None),
            ("", None),
            ("9223372036854775808", None),
        ] {
            round::<Position>(text, expect);
        }
    }

    #[test]
    fn numbers_are_no_texts() {
        assert!(!DateTime::is_valid(&Value::from(1_450_253_000_i64)));
        assert!(!Position::is_valid(&Value::from(1)));
    }
}
