//! Exporting events: one scan of the log, written as it comes.

use std::io::{BufWriter, Write as _};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sqlx::Executor as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::columnar::{Cell, Table, event_columns};
use super::leaves::LeafWriter;
use super::lines::write_line;
use super::target::{Target, WRITE_BYTES};
use super::{ExportError, Format};
use crate::consumers::open_connection;
use crate::seals::{RangeFold, RangeProof, event_leaf, prove_range};
use crate::store::{
    EventFilter, HOLD_LOG, Store, StoredRow, check_held, read_stored, scan_filtered,
};

/// Positions of one statement: no snapshot of the database is kept for as long as a whole export takes.
const SCANNED_AT_ONCE: i64 = 1 << 20;

/// Chunks of rows read ahead of those that are being written.
const CHUNKS_AHEAD_MAX: usize = 4;

/// How often progress is told of.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What is exported, and where to.
#[derive(Clone, Debug)]
pub struct EventExport {
    /// Whose log.
    pub tenant: Arc<str>,
    /// At these positions, all of which the log has.
    pub positions: RangeInclusive<i64>,
    /// Only these; `None`: all.
    pub only: Option<EventFilter>,
    /// How.
    pub format: Format,
    /// The file, or `-` for standard output.
    pub out: PathBuf,
    /// Where the proof goes, if one is wanted: of all events only.
    pub proof: Option<PathBuf>,
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Events that were written.
    pub events: u64,
}

/// How far it is.
#[derive(Default)]
struct Far {
    position: AtomicI64,
    events: AtomicU64,
}

/// Where rows are written.
struct Writer {
    tenant: Arc<str>,
    tenant_bytes: Bytes,
    to: To,
    proving: Option<Proving>,
    /// The position that is due, where all are wanted.
    due: Option<i64>,
    far: Arc<Far>,
}

enum To {
    Parquet(Table<Target>),
    Ndjson(BufWriter<Target>),
}

/// Holds what is written against what was sealed.
struct Proving {
    proof: RangeProof,
    fold: RangeFold,
    leaves: LeafWriter,
}

/// Exports events. `progress` is told now and then which position was reached, and how many events were
/// written. The files have their names when this returns without an error, and not before.
pub async fn export_events(
    store: &Store,
    what: &EventExport,
    mut progress: impl FnMut(i64, u64),
) -> Result<Exported, ExportError> {
    let positions = what.positions.clone();
    let proof = match &what.proof {
        None => None,
        Some(path) => {
            let (from, to) = (*positions.start(), *positions.end());
            Some((prove_range(store, &what.tenant, from, to).await?, path))
        }
    };
    let far = Arc::new(Far::default());
    let writer = Writer::open(what, proof, far.clone())?;
    let (send, chunks) = mpsc::channel(CHUNKS_AHEAD_MAX);
    let mut writing: JoinHandle<Result<Exported, ExportError>> =
        tokio::task::spawn_blocking(move || writer.run(chunks));
    let reading = read(store, what, send);
    tokio::pin!(reading);
    let mut read = None;
    let mut ticks = tokio::time::interval(TELL_EVERY);
    let written = loop {
        tokio::select! {
            done = &mut reading, if read.is_none() => read = Some(done),
            done = &mut writing => break done,
            _ = ticks.tick() => progress(
                far.position.load(Ordering::Relaxed),
                far.events.load(Ordering::Relaxed),
            ),
        }
    };
    let written = written.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    // A writer that was told of the end has seen all; one that failed says why, not whoever was cut off.
    match (written, read) {
        (Err(ExportError::Cut), Some(Err(error))) => Err(error),
        (written, _) => written,
    }
}

/// What comes to the writer.
enum Part {
    Rows(Vec<u8>),
    /// There is no more: whatever ends without this was cut off.
    End,
}

