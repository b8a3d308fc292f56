//! OTLP's JSON: 64 bit numbers may be texts, ids are hexadecimal, bytes are base64.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Number, Value};

use super::{Log, Origin, add};
use crate::log_batch::LogReport;
use crate::log_format::{strict_object, unreadable};
use crate::refusal::Refusal;

/// `ExportLogsServiceRequest`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Export {
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceLogs {
    resource: Resource,
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    #[serde(deserialize_with = "attributes")]
    attributes: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ScopeLogs {
    scope: Scope,
    /// Each a [`LogRecord`]; read one by one, so that no more are held than are wanted.
    log_records: Vec<Value>,
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

pub(super) fn reports(body: &[u8]) -> Result<Vec<Result<LogReport, Refusal>>, Refusal> {
    let no_export = |_| unreadable("the body is no OTLP export of logs");
    let body = Value::Object(strict_object(body)?);
    let export = Export::deserialize(body).map_err(no_export)?;
    let mut reports = Vec::new();
    for (r, logs) in export.resource_logs.into_iter().enumerate() {
        let mut origin = Origin::new(logs.resource.attributes);
        for (s, logs) in logs.scope_logs.into_iter().enumerate() {
            (origin.scope, origin.scope_version) = (logs.scope.name, logs.scope.version);
            for (l, record) in logs.log_records.into_iter().enumerate() {
                let record = LogRecord::deserialize(record).map_err(no_export)?;
                add(&mut reports, [r, s, l], record.into(), &origin)?;
            }
        }
    }
    Ok(reports)
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
