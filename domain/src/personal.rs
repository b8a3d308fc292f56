//! Personal values in events: in the clear while a command is decided, sealed wherever they stay.

use std::fmt;

use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that tells who somebody is.
///
/// It is stored sealed with a key of its subject: destroying the key erases the value from every
/// event, backup and export at once, while the events stay.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Personal {
    /// As it was said. Exists between deciding and appending only, and cannot be written down.
    Plain(String),
    /// As it is stored: hexadecimal, opaque here.
    Sealed(String),
}

/// One personal value of an event, and whose it is.
#[derive(Debug)]
pub struct PersonalField<'e> {
    /// The user it is about, by id: whose key seals it.
    pub subject: String,
    /// Its name within the event, such as `email`; a sealed value opens under its own name only.
    pub field: &'static str,
    /// The value, to be replaced by its sealed form.
    pub value: &'e mut Personal,
}

impl Personal {
    /// The value as it was said, if it is not sealed yet.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Personal::Plain(text) => Some(text),
            Personal::Sealed(_) => None,
        }
    }
}

/// Neither form is shown: events end up in log lines and in messages of failed assertions.
impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal(..)")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<T> {
    sealed: T,
}

impl Serialize for Personal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Personal::Plain(_) => Err(S::Error::custom(
                "a personal value is sealed before it is written",
            )),
            Personal::Sealed(sealed) => Stored { sealed }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Personal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Personal, D::Error> {
        Stored::deserialize(deserializer).map(|stored| Personal::Sealed(stored.sealed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEALED: &str = r#"{"sealed":"AQIDBA"}"#;

    #[test]
    fn a_sealed_value_is_written_and_read() {
        let value = Personal::Sealed("AQIDBA".to_owned());
        assert_eq!(serde_json::to_string(&value).expect("sealed"), SEALED);
        assert_eq!(
            serde_json::from_str::<Personal>(SEALED).expect("sealed"),
            value
        );
        assert_eq!(value.plain(), None);
    }

    #[test]
    fn a_plain_value_cannot_be_written() {
        let value = Personal::Plain("ada@example.org".to_owned());
        assert_eq!(value.plain(), Some("ada@example.org"));
        let refused = serde_json::to_string(&value).expect_err("plain");
        assert!(!refused.to_string().contains("ada"), "{refused}");
        let within = serde_json::to_value(vec![Some(value)]);
        assert!(within.is_err(), "not within something else either");
    }

    #[test]
    fn only_the_sealed_form_is_read() {
        let strange = [
            r#""ada@example.org""#,
            "null",
            "{}",
            r#"{"plain":"ada@example.org"}"#,
            r#"{"sealed":null}"#,
            r#"{"sealed":1}"#,
            r#"{"sealed":"AQIDBA","plain":"ada@example.org"}"#,
            r#"{"sealed":"AQIDBA","sealed":"AQIDBA"}"#,
        ];
        for text in strange {
            assert!(serde_json::from_str::<Personal>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn neither_form_is_shown() {
        let mut value = Personal::Plain("ada@example.org".to_owned());
        assert_eq!(format!("{value:?}"), "Personal(..)");
        let field = PersonalField {
            subject: "u-1".to_owned(),
            field: "email",
            value: &mut value,
        };
        assert!(!format!("{field:#?}").contains("ada"));
        assert_eq!(
            format!("{:?}", Personal::Sealed("AQIDBA".to_owned())),
            "Personal(..)"
        );
    }
}
