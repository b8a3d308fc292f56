//! A record as a JSON object with the names of the API.

use serde_json::{Map, Value};

use crate::log_batch::{LogObject, LogReport, shown};
use crate::refusal::{Code, Refusal};

/// What the object says. Names are those of the API, written `eventId` or `event_id`; `null` is as
/// good as left out. A name that is none of them is refused rather than lost.
pub fn report_of(object: Map<String, Value>) -> Result<LogReport, Refusal> {
    let mut report = LogReport::default();
    let mut said: Vec<&str> = Vec::new();
    for (name, value) in object {
        let Some((field, set)) = FIELDS.iter().find(|(field, _)| is(&name, field)) else {
            let message = "a record has no such field; what else there is to say is in properties";
            return Err(Refusal::new(Code::Validation, message).at([shown(&name)]));
        };
        if said.contains(field) {
            let message = "the record names a field in both spellings";
            return Err(Refusal::new(Code::DuplicateKey, message).at([*field]));
        }
        said.push(field);
        if !value.is_null() {
            set(&mut report, value).map_err(|refusal| refusal.at([*field]))?;
        }
    }
    match REQUIRED.iter().find(|field| !said.contains(field)) {
        Some(field) => {
            let message = format!("a record has a field {field}");
            Err(Refusal::new(Code::Validation, message).at([*field]))
        }
        None => Ok(report),
    }
}

type Set = fn(&mut LogReport, Value) -> Result<(), Refusal>;

/// Every field of a record and how it is taken from JSON.
const FIELDS: &[(&str, Set)] = &[
    ("eventId", |r, v| text(v).map(|v| r.event_id = Some(v))),
    ("timestamp", |r, v| time(v).map(|v| r.timestamp = v)),
    ("eventType", |r, v| text(v).map(|v| r.event_type = v)),
    ("eventName", |r, v| text(v).map(|v| r.event_name = v)),
    ("priority", |r, v| text(v).map(|v| r.priority = Some(v))),
    ("userId", |r, v| text(v).map(|v| r.user_id = Some(v))),
    ("sessionId", |r, v| text(v).map(|v| r.session_id = Some(v))),
    ("appVersion", |r, v| {
        text(v).map(|v| r.app_version = Some(v))
    }),
    ("sequenceNumber", |r, v| {
        whole(&v).map(|v| r.sequence_number = Some(v))
    }),
    ("deviceInfo", |r, v| object(v).map(|v| r.device_info = v)),
    ("properties", |r, v| object(v).map(|v| r.properties = v)),
];

/// What every record says.
const REQUIRED: [&str; 3] = ["timestamp", "eventType", "eventName"];

/// Is it this field, in either spelling?
fn is(name: &str, field: &str) -> bool {
    let snake = field.chars().flat_map(|c| {
        let before = c.is_ascii_uppercase().then_some('_');
        before.into_iter().chain([c.to_ascii_lowercase()])
    });
    name == field || name.chars().eq(snake)
}

fn text(value: Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(not_a("text", &other)),
    }
}

/// A number of seconds or of milliseconds is no time: which of the two it is nobody can tell.
fn time(value: Value) -> Result<String, Refusal> {
    text(value).map_err(|refusal| Refusal {
        code: Code::BadTimestamp,
        ..refusal
    })
}

fn whole(value: &Value) -> Result<i64, Refusal> {
    match value {
        Value::Number(number) => number.as_i64().ok_or_else(|| {
            let message = "the number is no whole one, or too large";
            Refusal::new(Code::OutOfRange, message)
                .with("max", i64::MAX)
                .with("actual", value.clone())
        }),
        other => Err(not_a("whole number", other)),
    }
}

fn object(value: Value) -> Result<LogObject, Refusal> {
    match value {
        Value::Object(map) => Ok(map.into()),
        other => Err(not_a("JSON object", &other)),
    }
}

fn not_a(expected: &str, value: &Value) -> Refusal {
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    Refusal::new(Code::Validation, format!("a {expected} is wanted here"))
        .with("expected", expected)
        .with("actual", actual)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<LogReport, (Code, String)> {
        let Value::Object(object) = value else {
            panic!("{value} is no object")
        };
        report_of(object).map_err(|refusal| (refusal.code, refusal.path.join("/")))
    }

    #[test]
    fn both_spellings_say_the_same() {
        let camel = json!({
            "eventId": "e-1", "timestamp": "2026-09-21T14:13:20Z", "eventType": "error",
            "eventName": "crash", "priority": "high", "userId": "ann", "sessionId": "s-1",
            "appVersion": "1.2", "sequenceNumber": 7, "deviceInfo": {"os": "linux"},
            "properties": {"a": [1]},
        });
        let snake = json!({
            "event_id": "e-1", "timestamp": "2026-09-21T14:13:20Z", "event_type": "error",
            "event_name": "crash", "priority": "high", "user_id": "ann", "session_id": "s-1",
            "app_version": "1.2", "sequence_number": 7, "device_info": {"os": "linux"},
            "properties": {"a": [1]},
        });
        let report = read(camel.clone()).expect("a record");
        assert_eq!(read(snake), Ok(report.clone()));
        assert_eq!(
            serde_json::to_value(report).expect("JSON"),
            camel,
            "nothing is lost"
        );
    }

    /// J8, J14, J20
    #[test]
    fn a_field_of_another_kind_is_refused_by_name() {
        let base = || json!({"timestamp": "2026-09-21T14:13:20Z", "event_type": "error", "event_name": "n"});
        assert!(read(base()).is_ok());
        let cases = [
            ("event_id", json!(17), Code::Validation, "eventId"),
            (
                "timestamp",
                json!(1_790_000_000),
                Code::BadTimestamp,
                "timestamp",
            ),
            ("event_name", json!(["n"]), Code::Validation, "eventName"),
            (
                "sequence_number",
                json!("5"),
                Code::Validation,
                "sequenceNumber",
            ),
            (
                "sequence_number",
                json!(1.5),
                Code::OutOfRange,
                "sequenceNumber",
            ),
            (
                "sequence_number",
                json!(u64::MAX),
                Code::OutOfRange,
                "sequenceNumber",
            ),
            ("properties", json!("{}"), Code::Validation, "properties"),
            ("device_info", json!([]), Code::Validation, "deviceInfo"),
            ("eventname", json!("n"), Code::Validation, "eventname"),
            ("eventType", json!("error"), Code::DuplicateKey, "eventType"),
            ("level", json!("INFO"), Code::Validation, "level"),
        ];
        for (name, value, code, path) in cases {
            let mut said = base();
            said[name] = value;
            assert_eq!(read(said), Err((code, path.to_owned())), "{name}");
        }
        for (name, field) in [("timestamp", "timestamp"), ("event_type", "eventType")] {
            let mut said = base();
            said.as_object_mut().map(|object| object.remove(name));
            assert_eq!(read(said), Err((Code::Validation, field.to_owned())));
        }
        let mut said = base();
        said["properties"] = Value::Null;
        assert_eq!(read(said).map(|r| r.properties), Ok(LogObject::default()));
    }
}
