//! Incidents, and the deployments they are put down to.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::incident::{IncidentStatus, LinkKind, Severity};
use domain::{ExternalRef, Position};
use sqlx::{Postgres, QueryBuilder, Row};

use super::{ListCursor, external, push_equal, push_page, push_span, word};
use crate::deployments::NAME;
use crate::{Page, ReadError, Snapshot};

/// An incident.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentRow {
    /// Its id.
    pub id: String,
    /// A sentence for people.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The project.
    pub project: String,
    /// What is broken; `None`: the project as a whole.
    pub service: Option<String>,
    /// Where; `None`: not known.
    pub environment: Option<String>,
    /// When it began.
    pub opened_at: DateTime<Utc>,
    /// Since when it is over; `None` while it is not.
    pub resolved_at: Option<DateTime<Utc>>,
    /// What the system it comes from calls it.
    pub external: Option<ExternalRef>,
    /// What it is put down to, by ascending id.
    pub links: Vec<LinkRow>,
    /// Version of its stream.
    pub stream_version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// A deployment an incident is put down to.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkRow {
    /// Which, by id.
    pub deployment: String,
    /// How that is known.
    pub kind: LinkKind,
    /// The rule that found it.
    pub rule: Option<String>,
    /// Position of the event that says so.
    pub position: Position,
}

impl IncidentRow {
    /// Where it stands.
    pub fn status(&self) -> IncidentStatus {
        match self.resolved_at {
            Some(_) => IncidentStatus::Resolved,
            None => IncidentStatus::Open,
        }
    }
}

/// Which incidents; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncidentFilter {
    /// Those of this project.
    pub project: Option<String>,
    /// Those of this service.
    pub service: Option<String>,
    /// Those that stand so.
    pub status: Option<IncidentStatus>,
    /// Those that began from then on.
    pub from: Option<DateTime<Utc>>,
    /// Those that began before then.
    pub to: Option<DateTime<Utc>>,
}

/// One incident by id.
pub async fn incident(snap: &mut Snapshot, id: &str) -> Result<Option<IncidentRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and i.incident_id = ").push_bind(id.to_owned());
    Ok(read(snap, sql).await?.pop())
}

/// Incidents, newest first, those after `after`, at most `first`.
pub async fn incidents(
    snap: &mut Snapshot,
    filter: &IncidentFilter,
    after: Option<&ListCursor>,
    first: u32,
) -> Result<Page<IncidentRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap)?;
    push_equal(&mut sql, "i.project", filter.project.as_deref());
    push_equal(&mut sql, "i.service", filter.service.as_deref());
    match filter.status {
        Some(IncidentStatus::Open) => {
            sql.push(" and i.resolved_at is null");
        }
        Some(IncidentStatus::Resolved) => {
            sql.push(" and i.resolved_at is not null");
        }
        None => {}
    }
    push_span(&mut sql, "i.opened_at", filter.from, filter.to);
    push_page(&mut sql, ("i.opened_at", "i.incident_id"), after, first);
    let rows = read(snap, sql).await?;
    Ok(Page::cut(rows, first, as_of))
}

fn select(snap: &Snapshot) -> Result<QueryBuilder<'static, Postgres>, ReadError> {
    let table = snap.name(NAME, "incidents")?;
    let mut sql = QueryBuilder::new(format!(
        "select i.* from {table} i where i.opened_at is not null and i.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

async fn read(
    snap: &mut Snapshot,
    mut sql: QueryBuilder<'static, Postgres>,
) -> Result<Vec<IncidentRow>, ReadError> {
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let ids = rows.iter().map(|row| row.try_get("incident_id"));
    let ids = ids.collect::<Result<Vec<String>, _>>()?;
    let mut links = links(snap, &ids).await?;
    let mut incidents = Vec::with_capacity(rows.len());
    for (row, id) in rows.iter().zip(ids) {
        incidents.push(IncidentRow {
            links: links.remove(&id).unwrap_or_default(),
            id,
            title: row.try_get("title")?,
            severity: word(row, "severity", Severity::of_word)?,
            project: row.try_get("project")?,
            service: row.try_get("service")?,
            environment: row.try_get("environment")?,
            opened_at: row.try_get("opened_at")?,
            resolved_at: row.try_get("resolved_at")?,
            external: external(row)?,
            stream_version: row.try_get("stream_version")?,
            position: Position(row.try_get("position")?),
        });
    }
    Ok(incidents)
}

/// The links of these incidents: of what was said about an incident and a deployment, the last word.
async fn links(
    snap: &mut Snapshot,
    ids: &[String],
) -> Result<HashMap<String, Vec<LinkRow>>, ReadError> {
    let (conn, tenant, table) = snap.table(NAME, "incident_facts")?;
    let statement = format!(
        "select * from (
             select distinct on (incident_id, deployment_id)
                    incident_id, deployment_id, kind, link, rule, position
             from {table}
             where tenant = $1 and incident_id = any($2) and deployment_id is not null
             order by incident_id, deployment_id, position desc) f
         where kind = 'linked' order by incident_id, deployment_id"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(ids)
        .fetch_all(conn)
        .await?;
    let mut links: HashMap<String, Vec<LinkRow>> = HashMap::new();
    for row in &rows {
        let link = LinkRow {
            deployment: row.try_get("deployment_id")?,
            kind: word(row, "link", LinkKind::of_word)?,
            rule: row.try_get("rule")?,
            position: Position(row.try_get("position")?),
        };
        let of = links.entry(row.try_get("incident_id")?);
        of.or_default().push(link);
    }
    Ok(links)
}
