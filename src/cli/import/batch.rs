//! Rows become batches for the write door: many fixes of few vehicles each, the same ones in every
//! run.
//!
//! Rows go to lanes by vehicle, so that two rows of one vehicle never overtake each other: which of
//! two fixes at one instant comes first decides which is kept. Inside a bounded window a lane's
//! rows are put together by vehicle, in input order within each, because a track takes in many
//! fixes as one event.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use csv::ByteRecord;
use domain::Refusal;
use domain::track::FIXES_MAX;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::mapping::{Columns, Mapping};
use super::source::{Rows, Source};
use crate::commands::ReportPositions;

/// How many batches are under way at once, each of its own vehicles.
pub const LANES: usize = 4;

/// How many batches wait before each lane.
pub const LANE_QUEUE_BATCHES_MAX: usize = 2;

/// How many rows are held to be put together by vehicle: about 300 bytes each.
pub const WINDOW_ROWS_MAX: usize = 65_536;

/// Rows of one lane, as they came.
#[derive(Debug)]
pub struct Batch {
    /// Which source of the import, counted from 0.
    pub source: usize,
    /// At most [`FIXES_MAX`].
    pub rows: Vec<ByteRecord>,
    /// How much of the source they stand for, in bytes before inflating.
    pub bytes: u64,
    columns: Arc<Columns>,
}

/// A batch, ready for the write door.
#[derive(Debug)]
pub struct Decoded {
    /// The rows that are fixes.
    pub report: ReportPositions,
    /// The line of each of them.
    pub lines: Vec<u64>,
    /// The rows that are none, by line, and why.
    pub refused: Vec<(u64, Refusal)>,
}

impl Batch {
    /// Reads the rows through the mapping.
    pub fn decode(&self) -> Decoded {
        let (mut fixes, mut lines) = (Vec::with_capacity(self.rows.len()), Vec::new());
        let mut refused = Vec::new();
        for row in &self.rows {
            let line = row.position().map_or(0, |p| p.line());
            match self.columns.report(row) {
                Ok(fix) => {
                    fixes.push(fix);
                    lines.push(line);
                }
                Err(refusal) => refused.push((line, refusal)),
            }
        }
        Decoded {
            report: ReportPositions {
                fixes,
                may_register: true,
            },
            lines,
            refused,
        }
    }
}

/// Gives batches their command ids. The id is the digest of what the batch says, so the same file
/// gives the same ids in every run, from a file or a pipe, under any name; a batch that says the
/// same as an earlier one of this run is told apart by its turn. Holds some 24 bytes a batch.
#[derive(Default)]
pub struct CommandIds {
    turns: HashMap<[u8; 16], u32>,
}

