//! Reading a long range of the log for a rebuild: one COPY, parsed and decoded where it is folded.

use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::DateTime;
use domain::{Event, Metadata, Position, Recorded};
use futures::TryStreamExt;
use sqlx::{Executor as _, PgConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::StoreError;
use super::filter::EventFilter;
use super::read::Words;

/// Rows are handed over once they come to this many bytes: some hundred events.
const CHUNK_BYTES: usize = 256 << 10;

/// `PGCOPY\n\xff\r\n\0`, flags and the length of an empty extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Microseconds from 1970 to 2000, PostgreSQL's epoch.
pub const EPOCH_US: i64 = 946_684_800_000_000;

/// An event of a scan.
#[derive(Debug)]
pub struct Scanned {
    /// Where in the log.
    pub position: Position,
    /// The event, or why its stored bytes cannot be read.
    pub event: Result<Recorded<Event>, String>,
}

/// A row of the log as it is stored, byte for byte.
#[derive(Clone, Copy, Debug)]
pub struct StoredRow<'a> {
    /// Where in the log.
    pub position: i64,
    /// The aggregate's type.
    pub aggregate_type: &'a str,
    /// The aggregate's key.
    pub aggregate_id: &'a str,
    /// Number in its stream.
    pub sequence: i64,
    /// What happened.
    pub event_type: &'a str,
    /// Version of the payload's shape.
    pub event_version: &'a str,
    /// The event's own id: 16 bytes.
    pub event_id: &'a [u8],
    /// When it was committed, in microseconds since 1970.
    pub recorded_us: i64,
    /// The payload as stored.
    pub payload: &'a str,
    /// The metadata as stored.
    pub metadata: &'a str,
}

/// What a transaction that scans the log begins with. A COPY sees what was there when it was told, even if it
/// then waits for whoever exchanges a partition: rows that were moved meanwhile would be missing. So it waits
/// before it looks.
pub const HOLD_LOG: &str = "lock table only events in access share mode";

/// Sends the events of these kinds of stream, or of all, in a range of positions, in order, as chunks for
/// [`Rows::read`] and [`read_stored`]. Ends early, without an error, when nobody receives any more. The
/// connection is in no transaction, before and after.
///
/// The connection has no use any more when this was dropped or ended early: what the server has
/// still to send would be read first.
pub async fn scan<T>(
    conn: &mut PgConnection,
    tenant: &str,
    aggregate_types: Option<&[&str]>,
    positions: RangeInclusive<i64>,
    chunks: &mpsc::Sender<T>,
    chunk: impl Fn(Vec<u8>) -> T,
) -> Result<(), StoreError> {
    let only = aggregate_types.map_or_else(String::new, |types| {
        format!("and aggregate_type in ({})", list(types))
    });
    let sql = scanning(tenant, &only, positions);
    let begin = format!("begin; {HOLD_LOG}");
    let read = async {
        conn.execute(begin.as_str()).await?;
        let left = copy_chunks(conn, &sql, chunks, &chunk).await?;
        if left.is_some() {
            conn.execute("commit").await?;
        }
        Ok(left)
    };
    let read: Result<_, StoreError> = read.await;
    match read {
        // Handed over last: the server waits for nobody any more.
        Ok(Some(left)) => send_last(chunks, chunk(left)).await,
        Ok(None) => {}
        Err(error) => {
            // A connection that is lost has nothing to undo.
            let _ = conn.execute("rollback").await;
            return Err(error);
        }
    }
    Ok(())
}

/// As [`scan`], of the events that pass, and within a transaction of the caller's, which began with
/// [`HOLD_LOG`].
pub async fn scan_filtered<T>(
    conn: &mut PgConnection,
    tenant: &str,
    filter: &EventFilter,
    positions: RangeInclusive<i64>,
    chunks: &mpsc::Sender<T>,
    chunk: impl Fn(Vec<u8>) -> T,
) -> Result<(), StoreError> {
    let types = filter.event_types.as_deref().unwrap_or_default();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let is = |column, value: Option<&str>| {
        value.map(|value| format!("and {column} = {}", quoted(value)))
    };
    let conditions = [
        is("aggregate_type", filter.aggregate_type.as_deref()),
        is("aggregate_id", filter.aggregate_id.as_deref()),
        (!types.is_empty()).then(|| format!("and event_type in ({})", list(&types))),
        is("metadata->>'actor'", filter.actor.as_deref()),
        is(
            "metadata->>'correlation_id'",
            filter.correlation_id.as_deref(),
        ),
    ];
    let only = conditions.into_iter().flatten().collect::<Vec<_>>();
    let sql = scanning(tenant, &only.join(" "), positions);
    copy_out(conn, &sql, chunks, chunk).await
}

