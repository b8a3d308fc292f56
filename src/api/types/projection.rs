//! Read models themselves: how far each is and what stopped it.

use async_graphql::SimpleObject;
use chrono::TimeDelta;

use crate::api::scalars::{Duration, Long, Position};
use crate::consumers;

/// Where a read model stands.
#[derive(SimpleObject)]
pub struct ProjectionStatus {
    /// Its name.
    name: String,
    /// Which generation of its tables answers; 0 if none does yet.
    generation: i32,
    /// Version of the logic that built them.
    version: i32,
    /// It shows every event up to here and none after.
    position: Position,
    /// The last position of the log.
    head: Position,
    /// How many events of the log it has not folded yet.
    lag_events: Long,
    /// How long the oldest of them has waited; zero if there is none.
    lag: Duration,
    /// `running`, `paused`, `stopped` (an event could not be folded) or `not_started`.
    status: String,
    /// How many streams it goes on without, because it could not take in an event of theirs: what it tells of
    /// those is as of before that event. See `failedEvents`.
    parked_streams: i32,
    /// Why it is stopped; null otherwise. Whoever is no operator is told only that there is something to know.
    error: Option<String>,
}

impl From<consumers::ProjectionStatus> for ProjectionStatus {
    fn from(row: consumers::ProjectionStatus) -> ProjectionStatus {
        ProjectionStatus {
            name: row.name.to_owned(),
            generation: row.generation,
            version: row.version,
            position: Position(row.position),
            head: Position(row.head),
            lag_events: Long(row.lag_events),
            lag: Duration(TimeDelta::milliseconds(row.lag_ms.max(0))),
            status: row.status.as_str().to_owned(),
            parked_streams: row.parked_streams,
            error: row.error,
        }
    }
}
