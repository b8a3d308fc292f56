//! Which events are asked for.

use domain::Metadata;

use super::StoredEvent;

/// Narrows a page of the log. Everything absent matches.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only this kind of stream.
    pub aggregate_type: Option<String>,
    /// Only this stream of that kind.
    pub aggregate_id: Option<String>,
    /// Only these event types.
    pub event_types: Option<Vec<String>>,
    /// Only what this actor caused, such as `user:ann`.
    pub actor: Option<String>,
    /// Only what one outside request led to.
    pub correlation_id: Option<String>,
}

impl EventFilter {
    /// Does the event pass?
    pub fn matches(&self, event: &StoredEvent) -> bool {
        let is = |asked: &Option<String>, found: &str| asked.as_deref().is_none_or(|a| a == found);
        let types = self.event_types.as_ref();
        is(&self.aggregate_type, &event.aggregate_type)
            && is(&self.aggregate_id, &event.aggregate_id)
            && types.is_none_or(|types| types.iter().any(|t| **t == *event.event_type))
            && self.has_cause(event)
    }

    /// Does every event pass?
    pub fn passes_all(&self) -> bool {
        self.aggregate_type.is_none()
            && self.aggregate_id.is_none()
            && self.event_types.is_none()
            && !self.asks_for_cause()
    }

    fn asks_for_cause(&self) -> bool {
        self.actor.is_some() || self.correlation_id.is_some()
    }

    /// Is it of the actor and the request that are asked for? Metadata that cannot be read tell of none.
    pub(super) fn has_cause(&self, event: &StoredEvent) -> bool {
        if !self.asks_for_cause() {
            return true;
        }
        let Ok(metadata) = serde_json::from_str::<Metadata>(&event.metadata) else {
            return false;
        };
        let is = |asked: &Option<String>, found: Option<&str>| {
            asked.is_none() || asked.as_deref() == found
        };
        is(&self.actor, Some(&metadata.actor))
            && is(&self.correlation_id, metadata.correlation_id.as_deref())
    }

    /// How the actor and the request that are asked for stand in metadata as they are written: what is
    /// looked for in the stored text, so that few events need to be read.
    pub(super) fn written_causes(&self) -> [Option<String>; 2] {
        let member = |name: &str, value: &Option<String>| {
            let value = value.as_ref()?;
            Some(format!(
                "\"{name}\":{}",
                serde_json::Value::from(value.as_str())
            ))
        };
        [
            member("actor", &self.actor),
            member("correlation_id", &self.correlation_id),
        ]
    }
}
