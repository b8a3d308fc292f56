//! What a body of log records says: each record read alone, so that a bad one harms no other.

use std::fmt;

use chrono::{FixedOffset, Offset as _, Utc};
use domain::Refusal;
use domain::log_batch::{LogReport, RECORDS_MAX};
use domain::log_format::{LogFormat, LogReader, report_of, strict_object};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::fault::{Fault, FaultCode};
use crate::http::{graphql, json};

/// A record, or why it cannot be read.
pub type Read = Result<LogReport, Refusal>;

/// A batch as it was sent. Of more records than one may have there is one too many, and no more.
#[derive(Debug)]
pub struct Sent {
    /// In the caller's order.
    pub records: Vec<Read>,
    /// If it declares one.
    pub command_id: Option<String>,
}

/// The body is one record.
pub fn one(body: &[u8]) -> Read {
    strict_object(body).and_then(report_of)
}

/// The body is an object with the records in `logs`.
pub fn batch(body: &[u8]) -> Result<Sent, Fault> {
    let said: Body = serde_json::from_slice(body).map_err(|error| match json::flaw(body) {
        Some(flaw) => graphql::json_fault(flaw),
        None => Fault::new(FaultCode::BadRequest, error.to_string()),
    })?;
    let records = said.logs.0.into_iter().map(|raw| one(raw.get().as_bytes()));
    Ok(Sent {
        records: records.collect(),
        command_id: said.command_id,
    })
}

/// The body has one record a line.
pub fn lines(body: &[u8]) -> Sent {
    let zone: FixedOffset = Utc.fix();
    let mut reader = LogReader::new(LogFormat::Ndjson, zone);
    let lines = body.split(|byte| *byte == b'\n');
    let entries = lines.filter_map(|line| reader.line(line));
    let records = entries.take(RECORDS_MAX + 1).map(|entry| entry.read);
    Sent {
        records: records.collect(),
        command_id: None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<'b> {
    #[serde(borrow)]
    logs: Logs<'b>,
    #[serde(default)]
    command_id: Option<String>,
}

/// Records as they are spelled. Those that are too many are passed over.
struct Logs<'b>(Vec<&'b RawValue>);

impl<'de: 'b, 'b> Deserialize<'de> for Logs<'b> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Logs<'b>, D::Error> {
        source.deserialize_seq(LogsVisitor)
    }
}

struct LogsVisitor;

impl<'de> Visitor<'de> for LogsVisitor {
    type Value = Logs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Logs<'de>, A::Error> {
        let mut records = Vec::new();
        while let Some(record) = source.next_element()? {
            records.push(record);
            if records.len() > RECORDS_MAX {
                while source.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(Logs(records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str =
        r#"{"timestamp":"2026-09-21T14:13:20Z","event_type":"error","event_name":"x"}"#;

    fn codes(records: &[Read]) -> Vec<&str> {
        let code = |read: &Read| read.as_ref().map_or_else(|r| r.code.as_str(), |_| "ok");
        records.iter().map(code).collect()
    }

    #[test]
    fn a_bad_record_harms_no_other() {
        let bad = r#"{"timestamp":"t","timestamp":"t"}"#;
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let body = format!(r#"{{"logs":[{RECORD},{bad},7,{{"a":"\ud800"}},{deep},{RECORD}]}}"#);
        let sent = batch(body.as_bytes()).expect("a body");
        let expected = [
            "ok",
            "DUPLICATE_KEY",
            "UNREADABLE_INPUT",
            "UNREADABLE_INPUT",
            "UNREADABLE_INPUT",
            "ok",
        ];
        assert_eq!(codes(&sent.records), expected);

        let sent = lines(format!("{RECORD}\r\n\n{{\"timestamp\":\n{RECORD}").as_bytes());
        assert_eq!(codes(&sent.records), ["ok", "UNREADABLE_INPUT", "ok"]);
        let refusal = sent.records[1].as_ref().expect_err("it is cut off");
        assert_eq!(refusal.details["line"], 3);
    }

    #[test]
    fn a_body_that_is_none_is_refused_whole() {
        for (body, code) in [
            ("", "BAD_JSON"),
            ("{", "BAD_JSON"),
            (r#"{"logs":[]}x"#, "BAD_JSON"),
            (r#"{"logs":[],"logs":[]}"#, "DUPLICATE_KEY"),
            ("[]", "BAD_REQUEST"),
            ("{}", "BAD_REQUEST"),
            (r#"{"logs":{}}"#, "BAD_REQUEST"),
            (r#"{"logs":[],"tenant":"x"}"#, "BAD_REQUEST"),
        ] {
            let told = batch(body.as_bytes()).map_or_else(|fault| fault.code(), |_| "ok");
            assert_eq!(told, code, "{body}");
        }
    }

    #[test]
    fn of_too_many_records_one_too_many_is_kept() {
        let records = vec!["{}"; 5_000].join(",");
        let sent = batch(format!("{{\"logs\":[{records}]}}").as_bytes()).expect("a body");
        assert_eq!(sent.records.len(), RECORDS_MAX + 1);
        let sent = lines("{}\n".repeat(5_000).as_bytes());
        assert_eq!(sent.records.len(), RECORDS_MAX + 1);
    }
}
