//! What became of log records that were handed in: receipts, and records that were rejected.

use async_graphql::{Enum, ID, Object, SimpleObject};

use crate::api::error::UserError;
use crate::api::scalars::{DateTime, JsonObject, Position};
use crate::commands::{self, KeptRejected, LogsReceipt, RecordOutcome};

/// What became of a log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum LogRecordStatus {
    /// It is in the log.
    Accepted,
    /// A record with the id it declares was accepted before, or earlier in this batch: the first one stays.
    Duplicate,
    /// It is not in the log; `error` tells why.
    Rejected,
}

/// What became of one log record of a batch.
#[derive(SimpleObject)]
pub struct LogRecordResult {
    /// Its place in the batch, from 0.
    index: i32,
    /// What became of it.
    status: LogRecordStatus,
    /// Where it is in the log, or the first with its id: the position of that record's batch. Null if it was
    /// rejected, or the first cannot be found any more.
    position: Option<Position>,
    /// The record's index at this position, where that is known: of a duplicate if the first is in the same
    /// batch.
    record_index: Option<i32>,
    /// True for a duplicate within its batch that is not the same as the first. It is kept with the rejected
    /// records.
    differs: bool,
    /// Where a secret was taken out of it, such as `properties.password`.
    redacted: Vec<String>,
    /// Why it was rejected; null otherwise.
    error: Option<UserError>,
}

/// The receipt of a batch of log records, as it was given for it.
pub struct IngestReceipt {
    source: String,
    receipt: LogsReceipt,
}

/// The receipt of a batch of log records, as it was given for it.
#[Object]
impl IngestReceipt {
    /// The batch.
    async fn batch_id(&self) -> ID {
        ID(self.receipt.batch_id.clone())
    }

    /// Whose records.
    async fn source(&self) -> &str {
        &self.source
    }

    /// Position of the accepted records; of the log's end then, or by now, if none was.
    async fn position(&self) -> Position {
        Position(self.receipt.receipt.position)
    }

    /// What became of each record, in the batch's order.
    async fn results(&self) -> Vec<LogRecordResult> {
        results(&self.receipt, &[])
    }

    /// How many records were accepted.
    async fn accepted(&self) -> i32 {
        count(&self.receipt, LogRecordStatus::Accepted)
    }

    /// How many records were duplicates.
    async fn duplicates(&self) -> i32 {
        count(&self.receipt, LogRecordStatus::Duplicate)
    }

    /// How many records were rejected.
    async fn rejected(&self) -> i32 {
        count(&self.receipt, LogRecordStatus::Rejected)
    }
}

impl IngestReceipt {
    /// Of this source.
    pub fn new(source: String, receipt: LogsReceipt) -> IngestReceipt {
        IngestReceipt { source, receipt }
    }
}

/// A log record that was rejected, as long as it is kept.
#[derive(SimpleObject)]
pub struct RejectedRecord {
    /// Its own id.
    id: ID,
    /// Whose it is.
    source: String,
    /// The batch it came in.
    batch_id: ID,
    /// When it was rejected.
    rejected_at: DateTime,
    /// Why; `path` is its place in the batch.
    error: UserError,
    /// What was said, with `[personal]` and `[redacted]` in the place of what is personal or secret and with
    /// its user's pseudonym. Null if it could not be read, or was too large to be kept.
    record: Option<JsonObject>,
    /// What became of it, if it was recovered.
    recovered: Option<RecoveredRecord>,
}

/// A rejected record that is in the log after all.
#[derive(SimpleObject)]
pub struct RecoveredRecord {
    /// The batch that carries it.
    batch_id: ID,
    /// Its index within that batch.
    index: i32,
    /// Why, in the operator's words.
    reason: Option<String>,
    /// When.
    at: DateTime,
    /// Position of the event that says so.
    position: Position,
}

/// What became of each record; the paths of errors begin with these parents.
pub fn results(kept: &LogsReceipt, parents: &[&str]) -> Vec<LogRecordResult> {
    let at = kept.receipt.position;
    let outcomes = kept.outcomes.iter().enumerate();
    let results = outcomes.map(|(index, outcome)| {
        let (position, record_index) = match outcome {
            RecordOutcome::Accepted { index, .. } | RecordOutcome::Repeated { index, .. } => {
                (Some(at), i32::try_from(*index).ok())
            }
            RecordOutcome::Known { position } => (*position, None),
            RecordOutcome::Rejected(_) => (None, None),
        };
        LogRecordResult {
            index: index as i32,
            status: status(outcome),
            position: position.map(Position),
            record_index,
            differs: matches!(outcome, RecordOutcome::Repeated { differs: true, .. }),
            redacted: match outcome {
                RecordOutcome::Accepted { redacted, .. } => redacted.clone(),
                _ => Vec::new(),
            },
            error: match outcome {
                RecordOutcome::Rejected(refusal) => {
                    Some(refusal.clone().under(parents.iter().copied()).into())
                }
                _ => None,
            },
        }
    });
    results.collect()
}

/// How many records became this.
pub fn count(kept: &LogsReceipt, wanted: LogRecordStatus) -> i32 {
    let outcomes = kept.outcomes.iter().map(status);
    outcomes.filter(|status| *status == wanted).count() as i32
}

fn status(outcome: &RecordOutcome) -> LogRecordStatus {
    match outcome {
        RecordOutcome::Accepted { .. } => LogRecordStatus::Accepted,
        RecordOutcome::Known { .. } | RecordOutcome::Repeated { .. } => LogRecordStatus::Duplicate,
        RecordOutcome::Rejected(_) => LogRecordStatus::Rejected,
    }
}

impl From<KeptRejected> for RejectedRecord {
    fn from(kept: KeptRejected) -> RejectedRecord {
        let record = kept.record.map(serde_json::to_value);
        let record = match record {
            Some(Ok(serde_json::Value::Object(record))) => Some(JsonObject(record)),
            _ => None,
        };
        RejectedRecord {
            id: ID(kept.id.to_string()),
            source: kept.source,
            batch_id: ID(kept.batch_id),
            rejected_at: DateTime(kept.at),
            error: kept.refusal.into(),
            record,
            recovered: kept.recovered.map(RecoveredRecord::from),
        }
    }
}

impl From<commands::Recovered> for RecoveredRecord {
    fn from(recovered: commands::Recovered) -> RecoveredRecord {
        RecoveredRecord {
            batch_id: ID(recovered.batch_id),
            index: i32::try_from(recovered.index).unwrap_or(i32::MAX),
            reason: recovered.reason,
            at: DateTime(recovered.at),
            position: Position(recovered.position),
        }
    }
}
