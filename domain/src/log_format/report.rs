//! A record as most are sent, read from its text without a map of its fields.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::log_batch::{HELD_BYTES_MAX, LogObject, LogReport};

/// The record, if all of it is as it should be. What else it may be, and what is wrong with it, is told by
/// [`super::strict_object`] and [`super::report_of`].
pub(super) fn read(text: &[u8]) -> Option<LogReport> {
    let mut reader = serde_json::Deserializer::from_slice(text);
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
