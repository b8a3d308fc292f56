//! Reads an object from anywhere and writes it as canonical JSON, finding out on the way what there is to
//! know of it: what it takes in memory, and whether anything in it needs a closer look.

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::Number;

use super::super::held::{COPIES, HELD_BYTES_MAX, ITEM_BYTES, TEXT_BYTES, entry_bytes};
use super::super::properties::{PROPERTY_KEY_CHARS_MAX, PROPERTY_KEYS_MAX, PROPERTY_LEVELS_MAX};
use super::super::secrets;

/// Room that most objects have enough of, in bytes of their text.
const TEXT_ROOM: usize = 256;

/// How strictly an object is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// As somebody sent it: with no name twice and no more in memory than a record may have; `null` is none.
    Once,
    /// As it was stored: of a name that is there twice the last value counts.
    LastCounts,
}

/// What a byte says of the text it is in: something is written otherwise, there may be a secret, there is a
/// NUL.
const ESCAPED: u8 = 1;
const MARK: u8 = 2;
const NUL: u8 = 4;

static SEEN: [u8; 256] = {
    let mut seen = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        seen[byte] = ESCAPED;
        byte += 1;
    }
    seen[b'"' as usize] = ESCAPED;
    seen[b'\\' as usize] = ESCAPED;
    seen[0] |= NUL;
    let mut n = 0;
    while n < secrets::MARKS.len() {
        seen[secrets::MARKS[n] as usize] |= MARK;
        n += 1;
    }
    seen
};

/// An object as it was written.
pub(super) struct Written {
    pub text: String,
    pub held: usize,
    pub is_plain: bool,
}

/// What was written so far.
pub(super) struct Writer {
    names: Names,
    text: String,
    /// Of all objects that are open, the inner ones last.
    entries: Vec<Entry>,
    keys: usize,
    held: usize,
    is_plain: bool,
}

/// A name with its value, within the text.
struct Entry {
    start: usize,
    /// Where the name ends, its quotes included.
    name_end: usize,
    end: usize,
    /// The name, if it is written otherwise.
    escaped: Option<Box<str>>,
}

impl Entry {
    fn name<'t>(&'t self, text: &'t str) -> &'t str {
        let written = || &text[self.start + 1..self.name_end - 1];
        self.escaped.as_deref().unwrap_or_else(written)
    }
}

impl Writer {
    /// Reads an object.
    pub fn write<'de, D: Deserializer<'de>>(reader: D, names: Names) -> Result<Written, D::Error> {
        let mut writer = Writer {
            names,
            text: String::with_capacity(TEXT_ROOM),
            entries: Vec::new(),
            keys: 0,
            held: 0,
            is_plain: true,
        };
        reader.deserialize_any(Object(&mut writer))?;
        Ok(Written {
            text: writer.text,
            held: writer.held,
            is_plain: writer.is_plain,
        })
    }

