//! Deployments: one by id, and the board.

use chrono::{DateTime, Utc};
use domain::deployment::{DeploymentReason, Status, Tier};
use domain::{ExternalRef, Position};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::{ListCursor, external, push_equal, push_page, push_span, word};
use crate::accounts::Sealed;
use crate::deployments::NAME;
use crate::{Page, ReadError, Snapshot};

/// A deployment as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentRow {
    /// Its id.
    pub id: String,
    /// The project.
    pub project: String,
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// What the environment was for when it was wanted.
    pub tier: Tier,
    /// What is deployed.
    pub version: String,
    /// What it replaces, if that is known.
    pub previous_version: Option<String>,
    /// Why.
    pub reason: DeploymentReason,
    /// What kind of change it is, in the operator's words.
    pub change_type: Option<String>,
    /// A sentence for people.
    pub description: Option<String>,
    /// Whose service it is.
    pub team: Option<String>,
    /// The incident that it is to end, by id.
    pub remedies: Option<String>,
    /// What the system that deploys calls it.
    pub external: Option<ExternalRef>,
    /// Who wanted it, if that is known.
    pub requested_by: Option<Requested>,
    /// Its number: 1, and one more for each time it was amended.
    pub revision: i64,
    /// Where it stands.
    pub status: Status,
    /// The first time told of it: lists are in this order.
    pub known_at: DateTime<Utc>,
    /// When it was wanted.
    pub requested_at: Option<DateTime<Utc>>,
    /// When approval was asked for, or for what it is about now.
    pub asked_at: Option<DateTime<Utc>>,
    /// It may start then.
    pub wait_until: Option<DateTime<Utc>>,
    /// And until then.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was approved; `None` if it is not, or not any more.
    pub approved_at: Option<DateTime<Utc>>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// Since when it runs, or ran.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// When it came to nothing.
    pub failed_at: Option<DateTime<Utc>>,
    /// Since when another version runs again; `None` if it does not, or nobody told when.
    pub rolled_back_at: Option<DateTime<Utc>>,
    /// Which version.
    pub rolled_back_to: Option<String>,
    /// When it was rejected, called off or ran out.
    pub closed_at: Option<DateTime<Utc>>,
    /// Version of its stream.
    pub stream_version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// Who wanted a deployment.
#[derive(Clone, Debug, PartialEq)]
pub enum Requested {
    /// One of our users, by id.
    User(String),
    /// A program with a key of ours, by the key's id.
    ApiKey(String),
    /// A program elsewhere, by name.
    Machine(String),
    /// Somebody elsewhere: a sealed name, field `requested_by` of the subject `deployment:<id>`.
    Person(Sealed),
}

/// Which deployments; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentFilter {
    /// Those of this project.
    pub project: Option<String>,
    /// Those of this service.
    pub service: Option<String>,
    /// Those to this environment.
    pub environment: Option<String>,
    /// Those to environments that were for this.
    pub tier: Option<Tier>,
    /// Those that stand at one of these.
    pub status: Option<Vec<Status>>,
    /// Those of this version.
    pub version: Option<String>,
    /// Those another system calls so; it may be several, one for each service and environment.
    pub external: Option<ExternalRef>,
    /// Those known from then on.
    pub from: Option<DateTime<Utc>>,
    /// Those known before then.
    pub to: Option<DateTime<Utc>>,
}

/// One deployment by id.
pub async fn deployment(snap: &mut Snapshot, id: &str) -> Result<Option<DeploymentRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and d.deployment_id = ").push_bind(id);
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// Deployments, newest first, those after `after`, at most `first`.
pub async fn deployments(
    snap: &mut Snapshot,
    filter: &DeploymentFilter,
    after: Option<&ListCursor>,
    first: u32,
) -> Result<Page<DeploymentRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap)?;
    push_planned(&mut sql, filter);
    push_equal(&mut sql, "d.version", filter.version.as_deref());
    if let Some(status) = &filter.status {
        sql.push(" and d.status");
        push_words(&mut sql, status);
    }
    push_page(&mut sql, ("d.known_at", "d.deployment_id"), after, first);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// Adds the conditions on what never changes of a deployment.
