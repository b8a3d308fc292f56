//! `[date time,millis] LEVEL message (logger)`, with traces and lists in the lines that follow.

use chrono::{FixedOffset, NaiveDateTime, SecondsFormat};
use serde_json::{Map, Value};

use super::{unreadable, utf8, within_size};
use crate::log_batch::{LogPriority, LogReport};
use crate::log_source::LogType;
use crate::refusal::Refusal;

/// What an entry is called that names no logger.
const NO_LOGGER: &str = "log";

/// `[2016-12-19 16:31:47,437]`
const STAMP_BYTES: usize = 25;

/// Does an entry begin with this line?
pub(super) fn begins(line: &str) -> bool {
    head(line).is_some()
}

/// Time, level, and what follows.
fn head(line: &str) -> Option<(NaiveDateTime, &str, &str)> {
    let stamp = line.get(..STAMP_BYTES)?;
    let stamp = stamp.strip_prefix('[')?.strip_suffix(']')?;
    let time = NaiveDateTime::parse_from_str(stamp, "%Y-%m-%d %H:%M:%S,%3f").ok()?;
    let (level, message) = line[STAMP_BYTES..].strip_prefix(' ')?.split_once(' ')?;
    let shouts = !level.is_empty() && level.bytes().all(|b| b.is_ascii_uppercase());
    shouts.then_some((time, level, message))
}

/// An entry that may go on.
#[derive(Debug)]
pub(super) struct Open {
    line: u64,
    text: String,
    /// Bytes of all its lines, kept or not.
    bytes: usize,
    /// The first thing wrong with one of its lines.
    wrong: Option<Refusal>,
}

impl Open {
    /// Begins with a line that [`begins`], as far as it can be read.
    pub(super) fn new(line: u64, first: &[u8]) -> Open {
        let read = within_size(first.len()).and_then(|()| utf8(first));
        Open {
            line,
            text: read.as_ref().map_or("", |text| text).to_owned(),
            bytes: first.len(),
            wrong: read.err(),
        }
    }

    /// Its first line.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// One more line. What is too large in all is counted on, not kept.
    pub(super) fn go_on(&mut self, line: &[u8]) {
        self.bytes += 1 + line.len();
        // The last one told is that of the whole entry.
        if let Err(refusal) = within_size(self.bytes) {
            self.wrong = Some(refusal);
            return;
        }
        match utf8(line) {
            Ok(line) => {
                self.text.push('\n');
                self.text.push_str(line);
            }
            Err(refusal) => drop(self.wrong.get_or_insert(refusal)),
        }
    }

    /// The whole entry, with its first line.
    pub(super) fn close(self, zone: FixedOffset) -> (u64, Result<LogReport, Refusal>) {
        let read = match self.wrong {
            Some(refusal) => Err(refusal),
            None => report(&self.text, zone),
        };
        (self.line, read)
    }
}

fn report(entry: &str, zone: FixedOffset) -> Result<LogReport, Refusal> {
    let (time, level, text) = head(entry).ok_or_else(|| unreadable("no entry begins here"))?;
    let time = time.and_local_timezone(zone).single();
    let time = time.ok_or_else(|| unreadable("there is no such time in this zone"))?;
    let (message, logger) = split_logger(text.trim_end());
    let is_error = matches!(level, "ERROR" | "FATAL");
    let mut properties = Map::new();
    properties.insert("level".to_owned(), level.into());
    properties.insert("message".to_owned(), message.into());
    if let Some(logger) = logger {
        properties.insert("logger".to_owned(), Value::from(logger));
    }
    let event_type = if is_error {
        LogType::Error
    } else {
        LogType::Observability
    };
    Ok(LogReport {
        timestamp: time.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true),
        event_type: event_type.as_str().to_owned(),
        event_name: logger.unwrap_or(NO_LOGGER).to_owned(),
        priority: is_error.then(|| LogPriority::High.as_str().to_owned()),
        properties: properties.into(),
        ..LogReport::default()
    })
}

/// The message, and who wrote it: the last parentheses at the end of the first line, or, where the
/// message itself has several lines, at the end of the last.
fn split_logger(text: &str) -> (String, Option<&str>) {
    let (first, more) = text.split_once('\n').unwrap_or((text, ""));
    if let Some((message, logger)) = logger_of(first) {
        let whole = if more.is_empty() {
            message.to_owned()
        } else {
            format!("{message}\n{more}")
        };
        return (whole, Some(logger));
    }
    match logger_of(text) {
        Some((message, logger)) => (message.to_owned(), Some(logger)),
        None => (text.to_owned(), None),
    }
}

fn logger_of(line: &str) -> Option<(&str, &str)> {
    let (message, logger) = line.strip_suffix(')')?.rsplit_once('(')?;
    let is_name = !logger.is_empty() && !logger.contains(|c: char| c.is_whitespace() || c == ')');
    is_name.then(|| (message.trim_end(), logger))
}
