//! Numbers with a range: degrees, and integers beyond 32 bits.

use async_graphql::{Description, InputValueError, InputValueResult, Scalar, ScalarType, Value};

/// Degrees north of the equator on WGS 84, -90 to 90.
#[derive(Clone, Copy, Debug, PartialEq, Description)]
pub struct Latitude(pub f64);

/// Degrees east of Greenwich on WGS 84, -180 to 180.
#[derive(Clone, Copy, Debug, PartialEq, Description)]
pub struct Longitude(pub f64);

/// A whole number of up to 53 bits: one that a JSON number carries without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Description)]
pub struct Long(pub i64);

const LONG_MAX: i64 = (1 << 53) - 1;

/// A scalar of degrees within plus and minus `$most`.
macro_rules! degrees {
    ($name:ident, $most:literal) => {
        #[Scalar(specified_by_url = "https://epsg.io/4326", use_type_description)]
        impl ScalarType for $name {
            fn parse(value: Value) -> InputValueResult<Self> {
                match &value {
                    Value::Number(number) => match number.as_f64() {
                        Some(degrees) if degrees.abs() <= $most => Ok($name(degrees + 0.0)),
                        _ => Err(InputValueError::custom(concat!(
                            "beyond ", $most, " degrees"
                        ))),
                    },
                    _ => Err(InputValueError::expected_type(value)),
                }
            }

            fn is_valid(value: &Value) -> bool {
                Self::parse(value.clone()).is_ok()
            }

            fn to_value(&self) -> Value {
                Value::from(self.0)
            }
        }
    };
}
degrees!(Latitude, 90.0);
degrees!(Longitude, 180.0);

#[Scalar(
    specified_by_url = "https://scalars.graphql.org/jakobmerrild/long.html",
    use_type_description
)]
impl ScalarType for Long {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => match number.as_i64() {
                Some(whole) if whole.abs() <= LONG_MAX => Ok(Long(whole)),
                _ => Err(InputValueError::custom(
                    "not a whole number of up to 53 bits",
                )),
            },
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        Self::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}
