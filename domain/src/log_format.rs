//! The formats log records come in: lines in, records or refusals out.
//!
//! Nothing is opened here: whoever has lines, from a file or from a request, hands them to a
//! [`LogReader`] and gets what they say, each with its line. What it says is then judged as anything
//! else that is handed in ([`crate::log_batch::judge`]). What OpenTelemetry's exporters send has no
//! lines: [`otlp_json_reports`] and [`otlp_protobuf_reports`] read it whole.

mod combined;
mod json;
mod log4j;
mod mapping;
mod object;
mod otlp;
mod report;

pub use json::strict_object;
pub use object::report_of;
pub use otlp::{OTLP_COMMON_BYTES_MAX, OTLP_RECORDS_MAX, otlp_json_reports, otlp_protobuf_reports};

use chrono::FixedOffset;

use crate::log_batch::LogReport;
use crate::log_source::{PersonalFields, PersonalRule};
use crate::refusal::{Code, Refusal};
use crate::words::words;
use log4j::Open;

/// How many bytes the lines of one entry may have in all: as many as any source's record may.
pub const ENTRY_BYTES_MAX: usize = 262_144;

words! {
    /// What lines are written in.
    LogFormat {
        Ndjson "ndjson" "One record a line, as JSON with the names of the API.";
        Combined "combined" "An access log of a web server, common or combined format.";
        Log4j "log4j" "`[date time,millis] LEVEL message (logger)`, and lines that go on with it.";
        GhArchive "gharchive" "One public GitHub event a line, in the reduced form of min-gharchive.";
        GithubEvents "github_events" "One GitHub event a line, as its API and GH Archive give it.";
    }
}

impl LogFormat {
    /// What a source of such lines declares personal unless it is told otherwise: the addresses of
    /// clients, and what else is said of the person whose id is the record's user.
    pub fn personal_fields(self) -> PersonalFields {
        let path = match self {
            LogFormat::Combined => Some("properties.client"),
            LogFormat::GithubEvents => Some("properties.actor"),
            LogFormat::Ndjson | LogFormat::Log4j | LogFormat::GhArchive => None,
        };
        let sealed = path.map(|path| (path.to_owned(), PersonalRule::Seal));
        PersonalFields(sealed.into_iter().collect())
    }
}

/// What one entry says, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Its first line, counted from 1.
    pub line: u64,
    /// The record, or why it cannot be read; the details name the line.
    pub read: Result<LogReport, Refusal>,
}

/// Reads lines of one format, in their order.
#[derive(Debug)]
pub struct LogReader {
    format: LogFormat,
    zone: FixedOffset,
    line: u64,
    /// What the next lines may go on with.
    open: Option<Open>,
}

impl LogReader {
    /// Before the first line. Times without a zone are of this one.
    pub fn new(format: LogFormat, zone: FixedOffset) -> LogReader {
        LogReader {
            format,
            zone,
            line: 0,
            open: None,
        }
    }

    /// Takes the next line, without its end. Gives the entry that is whole by it, if one is: of a
    /// format with entries of several lines, the one before.
    pub fn line(&mut self, line: &[u8]) -> Option<LogEntry> {
        self.line += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let read: fn(&[u8]) -> Result<LogReport, Refusal> = match self.format {
            LogFormat::Log4j => return self.log4j(line),
            LogFormat::Ndjson => read_record,
            LogFormat::Combined => |line| utf8(line).and_then(combined::report),
            LogFormat::GhArchive => |line| mapping::GH_ARCHIVE.report(strict_object(line)?),
            LogFormat::GithubEvents => |line| mapping::GITHUB.report(strict_object(line)?),
        };
        if line.trim_ascii().is_empty() {
            return None;
        }
        let read = within_size(line.len()).and_then(|()| read(line));
        Some(self.entry(self.line, read))
    }

    /// The first line of the entry that the next lines may go on with.
    pub fn open_line(&self) -> Option<u64> {
        self.open.as_ref().map(Open::line)
    }

    /// There are no more lines: gives the entry that was waiting for one.
    pub fn finish(&mut self) -> Option<LogEntry> {
        let open = self.open.take()?;
        let (line, read) = open.close(self.zone);
        Some(self.entry(line, read))
    }

    /// All entries of a text.
    pub fn read_all(mut self, text: &[u8]) -> Vec<LogEntry> {
        let lines = text
            .strip_suffix(b"\n")
            .unwrap_or(text)
            .split(|b| *b == b'\n');
        let mut entries: Vec<_> = lines.filter_map(|line| self.line(line)).collect();
        entries.extend(self.finish());
        entries
    }

    fn log4j(&mut self, line: &[u8]) -> Option<LogEntry> {
        // Whatever is wrong further on, an entry begins where it says so.
        if log4j::begins(valid_beginning(line)) {
            let before = self.finish();
            self.open = Some(Open::new(self.line, line));
            return before;
        }
        if let Some(open) = &mut self.open {
            open.go_on(line);
            return None;
        }
        if line.trim_ascii().is_empty() {
            return None;
        }
        let why = "the line goes on with an entry that does not begin";
        let read = utf8(line).and_then(|_| Err(unreadable(why)));
        Some(self.entry(self.line, read))
    }

    fn entry(&self, line: u64, read: Result<LogReport, Refusal>) -> LogEntry {
        let format = self.format.as_str();
        let read = read.map_err(|refusal| refusal.with("line", line).with("format", format));
        LogEntry { line, read }
    }
}

/// One record as a JSON object, no larger than any source's may be.
pub fn read_record(text: &[u8]) -> Result<LogReport, Refusal> {
    within_size(text.len())?;
    match report::read(text) {
        Some(report) => Ok(report),
        // What is wrong with it, or what is said in another way than most say it.
        None => strict_object(text).and_then(report_of),
    }
}

/// As far as it is written in UTF-8.
fn valid_beginning(line: &[u8]) -> &str {
    let chunk = line.utf8_chunks().next();
    chunk.map_or("", |chunk| chunk.valid())
}

fn utf8(line: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(line)
        .map_err(|_| Refusal::new(Code::BadText, "the line is not written in UTF-8"))
}

fn unreadable(why: &str) -> Refusal {
    Refusal::new(Code::UnreadableInput, why)
}

fn within_size(bytes: usize) -> Result<(), Refusal> {
    if bytes > ENTRY_BYTES_MAX {
        let refusal = crate::values::too_large(bytes, ENTRY_BYTES_MAX, "bytes", "the entry");
        return Err(refusal.at::<[&str; 0], _>([]));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
