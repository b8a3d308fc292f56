//! Rows become batches for the write door, the same ones in every run.
//!
//! Rows go to lanes by what they are about, so that two rows about the same never overtake each other:
//! which of two that contradict each other comes first decides which is kept. Where a command takes in
//! many rows of one key, a lane's rows are put together by key inside a bounded window, in input order
//! within each; else they stay as they came.

use std::io;
use std::sync::Arc;

use csv::ByteRecord;
use domain::Refusal;
use tokio::sync::mpsc;

use super::columns::{Finder, Names};
use super::source::{Row, Rows, Source};

/// How many batches are under way at once, each about other things.
pub const LANES: usize = 4;

/// How many batches wait before each lane.
pub const LANE_QUEUE_BATCHES_MAX: usize = 2;

/// How many rows are held to be put together by key: about 300 bytes each.
pub const WINDOW_ROWS_MAX: usize = 65_536;

/// How many batches of each lane a window makes that puts nothing together: the last is not full.
const BATCHES_A_WINDOW: usize = 8;

/// What a row is about, in up to three parts; those that are not used are empty.
pub type Key<'r> = [&'r [u8]; 3];

/// The columns of one kind of rows, at their places in one source.
pub trait Keyed: Send + Sync + 'static {
    /// How many rows make a batch at most.
    const BATCH_ROWS_MAX: usize;
    /// Are rows of one key put together, as far as the window reaches?
    const TOGETHER: bool;

    /// What a row is about; empty where the row is too short.
    fn key<'r>(&self, row: &'r ByteRecord) -> Key<'r>;
}

/// Which columns mean what, for one kind of rows.
pub trait Columned: Send + Sync + 'static {
    /// Their places in one source.
    type Columns: Keyed;

    /// Looks for them in a header of so many columns.
    fn find(&self, find: &mut Finder<'_>, count: usize) -> Self::Columns;

    /// Their places in a source with this header, or which are missing.
    fn columns(&self, header: &ByteRecord) -> Result<Self::Columns, String> {
        let mut find = Finder::of(header);
        let columns = self.find(&mut find, header.len());
        find.finish(columns)
    }

    /// Their names, for sources that have no header.
    fn names(&self) -> Names {
        let nothing = ByteRecord::new();
        let mut find = Finder::of(&nothing);
        self.find(&mut find, 0);
        find.into_names()
    }
}

/// What is read of sources, batch by batch: the same batches in every run.
pub trait Supply: Send + Sync + 'static {
    /// What a lane is handed.
    type Batch: Send + 'static;

    /// Looks at a source that can be read twice before anything is imported. `Err` says what is wrong
    /// with it.
    fn check(&self, source: &Source) -> Result<(), String>;

    /// Reads one source to its end and hands its batches to the lanes. Blocks; runs on its own thread.
    fn read(
        &self,
        index: usize,
        source: &Source,
        lanes: &[mpsc::Sender<Self::Batch>],
        told: &Listener<'_>,
    ) -> Result<(), ReadError>;

    /// How much of its source a batch stands for, in bytes before inflating.
    fn bytes(batch: &Self::Batch) -> u64;
}

impl<M: Columned> Supply for M {
    type Batch = Batch<M::Columns>;

    /// A misspelt column is found.
    fn check(&self, source: &Source) -> Result<(), String> {
        let rows = source.open(&self.names()).map_err(|e| e.to_string())?;
        self.columns(&rows.header).map(drop)
    }

    fn read(
        &self,
        index: usize,
        source: &Source,
        lanes: &[mpsc::Sender<Self::Batch>],
        told: &Listener<'_>,
    ) -> Result<(), ReadError> {
        read_source(index, source, self, lanes, told)
    }

    fn bytes(batch: &Self::Batch) -> u64 {
        batch.bytes
    }
}

/// Rows of one lane.
#[derive(Debug)]
pub struct Batch<C> {
    /// Which source of the import, counted from 0.
    pub source: usize,
    /// At most [`Keyed::BATCH_ROWS_MAX`].
    pub rows: Vec<ByteRecord>,
    /// How much of the source they stand for, in bytes before inflating.
    pub bytes: u64,
    /// Where their columns are.
    pub columns: Arc<C>,
}

