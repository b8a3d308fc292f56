//! Exports: events and read models as files that other programs read, proofs that such a file holds what was
//! sealed, and the archive that old partitions of the log go to.

mod archive;
mod check;
mod columnar;
mod events;
mod leaves;
mod lines;
mod read_model;
mod rows;
mod target;

use std::io;

use crate::seals::{ProofError, SealError};
use crate::store::StoreError;

pub use archive::{ArchiveFile, Unarchived, archive, archive_files, read_archived, restore};
pub use check::{Checked, Doubt, check_export};
pub use events::{EventExport, Exported, export_events};
pub use read_model::{ReadModelExport, ReadModelExported, export_read_model};

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Columns, for programs that analyse.
    Parquet,
    /// A JSON object a line.
    Ndjson,
}

/// Why something was not exported, or could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file system failed: a full disk, a missing folder.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The log failed, or does not hold the events.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Seals could not be read.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No proof can be made, or one that was given shows nothing.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The file is not Parquet, or not ours.
    #[error("Parquet: {0}")]
    Parquet(String),
    /// A line is not an exported event.
    #[error("line {line}: {what}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// An event was recorded at a time that has no date.
    #[error("the event at position {0} was recorded at a time that no calendar has")]
    NoDate(i64),
    /// There is no such read model, or it was never built.
    #[error(
        "no read model {0:?} answers for this tenant; `daybook projection list` shows those there are"
    )]
    NoReadModel(String),
    /// What lacks events of some streams is as of no position.
    #[error(
        "{1} streams of read model {0} are parked: have them taken in first (`daybook projection failed`)"
    )]
    Parked(String, i32),
    /// A read model has no such table.
    #[error("there is no table {table:?} in it, but {tables}")]
    NoTable {
        /// Which was asked for.
        table: String,
        /// Those there are.
        tables: String,
    },
    /// A table does not say whose its rows are.
    #[error("the table {0} has no column `tenant`: whose its rows are is not known")]
    NoTenant(String),
    /// Several tables do not go to one standard output.
    #[error(
        "several tables do not go to standard output: name one of {0} with --table, or a folder with --out"
    )]
    ManyTables(String),
    /// Events are not archived, or not put back.
    #[error(transparent)]
    Unarchived(#[from] Unarchived),
    /// Reading ended before the end.
    #[error("the log was cut off while it was read")]
    Cut,
    /// What was read is not what was sealed.
    #[error("the events {from} to {to} are not what was sealed: run `daybook verify`")]
    Unlike {
        /// The first that was exported.
        from: i64,
        /// The last.
        to: i64,
    },
    /// The positions do not follow each other.
    #[error("the log gave position {found} where {expected} was due")]
    Unordered {
        /// What came.
        found: i64,
        /// What was due.
        expected: i64,
    },
}
