//! Events as they are written: for programs, for spreadsheets, for people.

use std::io::{self, BufWriter, Write};

use chrono::SecondsFormat;
use domain::Metadata;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::store::StoredEvent;

/// Characters of a payload in a table.
const PAYLOAD_SHOWN: usize = 100;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A JSON object a line, payload and metadata as they are stored
    Ndjson,
    /// Comma-separated values with a head
    Csv,
    /// Lines to be read, payloads cut short
    Table,
}

impl Format {
    /// What is expected where nothing was said.
    pub(super) fn for_output(is_terminal: bool) -> Format {
        match is_terminal {
            true => Format::Table,
            false => Format::Ndjson,
        }
    }
}

/// Writes events to `W`.
pub(super) struct Writer<W: Write> {
    format: Format,
    to: BufWriter<W>,
}

/// An event as an object: named as in GraphQL.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    position: i64,
    recorded_at: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema_version: &'a str,
    aggregate_type: &'a str,
    aggregate_id: &'a str,
    sequence: i64,
    id: String,
    payload: &'a RawValue,
    metadata: &'a RawValue,
}

const COLUMNS: [&str; 14] = [
    "position",
    "recorded_at",
    "type",
    "schema_version",
    "aggregate_type",
    "aggregate_id",
    "sequence",
    "id",
    "actor",
    "command_id",
    "correlation_id",
    "causation_id",
    "payload",
    "metadata",
];

impl<W: Write> Writer<W> {
    pub(super) fn new(format: Format, to: W) -> Writer<W> {
        Writer {
            format,
            to: BufWriter::new(to),
        }
    }

    /// The names of columns, where there are columns.
    pub(super) fn head(&mut self) -> io::Result<()> {
        match self.format {
            Format::Ndjson => Ok(()),
            Format::Csv => self.record(&COLUMNS.map(str::to_owned)),
            Format::Table => self.row([
                "position",
                "recorded at",
                "type",
                "aggregate",
                "actor",
                "payload",
            ]),
        }
    }

    /// One event; its metadata if they can be read.
    pub(super) fn write(
        &mut self,
        event: &StoredEvent,
        metadata: Option<&Metadata>,
    ) -> io::Result<()> {
        let recorded_at = event
            .recorded_at
            .to_rfc3339_opts(SecondsFormat::Micros, true);
        let actor = metadata.map_or("", |metadata| metadata.actor.as_str());
        match self.format {
            Format::Ndjson => {
                let [payload, metadata] =
                    [&event.payload, &event.metadata].map(|text| one_line(text));
                let line = Line {
                    position: event.position.0,
                    recorded_at,
                    event_type: &event.event_type,
                    schema_version: &event.event_version,
                    aggregate_type: &event.aggregate_type,
                    aggregate_id: &event.aggregate_id,
                    sequence: event.sequence,
                    id: event.event_id.to_string(),
                    payload: serde_json::from_str(&payload)?,
                    metadata: serde_json::from_str(&metadata)?,
                };
                serde_json::to_writer(&mut self.to, &line)?;
                self.to.write_all(b"\n")
            }
            Format::Csv => {
                let of = |value: fn(&Metadata) -> Option<&String>| {
                    metadata.and_then(value).cloned().unwrap_or_default()
                };
                self.record(&[
                    event.position.to_string(),
                    recorded_at,
                    event.event_type.to_string(),
                    event.event_version.to_string(),
                    event.aggregate_type.to_string(),
                    event.aggregate_id.to_string(),
                    event.sequence.to_string(),
                    event.event_id.to_string(),
                    actor.to_owned(),
                    of(|metadata| Some(&metadata.command_id)),
                    of(|metadata| metadata.correlation_id.as_ref()),
                    of(|metadata| metadata.causation_id.as_ref()),
                    event.payload.clone(),
                    event.metadata.clone(),
                ])
            }
            Format::Table => {
                let aggregate = format!("{}/{}", event.aggregate_type, event.aggregate_id);
                let payload: String = event.payload.chars().take(PAYLOAD_SHOWN).collect();
                let cut = if payload.len() < event.payload.len() {
                    "…"
                } else {
                    ""
                };
                let position = event.position.to_string();
                let payload = format!("{payload}{cut}");
                self.row([
                    &position,
                    &recorded_at,
                    &event.event_type,
                    &aggregate,
                    actor,
                    &payload,
                ])
            }
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// A record of CSV. A cell that a spreadsheet would compute is marked as text.
    fn record(&mut self, cells: &[String; 14]) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(cells.iter().map(|cell| {
            match cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                true => format!("'{cell}"),
                false => cell.clone(),
            }
        }))?;
        let bytes = csv
            .into_inner()
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.to.write_all(&bytes)
    }