pub(super) fn push_planned(sql: &mut QueryBuilder<'_, Postgres>, filter: &DeploymentFilter) {
    push_equal(sql, "d.project", filter.project.as_deref());
    push_equal(sql, "d.service", filter.service.as_deref());
    push_equal(sql, "d.environment", filter.environment.as_deref());
    push_equal(sql, "d.tier", filter.tier.map(Tier::as_str));
    if let Some(external) = &filter.external {
        push_equal(sql, "d.external_source", Some(&external.source));
        push_equal(sql, "d.external_id", Some(&external.id));
    }
    push_span(sql, "d.known_at", filter.from, filter.to);
}

/// Adds that what stands before is one of the words. They are written out, since the index of what is not
/// over is chosen by them.
pub(super) fn push_words(sql: &mut QueryBuilder<'_, Postgres>, status: &[Status]) {
    let words = status.iter().map(|status| format!("'{}'", status.as_str()));
    match words.collect::<Vec<_>>() {
        words if words.is_empty() => sql.push(" is null and false"),
        words => sql.push(format!(" in ({})", words.join(", "))),
    };
}

pub(super) fn select<'q>(snap: &Snapshot) -> Result<QueryBuilder<'q, Postgres>, ReadError> {
    let table = snap.name(NAME, "deployments")?;
    let mut sql = QueryBuilder::new(format!(
        "select d.* from {table} d where d.known_at is not null and d.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

pub(super) fn read(row: &PgRow) -> Result<DeploymentRow, sqlx::Error> {
    Ok(DeploymentRow {
        id: row.try_get("deployment_id")?,
        project: row.try_get("project")?,
        service: row.try_get("service")?,
        environment: row.try_get("environment")?,
        tier: word(row, "tier", Tier::of_word)?,
        version: row.try_get("version")?,
        previous_version: row.try_get("previous_version")?,
        reason: word(row, "reason", DeploymentReason::of_word)?,
        change_type: row.try_get("change_type")?,
        description: row.try_get("description")?,
        team: row.try_get("team")?,
        remedies: row.try_get("remedies")?,
        external: external(row)?,
        requested_by: requested_by(row)?,
        revision: row.try_get("revision")?,
        status: word(row, "status", Status::of_word)?,
        known_at: row.try_get("known_at")?,
        requested_at: row.try_get("requested_at")?,
        asked_at: row.try_get("asked_at")?,
        wait_until: row.try_get("wait_until")?,
        expires_at: row.try_get("expires_at")?,
        approved_at: row.try_get("approved_at")?,
        started_at: row.try_get("started_at")?,
        succeeded_at: row.try_get("succeeded_at")?,
        failed_at: row.try_get("failed_at")?,
        rolled_back_at: row.try_get("rolled_back_at")?,
        rolled_back_to: row.try_get("rolled_back_to")?,
        closed_at: row.try_get("closed_at")?,
        stream_version: row.try_get("stream_version")?,
        position: Position(row.try_get("position")?),
    })
}

fn requested_by(row: &PgRow) -> Result<Option<Requested>, sqlx::Error> {
    let kind: Option<String> = row.try_get("requested_kind")?;
    let name: Option<String> = row.try_get("requested_by")?;
    let sealed: Option<String> = row.try_get("requested_sealed")?;
    Ok(match (kind.as_deref(), name, sealed) {
        (Some("user"), Some(id), _) => Some(Requested::User(id)),
        (Some("api_key"), Some(id), _) => Some(Requested::ApiKey(id)),
        (Some("machine"), Some(name), _) => Some(Requested::Machine(name)),
        (Some("person"), _, Some(text)) => Some(Requested::Person(Sealed {
            text,
            event_id: row.try_get("plan_event")?,
        })),
        _ => None,
    })
}
