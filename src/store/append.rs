//! What an append is made of, and what comes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::{ClaimChange, Position, Refusal, StreamKey};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::StoreError;

/// Everything one command wants to happen, all or nothing.
#[derive(Debug)]
pub struct Append {
    /// Digest of caller and declared commandId, or a fresh UUIDv7.
    pub command_id: Uuid,
    /// Digest of the command's content: tells a retry from a reuse of its id.
    pub fingerprint: [u8; 16],
    /// Does the log keep the id with what was answered, so that the command sent again is answered the same?
    /// Where nobody else knows the id there is nobody to send it again. What adds no event is kept anyway.
    pub remembered: bool,
    /// The streams it writes or relies on, each once. The first stream with events names the receipt's version.
    pub writes: Vec<StreamWrite>,
    /// Values only one object may hold.
    pub claims: Vec<Claim>,
    /// Records refused one by one, kept for a while.
    pub rejected: Vec<Rejected>,
    /// What the caller is told beside position and version; given again on a retry.
    pub receipt: Option<String>,
    /// Metadata of all its events, as stored.
    pub metadata: String,
}

impl Append {
    /// Bytes of its payloads: what its group is bounded by.
    pub(super) fn bytes(&self) -> usize {
        let events = self
            .writes
            .iter()
            .flat_map(|w| &w.events)
            .map(|e| e.payload.len());
        let rejected = self.rejected.iter().map(|r| r.record.len());
        events.chain(rejected).sum()
    }

    /// What its receipt says of the version: of the one stream it writes, else of the first it relies on; 0
    /// where it writes several.
    pub(super) fn version(&self) -> i64 {
        let mut writing = self.writes.iter().filter(|w| !w.events.is_empty());
        match (writing.next().or(self.writes.first()), writing.next()) {
            (Some(w), None) => w.expected + w.events.len() as i64,
            _ => 0,
        }
    }

    /// Does the log keep its id? Of what adds no event nothing else would tell that it was there.
    pub(super) fn is_remembered(&self) -> bool {
        self.remembered || self.writes.iter().all(|w| w.events.is_empty())
    }

    /// Was something that it was decided on not kept?
    pub(super) fn is_withdrawn(&self) -> bool {
        self.writes.iter().any(|w| w.basis.is_withdrawn())
    }

    /// It is not kept, or not as it was decided now: nothing may rest on it. A state that was only relied
    /// on holds nothing of it and stands.
    pub(super) fn withdraw(&self) {
        let own = self.writes.iter().filter(|w| !w.events.is_empty());
        own.for_each(|w| w.basis.withdraw());
    }

    /// The same after it was answered: a state whose stream has moved stands no more either.
    pub(super) fn withdraw_after(&self, outcome: &Result<Appended, AppendError>) {
        match outcome {
            Ok(kept) if !kept.replayed => return,
            Err(AppendError::Conflict { stream, .. }) => {
                let moved = self.writes.iter().filter(|w| w.stream == *stream);
                moved.for_each(|w| w.basis.withdraw());
            }
            _ => {}
        }
        self.withdraw();
    }
}

/// New events for one stream, on the condition that it still is at `expected`.
#[derive(Debug)]
pub struct StreamWrite {
    /// Which stream.
    pub stream: StreamKey,
    /// The version the decision was made on; 0 for a new stream.
    pub expected: i64,
    /// Events to append; empty if the command only relies on the version.
    pub events: Vec<NewEvent>,
    /// The state the decision was made on.
    pub basis: Basis,
}

/// Says whether a state still is what the log says, as far as this process knows.
///
/// A decision may rest on events that are decided but not yet kept. If those are lost, the basis is
/// withdrawn, and nothing decided on it is appended any more, even where the version happens to fit.
#[derive(Clone, Debug, Default)]
pub struct Basis(Arc<AtomicBool>);

impl Basis {
    /// Something this state was made of was not kept.
    pub fn withdraw(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Is it the basis of the same state?
    pub fn is(&self, other: &Basis) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Must the state be loaded again?
    pub fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// An event before it is recorded.
#[derive(Debug)]
pub struct NewEvent {
    /// Its own id, UUIDv7.
    pub event_id: Uuid,
    /// Stored type.
    pub event_type: &'static str,
    /// Stored version of the shape.
    pub event_version: &'static str,
    /// JSON.
    pub payload: String,
}

/// Takes or gives back a value that at most one object of a tenant may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What kind of value, such as `vehicle.vin`.
    pub scope: String,
    /// Digest of the canonical value.
    pub value_hash: [u8; 16],
    /// Who takes or releases it.
    pub aggregate_id: String,
    /// Give it back instead of taking it.
    pub release: bool,
}

impl Claim {
    /// The claim an aggregate's event makes.
    pub fn of(change: &ClaimChange, aggregate_id: &str) -> Claim {
        Claim {
            scope: change.scope.to_owned(),
            value_hash: digest(&[change.value.as_bytes()]),
            aggregate_id: aggregate_id.to_owned(),
            release: change.release,
        }
    }
}

/// The first 16 bytes of SHA-256 over length-prefixed parts: what the log keys declared ids by.
pub fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize()[..16]
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// One refused record, for `rejected_records`.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Which door refused it.
    pub source: &'static str,
    /// Of a log record: whose it is.
    pub log_source: Option<String>,
    /// Why and with which facts.
    pub refusal: Refusal,
    /// The record as it came, JSON, cut to its limit.
    pub record: String,
}

/// A kept command, or the first receipt of a command that was kept before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of its last event; the head it saw if it appended none.
    pub position: Position,
    /// Version of the stream it wrote, after it; 0 if it wrote several.
    pub version: i64,
    /// True if this command had been kept before.
    pub replayed: bool,
    /// The stored receipt.
    pub receipt: Option<String>,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream is not where the decision thought: decide again.
    #[error("{stream} is at version {actual}")]
    Conflict {
        /// Which stream.
        stream: StreamKey,
        /// Its version.
        actual: i64,
    },
    /// A claimed value is held by another object.
    #[error("{scope} is held by {holder}")]
    Claimed {
        /// What kind of value.
        scope: String,
        /// Index into `Append::claims`.
        index: usize,
        /// Who holds it.
        holder: String,
    },
    /// The command id was used with other content.
    #[error("the command id was used before with other content")]
    KeyReused,
    /// A neighbour in the same chain of one stream failed: decide again.
    #[error("the state this was decided on was not kept")]
    Stale,
    /// The lane's queue is full.
    #[error("too many appends are waiting")]
    Overloaded,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Drafts of appends for tests.
#[cfg(test)]
pub(super) mod drafts {
    use super::*;

    /// So many events on a stream that is expected there.
    pub fn write(id: &str, expected: i64, events: usize) -> StreamWrite {
        let event = || NewEvent {
            event_id: Uuid::nil(),
            event_type: "vehicle.retired",
            event_version: "1",
            payload: "{}".into(),
        };
        StreamWrite {
            stream: StreamKey {
                aggregate_type: "vehicle",
                aggregate_id: id.into(),
            },
            expected,
            events: (0..events).map(|_| event()).collect(),
            basis: Basis::default(),
        }
    }

    /// A command that does nothing else.
    pub fn append(writes: Vec<StreamWrite>) -> Append {
        Append {
            command_id: Uuid::now_v7(),
            fingerprint: [0; 16],
            remembered: false,
            writes,
            claims: vec![],
            rejected: vec![],
            receipt: None,
            metadata: "{}".into(),
        }
    }
}
