//! Exported events as NDJSON: a JSON object a line, named as the columns are.

use std::io::{BufRead, Read as _, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::ExportError;
use crate::store::StoredRow;

/// The longest line of an export: an event of the largest size, its bytes told twice.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A line as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    tenant: String,
    position: i64,
    event_id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    recorded_at: DateTime<Utc>,
    payload: Box<RawValue>,
    payload_stored: Option<String>,
    metadata: Box<RawValue>,
    metadata_stored: Option<String>,
}

/// Writes an event as a line. JSON that does not stand on a line as it is stored is told a second time, as
/// text, byte for byte.
pub(super) fn write_line(
    to: &mut impl Write,
    tenant: &str,
    row: &StoredRow<'_>,
) -> Result<(), ExportError> {
    let position = row.position;
    let at = DateTime::from_timestamp_micros(row.recorded_us);
    let at = at.ok_or(ExportError::NoDate(position))?;
    let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let id = Uuid::from_slice(row.event_id).unwrap_or_default();
    to.write_all(b"{\"tenant\":")?;
    text(to, tenant)?;
    write!(
        to,
        ",\"position\":{position},\"event_id\":\"{id}\",\"aggregate_type\":"
    )?;
    text(to, row.aggregate_type)?;
    to.write_all(b",\"aggregate_id\":")?;
    text(to, row.aggregate_id)?;
    write!(to, ",\"sequence\":{},\"event_type\":", row.sequence)?;
    text(to, row.event_type)?;
    to.write_all(b",\"event_version\":")?;
    text(to, row.event_version)?;
    write!(to, ",\"recorded_at\":\"{at}\"")?;
    json(to, "payload", row.payload)?;
    json(to, "metadata", row.metadata)?;
    to.write_all(b"}\n")?;
    Ok(())
}

fn text(to: &mut impl Write, text: &str) -> Result<(), ExportError> {
    serde_json::to_writer(to, text).map_err(std::io::Error::from)?;
    Ok(())
}

fn json(to: &mut impl Write, name: &str, stored: &str) -> Result<(), ExportError> {
    write!(to, ",\"{name}\":")?;
    let Some(line) = on_a_line(stored) else {
        to.write_all(stored.as_bytes())?;
        return Ok(());
    };
    to.write_all(line.as_bytes())?;
    write!(to, ",\"{name}_stored\":")?;
    text(to, stored)
}

/// JSON as it stands on a line; `None` if it does as it is stored.
fn on_a_line(stored: &str) -> Option<String> {
    let trimmed = stored.trim_ascii();
    let is_one = trimmed.len() == stored.len() && !stored.contains(['\n', '\r']);
    // Between JSON's values, which is where a line end may stand, a blank means the same.
    (!is_one).then(|| trimmed.replace(['\n', '\r'], " "))
}

/// The stored JSON of a line. What is told a second time is the same: other programs read the first, and
/// only the second is what was sealed.
fn stored_json<'a>(told: &'a RawValue, stored: Option<&'a str>) -> Option<&'a str> {
    match stored {
        None => Some(told.get()),
        Some(stored) if on_a_line(stored).as_deref() == Some(told.get()) => Some(stored),
        Some(_) => None,
    }
}

