//! Writing a table: rows are gathered by column, and a row group is written once it is full.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type};

use super::{Cell, Column, Kind, fault};
use crate::export::ExportError;

/// Rows of a row group.
const GROUP_ROWS_MAX: usize = 122_880;

/// Bytes of the values of a row group, as they come; one row alone may be more.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// Bytes of a page before it is compressed.
const PAGE_BYTES: usize = 256 << 10;

/// Values of a column that are not written yet.
enum Values {
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Bool(Vec<bool>),
}

struct Pending {
    values: Values,
    /// Of each row 1 if it has a value; kept where it need not have one.
    present: Option<Vec<i16>>,
}

/// A Parquet file that is being written.
pub(in crate::export) struct Table<W: Write + Send> {
    to: SerializedFileWriter<W>,
    columns: Vec<Pending>,
    rows: usize,
    bytes: usize,
}

impl<W: Write + Send> Table<W> {
    /// A file of these columns, with notes for whoever reads it.
    pub(in crate::export) fn new(
        to: W,
        columns: &[Column],
        notes: &[(&str, String)],
    ) -> Result<Table<W>, ExportError> {
        let fields = columns.iter().map(field).collect::<Result<_, _>>()?;
        let schema = Type::group_type_builder("daybook").with_fields(fields);
        let schema = schema.build().map_err(fault)?;
        let notes = notes
            .iter()
            .map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_data_page_size_limit(PAGE_BYTES)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(concat!("daybook ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(notes.collect()));
        for column in columns {
            let path = ColumnPath::from(column.name.as_str());
            properties = match column.kind {
                Kind::Word => properties.set_column_dictionary_enabled(path, true),
                Kind::Int32 | Kind::Int64 | Kind::Micros | Kind::Date => {
                    properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
                }
                // The least and the largest of them tell nobody anything.
                Kind::Json | Kind::Bytes => {
                    properties.set_column_statistics_enabled(path, EnabledStatistics::None)
                }
                _ => properties,
            };
        }
        let to = SerializedFileWriter::new(to, Arc::new(schema), Arc::new(properties.build()));
        Ok(Table {
            to: to.map_err(fault)?,
            columns: columns.iter().map(Pending::new).collect(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Adds a row: a cell for each column, of its kind.
    pub(in crate::export) fn row(
        &mut self,
        cells: impl IntoIterator<Item = Cell>,
    ) -> Result<(), ExportError> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            self.bytes += column.push(cell)?;
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left and the end of the file.
    pub(in crate::export) fn finish(mut self) -> Result<W, ExportError> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.to.into_inner().map_err(fault)
    }

    fn write_group(&mut self) -> Result<(), ExportError> {
        let mut group = self.to.next_row_group().map_err(fault)?;
        for column in &mut self.columns {
            let writer = group.next_column().map_err(fault)?;
            let mut writer = writer.expect("the file has a column for each of ours");
            column.write(writer.untyped())?;
            writer.close().map_err(fault)?;
        }
        group.close().map_err(fault)?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

pub(super) fn field(column: &Column) -> Result<Arc<Type>, ExportError> {
    let (physical, logical, length) = match column.kind {
        Kind::Text | Kind::Word => (Physical::BYTE_ARRAY, Some(LogicalType::String), -1),
        Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json), -1),
        Kind::Bytes => (Physical::BYTE_ARRAY, None, -1),
        Kind::Uuid => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), 16),
        Kind::Int16 => (Physical::INT32, Some(LogicalType::integer(16, true)), -1),
        Kind::Int32 => (Physical::INT32, None, -1),
        Kind::Int64 => (Physical::INT64, None, -1),
        Kind::Float32 => (Physical::FLOAT, None, -1),
        Kind::Float64 => (Physical::DOUBLE, None, -1),
        Kind::Bool => (Physical::BOOLEAN, None, -1),
        Kind::Micros => (
            Physical::INT64,
            Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            -1,
        ),
        Kind::Date => (Physical::INT32, Some(LogicalType::Date), -1),
    };
    let repetition = match column.nullable {
        true => Repetition::OPTIONAL,
        false => Repetition::REQUIRED,
    };
    let built = Type::primitive_type_builder(&column.name, physical)
        .with_logical_type(logical)
        .with_length(length)
        .with_repetition(repetition)
        .build();
    Ok(Arc::new(built.map_err(fault)?))
}

impl Pending {
    fn new(column: &Column) -> Pending {
        let values = match column.kind {
            Kind::Text | Kind::Word | Kind::Json | Kind::Bytes => Values::Bytes(Vec::new()),
            Kind::Uuid => Values::Fixed(Vec::new()),
            Kind::Int16 | Kind::Int32 | Kind::Date => Values::Int32(Vec::new()),
            Kind::Int64 | Kind::Micros => Values::Int64(Vec::new()),
            Kind::Float32 => Values::Float32(Vec::new()),
            Kind::Float64 => Values::Float64(Vec::new()),
            Kind::Bool => Values::Bool(Vec::new()),
        };
        Pending {
            values,
            present: column.nullable.then(Vec::new),
        }
    }

    /// Adds a cell, and tells how many bytes are kept for it.
    fn push(&mut self, cell: Cell) -> Result<usize, ExportError> {
        if let Some(present) = &mut self.present {
            present.push(i16::from(!matches!(cell, Cell::Null)));
        }
        let bytes = match &cell {
            Cell::Bytes(bytes) => bytes.len(),
            _ => 8,
        };
        match (&mut self.values, cell) {
            (_, Cell::Null) if self.present.is_some() => {}
            (Values::Bytes(all), Cell::Bytes(value)) => all.push(value.into()),
            (Values::Fixed(all), Cell::Bytes(value)) => all.push(ByteArray::from(value).into()),
            (Values::Int32(all), Cell::Int(value)) => {
                let value = value.try_into();
                all.push(value.map_err(|_| ExportError::Parquet("a number is too large".into()))?);
            }
            (Values::Int64(all), Cell::Int(value)) => all.push(value),
            (Values::Float32(all), Cell::Float(value)) => all.push(value as f32),
            (Values::Float64(all), Cell::Float(value)) => all.push(value),
            (Values::Bool(all), Cell::Bool(value)) => all.push(value),
            (_, cell) => {
                let text = format!("{cell:?} is no value of its column");
                return Err(ExportError::Parquet(text));
            }
        }
        Ok(bytes)
    }

    /// Writes its values, and forgets them.
    fn write(&mut self, to: &mut ColumnWriter<'_>) -> Result<(), ExportError> {
        let present = self.present.as_deref();
        let written = match (&mut self.values, to) {
            (Values::Bytes(all), ColumnWriter::ByteArrayColumnWriter(to)) => put(all, to, present),
            (Values::Fixed(all), ColumnWriter::FixedLenByteArrayColumnWriter(to)) => {
                put(all, to, present)
            }
            (Values::Int32(all), ColumnWriter::Int32ColumnWriter(to)) => put(all, to, present),
            (Values::Int64(all), ColumnWriter::Int64ColumnWriter(to)) => put(all, to, present),
            (Values::Float32(all), ColumnWriter::FloatColumnWriter(to)) => put(all, to, present),
            (Values::Float64(all), ColumnWriter::DoubleColumnWriter(to)) => put(all, to, present),
            (Values::Bool(all), ColumnWriter::BoolColumnWriter(to)) => put(all, to, present),
            _ => unreachable!("a column's writer and its values follow from the same kind"),
        };
        if let Some(present) = &mut self.present {
            present.clear();
        }
        written
    }
}

/// Writes values, and forgets them.
fn put<T: DataType>(
    values: &mut Vec<T::T>,
    to: &mut ColumnWriterImpl<'_, T>,
    present: Option<&[i16]>,
) -> Result<(), ExportError> {
    let written = to.write_batch(values, present, None);
    values.clear();
    written.map(drop).map_err(fault)
}
