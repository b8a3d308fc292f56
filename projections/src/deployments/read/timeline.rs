//! What happened to one deployment, and what it carries.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::deployment::Change;
use serde_json::Value;
use sqlx::Row;

use crate::deployments::NAME;
use crate::{Page, ReadError, Snapshot};

/// One event of a deployment's timeline; links of incidents are among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Position of the event.
    pub position: Position,
    /// The event's type, such as `deployment.started`.
    pub kind: String,
    /// When it happened; the recorded time where none was told.
    pub at: DateTime<Utc>,
    /// Who did or told it, such as `user:ann`.
    pub actor: String,
    /// What is worth telling.
    pub detail: Value,
}

/// A change that a deployment carries.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeRow {
    /// The change.
    pub change: Change,
    /// Position of the event that said so last.
    pub position: Position,
}

/// What happened to a deployment, in order of position, what is after `after`, at most `first`.
pub async fn timeline(
    snap: &mut Snapshot,
    deployment: &str,
    after: Option<Position>,
    first: u32,
) -> Result<Page<Step>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (conn, tenant, table) = snap.table(NAME, "deployment_steps")?;
    let statement = format!(
        "select position, kind, at, actor, detail from {table}
         where tenant = $1 and deployment_id = $2 and position > $3 order by position limit $4"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(deployment)
        .bind(after.unwrap_or_default().0)
        .bind(i64::from(first) + 1)
        .fetch_all(conn)
        .await?;
    let steps = rows.iter().map(|row| {
        Ok(Step {
            position: Position(row.try_get("position")?),
            kind: row.try_get("kind")?,
            at: row.try_get("at")?,
            actor: row.try_get("actor")?,
            detail: row.try_get("detail")?,
        })
    });
    let steps = steps.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Page::cut(steps, first, as_of))
}

/// What a deployment carries, by ascending id of the change, those after `after`, at most `first`.
pub async fn changes(
    snap: &mut Snapshot,
    deployment: &str,
    after: Option<&str>,
    first: u32,
) -> Result<Page<ChangeRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let deployments = snap.name(NAME, "deployments")?;
    let (conn, tenant, table) = snap.table(NAME, "deployment_changes")?;
    let statement = format!(
        "select c.* from {table} c join {deployments} d using (tenant, deployment_id)
         where c.tenant = $1 and c.deployment_id = $2 and c.change_id > $3
           and c.position >= d.changes_from
         order by c.change_id limit $4"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(deployment)
        .bind(after.unwrap_or_default())
        .bind(i64::from(first) + 1)
        .fetch_all(conn)
        .await?;
    let changes = rows.iter().map(|row| {
        let change = Change {
            id: row.try_get("change_id")?,
            committed_at: row.try_get("committed_at")?,
            authored_at: row.try_get("authored_at")?,
            opened_at: row.try_get("opened_at")?,
            first_review_at: row.try_get("first_review_at")?,
            merged_at: row.try_get("merged_at")?,
        };
        let position = Position(row.try_get("position")?);
        Ok(ChangeRow { change, position })
    });
    let changes = changes.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Page::cut(changes, first, as_of))
}
