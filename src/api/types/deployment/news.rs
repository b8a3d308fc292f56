//! What a deployment has come to, as it is told while it happens.

use async_graphql::{ID, SimpleObject};

use super::DeploymentStatus;
use crate::api::scalars::{DateTime, Position};
use crate::api::types::int;
use crate::deployments::history::History;
use crate::store::StoredEvent;

/// One event of a deployment, and what the deployment has come to by it.
#[derive(SimpleObject)]
pub struct DeploymentNews {
    /// The event's place in the log: what `after` takes.
    position: Position,
    /// The event's type, such as `deployment.started`.
    #[graphql(name = "type")]
    event_type: String,
    /// When it was committed.
    recorded_at: DateTime,
    /// Which deployment.
    deployment_id: ID,
    /// The project.
    project: String,
    /// The service.
    service: String,
    /// The environment's name within the project.
    environment: String,
    /// What is deployed, after the event.
    version: String,
    /// Its revision, after the event.
    revision: i32,
    /// Where it stands, after the event.
    status: DeploymentStatus,
}

impl DeploymentNews {
    /// Of an event, and of the deployment up to it.
    pub fn new(event: &StoredEvent, history: &History) -> DeploymentNews {
        let row = &history.row;
        DeploymentNews {
            position: Position(event.position),
            event_type: event.event_type.to_string(),
            recorded_at: DateTime(event.recorded_at),
            deployment_id: ID(row.id.clone()),
            project: row.project.clone(),
            service: row.service.clone(),
            environment: row.environment.clone(),
            version: row.version.clone(),
            revision: int(row.revision),
            status: row.status.into(),
        }
    }
}
