//! A record as most are sent, read from its text without a map of its fields.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::log_batch::{HELD_BYTES_MAX, LogObject, LogReport};

/// The record, if all of it is as it should be. What else it may be, and what is wrong with it, is told by
/// [`super::strict_object`] and [`super::report_of`].
pub(super) fn read(text: &[u8]) -> Option<LogReport> {
    // Once for all of it: of a text that is known to be one nothing is looked at for that again.
    let text = std::str::from_utf8(text).ok()?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let report = reader.deserialize_map(Fields).ok()?;
    reader.end().ok()?;
    (report.held_bytes() <= HELD_BYTES_MAX).then_some(report)
}

/// A field of a record.
#[derive(Clone, Copy, Deserialize)]
enum Field {
    #[serde(rename = "eventId", alias = "event_id")]
    EventId,
    #[serde(rename = "timestamp")]
    Timestamp,
    #[serde(rename = "eventType", alias = "event_type")]
    EventType,
    #[serde(rename = "eventName", alias = "event_name")]
    EventName,
    #[serde(rename = "priority")]
    Priority,
    #[serde(rename = "userId", alias = "user_id")]
    UserId,
    #[serde(rename = "sessionId", alias = "session_id")]
    SessionId,
    #[serde(rename = "appVersion", alias = "app_version")]
    AppVersion,
    #[serde(rename = "sequenceNumber", alias = "sequence_number")]
    SequenceNumber,
    #[serde(rename = "deviceInfo", alias = "device_info")]
    DeviceInfo,
    #[serde(rename = "properties")]
    Properties,
}

impl Field {
    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = LogReport;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<LogReport, A::Error> {
        let mut report = LogReport::default();
        let mut said = 0;
        while let Some(field) = object.next_key::<Field>()? {
            if said & field.bit() != 0 {
                return Err(A::Error::custom("a field twice"));
            }
            said |= field.bit();
            match field {
                Field::EventId => report.event_id = object.next_value()?,
                Field::Timestamp => report.timestamp = object.next_value()?,
                Field::EventType => report.event_type = object.next_value()?,
                Field::EventName => report.event_name = object.next_value()?,
                Field::Priority => report.priority = object.next_value()?,
                Field::UserId => report.user_id = object.next_value()?,
                Field::SessionId => report.session_id = object.next_value()?,
                Field::AppVersion => report.app_version = object.next_value()?,
                Field::SequenceNumber => report.sequence_number = object.next_value()?,
                Field::DeviceInfo => {
                    report.device_info = object.next_value_seed(LogObject::strict())?;
                }
                Field::Properties => {
                    report.properties = object.next_value_seed(LogObject::strict())?;
                }
            }
        }
        let required = [Field::Timestamp, Field::EventType, Field::EventName];
        match required.iter().all(|field| said & field.bit() != 0) {
            true => Ok(report),
            false => Err(A::Error::custom("a field is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{report_of, strict_object};
    use super::*;

    const WHOLE: &str = r#"{"event_id":"e-1","timestamp":"t","eventType":"error","event_name":"\u0041",
        "priority":"high","userId":"ann","session_id":"s","appVersion":"1","sequence_number":7,
        "deviceInfo":{"os":"linux"},"properties":{"b":1.50,"a":[{"d":1,"c":null}]}}"#;

    fn slowly(text: &str) -> Option<LogReport> {
        strict_object(text.as_bytes()).and_then(report_of).ok()
    }

    #[test]
    fn what_is_read_is_what_is_read_slowly() {
        let report = read(WHOLE.as_bytes()).expect("a record");
        assert_eq!(Some(&report), slowly(WHOLE).as_ref());
        assert_eq!(
            report.properties.text(),
            r#"{"a":[{"c":null,"d":1}],"b":1.5}"#
        );
        let nothing = r#"{"timestamp":null,"eventType":"x","eventName":"y","properties":null}"#;
        let slow = slowly(nothing);
        assert!(slow.is_some());
        let quick = read(nothing.as_bytes());
        assert!(quick.is_none() || quick == slow);
    }

    /// Nothing is read here that is refused there, and everything that is read says the same.
    #[test]
    fn what_is_refused_slowly_is_not_read() {
        let changes = [
            ("\"os\"", "\"os\":1,\"os\""),
            ("\"event_id\"", "\"eventId\":\"e\",\"event_id\""),
            ("\"priority\"", "\"timestamp\":\"t\",\"priority\""),
            ("\"priority\"", "\"level\""),
            ("\"high\"", "7"),
            ("7", "7.5"),
            ("7", "9223372036854775808"),
            ("7", "\"7\""),
            ("{\"os\":\"linux\"}", "[]"),
            ("{\"os\":\"linux\"}", "\"{}\""),
            ("\"timestamp\":\"t\",", ""),
            ("\"timestamp\":\"t\",", "\"timestamp\":17,"),
            ("1.50", "1e400"),
            ("1.50", "\"\\ud800\""),
            ("}}", "}} x"),
            ("}}", "}"),
        ];
        for (old, new) in changes {
            let text = WHOLE.replacen(old, new, 1);
            assert_ne!(text, WHOLE);
            assert_eq!(slowly(&text), None, "{text}");
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
        for none in ["", "[]", "null", "7"] {
            assert!(read(none.as_bytes()).is_none());
        }
    }
}