/// The line a row began on.
pub fn line(row: &ByteRecord) -> u64 {
    row.position().map_or(0, |position| position.line())
}

/// Why reading a source ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source itself.
    #[error("{0}")]
    Unreadable(String),
    /// Nobody takes the batches any more.
    #[error("stopped")]
    Stopped,
}

/// Whom a reader tells.
pub struct Listener<'l> {
    /// Asked before each row: is there to be no more?
    pub stopped: &'l dyn Fn() -> bool,
    /// A line holds no row, and why.
    pub refused: &'l dyn Fn(u64, Refusal),
}

fn read_source<M: Columned>(
    index: usize,
    source: &Source,
    mapping: &M,
    lanes: &[mpsc::Sender<Batch<M::Columns>>],
    told: &Listener<'_>,
) -> Result<(), ReadError> {
    let unreadable = |e: io::Error| ReadError::Unreadable(format!("{}: {e}", source.name));
    let mut rows = source.open(&mapping.names()).map_err(unreadable)?;
    let columns = mapping
        .columns(&rows.header)
        .map_err(|e| ReadError::Unreadable(format!("{}: {e}", source.name)))?;
    let mut window = Window::new(index, Arc::new(columns), lanes.len());
    loop {
        let mut row = ByteRecord::new();
        let read = rows.read(&mut row);
        if (told.stopped)() {
            return Err(ReadError::Stopped);
        }
        let over = !matches!(read, Ok(Row::Read | Row::Refused(..)));
        let ended = match read {
            Ok(Row::Read) => {
                window.push(row);
                Ok(())
            }
            Ok(Row::Refused(line, refusal)) => {
                (told.refused)(line, refusal);
                Ok(())
            }
            Ok(Row::End) => Ok(()),
            Err(e) => Err(broken(source, &rows, e)),
        };
        if window.is_full() || over {
            send(window.take(rows.bytes_read()), lanes)?;
        }
        if over {
            return ended;
        }
    }
}

fn broken(source: &Source, rows: &Rows, e: io::Error) -> ReadError {
    ReadError::Unreadable(format!("{}:{}: {e}", source.name, rows.line()))
}

/// One batch of each lane in turn, so that no lane waits for another's queue.
fn send<C>(by_lane: Vec<Vec<Batch<C>>>, lanes: &[mpsc::Sender<Batch<C>>]) -> Result<(), ReadError> {
    let mut queues: Vec<_> = by_lane.into_iter().map(Vec::into_iter).collect();
    loop {
        let mut sent = false;
        for (queue, lane) in queues.iter_mut().zip(lanes) {
            if let Some(batch) = queue.next() {
                lane.blocking_send(batch).map_err(|_| ReadError::Stopped)?;
                sent = true;
            }
        }
        if !sent {
            return Ok(());
        }
    }
}

struct Window<C> {
    source: usize,
    columns: Arc<C>,
    lanes: Vec<Vec<ByteRecord>>,
    rows: usize,
    bytes_before: u64,
}

impl<C: Keyed> Window<C> {
    fn new(source: usize, columns: Arc<C>, lanes: usize) -> Window<C> {
        Window {
            source,
            columns,
            lanes: vec![Vec::new(); lanes],
            rows: 0,
            bytes_before: 0,
        }
    }

    fn push(&mut self, row: ByteRecord) {
        let lane = lane_of(self.columns.key(&row), self.lanes.len());
        self.lanes[lane].push(row);
        self.rows += 1;
    }

    /// Rows that are not put together need not wait for each other for long.
    fn is_full(&self) -> bool {
        let rows_max = match C::TOGETHER {
            true => WINDOW_ROWS_MAX,
            false => C::BATCH_ROWS_MAX * self.lanes.len() * BATCHES_A_WINDOW,
        };
        self.rows >= rows_max
    }

