//! Strict JSON: one UTF-8 document, every key once, no text that cannot be stored, finite numbers.
//!
//! What a lenient parser forgives here becomes a lie later: of two equal keys one is lost in silence,
//! `\u0000` and unpaired surrogates are accepted by the log's `json` column and fail when it is read.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a body is not acceptable JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonFlaw {
    /// Not JSON at all: syntax, encoding, a second document, nested too deep. Says where.
    Syntax(String),
    /// An object names this key twice (cut to 40 characters).
    DuplicateKey(String),
    /// A text holds NUL or half of a surrogate pair.
    BadText,
    /// A number is beyond what a 64-bit float can hold.
    NumberRange,
}

/// What JSON is parsed into. Duplicate keys are told by [`Tree::insert`].
pub trait Tree: Sized {
    /// An object under construction.
    type Members: Default;
    /// `null`.
    fn null() -> Self;
    /// `true` or `false`.
    fn boolean(value: bool) -> Self;
    /// A finite number.
    fn number(value: Number) -> Self;
    /// A text without NUL.
    fn text(value: String) -> Self;
    /// An array.
    fn list(items: Vec<Self>) -> Self;
    /// Adds a member; false if the object has this key already.
    fn insert(object: &mut Self::Members, key: &str, value: Self) -> bool;
    /// A finished object.
    fn object(object: Self::Members) -> Self;
}

/// Levels of arrays and objects a document may have: as many as `serde_json` takes, which is what reads
/// it back from the log.
const LEVELS_MAX: usize = 127;

