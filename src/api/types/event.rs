//! Events as they stand in the log, but for what they say of persons.

use async_graphql::{ComplexObject, Context, Enum, Result, SimpleObject, Value};
use domain::Aggregate as _;
use domain::log_batch::LogBatch;
use serde_json::Value as Tree;

use super::int;
use crate::api::failure::auth_refusal_or_fault;
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, Json, Position, Uuid};
use crate::store::StoredEvent;

/// A fact: something that happened, never changed afterwards.
#[derive(SimpleObject)]
#[graphql(complex)]
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
    /// The fact as it is stored; null if the stored text is no JSON. Personal values in it are null, and
    /// named in `redacted`.
    payload: Option<Json>,
    /// Who caused it and why.
    metadata: EventMetadata,
    #[graphql(skip)]
    hidden: Hidden,
}

/// Personal values of an event.
#[derive(Default)]
struct Hidden {
    /// Whose; none where they are of many.
    subject: Option<String>,
    /// Which fields of the payload.
    fields: Vec<String>,
}

/// Why a value of an event is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum RedactionReason {
    /// It is about a person, and told with that person's account only.
    Personal,
    /// The person's data was erased: nobody can read it again.
    Erased,
}

/// A value of an event that is not told.
#[derive(SimpleObject)]
pub struct Redaction {
    /// The field of the payload.
    field: String,
    /// Why.
    reason: RedactionReason,
}

#[ComplexObject]
impl Event {
    /// Values of the payload that are about a person, and therefore null in it.
    async fn redacted(&self, ctx: &Context<'_>) -> Result<Vec<Redaction>> {
        let Hidden { subject, fields } = &self.hidden;
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        let operation = Operation::of(ctx);
        let readable = match subject {
            None => Ok(true),
            Some(subject) => {
                let auth = &operation.parts.auth;
                auth.is_readable(operation.tenant(), subject).await
            }
        };
        let readable = readable.map_err(|error| {
            auth_refusal_or_fault(error).map_or_else(|fault| fault, Fault::from)
        })?;
        let reason = match readable {
            true => RedactionReason::Personal,
            false => RedactionReason::Erased,
        };
        let redacted = fields.iter().map(|field| Redaction {
            field: field.clone(),
            reason,
        });
        Ok(redacted.collect())
    }
}

/// Takes personal values out of a payload: those of the kinds of stream that have any.
fn hide(kind: &str, id: &str, payload: &mut Tree) -> Hidden {
    if kind == "deployment" {
        return hide_requester(id, payload);
    }
    if kind == LogBatch::TYPE {
        return hide_of_records(payload);
    }
    let subject = match kind {
        "user" => Some(id.to_owned()),
        "session" => payload["userId"].as_str().map(str::to_owned),
        // `competition/user`; what is said of entries is said of their users.
        "entry" => id.rsplit_once('/').map(|(_, user)| user.to_owned()),
        _ => None,
    };
    let (Some(subject), Some(members)) = (subject, payload.as_object_mut()) else {
        return Hidden::default();
    };
    let mut fields = Vec::new();
    for (name, value) in members.iter_mut() {
        if value.get("sealed").is_some() {
            *value = Tree::Null;
            fields.push(name.clone());
        }
    }
    let subject = Some(subject);
    Hidden { subject, fields }
}

/// What is personal of a batch's records stands in a column of its own.
fn hide_of_records(payload: &mut Tree) -> Hidden {
    const COLUMN: &str = "personal";
    let Some(column) = payload.get_mut(COLUMN).filter(|column| !column.is_null()) else {
        return Hidden::default();
    };
    *column = Tree::Null;
    Hidden {
        subject: None,
        fields: vec![COLUMN.to_owned()],
    }
}

/// The name of somebody elsewhere who wanted a deployment, under the deployment's own key.
fn hide_requester(id: &str, payload: &mut Tree) -> Hidden {
    let person = payload.pointer_mut("/requestedBy/person");
    let Some(person) = person.filter(|person| person.get("sealed").is_some()) else {
        return Hidden::default();
    };
    *person = Tree::Null;
    Hidden {
        subject: Some(format!("deployment:{id}")),
        fields: vec!["requestedBy.person".to_owned()],
    }
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
        let mut payload = serde_json::from_str(&stored.payload).ok();
        let hidden = payload
            .as_mut()
            .map(|payload| hide(&stored.aggregate_type, &stored.aggregate_id, payload));
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
            hidden: hidden.unwrap_or_default(),
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
