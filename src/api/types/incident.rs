//! Incidents and what they are put down to.

use async_graphql::{ID, SimpleObject};
use projections::deployments::{IncidentRow, LinkRow};

use super::deployment::{ExternalRef, IncidentLinkKind, IncidentSeverity, IncidentStatus};
use super::int;
use crate::api::scalars::{DateTime, Position};

/// Something that was broken from one time to another.
#[derive(SimpleObject)]
pub struct Incident {
    /// Its id, unique among the tenant's incidents.
    pub id: ID,
    /// A sentence for people.
    title: String,
    /// How bad it is.
    severity: IncidentSeverity,
    /// Where it stands.
    status: IncidentStatus,
    /// The project.
    project: String,
    /// What is broken; null: the project as a whole.
    service: Option<String>,
    /// Where; null: not known.
    environment: Option<String>,
    /// When it began.
    opened_at: DateTime,
    /// Since when it is over; null while it is not.
    resolved_at: Option<DateTime>,
    /// What the system it comes from calls it.
    external: Option<ExternalRef>,
    /// What it is put down to, by ascending id of the deployment.
    links: Vec<IncidentLink>,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    stream_version: i32,
    /// Position of the last event in its stream.
    last_event_position: Position,
}

/// A deployment an incident is put down to.
#[derive(SimpleObject)]
pub struct IncidentLink {
    /// Which.
    deployment_id: ID,
    /// How that is known.
    kind: IncidentLinkKind,
    /// The rule that inferred it; null for a link on purpose.
    rule: Option<String>,
    /// Position of the event that says so.
    position: Position,
}

impl From<IncidentRow> for Incident {
    fn from(row: IncidentRow) -> Incident {
        Incident {
            status: row.status().into(),
            id: ID(row.id),
            title: row.title,
            severity: row.severity.into(),
            project: row.project,
            service: row.service,
            environment: row.environment,
            opened_at: DateTime(row.opened_at),
            resolved_at: row.resolved_at.map(DateTime),
            external: row.external.map(ExternalRef::from),
            links: row.links.into_iter().map(IncidentLink::from).collect(),
            stream_version: int(row.stream_version),
            last_event_position: Position(row.position),
        }
    }
}

impl From<LinkRow> for IncidentLink {
    fn from(link: LinkRow) -> IncidentLink {
        IncidentLink {
            deployment_id: ID(link.deployment),
            kind: link.kind.into(),
            rule: link.rule,
            position: Position(link.position),
        }
    }
}
