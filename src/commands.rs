//! The write door: metadata, idempotency, load, decide, append, retry of a lost race.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{Actor, Aggregate, Position, Refusal};
use serde::Serialize;

/// Who sends a command, and under which conditions.
#[derive(Clone, Debug)]
pub struct CommandContext {
    /// Whose log.
    pub tenant: Arc<str>,
    /// Who.
    pub actor: Actor,
    /// The caller's idempotency key, 1 to 255 characters, if it declared one.
    pub command_id: Option<String>,
    /// The version the caller saw, if it insists on it.
    pub expected_version: Option<i64>,
    /// Ties together everything one outside request led to.
    pub correlation_id: Option<String>,
    /// The event or command that directly caused this one.
    pub causation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Business time, if the caller gave one.
    pub occurred_at: Option<DateTime<Utc>>,
    /// The server's clock when the command arrived.
    pub now: DateTime<Utc>,
    /// Time windows are lifted (imports); recorded in metadata.
    pub backfill: bool,
}

/// What a kept command's caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Position of the command's last event.
    pub position: Position,
    /// Version of the command's stream after it.
    pub version: i64,
    /// True if this is the first answer given again.
    pub replayed: bool,
}

/// Why a command has no receipt.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It was refused: data for the caller.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too much is waiting; try again after this many milliseconds.
    #[error("overloaded; try again in {retry_after_ms} ms")]
    Overloaded {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// The database cannot be reached. Nothing is known to be kept; sending the same commandId again is safe.
    #[error("the database is unavailable")]
    Unavailable(#[source] crate::store::StoreError),
    /// A fault of ours.
    #[error("internal fault")]
    Internal(#[source] anyhow::Error),
}

/// The write door. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Door {}

/// Position fixes as they came, of any vehicles; at most [`domain::track::FIXES_MAX`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportPositions {
    /// In the caller's order.
    pub fixes: Vec<domain::track::FixReport>,
    /// May unknown external ids register their vehicles?
    pub may_register: bool,
}

/// What became of a report, fix by fix.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionsReceipt {
    /// As for any command; `version` is 0 when the report wrote several streams.
    pub receipt: Receipt,
    /// One per reported fix, in the caller's order.
    pub outcomes: Vec<FixOutcome>,
}

/// What became of one fix.
#[derive(Clone, Debug, PartialEq)]
pub enum FixOutcome {
    /// It is in the log.
    Accepted,
    /// One like it was accepted before (or earlier in this report).
    Duplicate {
        /// The content is not the same as that of the first.
        differs: bool,
    },
    /// It is not in the log, and why.
    Rejected(Refusal),
}

impl Door {
    /// Carries out one command on one aggregate.
    pub async fn execute<A>(
        &self,
        _ctx: &CommandContext,
        _id: &str,
        _command: A::Command,
    ) -> Result<Receipt, CommandError>
    where
        A: Aggregate,
        A::Command: Serialize + Sync,
    {
        todo!()
    }

    /// Takes in position fixes of any vehicles in one transaction.
    pub async fn report_positions(
        &self,
        _ctx: &CommandContext,
        _report: ReportPositions,
    ) -> Result<PositionsReceipt, CommandError> {
        todo!()
    }

    /// The state of one aggregate, as of now.
    pub async fn load<A: Aggregate>(&self, _tenant: &Arc<str>, _id: &str) -> Result<(A, i64), CommandError> {
        todo!()
    }
}
