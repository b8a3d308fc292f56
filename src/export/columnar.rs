//! Parquet: tables of typed columns, written and read in bounded memory. The only place that knows the crate.

mod read;
mod write;

pub(super) use read::EventFile;
pub(super) use write::Table;

use bytes::Bytes;
use parquet::errors::ParquetError;

use super::ExportError;

/// What a column holds, and how a reader is told to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// UTF-8.
    Text,
    /// A few texts again and again.
    Word,
    /// JSON as UTF-8.
    Json,
    /// Bytes.
    Bytes,
    /// 16 bytes.
    Uuid,
    /// A whole number of 16 bits.
    Int16,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A floating-point number of 32 bits.
    Float32,
    /// A floating-point number of 64 bits.
    Float64,
    /// Yes or no.
    Bool,
    /// Microseconds since 1970, UTC.
    Micros,
    /// Days since 1970.
    Date,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// What it holds.
    pub(super) kind: Kind,
    /// May a row have no value in it?
    pub(super) nullable: bool,
}

/// A value on its way into a column of its kind.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// None.
    Null,
    /// Text, JSON, bytes, an id.
    Bytes(Bytes),
    /// Whole numbers, times and dates.
    Int(i64),
    /// Floating-point numbers.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

fn fault(error: ParquetError) -> ExportError {
    // What the file system says is told as it says it.
    if let ParquetError::External(inner) = error {
        return match inner.downcast::<std::io::Error>() {
            Ok(io) => ExportError::Io(*io),
            Err(other) => ExportError::Parquet(other.to_string()),
        };
    }
    ExportError::Parquet(error.to_string())
}

/// The columns of exported events: every field of a seal's leaf.
pub(super) fn event_columns() -> Vec<Column> {
    let columns = [
        ("tenant", Kind::Word),
        ("position", Kind::Int64),
        ("event_id", Kind::Uuid),
        ("aggregate_type", Kind::Word),
        ("aggregate_id", Kind::Text),
        ("sequence", Kind::Int64),
        ("event_type", Kind::Word),
        ("event_version", Kind::Word),
        ("recorded_at", Kind::Micros),
        ("payload", Kind::Json),
        ("metadata", Kind::Json),
    ];
    let column = |(name, kind): (&str, Kind)| Column {
        name: name.to_owned(),
        kind,
        nullable: false,
    };
    columns.into_iter().map(column).collect()
}
