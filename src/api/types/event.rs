//! Events as they stand in the log.

use async_graphql::{SimpleObject, Value};

use super::int;
use crate::api::scalars::{DateTime, Json, Position, Uuid};
use crate::store::StoredEvent;

/// A fact: something that happened, never changed afterwards.
#[derive(SimpleObject)]
pub struct Event {
    /// The event's own id (UUIDv7).
    id: Uuid,
    /// Its place in the tenant's log, without gaps, in commit order.
    position: Position,
    /// When it was committed; never runs against position order.
    recorded_at: DateTime,
    /// Kind of stream, such as `vehicle`.
    aggregate_type: String,
    /// The stream's key within its kind; of a track, `vehicle/day`.
    aggregate_id: String,
    /// Its number in the stream, from 1: the object's version after it.
    sequence: i32,
    /// What happened, such as `vehicle.registered`.
    #[graphql(name = "type")]
    event_type: String,
    /// Version of the payload's shape.
    schema_version: String,
    /// The fact as it is stored; null if the stored text is no JSON.
    payload: Option<Json>,
    /// Who caused it and why.
    metadata: EventMetadata,
}

/// Who caused an event, and by what.
#[derive(SimpleObject)]
pub struct EventMetadata {
    /// Who, as `kind:id`; the kinds are user, api_key, system and feed.
    actor: Option<String>,
    /// The command that caused it: a digest of the caller's `commandId`, or a fresh id.
    command_id: Option<String>,
    /// Ties together everything one outside request led to.
    correlation_id: Option<String>,
    /// The event or command that directly caused it.
    causation_id: Option<String>,
    /// W3C trace context of the request.
    traceparent: Option<String>,
    /// Business time, when the caller gave one.
    occurred_at: Option<String>,
    /// True when time windows were lifted for an import.
    backfill: bool,
}

impl From<&StoredEvent> for Event {
    fn from(stored: &StoredEvent) -> Event {
        let metadata: domain::Metadata = serde_json::from_str(&stored.metadata).unwrap_or_default();
        let payload = serde_json::from_str(&stored.payload).ok();
        Event {
            id: Uuid(stored.event_id),
            position: Position(stored.position),
            recorded_at: DateTime(stored.recorded_at),
            aggregate_type: stored.aggregate_type.to_string(),
            aggregate_id: stored.aggregate_id.to_string(),
            sequence: int(stored.sequence),
            event_type: stored.event_type.to_string(),
            schema_version: stored.event_version.to_string(),
            payload: payload
                .and_then(|json| Value::from_json(json).ok())
                .map(Json),
            metadata: metadata.into(),
        }
    }
}

impl From<domain::Metadata> for EventMetadata {
    fn from(metadata: domain::Metadata) -> EventMetadata {
        let said = |text: String| (!text.is_empty()).then_some(text);
        EventMetadata {
            actor: said(metadata.actor),
            command_id: said(metadata.command_id),
            correlation_id: metadata.correlation_id,
            causation_id: metadata.causation_id,
            traceparent: metadata.traceparent,
            occurred_at: metadata.occurred_at,
            backfill: metadata.backfill.is_some_and(|b| b == "true"),
        }
    }
}