impl CommandIds {
    /// The id of the next batch.
    pub fn next(&mut self, report: &ReportPositions) -> String {
        let mut digest = Sha256::new();
        serde_json::to_writer(&mut digest, report).expect("a report is plain data");
        let digest = digest.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        let turn = self.turns.entry(key).and_modify(|n| *n += 1).or_insert(0);
        format!("import-{:032x}-{turn}", u128::from_be_bytes(key))
    }
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

/// Reads one source to its end and hands its batches to the lanes. Blocks; runs on its own thread.
pub fn read_source(
    index: usize,
    source: &Source,
    mapping: &Mapping,
    lanes: &[mpsc::Sender<Batch>],
    stopped: &dyn Fn() -> bool,
) -> Result<(), ReadError> {
    let unreadable = |e: io::Error| ReadError::Unreadable(format!("{}: {e}", source.name));
    let mut rows = source.open().map_err(unreadable)?;
    let columns = mapping
        .columns(&rows.header)
        .map_err(|e| ReadError::Unreadable(format!("{}: {e}", source.name)))?;
    let mut window = Window::new(index, Arc::new(columns), lanes.len());
    loop {
        let mut row = ByteRecord::new();
        let more = rows.read(&mut row);
        if stopped() {
            return Err(ReadError::Stopped);
        }
        if let Ok(true) = more {
            window.push(row);
        }
        if window.rows == WINDOW_ROWS_MAX || !matches!(more, Ok(true)) {
            send(window.take(rows.bytes_read()), lanes)?;
        }
        match more {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(e) => return Err(broken(source, &rows, e)),
        }
    }
}

fn broken(source: &Source, rows: &Rows, e: io::Error) -> ReadError {
    ReadError::Unreadable(format!("{}:{}: {e}", source.name, rows.line()))
}

/// One batch of each lane in turn, so that no lane waits for another's queue.
fn send(by_lane: Vec<Vec<Batch>>, lanes: &[mpsc::Sender<Batch>]) -> Result<(), ReadError> {
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

struct Window {
    source: usize,
    columns: Arc<Columns>,
    lanes: Vec<Vec<ByteRecord>>,
    rows: usize,
    bytes_before: u64,
}

impl Window {
    fn new(source: usize, columns: Arc<Columns>, lanes: usize) -> Window {
        Window {
            source,
            columns,
            lanes: vec![Vec::new(); lanes],
            rows: 0,
            bytes_before: 0,
        }
    }

    fn push(&mut self, row: ByteRecord) {
        let lane = lane_of(self.columns.vehicle(&row), self.lanes.len());
        self.lanes[lane].push(row);
        self.rows += 1;
    }

    /// The batches of each lane; the window is empty afterwards.
    fn take(&mut self, bytes_read: u64) -> Vec<Vec<Batch>> {
        let bytes = bytes_read - std::mem::replace(&mut self.bytes_before, bytes_read);
        let rows = std::mem::take(&mut self.rows) as u64;
        let columns = &self.columns;
        let batch = |rows_of_batch: &mut Vec<ByteRecord>| {
            let rest = rows_of_batch.split_off(FIXES_MAX.min(rows_of_batch.len()));
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
            lane.sort_by(|a, b| columns.vehicle(a).cmp(columns.vehicle(b)));
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
fn lane_of(vehicle: &[u8], lanes: usize) -> usize {
    let hash = vehicle
        .trim_ascii()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (hash % lanes as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::super::mapping::MappingArgs;
    use super::*;

    const HEADER: &str = "vehicle,time,lat,lon\n";

    /// Per lane and batch: vehicle and line of each row.
    fn check(text: &'static str, lanes: usize) -> Vec<Vec<Vec<(String, u64)>>> {
        let source = Source::from_memory("x.csv", text.as_bytes());
        let mut rows = source.open().unwrap();
        let mapping = Mapping::from_args(&MappingArgs::default());
        let columns = Arc::new(mapping.columns(&rows.header).unwrap());
        let mut window = Window::new(0, columns, lanes);
        let mut row = ByteRecord::new();
        while rows.read(&mut row).unwrap() {
            window.push(row.clone());
        }
        let named = |b: Batch| {
            let decoded = b.decode();
            let vehicles = decoded.report.fixes.into_iter().map(|f| f.vehicle);
            vehicles.zip(decoded.lines).collect()
        };
        let by_lane = window.take(rows.bytes_read()).into_iter();
        by_lane
            .map(|batches| batches.into_iter().map(named).collect())
            .collect()
    }

    #[test]
    fn rows_are_put_together_by_vehicle_in_input_order() {
        let text = "vehicle,time,lat,lon\nb,1,1,1\na,2,1,1\nb,3,1,1\na,1,1,1\nb,1,2,2\n";
        let want = [("a", 3), ("a", 5), ("b", 2), ("b", 4), ("b", 6)];
        let want: Vec<_> = want.iter().map(|(v, l)| ((*v).to_owned(), *l)).collect();
        assert_eq!(check(text, 1), vec![vec![want]]);
    }

    #[test]
    fn no_batch_is_larger_than_a_command_may_be_and_no_row_is_lost() {
        let rows: String = (0..5_500).map(|i| format!("v{},t,1,1\n", i % 7)).collect();
        let text: &'static str = format!("{HEADER}{rows}").leak();
        let by_lane = check(text, LANES);
        let mut lines: Vec<u64> = Vec::new();
        for (lane, batches) in by_lane.iter().enumerate() {
            for batch in batches {
                assert!(batch.len() <= FIXES_MAX);
                for (vehicle, line) in batch {
                    assert_eq!(lane_of(vehicle.as_bytes(), LANES), lane);
                    lines.push(*line);
                }
            }
        }
        lines.sort_unstable();
        assert_eq!(lines, (2..5_502).collect::<Vec<u64>>());
    }

    #[test]
    fn a_command_id_is_of_the_content_and_of_its_turn() {
        let report = |text: &'static str| {
            let source = Source::from_memory("x.csv", text.as_bytes());
            let mut rows = source.open().unwrap();
            let mapping = Mapping::from_args(&MappingArgs::default());
            let columns = Arc::new(mapping.columns(&rows.header).unwrap());
            let mut row = ByteRecord::new();
            rows.read(&mut row).unwrap();
            Batch {
                source: 0,
                rows: vec![row],
                bytes: 0,
                columns,
            }
            .decode()
            .report
        };
        let (one, other) = (
            "vehicle,time,lat,lon\na,1,1,1\n",
            "vehicle,time,lat,lon\na,1,1,2\n",
        );
        let mut ids = CommandIds::default();
        let first = ids.next(&report(one));
        assert_ne!(first, ids.next(&report(other)));
        assert_ne!(first, ids.next(&report(one)));
        assert_eq!(first, CommandIds::default().next(&report(one)));
        let reordered = "lon,lat,time,vehicle\n1,1,1,a\n";
        assert_eq!(first, CommandIds::default().next(&report(reordered)));
    }
}
