//! Access logs of web servers: `host ident user [time] "request" status bytes "referrer" "agent"`.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};

use super::unreadable;
use crate::log_batch::LogReport;
use crate::log_source::LogType;
use crate::refusal::Refusal;

/// What every request is called; what was asked for is among its properties.
const EVENT_NAME: &str = "request";

/// Reads one line. Referrer and agent may be missing, and so may the quotation mark that closes the
/// agent: servers cut long ones off.
pub(super) fn report(line: &str) -> Result<LogReport, Refusal> {
    let mut rest = Rest(line.trim());
    let client = rest.word("client")?;
    rest.word("identity")?;
    let user = rest.word("user")?;
    let time = rest.between('[', ']').ok_or_else(|| no("time"))?;
    let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").map_err(|_| no("time"))?;
    let request = rest.quoted().ok_or_else(|| no("request"))?;
    let status = rest.word("status")?;
    let status: u16 = status.parse().map_err(|_| no("status"))?;
    let bytes = match rest.word("bytes")? {
        "-" => None,
        bytes => Some(bytes.parse::<u64>().map_err(|_| no("bytes"))?),
    };
    let (referrer, agent) = (rest.quoted(), rest.quoted());

    let mut properties = Map::new();
    let mut put = |name: &str, value: Value| properties.insert(name.to_owned(), value);
    put("client", client.into());
    put("status", status.into());
    bytes.map(|bytes| put("bytes", bytes.into()));
    let said = [("referrer", referrer), ("userAgent", agent)];
    for (name, text) in said {
        let text = text.filter(|text| text != "-" && !text.is_empty());
        text.map(|text| put(name, text.into_owned().into()));
    }
    match request.split(' ').collect::<Vec<_>>()[..] {
        [method, path, protocol] if protocol.starts_with("HTTP/") => {
            put("method", method.into());
            put("path", path.into());
            put("protocol", protocol.into());
        }
        // What the server could not read either.
        _ => drop(put("request", request.into_owned().into())),
    }
    let event_type = if status >= 500 {
        LogType::Error
    } else {
        LogType::Observability
    };
    Ok(LogReport {
        timestamp: time.to_rfc3339_opts(SecondsFormat::Secs, true),
        event_type: event_type.as_str().to_owned(),
        event_name: EVENT_NAME.to_owned(),
        user_id: (user != "-").then(|| user.to_owned()),
        properties: properties.into(),
        ..LogReport::default()
    })
}

fn no(field: &str) -> Refusal {
    unreadable(&format!(
        "the line has no {field} where there should be one"
    ))
    .with("field", field)
}

/// What has not been read yet.
struct Rest<'l>(&'l str);

impl<'l> Rest<'l> {
    fn word(&mut self, field: &str) -> Result<&'l str, Refusal> {
        let text = self.0.trim_start_matches(' ');
        let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
        self.0 = rest;
        match word.is_empty() || word.starts_with(['"', '[']) {
            true => Err(no(field)),
            false => Ok(word),
        }
    }

    fn between(&mut self, open: char, close: char) -> Option<&'l str> {
        let text = self.0.trim_start_matches(' ').strip_prefix(open)?;
        let (within, rest) = text.split_once(close)?;
        self.0 = rest;
        Some(within)
    }

    /// A quoted text; a backslash before a quotation mark or a backslash belongs to the quoting.
    fn quoted(&mut self) -> Option<Cow<'l, str>> {
        let text = self.0.trim_start_matches(' ').strip_prefix('"')?;
        let mut escaped = false;
        let end = text.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let (within, rest) = match end {
            Some(end) => (&text[..end], &text[end + 1..]),
            None => (text, ""),
        };
        self.0 = rest;
        Some(match within.contains('\\') {
            true => unescaped(within).into(),
            false => within.into(),
        })
    }
}

fn unescaped(text: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = rest.next() {
        match (c, rest.as_str().chars().next()) {
            ('\\', Some(next @ ('"' | '\\'))) => {
                plain.push(next);
                rest.next();
            }
            _ => plain.push(c),
        }
    }
    plain
}
