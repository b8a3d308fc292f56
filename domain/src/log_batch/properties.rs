//! What a record may say beside the fields Daybook knows, and how much of it.

use serde_json::{Map, Value};

use super::secrets;
use crate::refusal::{Code, Refusal};
use crate::values::too_large;

/// How many names an object of a record may have, nested ones included.
pub const PROPERTY_KEYS_MAX: usize = 1_000;
/// How many levels of objects and lists it may have: the object itself is the first.
pub const PROPERTY_LEVELS_MAX: usize = 16;
/// How many characters a name may have.
pub const PROPERTY_KEY_CHARS_MAX: usize = 128;

/// Refuses an object with too many names, too long ones, too many levels or a NUL in any text; the
/// path goes down to the object's own entry. Tells whether there is anything to redact.
pub(super) fn check(object: &Map<String, Value>, field: &str) -> Result<bool, Refusal> {
    let mut walk = Walk::default();
    for (key, value) in object.iter() {
        let entry = walk.entry(key, value, 1);
        entry.map_err(|refusal| refusal.at([field, &secrets::shown(key)]))?;
        if walk.keys > PROPERTY_KEYS_MAX {
            let actual = total(object);
            return Err(too_large(actual, PROPERTY_KEYS_MAX, "keys", field));
        }
    }
    Ok(walk.secret)
}

#[derive(Default)]
struct Walk {
    keys: usize,
    secret: bool,
}

impl Walk {
    fn entry(&mut self, key: &str, value: &Value, level: usize) -> Result<(), Refusal> {
        self.keys += 1;
        if key.len() > PROPERTY_KEY_CHARS_MAX {
            let actual = key.chars().count();
            if actual > PROPERTY_KEY_CHARS_MAX {
                let (limit, unit) = (PROPERTY_KEY_CHARS_MAX, "characters");
                return Err(too_large(actual, limit, unit, "a property's name"));
            }
        }
        refuse_nul(key)?;
        self.secret |= secrets::is_named(key, value) || secrets::is_within(key);
        self.value(value, level)
    }

    fn value(&mut self, value: &Value, level: usize) -> Result<(), Refusal> {
        if let Value::Array(_) | Value::Object(_) = value
            && level >= PROPERTY_LEVELS_MAX
        {
            let (actual, limit) = (level + 1, PROPERTY_LEVELS_MAX);
            return Err(too_large(actual, limit, "levels", "a property"));
        }
        match value {
            Value::String(text) => {
                self.secret |= secrets::is_within(text);
                refuse_nul(text)
            }
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.value(item, level + 1)),
            Value::Object(map) => map
                .iter()
                .try_for_each(|(key, value)| self.entry(key, value, level + 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
}

/// Names in all, for a refusal.
fn total(object: &Map<String, Value>) -> usize {
    fn below(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(below).sum(),
            Value::Object(map) => map.len() + map.values().map(below).sum::<usize>(),
            _ => 0,
        }
    }
    object.len() + object.values().map(below).sum::<usize>()
}

fn refuse_nul(text: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        let message = "a property holds a NUL character";
        return Err(Refusal::new(Code::BadText, message).with("character", "U+0000"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).expect("an object")
    }

    fn refused(value: Value) -> (Code, String, Value, Value) {
        let refusal = check(&object(value), "properties").expect_err("too much");
        assert!(refusal.message.len() <= 200, "{refusal}");
        let fact = |name: &str| refusal.details.get(name).cloned().unwrap_or_default();
        (
            refusal.code,
            refusal.path.join("/"),
            fact("actual"),
            fact("unit"),
        )
    }

    /// Lists within lists, `levels` in all, the object included.
    fn nested(levels: usize) -> Value {
        let mut value = json!([]);
        for _ in 2..levels {
            value = json!([value]);
        }
        json!({ "deep": value })
    }

    /// J3, J25
    #[test]
    fn names_are_data_and_only_nul_is_refused() {
        let data = json!({"__proto__": {"constructor": [1, null]}, "$where": "1=1", "": "a\nb\tc",
                          "level": "\u{1b}[31m", "n": -0.0});
        assert_eq!(check(&object(data), "properties"), Ok(false));
        let bad = [
            json!({"a": "x\0"}),
            json!({"a": {"b\0": 1}}),
            json!({"a": [["\0"]]}),
        ];
        for value in bad {
            let (code, path, ..) = refused(value);
            assert_eq!((code, path.as_str()), (Code::BadText, "properties/a"));
        }
    }

    /// J6, J22: names, levels and the length of a name are bounded, and both figures are told.
    #[test]
    fn objects_are_bounded_every_way() {
        let keys = |n: usize| -> Value { (0..n).map(|i| (format!("k{i}"), json!(i))).collect() };
        assert_eq!(check(&object(keys(1_000)), "properties"), Ok(false));
        let (code, path, actual, unit) = refused(keys(10_000));
        assert_eq!((code, path.as_str()), (Code::TooLarge, "properties"));
        assert_eq!((actual, unit), (json!(10_000), json!("keys")));
        let spread = json!({"a": keys(500), "b": [keys(499), {}]});
        assert_eq!(refused(spread).2, json!(1_001));

        assert_eq!(check(&object(nested(16)), "properties"), Ok(false));
        let (code, path, actual, unit) = refused(nested(17));
        assert_eq!((code, path.as_str()), (Code::TooLarge, "properties/deep"));
        assert_eq!((actual, unit), (json!(17), json!("levels")));
        assert_eq!(
            refused(nested(100)).2,
            json!(17),
            "nobody goes down further than that"
        );

        let named = |n: usize| json!({"\u{1f68c}".repeat(n): 1});
        assert_eq!(check(&object(named(128)), "properties"), Ok(false));
        let (code, path, actual, unit) = refused(named(10_000));
        assert_eq!(code, Code::TooLarge);
        assert!(path.chars().count() < 100, "{path}");
        assert_eq!((actual, unit), (json!(10_000), json!("characters")));
    }
}
