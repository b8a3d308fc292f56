//! What a body of log records says: each record read alone, so that a bad one harms no other.

use std::fmt;

use chrono::{FixedOffset, Offset as _, Utc};
use domain::log_batch::{LogReport, RECORDS_MAX};
use domain::log_format::{LogFormat, LogReader, read_record};
use domain::{Code, Refusal};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::fault::{Fault, FaultCode};
use crate::http::{graphql, json};

/// A record, or why it cannot be read.
pub type Read = Result<LogReport, Refusal>;

/// Takes room for so many bytes more.
pub type Hold<'h> = &'h mut dyn FnMut(usize) -> Result<(), Fault>;

/// A batch as it was sent. Of more records than one may have there is one too many, and no more.
#[derive(Debug)]
pub struct Sent {
    /// In the caller's order.
    pub records: Vec<Read>,
    /// If it declares one.
    pub command_id: Option<String>,
}

/// The body is one record. What is wrong with its JSON is told as of any body.
pub fn one(body: &[u8], hold: Hold<'_>) -> Result<Read, Fault> {
    let read = read_record(body);
    if let Err(refusal) = &read
        && let Some(fault) = broken(body, refusal)
    {
        return Err(fault);
    }
    held(read, hold)
}

/// Why a body is none at all, if that is why it was refused.
pub fn broken(body: &[u8], refusal: &Refusal) -> Option<Fault> {
    if !matches!(refusal.code, Code::UnreadableInput | Code::DuplicateKey) {
        return None;
    }
    let other = || Fault::new(FaultCode::BadRequest, refusal.message.clone());
    match json::flaw(body) {
        Some(flaw) => Some(graphql::json_fault(flaw)),
        None => (refusal.code == Code::UnreadableInput).then(other),
    }
}

/// Keeps what was read, if there is room for it.
fn held(read: Read, hold: Hold<'_>) -> Result<Read, Fault> {
    let bytes = match &read {
        Ok(report) => report.held_bytes(),
        Err(_) => LogReport::default().held_bytes(),
    };
    hold(bytes).map(|()| read)
}

/// The body is an object with the records in `logs`.
pub fn batch(body: &[u8], hold: Hold<'_>) -> Result<Sent, Fault> {
    let said: Body = serde_json::from_slice(body).map_err(|error| match json::flaw(body) {
        Some(flaw) => graphql::json_fault(flaw),
        None => Fault::new(FaultCode::BadRequest, error.to_string()),
    })?;
    let records = said.logs.0.into_iter();
    let records = records.map(|raw| held(read_record(raw.get().as_bytes()), hold));
    Ok(Sent {
        records: records.collect::<Result<_, _>>()?,
        command_id: said.command_id,
    })
}

/// The body has one record a line.
pub fn lines(body: &[u8], hold: Hold<'_>) -> Result<Sent, Fault> {
    let zone: FixedOffset = Utc.fix();
    let mut reader = LogReader::new(LogFormat::Ndjson, zone);
    let lines = body.split(|byte| *byte == b'\n');
    let entries = lines.filter_map(|line| reader.line(line));
    let records = entries.take(RECORDS_MAX + 1);
    let records = records.map(|entry| held(entry.read, hold));
    Ok(Sent {
        records: records.collect::<Result<_, _>>()?,
        command_id: None,
    })
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
        let sent = batch(body.as_bytes(), &mut |_| Ok(())).expect("a body");
        let expected = [
            "ok",
            "DUPLICATE_KEY",
            "UNREADABLE_INPUT",
            "UNREADABLE_INPUT",
            "UNREADABLE_INPUT",
            "ok",
        ];
        assert_eq!(codes(&sent.records), expected);

        let sent = lines(
            format!("{RECORD}\r\n\n{{\"timestamp\":\n{RECORD}").as_bytes(),
            &mut |_| Ok(()),
        )
        .expect("room");
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
            let told =
                batch(body.as_bytes(), &mut |_| Ok(())).map_or_else(|fault| fault.code(), |_| "ok");
            assert_eq!(told, code, "{body}");
        }
    }

    #[test]
    fn of_too_many_records_one_too_many_is_kept() {
        let records = vec!["{}"; 5_000].join(",");
        let sent = batch(format!("{{\"logs\":[{records}]}}").as_bytes(), &mut |_| {
            Ok(())
        })
        .expect("a body");
        assert_eq!(sent.records.len(), RECORDS_MAX + 1);
        let sent = lines("{}\n".repeat(5_000).as_bytes(), &mut |_| Ok(())).expect("room");
        assert_eq!(sent.records.len(), RECORDS_MAX + 1);
    }

    /// J1, J2, J5, J6 of a body that is one record.
    #[test]
    fn a_record_that_is_no_json_is_no_body() {
        let deep = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            RECORD.replace(
                "\"x\"",
                &format!("\"x\",\"properties\":{{\"a\":{open}{close}}}"),
            )
        };
        let code = |body: &[u8]| match one(body, &mut |_| Ok(())) {
            Ok(Ok(_)) => "ok",
            Ok(Err(refusal)) => refusal.code.as_str(),
            Err(fault) => fault.code(),
        };
        let large = RECORD.replace("\"x\"", &format!("\"{}\"", "x".repeat(300_000)));
        for (body, expected) in [
            (RECORD, "ok"),
            ("", "BAD_JSON"),
            ("{\"timestamp\":", "BAD_JSON"),
            (&format!("{RECORD}{RECORD}"), "BAD_JSON"),
            (&RECORD.replace("error", "\\ud800"), "BAD_TEXT"),
            (&RECORD.replace("{", "{\"timestamp\":1,"), "DUPLICATE_KEY"),
            (&RECORD.replace("\"error\"", "1e400"), "BAD_NUMBER"),
            (&deep(60_000), "BAD_JSON"),
            (&deep(100), "ok"),
            ("[]", "BAD_REQUEST"),
            ("7", "BAD_REQUEST"),
            ("{}", "VALIDATION"),
            (
                &RECORD.replace("{", "{\"eventType\":\"error\","),
                "DUPLICATE_KEY",
            ),
            (&large, "TOO_LARGE"),
        ] {
            assert_eq!(code(body.as_bytes()), expected, "{body:.80}");
        }
        assert_eq!(code(b"{\"a\":\"\xff\"}"), "BAD_JSON");
    }

    /// Records take room as they are read; where there is none reading ends.
    #[test]
    fn records_take_more_room_than_their_text() {
        let small = format!("[{}0]", "{\"\":0},".repeat(1_000));
        let record = RECORD.replace("\"x\"", &format!("\"x\",\"properties\":{{\"a\":{small}}}"));
        let body = format!("{{\"logs\":[{record},{record},{record}]}}");
        let mut room = 1 << 20;
        let mut hold = |bytes: usize| {
            let left = usize::checked_sub(room, bytes);
            room = left.ok_or_else(|| Fault::of(FaultCode::RateLimited))?;
            Ok(())
        };
        let told = batch(body.as_bytes(), &mut hold).map(|sent| sent.records.len());
        assert_eq!(told.map_err(|fault| fault.code()), Err("RATE_LIMITED"));
        assert!(body.len() < 30_000 && room < 400_000, "{room}");
    }
}
