//! OTLP's protobuf, field by field. Numbers are those of the `.proto` files.

use serde_json::{Map, Number, Value};

use super::wire::{Field, Fields, Malformed, messages, text};
use super::{Log, NO_EXPORT, Origin, Read, Reports, in_scope, within_size};
use crate::log_batch::{HELD_BYTES_MAX, ITEM_BYTES, TEXT_BYTES, entry_bytes};
use crate::log_format::unreadable;
use crate::refusal::Refusal;
use crate::values::too_large;

/// How many values may be within each other; JSON has the same bound.
const LEVELS_MAX: usize = 128;

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Refusal {
        unreadable(NO_EXPORT)
    }
}

pub(super) fn reports(body: &[u8], mut reports: Reports<'_>) -> Result<Vec<Read>, Refusal> {
    // Fields come in any order: what records have in common is looked for first.
    for (r, logs) in messages(body, 1).enumerate() {
        let logs = logs?;
        let resource = resource(logs).and_then(Origin::new);
        for (s, logs) in messages(logs, 2).enumerate() {
            let logs = logs?;
            let origin = in_scope(&resource, scope(logs).map_err(Refusal::from));
            for (l, record) in messages(logs, 2).enumerate() {
                let record = record?;
                reports.add([r, s, l], &origin, || log(record))?;
            }
        }
    }
    Ok(reports.read)
}

/// The attributes of the resource of these logs.
fn resource(logs: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let mut bytes = 0;
    Values::read(|values| {
        let mut attributes = Map::new();
        for resource in messages(logs, 1) {
            let resource = resource?;
            bytes += resource.len();
            if within_size(bytes).is_err() {
                break;
            }
            for attribute in messages(resource, 1) {
                values.put(attribute?, &mut attributes, 0)?;
            }
        }
        Ok(attributes)
    })
    .and_then(|attributes| within_size(bytes).map(|()| attributes))
}

/// Name and version of the scope of these logs.
fn scope(logs: &[u8]) -> Result<(String, String), Malformed> {
    let (mut name, mut version) = ("", "");
    for scope in messages(logs, 1) {
        for field in Fields(scope?) {
            match field? {
                (1, Field::Bytes(bytes)) => name = text(bytes)?,
                (2, Field::Bytes(bytes)) => version = text(bytes)?,
                _ => {}
            }
        }
    }
    Ok((name.to_owned(), version.to_owned()))
}

fn log(record: &[u8]) -> Result<Log, Refusal> {
    within_size(record.len())?;
    Values::read(|values| {
        let mut log = Log::default();
        for field in Fields(record) {
            match field? {
                (1, Field::Fixed64(nanos)) => log.time_unix_nano = nanos,
                (2, Field::Varint(number)) => log.severity_number = number.cast_signed(),
                (3, Field::Bytes(bytes)) => log.severity_text = text(bytes)?.to_owned(),
                (5, Field::Bytes(value)) => log.body = values.any(value, 0)?,
                (6, Field::Bytes(attribute)) => values.put(attribute, &mut log.attributes, 0)?,
                (9, Field::Bytes(id)) => log.trace_id = hexadecimal(id),
                (10, Field::Bytes(id)) => log.span_id = hexadecimal(id),
                (11, Field::Fixed64(nanos)) => log.observed_time_unix_nano = nanos,
                (12, Field::Bytes(bytes)) => log.event_name = text(bytes)?.to_owned(),
                _ => {}
            }
        }
        Ok(log)
    })
}

/// Reads values while they take no more memory than those of one record may.
struct Values {
    held: usize,
}

impl Values {
    fn read<T>(of: impl FnOnce(&mut Values) -> Result<T, Malformed>) -> Result<T, Refusal> {
        let mut values = Values { held: 0 };
        let read = of(&mut values);
        read.map_err(|_| match values.held > HELD_BYTES_MAX {
            true => {
                let (actual, limit) = (values.held, HELD_BYTES_MAX);
                too_large(actual, limit, "bytes of memory", "the record").at::<[&str; 0], _>([])
            }
            false => unreadable("a field is not what OTLP has there"),
        })
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.held += bytes;
        match self.held > HELD_BYTES_MAX {
            true => Err(Malformed),
            false => Ok(()),
        }
    }

    /// Puts a `KeyValue` where it belongs.
    fn put(
        &mut self,
        pair: &[u8],
        object: &mut Map<String, Value>,
        level: usize,
    ) -> Result<(), Malformed> {
        let (mut key, mut value) = ("", Value::Null);
        for field in Fields(pair) {
            match field? {
                (1, Field::Bytes(bytes)) => key = text(bytes)?,
                (2, Field::Bytes(bytes)) => value = self.any(bytes, level)?,
                _ => {}
            }
        }
        self.hold(entry_bytes(object.len(), key))?;
        object.insert(key.to_owned(), value);
        Ok(())
    }

    /// An `AnyValue` as plain JSON.
    fn any(&mut self, message: &[u8], level: usize) -> Result<Value, Malformed> {
        if level >= LEVELS_MAX {
            return Err(Malformed);
        }
        self.hold(ITEM_BYTES)?;
        let mut value = Value::Null;
        for field in Fields(message) {
            value = match field? {
                (1, Field::Bytes(bytes)) => {
                    self.hold(TEXT_BYTES + bytes.len())?;
                    text(bytes)?.into()
                }
                (2, Field::Varint(bit)) => (bit != 0).into(),
                (3, Field::Varint(number)) => number.cast_signed().into(),
                (4, Field::Fixed64(bits)) => float(f64::from_bits(bits)),
                (5, Field::Bytes(list)) => {
                    let items = messages(list, 1).map(|item| self.any(item?, level + 1));
                    Value::Array(items.collect::<Result<_, _>>()?)
                }
                (6, Field::Bytes(list)) => {
                    let mut object = Map::new();
                    for pair in messages(list, 1) {
                        self.put(pair?, &mut object, level + 1)?;
                    }
                    object.into()
                }
                (7, Field::Bytes(bytes)) => {
                    self.hold(TEXT_BYTES + 2 * bytes.len())?;
                    base64(bytes).into()
                }
                _ => value,
            };
        }
        Ok(value)
    }
}

/// JSON has no NaN and no infinity; OTLP's JSON writes them as words.
fn float(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => number.into(),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As OTLP's JSON has bytes.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks(3).flat_map(|group| {
        let mut four = [b'='; 4];
        let bits = group
            .iter()
            .fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for (n, letter) in four.iter_mut().enumerate().take(group.len() + 1) {
            let six = bits >> (18 - 6 * n) & 0x3f;
            *letter = LETTERS[usize::try_from(six).expect("six bits")];
        }
        four
    });
    groups.map(char::from).collect()
}
