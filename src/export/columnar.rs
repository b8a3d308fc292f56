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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::sync::Arc;

    use parquet::basic::Repetition;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::types::Type;

    use super::write::field;
    use super::{Column, EventFile, Kind, event_columns};

    /// Is a file with these columns, and no rows, one of exported events?
    fn is_ours(path: &Path, columns: Vec<Arc<Type>>) -> bool {
        let schema = Type::group_type_builder("schema").with_fields(columns);
        let schema = Arc::new(schema.build().unwrap());
        let file = File::create(path).unwrap();
        let writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
        writer.close().unwrap();
        EventFile::open(File::open(path).unwrap()).is_ok()
    }

    fn fields(columns: &[Column]) -> Vec<Arc<Type>> {
        columns
            .iter()
            .map(|column| field(column).unwrap())
            .collect()
    }

    /// Another program would see other values than those that were checked.
    #[test]
    fn columns_that_are_said_to_be_something_else_are_refused() {
        let path = std::env::temp_dir().join(format!("daybook-columns-{}", std::process::id()));
        let ours = event_columns();
        let changed = |at: usize, change: &dyn Fn(&mut Column)| {
            let mut columns = ours.clone();
            change(&mut columns[at]);
            fields(&columns)
        };
        let kind = |at, kind| changed(at, &|column| column.kind = kind);
        let nested = Type::group_type_builder("payload")
            .with_repetition(Repetition::REQUIRED)
            .with_fields(fields(&ours[9..10]));
        let mut within = fields(&ours);
        within[9] = Arc::new(nested.build().unwrap());
        let mut more = fields(&ours);
        more.push(fields(&ours)[0].clone());
        assert!(is_ours(&path, fields(&ours)));
        for (what, columns) in [
            ("text for JSON", kind(9, Kind::Text)),
            ("bytes for text", kind(0, Kind::Bytes)),
            ("a time for a number", kind(1, Kind::Micros)),
            ("a number for a time", kind(8, Kind::Int64)),
            ("text for an id", kind(2, Kind::Text)),
            ("no value", changed(9, &|column| column.nullable = true)),
            ("a name", changed(9, &|column| column.name.push('2'))),
            ("within another", within),
            ("one more", more),
            ("one less", fields(&ours[1..])),
        ] {
            assert!(!is_ours(&path, columns), "{what}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
