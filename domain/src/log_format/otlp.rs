//! Logs as OpenTelemetry's exporters send them over HTTP, in the JSON form of OTLP.
//!
//! Shapes are those of `opentelemetry/proto/logs/v1/logs.proto` and of OTLP 1.x's JSON encoding: 64
//! bit numbers may be texts, and members that are not known are passed over.

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use super::{strict_object, unreadable};
use crate::attributes::Attributes;
use crate::log_batch::{LogPriority, LogReport};
use crate::log_source::LogType;
use crate::refusal::{Code, Refusal};

/// Severities from this one on are errors: ERROR is 17 to 20, FATAL 21 to 24.
const SEVERITY_ERROR: i64 = 17;
/// What a record is called that has no name, and whose scope has none.
const NO_NAME: &str = "log";

/// An export: `ExportLogsServiceRequest`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Export {
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceLogs {
    resource: Resource,
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ScopeLogs {
    scope: Scope,
    log_records: Vec<Log>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Scope {
    name: String,
    version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Log {
    #[serde(deserialize_with = "nanos")]
    time_unix_nano: u64,
    #[serde(deserialize_with = "nanos")]
    observed_time_unix_nano: u64,
    severity_number: i64,
    severity_text: String,
    event_name: String,
    /// An `AnyValue`, as those of attributes are.
    body: Value,
    attributes: Vec<KeyValue>,
    trace_id: String,
    span_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KeyValue {
    key: String,
    value: Value,
}

fn nanos<'de, D: Deserializer<'de>>(reader: D) -> Result<u64, D::Error> {
    match Value::deserialize(reader)? {
        Value::String(text) => text.parse().map_err(serde::de::Error::custom),
        value => u64::deserialize(value).map_err(serde::de::Error::custom),
    }
}

/// Every record of an export, in its order; `UNREADABLE_INPUT` if it is none. A record that cannot be
/// read is refused alone, with its path.
///
/// Attributes become properties. Those that say what a record has a field for become that field:
/// `log.record.uid`, `user.id` or `enduser.id`, `session.id`, and the resource's `service.version`.
/// What is said of the resource is the device. Body, severity, trace and scope are the properties
/// `body`, `severity`, `severityNumber`, `traceId`, `spanId`, `scope` and `scopeVersion`; attributes
/// that are called so themselves are kept within the property `attributes`.
pub fn otlp_reports(body: &[u8]) -> Result<Vec<Result<LogReport, Refusal>>, Refusal> {
    let export = strict_object(body).and_then(|object| {
        let export = Export::deserialize(Value::Object(object));
        export.map_err(|_| unreadable("the body is no OTLP export of logs"))
    });
    let export = export.map_err(|refusal| refusal.with("format", "otlp"))?;
    let mut reports = Vec::new();
    for (r, resource) in export.resource_logs.into_iter().enumerate() {
        let mut device = object(resource.resource.attributes);
        let version = take_text(&mut device, "service.version");
        let device = Attributes::from(device);
        for (s, of_scope) in resource.scope_logs.into_iter().enumerate() {
            for (l, log) in of_scope.log_records.into_iter().enumerate() {
                let read = report(log, &of_scope.scope).map(|report| LogReport {
                    device_info: device.clone(),
                    app_version: version.clone(),
                    ..report
                });
                let at = |refusal: Refusal| {
                    let places = [("resourceLogs", r), ("scopeLogs", s), ("logRecords", l)];
                    let places = places.map(|(list, n)| [list.to_owned(), n.to_string()]);
                    refusal.under(places.into_iter().flatten())
                };
                reports.push(read.map_err(at));
            }
        }
    }
    Ok(reports)
}

fn report(log: Log, scope: &Scope) -> Result<LogReport, Refusal> {
    let mut attributes = object(log.attributes);
    let mut take = |name| take_text(&mut attributes, name);
    let event_id = take("log.record.uid");
    let user_id = take("user.id").or_else(|| take("enduser.id"));
    let session_id = take("session.id");
    let named = Some(log.event_name).filter(|name| !name.is_empty());
    let named = named.or_else(|| take("event.name"));
    let named = named.or_else(|| Some(scope.name.clone()).filter(|name| !name.is_empty()));

    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let severity = (log.severity_number != 0).then(|| log.severity_number.into());
    let own = [
        ("body", Some(plain(log.body)).filter(|body| !body.is_null())),
        ("severity", text(&log.severity_text)),
        ("severityNumber", severity),
        ("traceId", text(&log.trace_id)),
        ("spanId", text(&log.span_id)),
        ("scope", text(&scope.name)),
        ("scopeVersion", text(&scope.version)),
    ];
    let is_error = log.severity_number >= SEVERITY_ERROR;
    let event_type = if is_error {
        LogType::Error
    } else {
        LogType::Observability
    };
    Ok(LogReport {
        event_id,
        timestamp: time(log.time_unix_nano, log.observed_time_unix_nano)?,
        event_type: event_type.as_str().to_owned(),
        event_name: named.unwrap_or_else(|| NO_NAME.to_owned()),
        priority: is_error.then(|| LogPriority::High.as_str().to_owned()),
        user_id,
        session_id,
        properties: with_own(attributes, own).into(),
        ..LogReport::default()
    })
}

/// When it happened, else when somebody first saw it.
fn time(happened: u64, observed: u64) -> Result<String, Refusal> {
    let nanos = if happened == 0 { observed } else { happened };
    let second = i64::try_from(nanos / 1_000_000_000)
        .ok()
        .filter(|_| nanos > 0);
    let below = u32::try_from(nanos % 1_000_000_000).expect("below a billion");
    let time = second.and_then(|second| DateTime::from_timestamp(second, below));
    let time = time.ok_or_else(|| {
        let why = "the record says neither when it happened nor when it was observed";
        Refusal::new(Code::BadTimestamp, why).at(["timeUnixNano"])
    })?;
    Ok(time.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

/// The attributes and what the record says itself; an attribute of such a name gives way.
fn with_own<const N: usize>(
    mut attributes: Map<String, Value>,
    own: [(&str, Option<Value>); N],
) -> Map<String, Value> {
    let mut aside = Map::new();
    for name in own.iter().map(|(name, _)| *name).chain(["attributes"]) {
        let attribute = attributes.remove(name);
        attribute.map(|value| aside.insert(name.to_owned(), value));
    }
    for (name, value) in own {
        value.map(|value| attributes.insert(name.to_owned(), value));
    }
    if !aside.is_empty() {
        attributes.insert("attributes".to_owned(), aside.into());
    }
    attributes
}

/// Of two attributes of one name, which OTLP forbids, the last.
fn object(attributes: Vec<KeyValue>) -> Map<String, Value> {
    let attributes = attributes.into_iter();
    attributes.map(|a| (a.key, plain(a.value))).collect()
}

fn take_text(attributes: &mut Map<String, Value>, name: &str) -> Option<String> {
    let text = attributes
        .get(name)?
        .as_str()
        .filter(|text| !text.is_empty());
    let text = text?.to_owned();
    attributes.remove(name);
    Some(text)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Vec<Result<LogReport, Refusal>> {
        otlp_reports(body.to_string().as_bytes()).expect("an export")
    }

    fn export(records: Value) -> Value {
        json!({"resourceLogs": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "checkout"}},
                {"key": "service.version", "value": {"stringValue": "2.4.1"}},
            ]},
            "scopeLogs": [{"scope": {"name": "shop.cart", "version": "1"}, "logRecords": records}],
        }]})
    }

    #[test]
    fn an_export_becomes_records() {
        let body = export(json!([{
            "timeUnixNano": "1790000000123456789",
            "observedTimeUnixNano": "1790000001000000000",
            "severityNumber": 17,
            "severityText": "ERROR",
            "body": {"stringValue": "out of stock"},
            "attributes": [
                {"key": "log.record.uid", "value": {"stringValue": "01J8"}},
                {"key": "user.id", "value": {"stringValue": "ann"}},
                {"key": "session.id", "value": {"stringValue": "s-1"}},
                {"key": "items", "value": {"intValue": "9007199254740993"}},
                {"key": "total", "value": {"doubleValue": 12.5}},
                {"key": "tags", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}},
                {"key": "map", "value": {"kvlistValue": {"values": [
                    {"key": "a", "value": {"bytesValue": "AQI="}},
                ]}}},
            ],
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": "eee19b7ec3c1b174",
            "flags": 1,
        }]));
        let expected = json!({
            "eventId": "01J8",
            "timestamp": "2026-09-21T14:13:20.123456789Z",
            "eventType": "error",
            "eventName": "shop.cart",
            "priority": "high",
            "userId": "ann",
            "sessionId": "s-1",
            "appVersion": "2.4.1",
            "deviceInfo": {"service.name": "checkout"},
            "properties": {
                "body": "out of stock", "severity": "ERROR", "severityNumber": 17,
                "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
                "scope": "shop.cart", "scopeVersion": "1",
                "items": 9_007_199_254_740_993_i64, "total": 12.5, "tags": [true, null],
                "map": {"a": "AQI="},
            },
        });
        let reports = read(&body);
        assert_eq!(reports.len(), 1);
        let report = reports[0].as_ref().expect("a record");
        assert_eq!(serde_json::to_value(report).expect("JSON"), expected);
    }

    #[test]
    fn a_record_may_say_less() {
        let body = json!({"resourceLogs": [
            {"scopeLogs": [{"logRecords": [
                {"observedTimeUnixNano": 1_790_000_000_000_000_000_u64, "body": {"stringValue": ""}},
                {"timeUnixNano": "1", "eventName": "started", "severityNumber": 9},
                {"timeUnixNano": "1", "attributes": [
                    {"key": "event.name", "value": {"stringValue": "older form"}},
                    {"key": "body", "value": {"intValue": 1}},
                    {"key": "attributes", "value": {"intValue": 2}},
                ]},
            ]}]},
            {"resource": {}, "somethingNew": [1]},
        ]});
        let reports = read(&body)
            .into_iter()
            .map(|report| report.expect("a record"));
        let reports: Vec<LogReport> = reports.collect();
        let said = reports
            .iter()
            .map(|r| (r.event_name.as_str(), r.event_type.as_str()));
        let said: Vec<_> = said.collect();
        let type_ = "observability";
        assert_eq!(
            said,
            [("log", type_), ("started", type_), ("older form", type_)]
        );
        assert_eq!(reports[0].timestamp, "2026-09-21T14:13:20.000000000Z");
        let set_aside = json!({"attributes": {"body": 1, "attributes": 2}});
        assert_eq!(
            serde_json::to_value(&reports[2].properties).ok(),
            Some(set_aside)
        );
        assert_eq!(read(&json!({})), []);
    }

    #[test]
    fn a_record_without_a_time_is_refused_alone() {
        let reports = read(&export(
            json!([{"timeUnixNano": "5"}, {"timeUnixNano": "0"}]),
        ));
        assert!(reports[0].is_ok());
        let refusal = reports[1].as_ref().expect_err("no time");
        assert_eq!(refusal.code, Code::BadTimestamp);
        let path = "resourceLogs/0/scopeLogs/0/logRecords/1/timeUnixNano";
        assert_eq!(refusal.path.join("/"), path);
    }

    #[test]
    fn what_is_no_export_is_refused_whole() {
        let nobody_s = [
            "",
            "[]",
            "{",
            r#"{"resourceLogs": {}}"#,
            "{} {}",
            r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "now"}]}]}]}"#,
        ];
        for body in nobody_s {
            let refusal = otlp_reports(body.as_bytes()).expect_err(body);
            assert_eq!(refusal.code, Code::UnreadableInput, "{body}");
        }
        let twice = otlp_reports(br#"{"resourceLogs": [], "resourceLogs": []}"#);
        assert_eq!(
            twice.map_err(|refusal| refusal.code),
            Err(Code::DuplicateKey)
        );
    }
}