fn list(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    texts.join(", ")
}

fn scanning(tenant: &str, only: &str, positions: RangeInclusive<i64>) -> String {
    format!(
        "copy (select position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                      event_id, recorded_at, payload, metadata
               from events where tenant = {} and position between {} and {} {only}
               order by position)
         to stdout (format binary)",
        quoted(tenant),
        positions.start(),
        positions.end(),
    )
}

/// Sends what a COPY to standard output says, as chunks of whole rows.
pub async fn copy_out<T>(
    conn: &mut PgConnection,
    sql: &str,
    chunks: &mpsc::Sender<T>,
    chunk: impl Fn(Vec<u8>) -> T,
) -> Result<(), StoreError> {
    if let Some(left) = copy_chunks(conn, sql, chunks, &chunk).await? {
        send_last(chunks, chunk(left)).await;
    }
    Ok(())
}

async fn send_last<T>(chunks: &mpsc::Sender<T>, last: T) {
    // a receiver that is gone is its own affair
    let _ = chunks.send(last).await;
}

/// Sends all but the last chunk, and returns that; `None` once nobody receives any more.
async fn copy_chunks<T>(
    conn: &mut PgConnection,
    sql: &str,
    chunks: &mpsc::Sender<T>,
    chunk: &impl Fn(Vec<u8>) -> T,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut rows = conn.copy_out_raw(sql).await?;
    let mut bytes = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
    while let Some(row) = rows.try_next().await? {
        bytes.extend_from_slice(&row);
        if bytes.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut bytes, Vec::with_capacity(CHUNK_BYTES));
            if chunks.send(chunk(full)).await.is_err() {
                return Ok(None);
            }
        }
    }
    Ok(Some(bytes))
}