async fn read(
    store: &Store,
    what: &EventExport,
    send: mpsc::Sender<Part>,
) -> Result<(), ExportError> {
    let mut conn = open_connection(store).await?;
    // Of one moment: no partition goes between the look and the reading.
    let begin = format!("begin isolation level repeatable read read only; {HOLD_LOG}");
    let only = what.only.clone().unwrap_or_default();
    let (mut from, to) = what.positions.clone().into_inner();
    while from <= to && !send.is_closed() {
        let part = from..=to.min(from.saturating_add(SCANNED_AT_ONCE - 1));
        conn.execute(begin.as_str()).await?;
        let tenant = &what.tenant;
        check_held(&mut conn, tenant, part.clone()).await?;
        scan_filtered(&mut conn, tenant, &only, part.clone(), &send, Part::Rows).await?;
        if send.is_closed() {
            return Ok(());
        }
        conn.execute("commit").await?;
        from = part.end() + 1;
    }
    // A writer that is gone has failed, and says so itself.
    let _ = send.send(Part::End).await;
    Ok(())
}

impl Writer {
    fn open(
        what: &EventExport,
        proof: Option<(RangeProof, &PathBuf)>,
        far: Arc<Far>,
    ) -> Result<Writer, ExportError> {
        let proving = match proof {
            None => None,
            Some((proof, path)) => Some(Proving {
                fold: proof.begin(None)?,
                leaves: LeafWriter::new(path, &proof)?,
                proof,
            }),
        };
        let target = Target::open(&what.out)?;
        let notes = [
            ("daybook.tenant", what.tenant.to_string()),
            ("daybook.from", what.positions.start().to_string()),
            ("daybook.to", what.positions.end().to_string()),
        ];
        let to = match what.format {
            Format::Parquet => To::Parquet(Table::new(target, &event_columns(), &notes)?),
            Format::Ndjson => To::Ndjson(BufWriter::with_capacity(WRITE_BYTES, target)),
        };
        Ok(Writer {
            tenant_bytes: Bytes::copy_from_slice(what.tenant.as_bytes()),
            tenant: what.tenant.clone(),
            to,
            proving,
            due: what.only.is_none().then_some(*what.positions.start()),
            far,
        })
    }

    fn run(mut self, mut chunks: mpsc::Receiver<Part>) -> Result<Exported, ExportError> {
        loop {
            match chunks.blocking_recv() {
                Some(Part::Rows(rows)) => {
                    let chunk = Bytes::from(rows);
                    read_stored(&chunk, |row| self.write(&chunk, &row))?;
                }
                Some(Part::End) => return self.finish(),
                None => return Err(ExportError::Cut),
            }
        }
    }

    fn write(&mut self, chunk: &Bytes, row: &StoredRow<'_>) -> Result<(), ExportError> {
        if let Some(due) = &mut self.due {
            let (expected, found) = (*due, row.position);
            if expected != found {
                return Err(ExportError::Unordered { found, expected });
            }
            *due += 1;
        }
        if let Some(proving) = &mut self.proving {
            let leaf = event_leaf(&self.tenant, row);
            proving.fold.push(leaf);
            proving.leaves.push(&leaf)?;
        }
        match &mut self.to {
            To::Parquet(table) => {
                let text = |text: &str| Cell::Bytes(chunk.slice_ref(text.as_bytes()));
                table.row([
                    Cell::Bytes(self.tenant_bytes.clone()),
                    Cell::Int(row.position),
                    Cell::Bytes(chunk.slice_ref(row.event_id)),
                    text(row.aggregate_type),
                    text(row.aggregate_id),
                    Cell::Int(row.sequence),
                    text(row.event_type),
                    text(row.event_version),
                    Cell::Int(row.recorded_us),
                    text(row.payload),
                    text(row.metadata),
                ])?;
            }
            To::Ndjson(to) => write_line(to, &self.tenant, row)?,
        }
        self.far.position.store(row.position, Ordering::Relaxed);
        self.far.events.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The proof's file gets its name last: where it lies, the data lie too.
    fn finish(self) -> Result<Exported, ExportError> {
        if let Some(Proving { proof, fold, .. }) = &self.proving
            && !fold.clone().leads_to(proof)
        {
            let (from, to) = (proof.from(), proof.to());
            return Err(ExportError::Unlike { from, to });
        }
        let target = match self.to {
            To::Parquet(table) => table.finish()?,
            To::Ndjson(mut to) => {
                to.flush()?;
                to.into_inner().map_err(|error| error.into_error())?
            }
        };
        target.finish()?;
        if let Some(proving) = self.proving {
            proving.leaves.finish()?;
        }
        Ok(Exported {
            events: self.far.events.load(Ordering::Relaxed),
        })
    }
}
