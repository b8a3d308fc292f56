//! One JSON object a line, read as rows: names become columns.

use std::fmt;
use std::io::{self, BufRead, Read};

use csv::{ByteRecord, Position};
use domain::{Code, Refusal};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::columns::Names;
use super::source::{RECORD_BYTES_MAX, Row};

/// Lines of a source, each to be an object.
pub struct Objects {
    /// The columns: every name that is asked for, if the first object has all that must be there; else
    /// the names it has.
    pub header: ByteRecord,
    names: Vec<String>,
    inner: Box<dyn BufRead + Send>,
    /// The first line, as long as it was not handed out.
    first: Option<Vec<u8>>,
    line: u64,
}

impl Objects {
    /// Reads the first object.
    pub fn new(inner: Box<dyn BufRead + Send>, asked: &Names) -> io::Result<Objects> {
        let mut objects = Objects {
            header: ByteRecord::new(),
            names: Vec::new(),
            inner,
            first: None,
            line: 0,
        };
        let first = objects.next_line()?.unwrap_or_default();
        let there: Vec<String> = match serde_json::from_slice(&first) {
            Ok(Value::Object(first)) => first.into_iter().map(|(name, _)| name).collect(),
            // It is refused in its turn.
            _ => asked.required.clone(),
        };
        let whole = asked.required.iter().all(|name| there.contains(name));
        objects.names = match whole {
            true => asked
                .required
                .iter()
                .chain(&asked.optional)
                .cloned()
                .collect(),
            false => there,
        };
        objects.header = objects.names.iter().collect::<Vec<_>>().into();
        objects.first = Some(first);
        Ok(objects)
    }

    /// Reads the next object; the record knows its line.
    pub fn read(&mut self, record: &mut ByteRecord) -> io::Result<Row> {
        let line = match self.first.take() {
            Some(first) => Some(first),
            None => self.next_line()?,
        };
        let Some(line) = line else {
            return Ok(Row::End);
        };
        let mut reader = serde_json::Deserializer::from_slice(&line);
        let read = Fields(&self.names).deserialize(&mut reader);
        let read = read.and_then(|fields| reader.end().map(|()| fields));
        match read {
            Ok(Ok(fields)) => {
                *record = ByteRecord::from(fields);
                let mut position = Position::new();
                position.set_line(self.line);
                record.set_position(Some(position));
                Ok(Row::Read)
            }
            Ok(Err(refusal)) => Ok(Row::Refused(self.line, refusal)),
            Err(_) => {
                let refusal = Refusal::new(Code::Validation, "the line is no JSON object");
                Ok(Row::Refused(self.line, refusal))
            }
        }
    }

    /// The line that was read last.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next line that is not empty, without its end.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut self.inner).take(RECORD_BYTES_MAX + 1);
            let read = bounded.read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read as u64 > RECORD_BYTES_MAX {
                let message = format!("a line is longer than {RECORD_BYTES_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

/// The values of these names in an object, as texts; absent and null are empty.
struct Fields<'n>(&'n [String]);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Result<Vec<String>, Refusal>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Result<Vec<String>, Refusal>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut object: M) -> Result<Self::Value, M::Error> {
        let mut fields = vec![None; self.0.len()];
        let mut refused = None;
        while let Some(name) = object.next_key::<String>()? {
            let Some(place) = self.0.iter().position(|n| *n == name) else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = object.next_value::<Value>()?;
            if fields[place].is_some() {
                let message = format!("the object names {name} twice");
                refused.get_or_insert(Refusal::new(Code::DuplicateKey, message).at([name]));
                continue;
            }
            fields[place] = Some(match value {
                Value::Null => String::new(),
                Value::String(text) => text,
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    let message = format!("{name} is a list or an object, not one value");
                    refused.get_or_insert(Refusal::new(Code::Validation, message).at([name]));
                    String::new()
                }
            });
        }
        let fields = fields.into_iter().map(Option::unwrap_or_default).collect();
        Ok(refused.map_or(Ok(fields), Err))
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::Finder;
    use super::*;

    fn asked() -> Names {
        Names {
            required: vec!["id".to_owned(), "at".to_owned()],
            optional: vec!["note".to_owned()],
        }
    }

    fn objects(text: &'static str) -> Objects {
        Objects::new(Box::new(text.as_bytes()), &asked()).unwrap()
    }

    /// Per line: what was read, or the code it was refused with.
    fn check(text: &'static str) -> Vec<(u64, String)> {
        let (mut objects, mut record, mut got) = (objects(text), ByteRecord::new(), Vec::new());
        loop {
            match objects.read(&mut record).unwrap() {
                Row::Read => {
                    let fields: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
                    got.push((record.position().unwrap().line(), fields.join("|")));
                }
                Row::Refused(line, refusal) => got.push((line, refusal.code.as_str().to_owned())),
                Row::End => return got,
            }
        }
    }

    #[test]
    fn objects_are_rows_and_bad_lines_are_refused_alone() {
        let text = r#"{"id": 7, "at": "t", "else": {"x": [1]}}

{"note": "n", "at": null, "id": true}
{"id": 1, "id": 2, "at": ""}
{"id": [1], "at": "t"}
{"id": 1
[1]
{"id": "\ud83d\ude00", "at": "t"} {}
{"id": "8", "at": "t"}"#;
        let want = [
            (1, "7|t|"),
            (3, "true||n"),
            (4, "DUPLICATE_KEY"),
            (5, "VALIDATION"),
            (6, "VALIDATION"),
            (7, "VALIDATION"),
            (8, "VALIDATION"),
            (9, "8|t|"),
        ];
        let want: Vec<_> = want.iter().map(|(l, w)| (*l, (*w).to_owned())).collect();
        assert_eq!(check(text), want);
    }

    #[test]
    fn a_name_the_first_object_lacks_is_missing() {
        let objects = objects("{\"id\": 1, \"when\": \"t\"}\n");
        let mut find = Finder::of(&objects.header);
        find.needed("id");
        find.needed("at");
        let problem = find.finish(()).unwrap_err();
        assert_eq!(problem, "no column at; it has id, when");
    }

    #[test]
    fn a_line_without_an_end_ends_at_the_limit() {
        let text: &'static str = format!("{{\"id\": \"{}", "x".repeat(200_000)).leak();
        let opened = Objects::new(Box::new(text.as_bytes()), &asked());
        let error = opened.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
