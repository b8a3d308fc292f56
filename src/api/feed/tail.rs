//! `logTail`: the records of a batch that pass a filter, looked at where they are, a part at a time.

use std::sync::Arc;

use domain::log_batch::{LogBatchAccepted, LogBatchEvent, LogRecord};
use domain::{Event, Recorded};
use projections::logs::{LogFilter, LogRow};

use super::mark::Mark;
use super::rendering::Item;
use super::sieve::{Part, Told};
use crate::consumers::LogEvent;

/// Which records, and how many of them make an item.
#[derive(Clone, Debug)]
pub struct TailPlan {
    /// Which.
    pub filter: LogFilter,
    /// At most so many.
    pub records_max: usize,
    /// At most so many bytes, estimated; one record at least.
    pub bytes_max: usize,
}

/// Some records of one batch.
pub struct TailPart {
    batch: Batch,
    indexes: Vec<i32>,
    /// Up to where they tell.
    pub mark: Mark,
}

/// An event that carries records, decoded once for all who hold it.
#[derive(Clone)]
enum Batch {
    Heard(Arc<LogEvent>),
    Read(Arc<Recorded<Event>>),
}

/// What a record takes beside its objects, roughly.
const RECORD_BYTES: usize = 256;

impl Batch {
    fn of(told: Told) -> Result<Batch, String> {
        match told {
            Told::Heard(event) => match &event.body {
                Ok(_) => Ok(Batch::Heard(event)),
                Err(error) => Err(error.clone()),
            },
            Told::Read(event) => {
                let event = event.decode().map_err(|error| error.to_string())?;
                Ok(Batch::Read(Arc::new(event)))
            }
        }
    }

    fn event(&self) -> &Recorded<Event> {
        match self {
            Batch::Heard(event) => event
                .body
                .as_ref()
                .expect("it was looked at when it was taken"),
            Batch::Read(event) => event,
        }
    }

    fn records(&self) -> Option<&LogBatchAccepted> {
        match &self.event().event {
            Event::LogBatch(LogBatchEvent::LogBatchAccepted(batch)) => Some(batch),
            _ => None,
        }
    }
}

impl TailPlan {
    /// The parts an event becomes, but for what was told by `after`. The last one ends with the event.
    pub fn parts(&self, told: Told, after: Mark) -> Result<Vec<Part>, String> {
        let batch = Batch::of(told)?;
        let Some(records) = batch.records() else {
            return Ok(Vec::new());
        };
        let position = batch.event().position;
        let to_come = |index: i32| !after.is_behind(position, index);
        let wanted = (0..).zip(&records.records).filter(|(index, record)| {
            to_come(*index) && self.filter.matches(&records.source_id, record)
        });
        let chunks = self.chunks(wanted);
        let count = chunks.len();
        let (mut parts, mut first) = (Vec::with_capacity(count), 0);
        for (n, indexes) in chunks.into_iter().enumerate() {
            let mark = match indexes.last() {
                Some(last) if n + 1 < count => Mark::record(position, *last),
                _ => position.into(),
            };
            let next = indexes.last().map_or(first, |last| last + 1);
            let item = Item::Tail(TailPart {
                batch: batch.clone(),
                indexes,
                mark,
            });
            parts.push(Part { item, mark, first });
            first = next;
        }
        Ok(parts)
    }

    fn chunks<'r>(&self, records: impl Iterator<Item = (i32, &'r LogRecord)>) -> Vec<Vec<i32>> {
        let (mut chunks, mut bytes): (Vec<Vec<i32>>, _) = (Vec::new(), 0);
        for (index, record) in records {
            let weight =
                RECORD_BYTES + record.properties.json_bytes() + record.device_info.json_bytes();
            bytes += weight;
            match chunks.last_mut() {
                Some(chunk) if chunk_fits(chunk, bytes, self) => chunk.push(index),
                _ => {
                    chunks.push(Vec::from([index]));
                    bytes = weight;
                }
            }
        }
        chunks
    }
}

fn chunk_fits(chunk: &[i32], bytes: usize, plan: &TailPlan) -> bool {
    chunk.len() < plan.records_max && bytes <= plan.bytes_max
}

impl TailPart {
    /// Whose records.
    pub fn source(&self) -> &str {
        self.batch.records().map_or("", |batch| &batch.source_id)
    }

    /// The records.
    pub fn rows(&self) -> impl Iterator<Item = LogRow> {
        let batch = self.batch.records();
        let of = |batch: &LogBatchAccepted, index: i32| {
            let record = batch.records.get(usize::try_from(index).ok()?)?;
            Some(LogRow::of(
                self.batch.event(),
                &batch.source_id,
                index,
                record,
            ))
        };
        let indexes = self.indexes.iter().copied();
        indexes.filter_map(move |index| batch.and_then(|batch| of(batch, index)))
    }
}
