//! Scores: exact decimals, never through floating point.

use async_graphql::{Description, InputValueError, InputValueResult, Scalar, ScalarType, Value};

/// A score, or an amount: a decimal text such as `"12.5"`, or a whole number up to 2^53. A number with a
/// point or an exponent is refused, since it has been rounded already. Given out as a text with all the
/// places that its competition has.
#[derive(Clone, Debug, PartialEq, Description)]
pub struct Score(pub serde_json::Value);

impl Score {
    /// Of so many of the smallest unit.
    pub fn of_units(units: i64, decimals: u8) -> Score {
        Score(domain::decimal::text(units, decimals).into())
    }
}

#[Scalar(
    specified_by_url = "https://www.w3.org/TR/xmlschema-2/#decimal",
    use_type_description
)]
impl ScalarType for Score {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(_) | Value::Number(_) => value
                .into_json()
                .map(Score)
                .map_err(|_| InputValueError::custom("not a finite number")),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(_) | Value::Number(_))
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_are_taken_as_they_are_written() {
        for (written, kept) in [
            (Value::from("12.50"), serde_json::json!("12.50")),
            (Value::from(7), serde_json::json!(7)),
            (Value::from(0.5), serde_json::json!(0.5)),
        ] {
            assert!(Score::is_valid(&written));
            let score = Score::parse(written).ok().map(|score| score.0);
            assert_eq!(score, Some(kept));
        }
        assert!(!Score::is_valid(&Value::Null));
        assert!(Score::parse(Value::from(true)).is_err());
        assert_eq!(Score::of_units(125, 1).to_value(), Value::from("12.5"));
    }
}
