//! How each read model is doing: for health, the API and the gauges.

use std::sync::Arc;

use domain::Position;
use metrics::gauge;
use projections::AnyProjection;
use sqlx::Row;

use super::ConsumerError;
use crate::store::Store;

/// May a read model advance?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It follows the log.
    Running,
    /// A person lets it rest.
    Paused,
    /// An event could not be folded or written; a person has to decide.
    Stopped,
    /// It has not been started for this tenant yet.
    NotStarted,
}

impl Status {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
            Status::NotStarted => "not_started",
        }
    }
}

/// Where one read model of one tenant stands.
#[derive(Clone, Debug)]
pub struct ProjectionStatus {
    /// Whose.
    pub tenant: Arc<str>,
    /// Its name.
    pub name: &'static str,
    /// The generation that answers; 0 if none does.
    pub generation: i32,
    /// The version of the read model that generation was built by.
    pub version: i32,
    /// The last position folded in.
    pub position: Position,
    /// The last position of the log.
    pub head: Position,
    /// Events of the log not folded yet.
    pub lag_events: i64,
    /// Age of the oldest event not folded yet, in milliseconds; 0 if there is none.
    pub lag_ms: i64,
    /// May it advance?
    pub status: Status,
    /// How many streams it goes on without until a person decides.
    pub parked_streams: i32,
    /// Why it is stopped, one line.
    pub error: Option<String>,
    /// A projector of this process is at work on it.
    pub owned_here: bool,
}

/// Where every read model of `projections` stands, in their order. `owned_here` is left false.
pub async fn status(
    store: &Store,
    projections: &[Arc<dyn AnyProjection>],
    tenant: &str,
) -> Result<Vec<ProjectionStatus>, ConsumerError> {
    let rows = sqlx::query(
        "select g.projection, g.generation, g.version, g.position, l.position, g.status, g.error,
                coalesce(1000 * extract(epoch from clock_timestamp() - e.recorded_at), 0)::bigint,
                g.parked
         from logs l
         left join generations g on g.tenant = l.tenant and g.state = 'live'
         left join lateral (select recorded_at from events
                            where tenant = g.tenant and position = g.position + 1) e on true
         where l.tenant = $1",
    )
    .bind(tenant)
    .fetch_all(store.pool())
    .await?;
    let Some(first) = rows.first() else {
        return Err(crate::store::StoreError::UnknownTenant(tenant.to_owned()).into());
    };
    let head = Position(first.get(4));
    let tenant: Arc<str> = tenant.into();
    let of = |projection: &Arc<dyn AnyProjection>| {
        let name = projection.name();
        match rows
            .iter()
            .find(|r| r.get::<Option<&str>, _>(0) == Some(name))
        {
            Some(row) => started(tenant.clone(), name, head, row),
            None => not_started(tenant.clone(), name, head),
        }
    };
    Ok(projections.iter().map(of).collect())
}

fn started(
    tenant: Arc<str>,
    name: &'static str,
    head: Position,
    row: &sqlx::postgres::PgRow,
) -> ProjectionStatus {
    let position = Position(row.get(3));
    ProjectionStatus {
        tenant,
        name,
        generation: row.get(1),
        version: row.get(2),
        position,
        head,
        lag_events: (head.0 - position.0).max(0),
        lag_ms: row.get::<i64, _>(7).max(0),
        status: match row.get(5) {
            "running" => Status::Running,
            "paused" => Status::Paused,
            _ => Status::Stopped,
        },
        parked_streams: row.get(8),
        error: row.get(6),
        owned_here: false,
    }
}

fn not_started(tenant: Arc<str>, name: &'static str, head: Position) -> ProjectionStatus {
    ProjectionStatus {
        tenant,
        name,
        generation: 0,
        version: 0,
        position: Position::START,
        head,
        lag_events: head.0,
        lag_ms: 0,
        status: Status::NotStarted,
        parked_streams: 0,
        error: None,
        owned_here: false,
    }
}

/// Shows the lag of every read model of a tenant.
pub(super) fn show_gauges(statuses: &[ProjectionStatus]) {
    for s in statuses {
        let labels = [
            ("tenant", s.tenant.to_string()),
            ("projection", s.name.to_owned()),
        ];
        gauge!("daybook_projection_lag_events", &labels).set(s.lag_events as f64);
        gauge!("daybook_projection_lag_seconds", &labels).set(s.lag_ms as f64 / 1_000.0);
        let stopped = s.status == Status::Stopped;
        gauge!("daybook_projection_stopped", &labels).set(f64::from(u8::from(stopped)));
        let parked = f64::from(s.parked_streams);
        gauge!("daybook_projection_parked_streams", &labels).set(parked);
    }
}
