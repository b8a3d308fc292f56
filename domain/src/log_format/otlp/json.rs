//! OTLP's JSON: 64 bit numbers may be texts, ids are hexadecimal, bytes are base64.

use std::fmt;

use serde::de::{self, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::{Log, NO_EXPORT, OTLP_RECORDS_MAX, Origin, Read, Reports, in_scope, within_size};
use crate::log_format::{strict_object, unreadable};
use crate::refusal::{Code, Refusal};
use crate::values::too_large;

/// `ExportLogsServiceRequest`. What it holds is read when its turn comes: until then it is the text it was.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Export<'b> {
    #[serde(borrow, default)]
    resource_logs: Option<Texts<'b>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'b> {
    #[serde(borrow, default)]
    resource: Option<&'b RawValue>,
    #[serde(borrow, default)]
    scope_logs: Option<Texts<'b>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    #[serde(deserialize_with = "attributes")]
    attributes: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'b> {
    #[serde(borrow, default)]
    scope: Option<&'b RawValue>,
    #[serde(borrow, default)]
    log_records: Option<Texts<'b>>,
}

/// A list as it is spelled, one more than there may be of records and no more.
#[derive(Default)]
struct Texts<'b>(Vec<&'b RawValue>);

impl<'de: 'b, 'b> Deserialize<'de> for Texts<'b> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Texts<'b>, D::Error> {
        source.deserialize_seq(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts<'de>, A::Error> {
        let mut texts = Vec::new();
        while texts.len() <= OTLP_RECORDS_MAX
            && let Some(text) = list.next_element()?
        {
            texts.push(text);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Texts(texts))
    }
}

impl<'b> Texts<'b> {
    /// Those of a list that is not too long.
    fn of(list: Option<Texts<'b>>, field: &str) -> Result<Vec<&'b RawValue>, Refusal> {
        let texts = list.unwrap_or_default().0;
        match texts.len() > OTLP_RECORDS_MAX {
            true => Err(too_large(texts.len(), OTLP_RECORDS_MAX, "entries", field)),
            false => Ok(texts),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Scope {
    name: String,
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LogRecord {
    #[serde(deserialize_with = "nanos")]
    time_unix_nano: u64,
    #[serde(deserialize_with = "nanos")]
    observed_time_unix_nano: u64,
    severity_number: i64,
    severity_text: String,
    event_name: String,
    #[serde(deserialize_with = "any")]
    body: Value,
    #[serde(deserialize_with = "attributes")]
    attributes: Map<String, Value>,
    trace_id: String,
    span_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyValue {
    key: String,
    #[serde(deserialize_with = "any")]
    value: Value,
}

fn nanos<'de, D: Deserializer<'de>>(reader: D) -> Result<u64, D::Error> {
    match Value::deserialize(reader)? {
        Value::String(text) => text.parse().map_err(de::Error::custom),
        value => u64::deserialize(value).map_err(de::Error::custom),
    }
}

fn any<'de, D: Deserializer<'de>>(reader: D) -> Result<Value, D::Error> {
    Value::deserialize(reader).map(plain)
}

fn attributes<'de, D: Deserializer<'de>>(reader: D) -> Result<Map<String, Value>, D::Error> {
    Vec::deserialize(reader).map(object)
}

/// Of two attributes of one name, which OTLP forbids, the last.
fn object(attributes: Vec<KeyValue>) -> Map<String, Value> {
    let attributes = attributes.into_iter();
    attributes.map(|a| (a.key, a.value)).collect()
}

pub(super) fn reports(body: &[u8], mut reports: Reports<'_>) -> Result<Vec<Read>, Refusal> {
    let export: Export<'_> = object_of(body)?;
    let resources = Texts::of(export.resource_logs, "resourceLogs")?;
    for (r, logs) in resources.into_iter().enumerate() {
        let logs: ResourceLogs<'_> = object_of(logs.get().as_bytes())?;
        let resource = read_alone(logs.resource).and_then(|r: Resource| Origin::new(r.attributes));
        let scopes = Texts::of(logs.scope_logs, "scopeLogs")?;
        for (s, logs) in scopes.into_iter().enumerate() {
            let logs: ScopeLogs<'_> = object_of(logs.get().as_bytes())?;
            let scope = read_alone(logs.scope).map(|scope: Scope| (scope.name, scope.version));
            let origin = in_scope(&resource, scope);
            let records = Texts::of(logs.log_records, "logRecords")?;
            for (l, record) in records.into_iter().enumerate() {
                let record = || read_alone(Some(record)).map(|record: LogRecord| record.into());
                reports.add([r, s, l], &origin, record)?;
            }
        }
    }
    Ok(reports.read)
}

/// Reads an object whose parts stay texts.
fn object_of<'b, T: Deserialize<'b>>(text: &'b [u8]) -> Result<T, Refusal> {
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(unreadable(NO_EXPORT));
    }
    serde_json::from_slice(text).map_err(|error| {
        let said = error.to_string();
        match said.starts_with("duplicate field") {
            true => Refusal::new(Code::DuplicateKey, "the object names something twice"),
            false => unreadable(NO_EXPORT),
        }
    })
}

/// Reads what is refused alone where it cannot be read. `null` is as good as left out.
fn read_alone<T: Default + for<'v> Deserialize<'v>>(text: Option<&RawValue>) -> Result<T, Refusal> {
    let Some(text) = text.map(RawValue::get).filter(|text| *text != "null") else {
        return Ok(T::default());
    };
    within_size(text.len())?;
    let mut object = strict_object(text.as_bytes())?;
    object.retain(|_, value| !value.is_null());
    let read = T::deserialize(Value::Object(object));
    read.map_err(|_| unreadable("a field is not what OTLP has there"))
}

impl From<LogRecord> for Log {
    fn from(record: LogRecord) -> Log {
        Log {
            time_unix_nano: record.time_unix_nano,
            observed_time_unix_nano: record.observed_time_unix_nano,
            severity_number: record.severity_number,
            severity_text: record.severity_text,
            event_name: record.event_name,
            body: record.body,
            attributes: record.attributes,
            trace_id: record.trace_id,
            span_id: record.span_id,
        }
    }
}

/// An `AnyValue` as plain JSON. Bytes stay the base64 they are sent as.
fn plain(value: Value) -> Value {
    let Value::Object(any) = value else {
        return value;
    };
    let Some((kind, value)) = any.into_iter().next() else {
        return Value::Null;
    };
    let values = |value: Value| match value {
        Value::Object(mut list) => match list.remove("values") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    match (kind.as_str(), value) {
        ("intValue", Value::String(text)) => match text.parse::<i64>() {
            Ok(number) => Number::from(number).into(),
            Err(_) => text.into(),
        },
        ("arrayValue", list) => values(list).into_iter().map(plain).collect(),
        ("kvlistValue", list) => {
            let pairs = values(list).into_iter();
            let pairs = pairs.filter_map(|pair| KeyValue::deserialize(pair).ok());
            object(pairs.collect()).into()
        }
        (_, value) => value,
    }
}
