//! Reading the log: pages by position, streams by sequence.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{DecodeError, Event, Metadata, Position, Recorded};
use uuid::Uuid;

/// The bounds of one page of the log.
#[derive(Clone, Copy, Debug)]
pub struct PageLimits {
    /// At most this many events.
    pub events_max: i64,
    /// Do not read past this position.
    pub up_to: Position,
}

/// An event with its stored bytes.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Whose log.
    pub tenant: Arc<str>,
    /// Where in it.
    pub position: Position,
    /// The aggregate's type.
    pub aggregate_type: Arc<str>,
    /// The aggregate's key.
    pub aggregate_id: Arc<str>,
    /// Number in its stream.
    pub sequence: i64,
    /// What happened.
    pub event_type: Arc<str>,
    /// Version of the payload's shape.
    pub event_version: Arc<str>,
    /// The event's own id.
    pub event_id: Uuid,
    /// When it was committed.
    pub recorded_at: DateTime<Utc>,
    /// The payload as stored.
    pub payload: String,
    /// The metadata as stored.
    pub metadata: String,
}

impl StoredEvent {
    /// Turns stored bytes into today's event, through the upcasters.
    pub fn decode(&self) -> Result<Recorded<Event>, DecodeError> {
        let event = Event::decode(&self.event_type, &self.event_version, &self.payload)?;
        let metadata: Metadata = serde_json::from_str(&self.metadata).map_err(|e| {
            DecodeError::Payload { event_type: self.event_type.to_string(), reason: format!("metadata: {e}") }
        })?;
        Ok(Recorded {
            tenant: self.tenant.clone(),
            position: self.position,
            aggregate_type: self.aggregate_type.clone(),
            aggregate_id: self.aggregate_id.clone(),
            sequence: self.sequence,
            event_id: self.event_id,
            recorded_at: self.recorded_at,
            metadata,
            event,
        })
    }
}