/// Parses one whole document.
pub fn parse<T: Tree>(body: &[u8]) -> Result<T, JsonFlaw> {
    let text = std::str::from_utf8(body)
        .map_err(|e| JsonFlaw::Syntax(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
    if text.starts_with('\u{feff}') {
        return Err(JsonFlaw::Syntax("begins with a byte order mark".to_owned()));
    }
    parse_below(text, 0)
}

/// Parses a value that stands below so many levels of a document.
pub fn parse_below<T: Tree>(text: &str, levels: usize) -> Result<T, JsonFlaw> {
    let flaw = Cell::new(None);
    let mut source = serde_json::Deserializer::from_str(text);
    let left = LEVELS_MAX.saturating_sub(levels);
    let tree = Strict::<T>::new(&flaw, left).deserialize(&mut source);
    tree.and_then(|tree| source.end().map(|()| tree))
        .map_err(|error| flaw.take().unwrap_or_else(|| classify(&error)))
}

/// What is wrong with a document that was not taken, if it is the JSON itself.
pub fn flaw(body: &[u8]) -> Option<JsonFlaw> {
    parse::<Sound>(body).err()
}

/// `serde_json` tells its own flaws only by their sentences; a test holds them.
fn classify(error: &serde_json::Error) -> JsonFlaw {
    let said = error.to_string();
    if said.contains("surrogate") || said.starts_with("unexpected end of hex escape") {
        JsonFlaw::BadText
    } else if said.starts_with("number out of range") {
        JsonFlaw::NumberRange
    } else {
        JsonFlaw::Syntax(said)
    }
}

/// Builds a [`Tree`], leaving the reason in `flaw` when it refuses.
struct Strict<'f, T> {
    flaw: &'f Cell<Option<JsonFlaw>>,
    /// How many levels may follow.
    left: usize,
    tree: std::marker::PhantomData<T>,
}

impl<'f, T> Strict<'f, T> {
    fn new(flaw: &'f Cell<Option<JsonFlaw>>, left: usize) -> Self {
        Strict {
            flaw,
            left,
            tree: std::marker::PhantomData,
        }
    }

    /// How many levels may follow inside this one.
    fn left_inside<E: serde::de::Error>(&self) -> Result<usize, E> {
        let too_deep = || self.refuse(JsonFlaw::Syntax("nested too deep".to_owned()));
        self.left.checked_sub(1).ok_or_else(too_deep)
    }

    fn refuse<E: serde::de::Error>(&self, flaw: JsonFlaw) -> E {
        self.flaw.set(Some(flaw));
        E::custom("refused")
    }

    fn clean<E: serde::de::Error>(&self, text: &str) -> Result<(), E> {
        if text.contains('\0') {
            Err(self.refuse(JsonFlaw::BadText))
        } else {
            Ok(())
        }
    }
}

impl<'de, T: Tree> DeserializeSeed<'de> for Strict<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<T, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de, T: Tree> Visitor<'de> for Strict<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::null())
    }

    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<T, E> {
        Ok(T::number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<T, E> {
        Ok(T::number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<T, E> {
        if value == 0.0 {
            return Ok(T::number(0.into())); // also -0: there is one zero
        }
        match Number::from_f64(value) {
            Some(number) => Ok(T::number(number)),
            None => Err(self.refuse(JsonFlaw::NumberRange)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<T, E> {
        self.clean(value)?;
        Ok(T::text(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<T, E> {
        self.clean(&value)?;
        Ok(T::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<T, A::Error> {
        let (left, mut items) = (self.left_inside()?, Vec::new());
        while let Some(item) = source.next_element_seed(Strict::new(self.flaw, left))? {
            items.push(item);
        }
        Ok(T::list(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<T, A::Error> {
        let (left, mut object) = (self.left_inside()?, T::Members::default());
        while let Some(key) = source.next_key::<String>()? {
            self.clean::<A::Error>(&key)?;
            let value = source.next_value_seed(Strict::new(self.flaw, left))?;
            if !T::insert(&mut object, &key, value) {
                let shown = key.chars().take(40).collect();
                return Err(A::Error::custom(
                    self.refuse::<A::Error>(JsonFlaw::DuplicateKey(shown)),
                ));
            }
        }
        Ok(T::object(object))
    }
}

impl Tree for Value {
    type Members = Map<String, Value>;
    fn null() -> Self {
        Value::Null
    }
    fn boolean(value: bool) -> Self {
        Value::Bool(value)
    }
    fn number(value: Number) -> Self {
        Value::Number(value)
    }
    fn text(value: String) -> Self {
        Value::String(value)
    }
    fn list(items: Vec<Self>) -> Self {
        Value::Array(items)
    }
    fn insert(object: &mut Map<String, Value>, key: &str, value: Self) -> bool {
        object.insert(key.to_owned(), value).is_none()
    }
    fn object(object: Map<String, Value>) -> Self {
        Value::Object(object)
    }
}

/// Checks and keeps nothing but the keys of objects in the making.
struct Sound;

impl Tree for Sound {
    type Members = HashSet<String>;
    fn null() -> Sound {
        Sound
    }
    fn boolean(_: bool) -> Sound {
        Sound
    }
    fn number(_: Number) -> Sound {
        Sound
    }
    fn text(_: String) -> Sound {
        Sound
    }
    fn list(_: Vec<Sound>) -> Sound {
        Sound
    }
    fn insert(keys: &mut HashSet<String>, key: &str, _: Sound) -> bool {
        keys.insert(key.to_owned())
    }
    fn object(_: HashSet<String>) -> Sound {
        Sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], expect: &str) {
        let got = match parse::<Value>(body) {
            Ok(value) => value.to_string(),
            Err(JsonFlaw::Syntax(_)) => "syntax".to_owned(),
            Err(JsonFlaw::DuplicateKey(key)) => format!("duplicate {key}"),
            Err(JsonFlaw::BadText) => "bad text".to_owned(),
            Err(JsonFlaw::NumberRange) => "number range".to_owned(),
        };
        assert_eq!(
            got,
            expect,
            "{}",
            String::from_utf8_lossy(&body[..body.len().min(60)])
        );
    }

    #[test]
    fn accepts_one_plain_document() {
        check(
            br#" {"a":[1,-2,3.5,"x\u00e9\ud83d\ude80",null,true],"b":{}} "#,
            r#"{"a":[1,-2,3.5,"xé🚀",null,true],"b":{}}"#,
        );
        check(b"18446744073709551615", "18446744073709551615");
        check(b"[-0, -0.0, 0.0]", "[0,0,0]");
    }

    #[test]
    fn refuses_what_is_not_one_document() {
        let bad: [&[u8]; 12] = [
            b"",
            b"{\"query\":",
            b"[1,]",
            b"{\"a\":1,}",
            b"{} {}",
            b"{}x",
            b"\xff",
            b"\"\xc0\xaf\"",
            b"\xef\xbb\xbf{}",
            b"\xfe\xff\x00{\x00}",
            b"NaN",
            b"[Infinity]",
        ];
        for body in bad {
            check(body, "syntax");
        }
        check("[".repeat(60_000).as_bytes(), "syntax");
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        check(nested(128).as_bytes(), "syntax");
        check(nested(127).as_bytes(), &nested(127));
        let below = |levels: usize, depth: usize| parse_below::<Value>(&nested(depth), levels);
        assert!(below(3, 124).is_ok() && below(3, 125).is_err() && below(200, 1).is_err());
    }

    #[test]
    fn refuses_text_that_cannot_be_stored() {
        let bad: [&[u8]; 7] = [
            br#""a\u0000b""#,
            br#"{"a\u0000b":1}"#,
            br#""\ud800""#,
            br#""\udc00""#,
            br#""\ud800\ud800""#,
            br#""\ud800x""#,
            br#"{"\udfff":1}"#,
        ];
        for body in bad {
            check(body, "bad text");
        }
    }

    #[test]
    fn refuses_duplicate_keys_and_numbers_out_of_range() {
        check(br#"{"a":1,"b":{"x":1,"x":1}}"#, "duplicate x");
        check(br#"{"a":1,"\u0061":2}"#, "duplicate a");
        for body in ["1e400", "[-1e999]"] {
            check(body.as_bytes(), "number range");
        }
    }
}
