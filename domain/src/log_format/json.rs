//! JSON as strict as everywhere: one object, no name twice, nothing behind it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::unreadable;
use crate::log_batch::{HELD_BYTES_MAX, ITEM_BYTES, TEXT_BYTES, entry_bytes, shown};
use crate::refusal::{Code, Refusal};
use crate::values::too_large;

/// Reads one object. `DUPLICATE_KEY` names what is there twice; anything else that is not one object
/// is `UNREADABLE_INPUT` with the column where reading ended. One that takes more memory than any record
/// may ([`HELD_BYTES_MAX`]) is `TOO_LARGE`, and is read no further.
pub fn strict_object(text: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let mut state = State::default();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Strict(&mut state).deserialize(&mut reader);
    let read = read.and_then(|value| reader.end().map(|()| value));
    match read {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(unreadable("the text is JSON, but no object")),
        Err(error) => Err(match state.twice {
            Some(key) => {
                let message = "the object names something twice";
                Refusal::new(Code::DuplicateKey, message).at([shown(&key)])
            }
            None if state.held > HELD_BYTES_MAX => {
                let (actual, limit) = (state.held, HELD_BYTES_MAX);
                too_large(actual, limit, "bytes of memory", "the object").at::<[&str; 0], _>([])
            }
            None => unreadable("the text is no JSON").with("column", error.column()),
        }),
    }
}

/// What is known while an object is read.
#[derive(Default)]
struct State {
    /// A name that is there twice.
    twice: Option<String>,
    /// How many bytes of memory it takes so far.
    held: usize,
}

impl State {
    fn hold<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.held += bytes;
        match self.held > HELD_BYTES_MAX {
            true => Err(E::custom("too many values")),
            false => Ok(()),
        }
    }
}

/// Reads any value; a name that is there twice ends it, and so do too many values.
struct Strict<'s>(&'s mut State);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("no finite number"))?;
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.0.hold(TEXT_BYTES + value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Strict(self.0))? {
            self.0.hold(ITEM_BYTES)?;
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            if map.contains_key(&key) {
                self.0.twice = Some(key);
                return Err(A::Error::custom("a name twice"));
            }
            self.0.hold(entry_bytes(map.len(), &key))?;
            map.insert(key, object.next_value_seed(Strict(self.0))?);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(text: &str) -> (Code, String) {
        let refusal = strict_object(text.as_bytes()).expect_err(text);
        (refusal.code, refusal.path.join("/"))
    }

    /// J1, J2, J4, J5, J6, J7
    #[test]
    fn only_one_whole_object_is_read() {
        let said = r#" {"a": [1, -2, 2.5, true, null, {"b": "\ud83d\ude00\n"}], "": {}} "#;
        let read = strict_object(said.as_bytes()).map(Value::Object);
        assert_eq!(
            read,
            Ok(json!({"a": [1, -2, 2.5, true, null, {"b": "\u{1f600}\n"}], "": {}}))
        );

        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(129), "]".repeat(129));
        let broken = [
            "",
            "{",
            r#"{"a": 1,}"#,
            r#"{"a": 1} {}"#,
            r#"{"a": 1} x"#,
            "[1]",
            "17",
            "null",
            r#"{"a": "\ud800"}"#,
            r#"{"a": NaN}"#,
            r#"{"a": 1e400}"#,
            "{'a': 1}",
            "\u{feff}{}",
            r#"{"a": 01}"#,
            &deep,
        ];
        for text in broken {
            assert_eq!(code(text), (Code::UnreadableInput, String::new()), "{text}");
        }
        assert!(strict_object(b"{\"a\": \"\xff\"}").is_err());
        assert_eq!(
            code(r#"{"a": 1, "a": 1}"#),
            (Code::DuplicateKey, "a".to_owned())
        );
        assert_eq!(
            code(r#"{"a": [{"b": 1, "c": {}, "b": 2}]}"#),
            (Code::DuplicateKey, "b".to_owned())
        );
        let (code, path) = code(r#"{"dbk_live_0123456789": 1, "dbk_live_0123456789": 1}"#);
        assert_eq!(
            (code, path.as_str()),
            (Code::DuplicateKey, "[redacted]"),
            "no secret is shown"
        );
    }

    #[test]
    fn what_takes_far_more_memory_than_its_text_is_read_no_further() {
        let objects = |n: usize| format!("{{\"a\":[{}0]}}", "{\"\":0},".repeat(n));
        assert!(strict_object(objects(10_000).as_bytes()).is_ok());
        let refusal = strict_object(objects(20_000).as_bytes()).expect_err("too much");
        assert_eq!(
            (refusal.code, &refusal.details["limit"]),
            (Code::TooLarge, &json!(HELD_BYTES_MAX))
        );
        let items = |n: usize| format!("{{\"a\":[{}0]}}", "1,".repeat(n));
        let most = super::super::ENTRY_BYTES_MAX / 2 - 4;
        assert!(
            strict_object(items(most).as_bytes()).is_ok(),
            "what may be sent is read"
        );
    }
}