    /// A line of the table. What would move a terminal's cursor, or turn its text around, is not sent to it.
    fn row(&mut self, cells: [&str; 6]) -> io::Result<()> {
        let [position, at, kind, aggregate, actor, payload] = cells.map(|cell| {
            let shown = |c: char| match c.is_control() || is_directional(c) {
                true => char::REPLACEMENT_CHARACTER,
                false => c,
            };
            cell.chars().map(shown).collect::<String>()
        });
        writeln!(
            self.to,
            "{position:>10}  {at:27}  {kind:32}  {aggregate:36}  {actor:24}  {payload}"
        )
    }
}

/// JSON on one line: between its values, which is where a line end may stand, a blank means the same.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::Position;

    use super::*;

    fn event(id: &str, payload: &str) -> StoredEvent {
        StoredEvent {
            tenant: "default".into(),
            position: Position(7),
            aggregate_type: "fleet".into(),
            aggregate_id: id.into(),
            sequence: 1,
            event_type: "fleet.created".into(),
            event_version: "1".into(),
            event_id: uuid::Uuid::nil(),
            recorded_at: DateTime::UNIX_EPOCH,
            payload: payload.to_owned(),
            metadata: r#"{"actor":"user:ann","command_id":"c"}"#.to_owned(),
        }
    }

    fn written(format: Format, event: &StoredEvent) -> String {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(format, &mut bytes);
        let metadata: Option<Metadata> = serde_json::from_str(&event.metadata).ok();
        writer.write(event, metadata.as_ref()).unwrap();
        writer.flush().unwrap();
        drop(writer);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn bytes_are_as_they_are_stored() {
        let line = written(Format::Ndjson, &event("f1", r#"{"b":1.10,"a":1e2}"#));
        assert!(
            line.ends_with("}\n") && line.contains(r#""payload":{"b":1.10,"a":1e2}"#),
            "{line}"
        );
        assert!(
            line.contains(r#""position":7,"recordedAt":"1970-01-01T00:00:00.000000Z""#),
            "{line}"
        );
    }

    #[test]
    fn no_payload_is_a_line_of_its_own() {
        let line = written(Format::Ndjson, &event("f1", "[\n{\"position\":8}\r\n]"));
        assert_eq!(line.lines().count(), 1, "{line}");
    }

    #[test]
    fn no_spreadsheet_computes_a_cell() {
        for id in ["=cmd()", "+1", "-1", "@a", "\ta"] {
            let line = written(Format::Csv, &event(id, r#"{"name":"a,\"b\""}"#));
            assert!(line.contains(&format!("'{id}")), "{line}");
            let mut read = csv::ReaderBuilder::new()
                .has_headers(false)
                .from_reader(line.as_bytes());
            let record = read.records().next().unwrap().unwrap();
            assert_eq!((record.len(), &record[12]), (14, r#"{"name":"a,\"b\""}"#));
        }
    }

    #[test]
    fn no_terminal_obeys_a_payload() {
        let line = written(
            Format::Table,
            &event("f1\u{9b}2J\u{202e}", &"x".repeat(200)),
        );
        assert!(!line.contains(['\u{9b}', '\u{202e}']), "{line}");
        assert!(
            line.trim_end().ends_with('…') && line.lines().count() == 1,
            "{line}"
        );
    }
}
