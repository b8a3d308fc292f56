//! Events as they are written: for programs, for spreadsheets, for people.

use std::io::{self, BufWriter, Write};

use chrono::SecondsFormat;
use domain::Metadata;
use domain::folded::StateChange;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::commands::StateAfter;
use crate::store::StoredEvent;

/// Characters of a payload, a state, or of what changed in it, in a table.
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
    /// Each event tells what it made of its stream.
    states: bool,
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
    #[serde(flatten)]
    told: Option<ToldLine<'a>>,
}

/// What it made of its stream, as part of that object.
#[derive(Serialize)]
struct ToldLine<'a> {
    state: &'a Value,
    changes: Vec<ChangeLine<'a>>,
}

#[derive(Serialize)]
struct ChangeLine<'a> {
    path: &'a str,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
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

/// The columns behind them, where states are told.
const STATE_COLUMNS: [&str; 2] = ["state", "changes"];

impl<W: Write> Writer<W> {
    /// Written so, and with states or without.
    pub(super) fn new((format, states): (Format, bool), to: W) -> Writer<W> {
        Writer {
            format,
            states,
            to: BufWriter::new(to),
        }
    }

    /// The names of columns, where there are columns.
    pub(super) fn head(&mut self) -> io::Result<()> {
        match self.format {
            Format::Ndjson => Ok(()),
            Format::Csv => {
                let more = STATE_COLUMNS.iter().filter(|_| self.states);
                let names: Vec<String> = COLUMNS
                    .iter()
                    .chain(more)
                    .map(ToString::to_string)
                    .collect();
                self.record(&names)
            }
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

    /// One event; its metadata if they can be read, and what it made of its stream if that is told.
    pub(super) fn write(
        &mut self,
        event: &StoredEvent,
        metadata: Option<&Metadata>,
        told: Option<&StateAfter>,
    ) -> io::Result<()> {
        let recorded_at = event
            .recorded_at
            .to_rfc3339_opts(SecondsFormat::Micros, true);
        match self.format {
            Format::Ndjson => self.object(event, recorded_at, told),
            Format::Csv => self.cells(event, recorded_at, metadata, told),
            Format::Table => {
                let actor = metadata.map_or("", |metadata| metadata.actor.as_str());
                let aggregate = format!("{}/{}", event.aggregate_type, event.aggregate_id);
                let position = event.position.to_string();
                self.row([
                    &position,
                    &recorded_at,
                    &event.event_type,
                    &aggregate,
                    actor,
                    &cut(&event.payload),
                ])?;
                told.map_or(Ok(()), |told| self.made(told))
            }
        }
    }

    fn object(
        &mut self,
        event: &StoredEvent,
        recorded_at: String,
        told: Option<&StateAfter>,
    ) -> io::Result<()> {
        let [payload, metadata] = [&event.payload, &event.metadata].map(|text| one_line(text));
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
            told: told.map(|told| ToldLine {
                state: &told.state,
                changes: changes(told),
            }),
        };
        serde_json::to_writer(&mut self.to, &line)?;
        self.to.write_all(b"\n")
    }

    fn cells(
        &mut self,
        event: &StoredEvent,
        recorded_at: String,
        metadata: Option<&Metadata>,
        told: Option<&StateAfter>,
    ) -> io::Result<()> {
        let of = |value: fn(&Metadata) -> Option<&String>| {
            metadata.and_then(value).cloned().unwrap_or_default()
        };
        let mut cells = vec![
            event.position.to_string(),
            recorded_at,
            event.event_type.to_string(),
            event.event_version.to_string(),
            event.aggregate_type.to_string(),
            event.aggregate_id.to_string(),
            event.sequence.to_string(),
            event.event_id.to_string(),
            of(|metadata| Some(&metadata.actor)),
            of(|metadata| Some(&metadata.command_id)),
            of(|metadata| metadata.correlation_id.as_ref()),
            of(|metadata| metadata.causation_id.as_ref()),
            event.payload.clone(),
            event.metadata.clone(),
        ];
        if let Some(told) = told {
            cells.push(told.state.to_string());
            cells.push(serde_json::to_string(&changes(told))?);
        }
        self.record(&cells)
    }

    /// What an event made of its stream, in lines of their own below it.
    fn made(&mut self, told: &StateAfter) -> io::Result<()> {
        for StateChange {
            path,
            before,
            after,
        } in &told.changes
        {
            let [before, after] = [before, after].map(|value| {
                let value = value.as_ref().map(Value::to_string);
                value.map_or_else(|| "nothing".to_owned(), |text| cut(&text))
            });
            let place = if path.is_empty() { "all" } else { path };
            let change = harmless(&format!("{place}: {before} -> {after}"));
            writeln!(self.to, "{:>10}  {change}", "")?;
        }
        let state = harmless(&cut(&told.state.to_string()));
        writeln!(self.to, "{:>10}  state: {state}", "")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// A record of CSV. A cell that a spreadsheet would compute is marked as text.
    fn record(&mut self, cells: &[String]) -> io::Result<()> {
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
        let [position, at, kind, aggregate, actor, payload] = cells.map(harmless);
        writeln!(
            self.to,
            "{position:>10}  {at:27}  {kind:32}  {aggregate:36}  {actor:24}  {payload}"
        )
    }
}

/// The places that an event changed, as they are written.
fn changes(told: &StateAfter) -> Vec<ChangeLine<'_>> {
    let changes = told.changes.iter();
    changes
        .map(|change| ChangeLine {
            path: &change.path,
            before: change.before.as_ref(),
            after: change.after.as_ref(),
        })
        .collect()
}

/// A text as a terminal may have it.
fn harmless(text: &str) -> String {
    let shown = |c: char| match c.is_control() || is_directional(c) {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    text.chars().map(shown).collect()
}

/// The beginning of a text, and a mark where more follows.
fn cut(text: &str) -> String {
    match text.char_indices().nth(PAYLOAD_SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
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
    use serde_json::json;

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
        told(format, event, None)
    }

    fn told(format: Format, event: &StoredEvent, told: Option<&StateAfter>) -> String {
        let mut bytes = Vec::new();
        let mut writer = Writer::new((format, told.is_some()), &mut bytes);
        let metadata: Option<Metadata> = serde_json::from_str(&event.metadata).ok();
        writer.write(event, metadata.as_ref(), told).unwrap();
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
    fn what_an_event_made_of_its_stream_is_told_in_every_format() {
        let made = StateAfter {
            state: json!({"name": "South\u{202e}"}),
            changes: vec![
                StateChange {
                    path: "/name".to_owned(),
                    before: Some(json!("North")),
                    after: Some(json!("South\u{202e}")),
                },
                StateChange {
                    path: "/archived".to_owned(),
                    before: None,
                    after: Some(json!(true)),
                },
            ],
        };
        let event = event("f1", "{}");
        let line = told(Format::Ndjson, &event, Some(&made));
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["state"], made.state);
        let changes = json!([
            {"path": "/name", "before": "North", "after": "South\u{202e}"},
            {"path": "/archived", "before": null, "after": true},
        ]);
        assert_eq!(read["changes"], changes);
        let cells = told(Format::Csv, &event, Some(&made));
        let mut cells = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(cells.as_bytes());
        let record = cells.records().next().unwrap().unwrap();
        let json = |cell: usize| serde_json::from_str::<Value>(&record[cell]).unwrap();
        assert_eq!(
            (record.len(), json(14), json(15)),
            (16, made.state.clone(), changes)
        );
        let lines = told(Format::Table, &event, Some(&made));
        let lines: Vec<&str> = lines.lines().map(str::trim).skip(1).collect();
        assert_eq!(
            lines,
            [
                "/name: \"North\" -> \"South\u{fffd}\"",
                "/archived: nothing -> true",
                "state: {\"name\":\"South\u{fffd}\"}",
            ]
        );
        assert!(!written(Format::Ndjson, &event).contains("state"));
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