    /// The batches of each lane; the window is empty afterwards.
    fn take(&mut self, bytes_read: u64) -> Vec<Vec<Batch<C>>> {
        let bytes = bytes_read - std::mem::replace(&mut self.bytes_before, bytes_read);
        let rows = std::mem::take(&mut self.rows) as u64;
        let columns = &self.columns;
        let batch = |rows_of_batch: &mut Vec<ByteRecord>| {
            let rest = rows_of_batch.split_off(C::BATCH_ROWS_MAX.min(rows_of_batch.len()));
            let taken = std::mem::replace(rows_of_batch, rest);
            let share = bytes * taken.len() as u64 / rows.max(1);
            Batch {
                source: self.source,
                rows: taken,
                bytes: share,
                columns: columns.clone(),
            }
        };
        let mut by_lane = Vec::new();
        for lane in &mut self.lanes {
            if C::TOGETHER {
                lane.sort_by(|a, b| columns.key(a).cmp(&columns.key(b)));
            }
            let mut batches = Vec::new();
            while !lane.is_empty() {
                batches.push(batch(lane));
            }
            by_lane.push(batches);
        }
        by_lane
    }
}

/// FNV-1a: the same lane in every run and on every machine.
fn lane_of(key: Key<'_>, lanes: usize) -> usize {
    let bytes = key.iter().flat_map(|part| part.trim_ascii());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash % lanes as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key and a text: `TOGETHER` or not.
    struct Pairs<const TOGETHER: bool>;

    impl<const TOGETHER: bool> Keyed for Pairs<TOGETHER> {
        const BATCH_ROWS_MAX: usize = 1_000;
        const TOGETHER: bool = TOGETHER;

        fn key<'r>(&self, row: &'r ByteRecord) -> Key<'r> {
            [&row[0], b"", b""]
        }
    }

    /// Per lane and batch: key and line of each row.
    fn check<const TOGETHER: bool>(
        text: &'static str,
        lanes: usize,
    ) -> Vec<Vec<Vec<(String, u64)>>> {
        let source = Source::from_memory("x.csv", text.as_bytes());
        let mut rows = source.open(&Names::default()).unwrap();
        let mut window = Window::new(0, Arc::new(Pairs::<TOGETHER>), lanes);
        let mut row = ByteRecord::new();
        while rows.read(&mut row).unwrap() == Row::Read {
            window.push(row.clone());
        }
        let key = |row: &ByteRecord| String::from_utf8_lossy(&row[0]).into_owned();
        let named = |b: Batch<_>| b.rows.iter().map(|row| (key(row), line(row))).collect();
        let by_lane = window.take(rows.bytes_read()).into_iter();
        by_lane
            .map(|batches| batches.into_iter().map(named).collect())
            .collect()
    }

    #[test]
    fn rows_are_put_together_by_key_in_input_order_or_left_as_they_came() {
        let text = "key,n\nb,1\na,2\nb,3\na,1\nb,1\n";
        let named = |rows: &[(&str, u64)]| {
            let rows = rows.iter().map(|(v, l)| ((*v).to_owned(), *l));
            vec![vec![rows.collect::<Vec<_>>()]]
        };
        let together = named(&[("a", 3), ("a", 5), ("b", 2), ("b", 4), ("b", 6)]);
        assert_eq!(check::<true>(text, 1), together);
        let as_they_came = named(&[("b", 2), ("a", 3), ("b", 4), ("a", 5), ("b", 6)]);
        assert_eq!(check::<false>(text, 1), as_they_came);
    }

    #[test]
    fn no_batch_is_larger_than_a_command_may_be_and_no_row_is_lost() {
        let rows: String = (0..5_500).map(|i| format!("v{},t\n", i % 7)).collect();
        let text: &'static str = format!("key,n\n{rows}").leak();
        for by_lane in [check::<true>(text, LANES), check::<false>(text, LANES)] {
            let mut lines: Vec<u64> = Vec::new();
            for (lane, batches) in by_lane.iter().enumerate() {
                for batch in batches {
                    assert!(batch.len() <= 1_000);
                    for (key, line) in batch {
                        assert_eq!(lane_of([key.as_bytes(), b"", b""], LANES), lane);
                        lines.push(*line);
                    }
                }
            }
            lines.sort_unstable();
            assert_eq!(lines, (2..5_502).collect::<Vec<u64>>());
        }
    }
}
