//! The objects of log records, kept as the text they are stored as.

mod write;

use std::ops::Deref;
use std::sync::{Arc, LazyLock, OnceLock};

use serde::de::{DeserializeSeed, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use write::{Names, Writer, Written};

/// A JSON object of a log record as canonical text: names in the order of their bytes, nothing between
/// values. Shared: a copy is a count, and none at all is nothing. Most are never looked into; of one that
/// is, a map is made on the first look.
#[derive(Clone, Debug, Default)]
pub struct LogObject(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    text: Box<RawValue>,
    /// What it takes in memory while it is handed in, in bytes.
    held: usize,
    /// Within all bounds of a record's objects, without a NUL and without anything that looks like a
    /// secret. False where nobody can tell without a closer look.
    is_plain: bool,
    map: OnceLock<Map<String, Value>>,
}

static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

impl LogObject {
    /// The object as JSON.
    pub fn text(&self) -> &str {
        self.0.as_deref().map_or("{}", |shared| shared.text.get())
    }

    /// How many bytes it takes as JSON.
    pub fn json_bytes(&self) -> usize {
        self.text().len()
    }

    /// Does it say nothing?
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Is it surely the same without looking inside?
    pub fn is_shared_with(&self, other: &LogObject) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// Reads one strictly: a name that is there twice is an error, and so are more values than a record
    /// may have in memory. `null` is as good as an object without names.
    pub(crate) fn strict() -> impl for<'de> DeserializeSeed<'de, Value = LogObject> {
        Seed(Names::Once)
    }

    /// What it takes in memory while it is handed in, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.0.as_deref().map_or(0, |shared| shared.held)
    }

    /// Is it known to be within all bounds, with nothing to redact?
    pub(super) fn is_plain(&self) -> bool {
        self.0.as_deref().is_none_or(|shared| shared.is_plain)
    }

    /// May there be something of this name? Told without making a map; false is certain.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let mut named = String::with_capacity(name.len() + 3);
        write::quoted(&mut named, name);
        named.push(':');
        self.text().contains(&named)
    }

    fn new(written: Written, map: Option<Map<String, Value>>) -> LogObject {
        if written.text == "{}" {
            return LogObject(None);
        }
        let text = RawValue::from_string(written.text).expect("it was written as JSON");
        LogObject(Some(Arc::new(Shared {
            text,
            held: written.held,
            is_plain: written.is_plain,
            map: map.map(OnceLock::from).unwrap_or_default(),
        })))
    }
}

impl Deref for LogObject {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Map<String, Value> {
        let Some(shared) = self.0.as_deref() else {
            return &NONE;
        };
        let read = || serde_json::from_str(shared.text.get()).expect("it was read before");
        shared.map.get_or_init(read)
    }
}

impl From<Map<String, Value>> for LogObject {
    fn from(map: Map<String, Value>) -> LogObject {
        let object = Value::Object(map);
        let written = Writer::write(&object, Names::LastCounts);
        let written = written.expect("a map is an object, and its numbers are finite");
        let Value::Object(map) = object else {
            unreachable!("it is the one from above")
        };
        LogObject::new(written, Some(map))
    }
}

impl FromIterator<(String, Value)> for LogObject {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> LogObject {
        Map::from_iter(entries).into()
    }
}

impl PartialEq for LogObject {
    fn eq(&self, other: &LogObject) -> bool {
        self.is_shared_with(other) || self.text() == other.text()
    }
}

impl Serialize for LogObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(shared) => shared.text.serialize(serializer),
            None => NONE.serialize(serializer),
        }
    }
}

/// Of a name that is there twice the last value counts.
impl<'de> Deserialize<'de> for LogObject {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<LogObject, D::Error> {
        Seed(Names::LastCounts).deserialize(reader)
    }
}

