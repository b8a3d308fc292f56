//! Everything that follows the log with a bookmark: the loop that keeps read models, and its users.
//!
//! Reading order: [`tail`] (one reader of the log per process and tenant), [`batch`] (fold, write
//! and checkpoint in one transaction), [`projector`] (the loop around it, and what stops it), [`parking`] (what does
//! not stop all of it),
//! [`lease`] (who works; [`duty`] for work that is no read model, such as [`retention`]), [`supervisor`] (who is started where), [`known`] (how far they are, as far
//! as this process knows), [`wait`] (read-your-writes), [`rebuild`] (a new generation beside the live
//! one), [`feed`] (without a bookmark: whom an event concerns, now).
//!
//! Nothing here decides or appends, and nothing here is skipped in silence.

mod tail;
mod batch;
mod projector;
mod pace;
mod generations;
mod installing;
mod lease;
mod duty;
mod retention;
mod retry;
mod connection;
mod runner;
mod supervisor;
mod known;
mod wait;
mod decisions;
mod control;
mod failed;
mod halt;
mod parking;
mod status;
mod rebuild;
pub mod feed;

pub use connection::open as open_connection;
pub use control::{pause, resume, retry, skip};
pub use decisions::{Action, Decider, Decision, decisions};
pub use duty::Duty;
pub use failed::{FailedEvent, failed_events};
pub use generations::{Generation, generations};
pub use installing::{install, models, remove};
pub use rebuild::{
    Mode, Phase, Progress, RANGE_EVENTS, RebuildError, RebuildOptions, RebuildStatus, Rebuilt,
    WORKERS_MAX, ask_rebuild, cancel_rebuild, drop_generation, pause_rebuild, rebuild, rebuilds,
    resume_rebuild,
};
pub use retry::by_weight;
pub use runner::Consumers;
pub use status::{ProjectionStatus, Status, status};
pub use tail::{LogEvent, Tail, weight_bytes};
pub use wait::Stale;

use domain::{Code, Position, Refusal};

use crate::store::StoreError;
use feed::FeedSettings;

/// The knobs of the consumers. [`Default`] is what production runs with.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// Fold read models in this process; `false` for one that only reads and waits.
    pub project: bool,
    /// How long a silent owner keeps its share of the work, in milliseconds. Renewed at a third of
    /// it.
    pub lease_ms: u64,
    /// At most this many events in one batch.
    pub batch_events_max: usize,
    /// A batch is written once it adds up to this many rows.
    pub batch_rows_max: usize,
    /// A batch holds at most this much memory of decoded events, in bytes (estimated).
    pub batch_bytes_max: usize,
    /// A batch is written once folding it has taken this long, in milliseconds.
    pub batch_ms_max: u64,
    /// The tail keeps at most this many events.
    pub ring_events_max: usize,
    /// The tail keeps at most this much memory of decoded events, in bytes (estimated).
    pub ring_bytes_max: usize,
    /// How often the bookkeeping of other processes is looked at when nobody waits, in
    /// milliseconds.
    pub poll_ms: u64,
    /// First pause after a fault, in milliseconds; it doubles with each further one.
    pub retry_ms_min: u64,
    /// Longest pause between two tries after faults, in milliseconds.
    pub retry_ms_max: u64,
    /// How often an event whose write the database refuses is tried before it stops its projection, or
    /// parks its stream.
    pub poison_attempts_max: u32,
    /// At most this many streams of one generation are parked; the next that would be stops it.
    pub parked_streams_max: usize,
    /// A batch whose transaction takes longer is given up and tried again, in milliseconds.
    pub step_ms_max: u64,
    /// See [`RebuildOptions::slowdown_max`], for rebuilds nobody asked for.
    pub rebuild_slowdown_max: f64,
    /// Workers of all rebuilds that this process carries out, at once.
    pub rebuild_workers_max: usize,
    /// See [`RebuildOptions::scratches_max`].
    pub scratches_max: usize,
    /// The knobs of the feed.
    pub feed: FeedSettings,
}

impl Default for ConsumerSettings {
    fn default() -> ConsumerSettings {
        ConsumerSettings {
            project: true,
            lease_ms: 3_000,
            batch_events_max: 4_096,
            batch_rows_max: 20_000,
            batch_bytes_max: 16 << 20,
            batch_ms_max: 200,
            ring_events_max: 4_096,
            ring_bytes_max: 16 << 20,
            poll_ms: 500,
            retry_ms_min: 50,
            retry_ms_max: 5_000,
            poison_attempts_max: 3,
            parked_streams_max: 100,
            step_ms_max: 60_000,
            rebuild_slowdown_max: 0.2,
            rebuild_workers_max: rebuild::PLACES,
            scratches_max: 8,
            feed: FeedSettings::default(),
        }
    }
}

/// Why a consumer's bookkeeping could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// No read model has this name.
    #[error("no read model is called {0:?}")]
    UnknownProjection(String),
    /// The read model has no live generation for this tenant.
    #[error("read model {0:?} has not been started for this tenant")]
    NotStarted(String),
    /// Only the event at which a read model has stopped, or parked a stream, can be tried again or skipped.
    #[error(
        "read model {projection:?} is not stopped at position {position}, nor is a stream parked there"
    )]
    NotStoppedThere {
        /// Which read model.
        projection: String,
        /// The event that was to be skipped.
        position: Position,
    },
    /// What was asked cannot be done, for a reason of whoever asked.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// PostgreSQL failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl ConsumerError {
    /// What whoever asked for it is told, if it is theirs to put right.
    pub fn refusal(&self) -> Option<Refusal> {
        let refusal = |code, field: &str| Refusal::new(code, self.to_string()).at([field]);
        match self {
            ConsumerError::UnknownProjection(_) => Some(refusal(Code::ReadModelUnknown, "name")),
            ConsumerError::NotStarted(_) => Some(refusal(Code::NotFound, "name")),
            ConsumerError::NotStoppedThere { .. } => Some(refusal(Code::NotStopped, "position")),
            ConsumerError::Refused(refusal) => Some((**refusal).clone()),
            ConsumerError::Store(_) | ConsumerError::Database(_) => None,
        }
    }
}
