//! Why a rebuild did not come to its end, and what whoever asked for it is told.

use domain::{Code, Position, Refusal};
use projections::Difference;

use crate::consumers::ConsumerError;
use crate::consumers::batch::WriteError;
use crate::consumers::retry::Fault;
use crate::store::StoreError;

/// Why a rebuild did not come to its end. The live generation answers as before.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The read model is being rebuilt already, here or by another process.
    #[error("this read model is being rebuilt already")]
    Running,
    /// Someone cancelled it.
    #[error("the rebuild was cancelled")]
    Cancelled,
    /// Someone lets it rest.
    #[error("the rebuild is paused; once it is resumed, a serving process goes on with it")]
    Paused,
    /// The log does not reach so far.
    #[error("position {up_to} lies beyond the end of the log, {head}")]
    BeyondHead {
        /// What was asked.
        up_to: Position,
        /// The log's last position.
        head: Position,
    },
    /// The tenant has as many generations as of positions as it may.
    #[error("there are {0} generations as of positions, as many as may be: drop one first")]
    TooManyScratches(usize),
    /// There is no generation to go back to.
    #[error("no earlier generation of this version is kept: there is nothing to go back to")]
    NothingKept,
    /// Another generation answers than the one to go away from.
    #[error("generation {live} answers, not {asked}: there is nothing to go back from")]
    NotLive {
        /// Which one was named.
        asked: i32,
        /// Which one answers.
        live: i32,
    },
    /// What one version built says nothing of what another one would.
    #[error(
        "the one that answers is of version {live}, this program's is {ours}: rebuild it first"
    )]
    OtherVersion {
        /// The version of the live generation.
        live: i32,
        /// The program's.
        ours: i32,
    },
    /// What lacks events of some streams is not what all events fold to.
    #[error(
        "{0} streams of the one that answers are parked: have them taken in first (retry or skip)"
    )]
    Parked(i32),
    /// The idempotency key was used for something else.
    #[error("this commandId was used for another rebuild")]
    KeyReused,
    /// An event cannot be folded or written, and nobody has decided to go on without it.
    #[error("the event at position {position} cannot be folded: {reason}")]
    Poison {
        /// Which event.
        position: Position,
        /// Why.
        reason: String,
    },
    /// Both generations were compared at one position and differ.
    #[error("the generations differ at position {position}: {old} before, {new} rebuilt")]
    DigestsDiffer {
        /// Where both stood.
        position: Position,
        /// Digest of the live generation.
        old: String,
        /// Digest of the new one.
        new: String,
        /// The first row that differs.
        difference: Option<Box<Difference>>,
    },
    /// The live generation did not reach a position at which both could be compared.
    #[error("the live generation stands still before position {0}: nothing to compare with")]
    NotComparable(Position),
    /// A worker went away before the log was folded.
    #[error("the log is not folded to its end; run it again to go on")]
    Unfolded,
    /// The database was away for too long; the rebuild goes on where it was when run again.
    #[error("the lease was lost; run it again to go on")]
    LeaseLost,
    /// The read model is unknown, or its bookkeeping could not be read.
    #[error(transparent)]
    Bookkeeping(ConsumerError),
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// PostgreSQL failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl RebuildError {
    /// What whoever asked for it is told, if it is theirs to put right.
    pub fn refusal(&self) -> Option<Refusal> {
        let refusal = |code| Refusal::new(code, self.to_string());
        match self {
            RebuildError::Running | RebuildError::Paused => {
                Some(refusal(Code::RebuildRunning).at(["name"]))
            }
            RebuildError::BeyondHead { up_to, head } => Some(
                refusal(Code::OutOfRange)
                    .at(["upTo"])
                    .with("max", head.to_string())
                    .with("actual", up_to.to_string()),
            ),
            RebuildError::TooManyScratches(limit) => {
                Some(refusal(Code::ScratchLimit).with("limit", *limit))
            }
            RebuildError::NothingKept => Some(refusal(Code::NothingKept).at(["name"])),
            RebuildError::NotLive { asked, live } => Some(
                refusal(Code::GenerationNotLive)
                    .at(["generation"])
                    .with("live", *live)
                    .with("actual", *asked),
            ),
            RebuildError::OtherVersion { .. } => {
                Some(refusal(Code::ReadModelOutdated).at(["name"]))
            }
            RebuildError::Parked(streams) => Some(
                refusal(Code::ReadModelParked)
                    .at(["name"])
                    .with("streams", *streams),
            ),
            RebuildError::KeyReused => Some(refusal(Code::IdempotencyKeyReused).at(["commandId"])),
            RebuildError::Bookkeeping(error) => error.refusal(),
            _ => None,
        }
    }

    /// Would it be the same if the rebuild went on?
    pub(super) fn is_lasting(&self) -> bool {
        matches!(
            self,
            RebuildError::Poison { .. }
                | RebuildError::Store(StoreError::Archived { .. })
                | RebuildError::DigestsDiffer { .. }
                | RebuildError::NotComparable(_)
                | RebuildError::Parked(_)
        )
    }

    /// Is it worth waiting and trying again?
    pub(super) fn may_pass(&self) -> bool {
        match self {
            RebuildError::Database(error) => Fault::of(error) == Fault::Passing,
            RebuildError::Store(error) => error.is_unavailable(),
            _ => false,
        }
    }

    /// Have two workers' rows crossed?
    pub(super) fn is_deadlock(&self) -> bool {
        let RebuildError::Database(error) = self else {
            return false;
        };
        error
            .as_database_error()
            .and_then(|e| e.code())
            .is_some_and(|code| code == "40P01")
    }
}

impl From<WriteError> for RebuildError {
    fn from(error: WriteError) -> RebuildError {
        match error {
            // whether by a newer owner or by a cancellation is for the plan to say
            WriteError::Fenced => RebuildError::LeaseLost,
            WriteError::Database(e) => RebuildError::Database(e),
        }
    }
}