struct Seed(Names);

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = LogObject;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<LogObject, D::Error> {
        let written = Writer::write(reader, self.0)?;
        Ok(LogObject::new(written, None))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::log_batch::properties;

    fn strict(text: &str) -> serde_json::Result<LogObject> {
        LogObject::strict().deserialize(&mut serde_json::Deserializer::from_str(text))
    }

    fn map(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn it_is_written_as_a_map_is() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        for text in [
            r#"{"a":1,"b":[true,null,-2,2.5,18446744073709551615],"c":{"d":"e"}}"#,
            r#" { "b" : 1e5 , "a" : [ ] , "B" : { } , "" : -0 } "#,
            r#"{"\u0061":"\ud83d\ude00\/","\"":1,"Z\n":"\t\u0000","é":1e-9}"#,
            r#"{"c":1,"b":{"z":1,"y":[{"q":1,"p":2}]},"a":123456789012345678901234567890}"#,
            &deep,
        ] {
            let object = strict(text).expect(text);
            let expected = serde_json::to_string(&map(text)).expect("JSON");
            assert_eq!(object.text(), expected);
            assert_eq!(object.json_bytes(), expected.len());
            assert_eq!(serde_json::to_string(&object).expect("JSON"), expected);
            assert_eq!(*object, map(text));
            assert_eq!(object, LogObject::from(map(text)));
            let held = LogObject::from(map(text)).held_bytes();
            assert_eq!(object.held_bytes(), held, "{text}");
        }
        for nothing in ["{}", " { } ", "null"] {
            let object = strict(nothing).expect(nothing);
            assert!(object.is_empty() && object == LogObject::default());
            assert_eq!(object.text(), "{}");
        }
    }

    #[test]
    fn a_name_twice_is_refused_or_the_last_counts() {
        for (text, kept) in [
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (
                r#"{"b":1,"c":{"a":1,"b":1,"a":2},"a":{}}"#,
                r#"{"a":{},"b":1,"c":{"a":2,"b":1}}"#,
            ),
            (r#"{"\n":1,"a":[],"\u000a":2}"#, r#"{"\n":2,"a":[]}"#),
        ] {
            assert!(strict(text).is_err(), "{text}");
            let read: LogObject = serde_json::from_str(text).expect("an object");
            assert_eq!(read.text(), kept);
        }
        for none in ["[]", "1", "\"a\"", "true", "{\"a\":}", "{\"a\":1e999}"] {
            assert!(strict(none).is_err(), "{none}");
        }
        let small = format!("{{\"a\":[{}0]}}", "{\"\":0},".repeat(20_000));
        assert!(strict(&small).is_err(), "it takes too much memory");
    }

    #[test]
    fn a_plain_object_passes_every_check() {
        for (text, is_plain) in [
            (r#"{"a":[{"b":"c d"}],"token":null,"password":true}"#, true),
            (r#"{"cookie":"","apiKey":"[redacted]"}"#, true),
            (r#"{"a":{"password":"x"}}"#, false),
            (r#"{"a":{"password":[null]}}"#, false),
            (r#"{"a":["sent xoxb-123456789012-abc"]}"#, false),
            (r#"{"dbk_live_0123456789":1}"#, false),
            (r#"{"a":"\u0000"}"#, false),
            (r#"{"a\u0000":1}"#, false),
        ] {
            assert_eq!(strict(text).expect(text).is_plain(), is_plain, "{text}");
        }
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        let keys = |n: usize| -> Map<String, Value> {
            let numbered = (0..n).map(|n| (format!("k{n:04}"), json!(n)));
            numbered.collect()
        };
        let named = |n: usize| format!("{{\"{}\":1}}", "k".repeat(n));
        let plain = |text: &str| strict(text).expect(text).is_plain();
        assert!(plain(&nested(15)) && !plain(&nested(16)));
        assert!(plain(&named(128)) && !plain(&named(129)));
        let keys = |n| LogObject::from(keys(n)).is_plain();
        assert!(keys(1_000) && !keys(1_001));
    }

    #[test]
    fn a_name_that_is_not_there_is_told_without_a_map() {
        let object = strict(r#"{"e\"mail":1,"b":{"ip":"total"}}"#).expect("an object");
        for (name, may_have) in [("e\"mail", true), ("ip", true), ("total", false)] {
            assert_eq!(object.may_have(name), may_have, "{name}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,6}|token|Bearer 0123456789abcdef|\u{0}\n\"".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            let name = "[a-c\"\u{e9}]{0,2}|token|password";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..5)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// The object as text, its names in the order they come in.
    fn spelled(value: &Value, backwards: bool) -> String {
        match value {
            Value::Object(map) => {
                let entry = |(key, value): (&String, &Value)| {
                    format!("{} : {}", json!(key), spelled(value, backwards))
                };
                let entries: Vec<String> = match backwards {
                    true => map.iter().rev().map(entry).collect(),
                    false => map.iter().map(entry).collect(),
                };
                format!("{{ {} }}", entries.join(" , "))
            }
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|i| spelled(i, backwards)).collect();
                format!("[ {} ]", items.join(" , "))
            }
            other => other.to_string(),
        }
    }

    proptest! {
        /// However it is spelled, it is the same text, and what is called plain is found to be so.
        #[test]
        fn any_object_is_written_in_one_way(value in any_value(), backwards in any::<bool>()) {
            let value = json!({ "b": value, "a": 1 });
            let text = spelled(&value, backwards);
            let object = strict(&text).expect("an object");
            prop_assert_eq!(object.text(), value.to_string());
            prop_assert_eq!(&Value::Object((*object).clone()), &value);
            let of_map = LogObject::from(Map::clone(&object));
            prop_assert_eq!(object.held_bytes(), of_map.held_bytes());
            let checked = properties::check(&object, "properties");
            prop_assert_eq!(object.is_plain(), checked == Ok(false));
        }
    }
}