    fn hold<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.held += bytes;
        match self.names == Names::Once && self.held > HELD_BYTES_MAX {
            true => Err(E::custom("too many values")),
            false => Ok(()),
        }
    }

    /// Writes a text, and looks whether it may stay as it is.
    fn look_at(&mut self, text: &str) {
        let found = text
            .bytes()
            .fold(0, |found, byte| found | SEEN[usize::from(byte)]);
        let is_suspect = found & NUL != 0 || found & MARK != 0 && secrets::is_within(text);
        self.is_plain &= !is_suspect;
        put(&mut self.text, text, found & ESCAPED != 0);
    }

    /// The name of the n-th entry of an object, counted from 0.
    fn name<E: Error>(&mut self, n: usize, name: &str) -> Result<(), E> {
        if n > 0 {
            self.text.push(',');
        }
        self.keys += 1;
        let within = self.keys <= PROPERTY_KEYS_MAX && name.len() <= PROPERTY_KEY_CHARS_MAX;
        self.is_plain &= within;
        self.hold(entry_bytes(n, name) + (COPIES - 1) * name.len())?;
        let start = self.text.len();
        self.look_at(name);
        let name_end = self.text.len();
        let escaped = (name_end - start != name.len() + 2).then(|| name.into());
        self.entries.push(Entry {
            start,
            name_end,
            end: name_end,
            escaped,
        });
        self.text.push(':');
        Ok(())
    }

    /// The value of the last entry is written.
    fn end_entry(&mut self) {
        let Some(entry) = self.entries.last_mut() else {
            unreachable!("its name was written")
        };
        entry.end = self.text.len();
        let value = &self.text[entry.name_end + 1..];
        let tells = !matches!(value, "null" | "true" | "false" | "\"\"" | "\"[redacted]\"");
        let is_secret = self.is_plain && tells && secrets::is_name(entry.name(&self.text));
        self.is_plain &= !is_secret;
    }

    /// Puts the entries of an object in order, if they are not. Those of one name come as they came.
    fn end_object<E: Error>(&mut self, first: usize) -> Result<(), E> {
        let text = &self.text;
        let ascends = |pair: &[Entry]| pair[0].name(text) < pair[1].name(text);
        if self.entries[first..].windows(2).all(ascends) {
            self.entries.truncate(first);
            return Ok(());
        }
        let mut entries = self.entries.split_off(first);
        let start = entries.first().map_or(text.len(), |entry| entry.start);
        entries.sort_by(|a, b| a.name(text).cmp(b.name(text)));
        let mut ordered = String::with_capacity(text.len() - start);
        for (n, entry) in entries.iter().enumerate() {
            let next = entries.get(n + 1);
            if next.is_some_and(|next| next.name(text) == entry.name(text)) {
                match self.names {
                    Names::Once => return Err(E::custom("a name twice")),
                    Names::LastCounts => continue,
                }
            }
            if !ordered.is_empty() {
                ordered.push(',');
            }
            ordered.push_str(&text[entry.start..entry.end]);
        }
        self.text.truncate(start);
        self.text.push_str(&ordered);
        Ok(())
    }
}

/// Writes a text as JSON.
pub(super) fn quoted(out: &mut String, text: &str) {
    let is_escaped = |byte: u8| SEEN[usize::from(byte)] & ESCAPED != 0;
    put(out, text, text.bytes().any(is_escaped));
}

fn put(out: &mut String, text: &str, is_escaped: bool) {
    if is_escaped {
        out.push_str(&serde_json::to_string(text).expect("a text is JSON"));
        return;
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// The object itself.
struct Object<'w>(&'w mut Writer);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.0.names == Names::LastCounts {
            return Err(E::invalid_type(Unexpected::Unit, &self));
        }
        self.0.text.push_str("{}");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        let inner = Inner {
            writer: self.0,
            level: 0,
        };
        inner.visit_map(object)
    }
}

/// Any value within it.
struct Inner<'w> {
    writer: &'w mut Writer,
    /// How many objects and lists it is within.
    level: usize,
}

impl Inner<'_> {
    fn within(&mut self) -> Inner<'_> {
        Inner {
            writer: self.writer,
            level: self.level + 1,
        }
    }

    fn write<E>(self, value: impl fmt::Display) -> Result<(), E> {
        write!(self.writer.text, "{value}").expect("writing to memory");
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Inner<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.writer.text.push_str("null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.write(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("no finite number"))?;
        self.write(number)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.writer.hold(TEXT_BYTES + COPIES * value.len())?;
        self.writer.look_at(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.writer.is_plain &= self.level < PROPERTY_LEVELS_MAX;
        self.writer.text.push('[');
        let mut n = 0;
        while list.next_element_seed(Item(self.within(), n))?.is_some() {
            n += 1;
        }
        self.writer.text.push(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        self.writer.is_plain &= self.level < PROPERTY_LEVELS_MAX;
        self.writer.text.push('{');
        let first = self.writer.entries.len();
        let mut n = 0;
        while object.next_key_seed(Name(&mut *self.writer, n))?.is_some() {
            object.next_value_seed(self.within())?;
            self.writer.end_entry();
            n += 1;
        }
        self.writer.end_object(first)?;
        self.writer.text.push('}');
        Ok(())
    }
}

/// The n-th value of a list, counted from 0.
struct Item<'w>(Inner<'w>, usize);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        let Item(inner, n) = self;
        inner.writer.hold(ITEM_BYTES)?;
        if n > 0 {
            inner.writer.text.push(',');
        }
        inner.deserialize(reader)
    }
}

/// The name of the n-th entry of an object, counted from 0.
struct Name<'w>(&'w mut Writer, usize);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        self.0.name(self.1, name)
    }
}