/// Hands over each event with its tenant, in the order of the lines, until `each` says otherwise.
pub(super) fn read_lines<E: From<ExportError>>(
    from: &mut impl BufRead,
    mut each: impl FnMut(&str, StoredRow<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let mut bounded = from.by_ref().take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut bytes);
        if read.map_err(ExportError::from)? == 0 {
            break;
        }
        let wrong = |what: String| ExportError::Line { line, what };
        if bytes.pop() != Some(b'\n') {
            let text = format!("it has no end, or is longer than {LINE_BYTES_MAX} bytes");
            return Err(wrong(text).into());
        }
        let found: Line = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("it is no exported event: {error}")))?;
        if !found
            .recorded_at
            .timestamp_subsec_nanos()
            .is_multiple_of(1_000)
        {
            return Err(wrong("its time is finer than microseconds".to_owned()).into());
        }
        let other = |name: &str| wrong(format!("its {name} is not its {name}_stored"));
        let payload = stored_json(&found.payload, found.payload_stored.as_deref());
        let metadata = stored_json(&found.metadata, found.metadata_stored.as_deref());
        let row = StoredRow {
            position: found.position,
            event_id: found.event_id.as_bytes(),
            aggregate_type: &found.aggregate_type,
            aggregate_id: &found.aggregate_id,
            sequence: found.sequence,
            event_type: &found.event_type,
            event_version: &found.event_version,
            recorded_us: found.recorded_at.timestamp_micros(),
            payload: payload.ok_or_else(|| other("payload"))?,
            metadata: metadata.ok_or_else(|| other("metadata"))?,
        };
        each(&found.tenant, row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(payload: &str) -> StoredRow<'_> {
        StoredRow {
            position: 7,
            event_id: &[7; 16],
            aggregate_type: "fleet",
            aggregate_id: "f\"1\u{1f}",
            sequence: 1,
            event_type: "fleet.created",
            event_version: "1",
            recorded_us: -1,
            payload,
            metadata: "{}",
        }
    }

    fn line(payload: &str) -> Vec<u8> {
        let mut line = Vec::new();
        write_line(&mut line, "default", &row(payload)).unwrap();
        line
    }

    #[test]
    fn a_line_tells_the_stored_bytes_whatever_they_are() {
        let payloads = [
            "{}",
            "{\"a\":1.10,\"b\" : 1e2}",
            "[\n1,\r\n2]",
            " {} ",
            "\"\\u0001ü\u{10ffff}\"",
        ];
        for payload in payloads {
            let line = line(payload);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let mut seen = 0;
            read_lines(&mut &line[..], |tenant, read| {
                seen += 1;
                assert_eq!(tenant, "default");
                assert_eq!(format!("{read:?}"), format!("{:?}", row(payload)));
                Ok::<_, ExportError>(())
            })
            .unwrap();
            assert_eq!(seen, 1, "{payload:?}");
        }
    }

    /// What is hashed is what is read: nobody is shown another payload than the one that was sealed.
    #[test]
    fn json_that_is_told_twice_is_the_same_twice() {
        let multi = "{\"a\":\n1}";
        let twice = String::from_utf8(line(multi)).unwrap();
        let one = String::from_utf8(line("{}")).unwrap();
        let forged = [
            twice.replace("\"payload\":{\"a\": 1}", "\"payload\":{\"a\": 2}"),
            twice.replace("\"payload\":{\"a\": 1}", "\"payload\":{\"a\":  1}"),
            one.replace(
                "\"payload\":{}",
                "\"payload\":{\"a\":2},\"payload_stored\":\"{}\"",
            ),
            one.replace(
                "\"metadata\":{}",
                "\"metadata\":[],\"metadata_stored\":\"{}\"",
            ),
            // As it is, it stands on a line: no export tells it twice.
            one.replace("\"payload\":{}", "\"payload\":{},\"payload_stored\":\"{}\""),
        ];
        for forged in forged {
            assert!(forged != twice && forged != one, "{forged}");
            let read = read_lines(&mut forged.as_bytes(), |_, _| Ok::<_, ExportError>(()));
            assert!(
                matches!(read, Err(ExportError::Line { line: 1, .. })),
                "{forged}: {read:?}"
            );
        }
    }

    #[test]
    fn what_is_no_exported_event_is_named_by_its_line() {
        let good = line("{}");
        let cut = &good[..good.len() - 1];
        let finer = String::from_utf8(good.clone()).unwrap();
        let finer = finer.replace("59.999999Z", "59.9999991Z");
        for bad in [cut, b"{}\n", b"\n", b"\xff\n", finer.as_bytes()] {
            let lines = [&good[..], bad].concat();
            let read = read_lines(&mut &lines[..], |_, _| Ok::<_, ExportError>(()));
            assert!(
                matches!(read, Err(ExportError::Line { line: 2, .. })),
                "{read:?}"
            );
        }
    }
}
