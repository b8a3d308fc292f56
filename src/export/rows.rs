//! Exported events, read from a file of either format.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::path::Path;

use super::columnar::EventFile;
use super::lines::read_lines;
use super::{ExportError, Format};
use crate::store::StoredRow;

/// What every Parquet file begins with.
const MAGIC: &[u8] = b"PAR1";

/// Hands over each event of a file with its tenant, in the file's order, until `each` says otherwise.
pub(super) fn read_rows<E: From<ExportError>>(
    path: &Path,
    each: impl FnMut(&str, StoredRow<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = File::open(path).map_err(ExportError::from)?;
    match format_of(&mut file).map_err(ExportError::from)? {
        Format::Parquet => EventFile::open(file)?.read(each),
        Format::Ndjson => read_lines(&mut BufReader::new(file), each),
    }
}

fn format_of(file: &mut File) -> std::io::Result<Format> {
    let mut begins = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut begins)?;
    file.rewind()?;
    Ok(match begins == MAGIC {
        true => Format::Parquet,
        false => Format::Ndjson,
    })
}
