//! The words of the log: position, stream, actor, metadata, recorded event.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in one tenant's log: 1 for the first event, without gaps, in commit order.
/// `Position(0)` is "before the first event".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub i64);

impl Position {
    /// Before the first event.
    pub const START: Position = Position(0);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one stream of one tenant: an aggregate's type and key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The aggregate's type, such as `vehicle`.
    pub aggregate_type: &'static str,
    /// The aggregate's key, such as `2417`.
    pub aggregate_id: Arc<str>,
}

impl StreamKey {
    /// The stream of aggregate `A` with key `id`.
    pub fn of<A: crate::Aggregate>(id: &str) -> StreamKey {
        StreamKey {
            aggregate_type: A::TYPE,
            aggregate_id: id.into(),
        }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.aggregate_type, self.aggregate_id)
    }
}

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// What kind of caller this is.
    pub kind: ActorKind,
    /// The caller's stable id within its kind.
    pub id: Arc<str>,
}

/// The kinds of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorKind {
    /// A person.
    User,
    /// A program with an API key.
    ApiKey,
    /// Daybook itself.
    System,
    /// A connector that polls an outside source, or an import.
    Feed,
}

impl ActorKind {
    /// The word stored in metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::ApiKey => "api_key",
            ActorKind::System => "system",
            ActorKind::Feed => "feed",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.id)
    }
}

/// What is known about an event beside its payload.
///
/// Stored as one flat JSON object of strings, so that a stock `postgres_es` repository reads it as
/// its `HashMap<String, String>`. Absent values are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Who: `user:ann`, `feed:import`.
    pub actor: String,
    /// The command that caused the event (the idempotency key's digest, or a fresh UUIDv7).
    pub command_id: String,
    /// Ties together everything one outside request led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The event or command that directly caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Business time, RFC 3339, when the caller gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// `"true"` when time windows were lifted for an import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<String>,
    /// Of a batch of log records that was sent under an id of its own: the digest of all it said, so that it
    /// is known when it is sent again and its receipt is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_fingerprint: Option<String>,
    /// Which of that batch's records are not in the event, by their places: `0-2,7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_left_out: Option<String>,
}

/// An event as it stands in the log.
#[derive(Clone, Debug)]
pub struct Recorded<E> {
    /// Whose log.
    pub tenant: Arc<str>,
    /// Where in the tenant's log.
    pub position: Position,
    /// The aggregate's type, such as `vehicle`.
    pub aggregate_type: Arc<str>,
    /// The aggregate's key.
    pub aggregate_id: Arc<str>,
    /// The event's number in its stream, 1..n.
    pub sequence: i64,
    /// The event's own id (UUIDv7).
    pub event_id: Uuid,
    /// When it was committed; never runs against position order.
    pub recorded_at: DateTime<Utc>,
    /// Who, why, caused by what.
    pub metadata: Metadata,
    /// What happened.
    pub event: E,
}
