//! What became of one thing, version by version: the state that its events fold to.

use async_graphql::{SimpleObject, Value};
use domain::folded::{self, Folded};
use serde_json::Value as Tree;

use super::event::Event;
use super::int;
use crate::api::scalars::{DateTime, Json, Position};
use crate::commands::StateAfter;
use crate::store::StoredEvent;

/// A thing as it was after one of its events.
#[derive(SimpleObject)]
pub struct AggregateState {
    /// Kind of stream, such as `vehicle`.
    #[graphql(name = "type")]
    kind: String,
    /// The stream's key.
    id: String,
    /// How many events had happened to it.
    version: i32,
    /// Place of the last of them in the log.
    position: Position,
    /// When that was committed.
    recorded_at: DateTime,
    /// The state they fold to, as this program holds it. It holds no personal values.
    state: Json,
}

/// One version of a thing: an event, and what it changed.
#[derive(SimpleObject)]
pub struct AggregateVersion {
    /// Its number, from 1.
    version: i32,
    /// The event that led to it.
    event: Event,
    /// The state after it, as this program holds it. It holds no personal values.
    state: Json,
    /// What differs from the state before, in the order of places.
    changes: Vec<StateChange>,
}

/// What a page of a history tells beside its versions.
#[derive(SimpleObject)]
pub struct HistoryAsOf {
    /// The position in the log the page is as of: it shows every event up to it and none after.
    pub as_of_position: Position,
    /// Every version up to here was folded. One question folds a bounded number of events: where this lies before
    /// the versions that were asked for, the page is empty although there is a next one, and the same question
    /// again goes on from here.
    pub folded_through: i32,
}

/// What an event made of one place in a state.
#[derive(SimpleObject)]
pub struct StateChange {
    /// Where, as a JSON pointer (RFC 6901): `/profile/name`. Lists are told whole.
    path: String,
    /// What was there; null if nothing was.
    before: Option<Json>,
    /// What is there now; null if nothing is.
    after: Option<Json>,
}

impl AggregateState {
    /// The state after an event.
    pub fn after(event: &StoredEvent, state: &Folded) -> AggregateState {
        AggregateState {
            kind: event.aggregate_type.to_string(),
            id: event.aggregate_id.to_string(),
            version: int(event.sequence),
            position: Position(event.position),
            recorded_at: DateTime(event.recorded_at),
            state: json(state.show()),
        }
    }
}

impl AggregateVersion {
    /// What an event made of its stream.
    pub fn new(event: &StoredEvent, made: StateAfter) -> AggregateVersion {
        AggregateVersion {
            version: int(event.sequence),
            event: Event::from(event),
            state: json(made.state),
            changes: made.changes.into_iter().map(StateChange::from).collect(),
        }
    }
}

impl From<folded::StateChange> for StateChange {
    fn from(change: folded::StateChange) -> StateChange {
        StateChange {
            path: change.path,
            before: change.before.map(json),
            after: change.after.map(json),
        }
    }
}

fn json(tree: Tree) -> Json {
    Json(Value::from_json(tree).unwrap_or_default())
}
