//! Rows in PostgreSQL's binary COPY format, built while folding and sent as they are.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Rows for one table, in binary COPY format without its header and trailer.
///
/// Rows are appended field by field: [`CopyRows::row`], then one call for each column.
#[derive(Debug, Default)]
pub(crate) struct CopyRows {
    bytes: Vec<u8>,
    rows: usize,
}

/// Sent to the server in pieces of at most this many bytes.
const PIECE_BYTES_MAX: usize = 1 << 20;
/// The signature of the format, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The type bigint in PostgreSQL's catalogue.
const BIGINT_OID: i32 = 20;
/// A row of -1 columns ends the data.
const TRAILER: &[u8] = &[0xff, 0xff];
/// 2000-01-01, where PostgreSQL's timestamps start, in microseconds since 1970.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;
/// The same day, counted from the first day of the year 1, which is 1.
const POSTGRES_EPOCH_DAY: i32 = 730_120;

impl CopyRows {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Starts a row of so many columns.
    pub(crate) fn row(&mut self, columns: i16) {
        self.bytes.extend_from_slice(&columns.to_be_bytes());
        self.rows += 1;
    }

    /// A text or json column.
    pub(crate) fn text(&mut self, text: &str) {
        self.field(text.as_bytes());
    }

    /// A text or json column that may be null.
    pub(crate) fn text_or_null(&mut self, text: Option<&str>) {
        self.or_null(text, Self::text);
    }

    /// A bigint column.
    pub(crate) fn bigint(&mut self, number: i64) {
        self.field(&number.to_be_bytes());
    }

    /// An integer column.
    pub(crate) fn integer(&mut self, number: i32) {
        self.field(&number.to_be_bytes());
    }

    /// A smallint column.
    pub(crate) fn smallint(&mut self, number: i16) {
        self.field(&number.to_be_bytes());
    }

    /// A boolean column.
    pub(crate) fn boolean(&mut self, yes: bool) {
        self.field(&[u8::from(yes)]);
    }

    /// A date column.
    pub(crate) fn date(&mut self, date: NaiveDate) {
        self.integer(date.num_days_from_ce() - POSTGRES_EPOCH_DAY);
    }

    /// A bigint column that may be null.
    pub(crate) fn bigint_or_null(&mut self, number: Option<i64>) {
        self.or_null(number, Self::bigint);
    }

    /// An integer column that may be null.
    pub(crate) fn integer_or_null(&mut self, number: Option<i32>) {
        self.or_null(number, Self::integer);
    }

    /// A bigint[] column.
    pub(crate) fn bigints(&mut self, numbers: &[i64]) {
        let length = i32::try_from(numbers.len()).expect("far fewer than 2^31 numbers");
        // dimensions, nulls, type, then length and first index of the only dimension
        let head = [1, 0, BIGINT_OID, length, 1];
        let head = if length == 0 {
            &[0, 0, BIGINT_OID][..]
        } else {
            &head
        };
        let bytes = 4 * head.len() + 12 * numbers.len();
        let bytes = i32::try_from(bytes).expect("a column's value is far below 2 GiB");
        self.bytes.extend_from_slice(&bytes.to_be_bytes());
        for word in head {
            self.bytes.extend_from_slice(&word.to_be_bytes());
        }
        for number in numbers {
            self.field(&number.to_be_bytes());
        }
    }

    /// A uuid column that may be null.
    pub(crate) fn uuid_or_null(&mut self, uuid: Option<Uuid>) {
        self.or_null(uuid, |rows, uuid| rows.field(uuid.as_bytes()));
    }

    /// A bytea column.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.field(bytes);
    }

    /// A double precision column.
    pub(crate) fn double(&mut self, number: f64) {
        self.field(&number.to_be_bytes());
    }

    /// A double precision column that may be null.
    pub(crate) fn double_or_null(&mut self, number: Option<f64>) {
        self.or_null(number, Self::double);
    }

    /// A timestamptz column.
    pub(crate) fn time(&mut self, time: DateTime<Utc>) {
        self.bigint(time.timestamp_micros() - POSTGRES_EPOCH_US);
    }

    /// A timestamptz column that may be null.
    pub(crate) fn time_or_null(&mut self, time: Option<DateTime<Utc>>) {
        self.or_null(time, Self::time);
    }

    /// Adds the rows of `from`.
    pub(crate) fn append(&mut self, mut from: CopyRows) {
        self.rows += from.rows;
        if self.bytes.is_empty() {
            self.bytes = from.bytes;
        } else {
            self.bytes.append(&mut from.bytes);
        }
    }

    /// Sends the rows to a table.
    pub(crate) async fn send(
        self,
        conn: &mut PgConnection,
        table: &str,
        columns: &str,
    ) -> Result<(), sqlx::Error> {
        if self.rows == 0 {
            return Ok(());
        }
        let statement = format!("copy {table} ({columns}) from stdin (format binary)");
        let mut copy = conn.copy_in_raw(&statement).await?;
        copy.send(HEADER).await?;
        for piece in self.bytes.chunks(PIECE_BYTES_MAX) {
            copy.send(piece).await?;
        }
        copy.send(TRAILER).await?;
        copy.finish().await?;
        Ok(())
    }

    fn field(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("a column's value is far below 2 GiB");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    fn or_null<T>(&mut self, value: Option<T>, write: fn(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
}

#[cfg(test)]
impl CopyRows {
    /// The bytes of each row, sorted.
    pub(crate) fn sorted(&self) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((columns, fields)) = rest.split_first_chunk() {
            let mut row_bytes = 2;
            let mut fields = fields;
            for _ in 0..i16::from_be_bytes(*columns) {
                let (length, after) = fields.split_first_chunk().expect("a field's length");
                let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
                fields = &after[length..];
                row_bytes += 4 + length;
            }
            rows.push(rest[..row_bytes].to_vec());
            rest = fields;
        }
        assert_eq!(rows.len(), self.rows, "rows are counted");
        rows.sort_unstable();
        rows
    }
}
