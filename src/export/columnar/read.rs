//! Reading exported events back, a few of each column at a time. Whoever hands in a file may have made it.

use std::fs::File;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::write::field;
use super::{event_columns, fault};
use crate::export::ExportError;
use crate::store::StoredRow;

/// Rows read at once.
const ROWS_AT_ONCE: usize = 1_024;

/// Bytes of one column of a row group of ours, which holds 16 MiB or one event: a file that says more is not ours.
const COLUMN_BYTES_MAX: i64 = 256 << 20;

/// A Parquet file with the columns of exported events.
pub(in crate::export) struct EventFile {
    file: SerializedFileReader<File>,
}

/// The values of some rows, by column, in the order of [`event_columns`].
#[derive(Default)]
struct Rows {
    /// Tenant, aggregate's type and id, event's type and version, payload, metadata.
    texts: [Vec<ByteArray>; 7],
    /// Position, sequence, time.
    numbers: [Vec<i64>; 3],
    ids: Vec<FixedLenByteArray>,
}

impl EventFile {
    /// Reads what the file says of itself: other columns than ours are refused, and such as another program
    /// would see as something else, be it for what they are said to hold or for what they are part of.
    pub(in crate::export) fn open(file: File) -> Result<EventFile, ExportError> {
        let file = SerializedFileReader::new(file).map_err(fault)?;
        let found = file.metadata().file_metadata().schema().get_fields();
        let ours: Result<Vec<_>, ExportError> = event_columns().iter().map(field).collect();
        match *found == *ours? {
            true => Ok(EventFile { file }),
            false => Err(ExportError::Parquet(
                "its columns are not those of exported events".to_owned(),
            )),
        }
    }

    /// Hands over each event with its tenant, in the order of the file, until `each` says otherwise.
    pub(in crate::export) fn read<E: From<ExportError>>(
        &self,
        mut each: impl FnMut(&str, StoredRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for group in 0..self.file.num_row_groups() {
            let group = self.file.get_row_group(group).map_err(fault)?;
            let about = group.metadata();
            let columns = about.columns().iter();
            if columns
                .map(|column| column.uncompressed_size())
                .any(|bytes| bytes > COLUMN_BYTES_MAX)
            {
                let text = "a row group is larger than any of ours".to_owned();
                return Err(ExportError::Parquet(text).into());
            }
            let mut readers = Vec::with_capacity(about.num_columns());
            for column in 0..about.num_columns() {
                readers.push(group.get_column_reader(column).map_err(fault)?);
            }
            let mut left = usize::try_from(about.num_rows()).unwrap_or(0);
            let mut rows = Rows::default();
            while left > 0 {
                let wanted = left.min(ROWS_AT_ONCE);
                rows.read(&mut readers, wanted)?;
                for row in 0..wanted {
                    rows.tell(row, &mut each)?;
                }
                left -= wanted;
            }
        }
        Ok(())
    }
}

impl Rows {
    fn read(&mut self, readers: &mut [ColumnReader], wanted: usize) -> Result<(), ExportError> {
        let Rows {
            texts,
            numbers,
            ids,
        } = self;
        let (mut texts, mut numbers) = (texts.iter_mut(), numbers.iter_mut());
        for reader in readers {
            match reader {
                ColumnReader::ByteArrayColumnReader(from) => {
                    fill(from, texts.next().ok_or_else(other)?, wanted)?;
                }
                ColumnReader::Int64ColumnReader(from) => {
                    fill(from, numbers.next().ok_or_else(other)?, wanted)?;
                }
                ColumnReader::FixedLenByteArrayColumnReader(from) => fill(from, ids, wanted)?,
                _ => return Err(other()),
            }
        }
        Ok(())
    }

    fn tell<E: From<ExportError>>(
        &self,
        row: usize,
        each: &mut impl FnMut(&str, StoredRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let text = |column: usize| self.texts[column][row].as_utf8().map_err(fault);
        let told = StoredRow {
            position: self.numbers[0][row],
            event_id: self.ids[row].data(),
            aggregate_type: text(1)?,
            aggregate_id: text(2)?,
            sequence: self.numbers[1][row],
            event_type: text(3)?,
            event_version: text(4)?,
            recorded_us: self.numbers[2][row],
            payload: text(5)?,
            metadata: text(6)?,
        };
        each(text(0)?, told)
    }
}

fn other() -> ExportError {
    ExportError::Parquet("a row group has other columns than its file".to_owned())
}

/// Reads exactly so many values of a column that has one in each row.
fn fill<T: DataType>(
    from: &mut ColumnReaderImpl<T>,
    to: &mut Vec<T::T>,
    wanted: usize,
) -> Result<(), ExportError> {
    to.clear();
    while to.len() < wanted {
        let left = wanted - to.len();
        let (read, _, _) = from.read_records(left, None, None, to).map_err(fault)?;
        if read == 0 {
            let text = "a row group ends before its last row".to_owned();
            return Err(ExportError::Parquet(text));
        }
    }
    Ok(())
}