/// An SQL literal, whatever `standard_conforming_strings` is set to: COPY takes no parameters.
pub fn quoted(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Reads the chunks of one tenant's scans.
pub struct Rows {
    tenant: Arc<str>,
    words: Words,
}

impl Rows {
    /// For scans of this tenant's log.
    pub fn new(tenant: Arc<str>) -> Rows {
        Rows {
            tenant,
            words: Words::default(),
        }
    }

    /// Decodes the events of a chunk, in order, until `each` says otherwise.
    pub fn read<E>(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(Scanned) -> Result<(), E>,
    ) -> Result<(), E> {
        read_stored(chunk, |row| each(self.decoded(&row)))
    }

    fn decoded(&mut self, row: &StoredRow<'_>) -> Scanned {
        let position = Position(row.position);
        let decoded = decode(row.event_type, row.event_version, row.payload, row.metadata);
        let event = decoded.map(|(event, metadata)| Recorded {
            tenant: self.tenant.clone(),
            position,
            aggregate_type: self.words.word(row.aggregate_type),
            aggregate_id: row.aggregate_id.into(),
            sequence: row.sequence,
            event_id: Uuid::from_slice(row.event_id).unwrap_or_default(),
            recorded_at: DateTime::from_timestamp_micros(row.recorded_us).unwrap_or_default(),
            metadata,
            event,
        });
        Scanned { position, event }
    }
}

/// Reads the rows of a chunk, in order, until `each` says otherwise.
pub fn read_stored<E>(
    chunk: &[u8],
    mut each: impl FnMut(StoredRow<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursor = Cursor(chunk.strip_prefix(HEADER).unwrap_or(chunk));
    // the field count of the trailer is -1
    while !cursor.0.is_empty() && cursor.i16() >= 0 {
        each(cursor.row())?;
    }
    Ok(())
}

/// Reads the rows of a chunk of any COPY, field by field; null is `None`.
pub fn read_fields<E>(
    chunk: &[u8],
    mut each: impl FnMut(&[Option<&[u8]>]) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursor = Cursor(chunk.strip_prefix(HEADER).unwrap_or(chunk));
    let mut fields = Vec::new();
    while !cursor.0.is_empty() {
        let Ok(count) = usize::try_from(cursor.i16()) else {
            break;
        };
        fields.clear();
        fields.extend((0..count).map(|_| cursor.nullable()));
        each(&fields)?;
    }
    Ok(())
}

/// Appends a row to a chunk as COPY takes it, the tenant before the fields that [`read_stored`] reads.
pub fn write_stored(chunk: &mut Vec<u8>, tenant: &str, row: &StoredRow<'_>) {
    chunk.extend_from_slice(&11i16.to_be_bytes());
    for field in [
        tenant.as_bytes(),
        &row.position.to_be_bytes(),
        row.aggregate_type.as_bytes(),
        row.aggregate_id.as_bytes(),
        &row.sequence.to_be_bytes(),
        row.event_type.as_bytes(),
        row.event_version.as_bytes(),
        row.event_id,
        &row.recorded_us.wrapping_sub(EPOCH_US).to_be_bytes(),
        row.payload.as_bytes(),
        row.metadata.as_bytes(),
    ] {
        chunk.extend_from_slice(&(field.len() as i32).to_be_bytes());
        chunk.extend_from_slice(field);
    }
}

fn decode(
    event_type: &str,
    event_version: &str,
    payload: &str,
    metadata: &str,
) -> Result<(Event, Metadata), String> {
    let event = Event::decode(event_type, event_version, payload).map_err(|e| e.to_string())?;
    let metadata =
        serde_json::from_str(metadata).map_err(|e| format!("metadata cannot be read: {e}"))?;
    Ok((event, metadata))
}

/// Walks the fields of binary rows. The server frames them; no field of ours is null.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().expect("two bytes were taken"))
    }

    fn field(&mut self) -> &'a [u8] {
        self.nullable().unwrap_or_default()
    }

    fn nullable(&mut self) -> Option<&'a [u8]> {
        let length = i32::from_be_bytes(self.take(4).try_into().expect("four bytes were taken"));
        usize::try_from(length).ok().map(|bytes| self.take(bytes))
    }

    fn i64_field(&mut self) -> i64 {
        i64::from_be_bytes(self.field().try_into().expect("an int8 has eight bytes"))
    }

    fn row(&mut self) -> StoredRow<'a> {
        StoredRow {
            position: self.i64_field(),
            aggregate_type: self.text_field(),
            aggregate_id: self.text_field(),
            sequence: self.i64_field(),
            event_type: self.text_field(),
            event_version: self.text_field(),
            event_id: self.field(),
            // Infinity is no time of ours: wherever it wraps to, it is not what was sealed.
            recorded_us: self.i64_field().wrapping_add(EPOCH_US),
            payload: self.text_field(),
            metadata: self.text_field(),
        }
    }

    fn text_field(&mut self) -> &'a str {
        std::str::from_utf8(self.field()).expect("the server sends the client's encoding, UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_literal() {
        let cases = [
            ("default", "E'default'"),
            ("o'neil", "E'o''neil'"),
            (r"a\' b", r"E'a\\'' b'"),
        ];
        for (text, literal) in cases {
            assert_eq!(quoted(text), literal);
        }
    }

    #[test]
    fn rows_are_read_until_the_trailer() {
        let field = |bytes: &[u8]| [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat();
        let row = [
            10i16.to_be_bytes().to_vec(),
            field(&7i64.to_be_bytes()),
            field(b"fleet"),
            field(b"f1"),
            field(&1i64.to_be_bytes()),
            field(b"fleet.created"),
            field(b"1"),
            field(&[7; 16]),
            field(&0i64.to_be_bytes()),
            field(br#"{"name":"Buses"}"#),
            field(br#"{"actor":"user:ann","command_id":"c"}"#),
        ]
        .concat();
        let poison = row.clone();
        let at = poison
            .windows(5)
            .position(|w| w == b"Buses")
            .expect("it is there")
            - 9;
        let mut poison = poison;
        poison[at] = b'!';
        let chunk = [HEADER, &row, &poison, &(-1i16).to_be_bytes()].concat();
        let mut seen = Vec::new();
        let read = Rows::new("default".into()).read(&chunk, |s| {
            seen.push((
                s.position,
                s.event
                    .map(|e| (e.recorded_at.timestamp(), e.metadata.actor)),
            ));
            Ok::<(), ()>(())
        });
        assert_eq!(read, Ok(()));
        assert_eq!(
            seen[0],
            (Position(7), Ok((946_684_800, "user:ann".to_owned())))
        );
        assert!(seen[1].1.is_err(), "{seen:?}");
    }
}
