//! JSON in which no name comes twice in an object, at any depth: nobody can mean one of two.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// An object.
pub struct Object(pub Map<String, Value>);

impl Object {
    /// What is found by a path: the member of the whole path's name, or within one of its beginnings.
    /// (Names with dots are common: some issuers name claims by URLs.)
    pub fn find(&self, path: &str) -> Option<&Value> {
        find(&self.0, path)
    }
}

fn find<'v>(object: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    let within = || {
        let mut dots = path.match_indices('.');
        dots.find_map(|(at, _)| find(object.get(&path[..at])?.as_object()?, &path[at + 1..]))
    };
    object.get(path).or_else(within)
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        match Strict.deserialize(deserializer)? {
            Value::Object(object) => Ok(Object(object)),
            _ => Err(de::Error::custom("not an object")),
        }
    }
}

/// Reads any value.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON that names nothing twice")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(Strict)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict)?;
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a name comes twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_twice() {
        for (text, good) in [
            (r#"{}"#, true),
            (r#"{"a":{"b":[1,-2,0.5,true,null,"x"]},"b":{"a":1}}"#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":{"b":1,"b":2}}"#, false),
            (r#"{"a":[{"b":1,"\u0062":2}]}"#, false),
            (r#"[]"#, false),
            (r#"null"#, false),
            (r#"{"a":1}x"#, false),
        ] {
            let read = serde_json::from_str::<Object>(text);
            assert_eq!(read.is_ok(), good, "{text}");
            if let Ok(object) = read {
                let plain: Value = serde_json::from_str(text).unwrap();
                assert_eq!(Value::Object(object.0), plain, "{text}");
            }
        }
    }

    #[test]
    fn a_path_leads_through_names_with_and_without_dots() {
        let text = r#"{"roles":1,"realm_access":{"roles":2,"a.b":{"c":3}},"https://x.example/roles":4,"a":{"b":5},"a.b":6}"#;
        let object: Object = serde_json::from_str(text).unwrap();
        for (path, expect) in [
            ("roles", Some(1)),
            ("realm_access.roles", Some(2)),
            ("realm_access.a.b.c", Some(3)),
            ("https://x.example/roles", Some(4)),
            ("a.b", Some(6)),
            ("a.c", None),
            ("roles.x", None),
            ("", None),
            (".", None),
        ] {
            let found = object.find(path).and_then(Value::as_i64);
            assert_eq!(found, expect, "{path}");
        }
    }
}
