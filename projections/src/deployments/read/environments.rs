//! Environments, with what it takes to deploy to them and their freeze calendars.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::Position;
use domain::approval::ApprovalPolicy;
use domain::deployment::Tier;
use domain::environment::Freeze;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use super::{push_equal, word};
use crate::deployments::NAME;
use crate::{Page, ReadError, Snapshot};

/// An environment of a project.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentRow {
    /// Key of its stream.
    pub id: String,
    /// The project.
    pub project: String,
    /// Its name there.
    pub name: String,
    /// What it is for.
    pub tier: Tier,
    /// What it takes to deploy to it; `None` if nobody ever said so.
    pub policy: Option<ApprovalPolicy>,
    /// Entries of its freeze calendar that are not over, by id.
    pub freezes: Vec<Freeze>,
    /// Version of its stream.
    pub stream_version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// One environment by the key of its stream; of freezes, those not over at `now`.
pub async fn environment(
    snap: &mut Snapshot,
    id: &str,
    now: DateTime<Utc>,
) -> Result<Option<EnvironmentRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and e.environment_id = ")
        .push_bind(id.to_owned());
    Ok(read(snap, sql, now).await?.pop())
}

/// Environments by ascending key, those after `after`, at most `first`.
pub async fn environments(
    snap: &mut Snapshot,
    project: Option<&str>,
    now: DateTime<Utc>,
    after: Option<&str>,
    first: u32,
) -> Result<Page<EnvironmentRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap)?;
    push_equal(&mut sql, "e.project", project);
    if let Some(after) = after {
        sql.push(" and e.environment_id > ")
            .push_bind(after.to_owned());
    }
    sql.push(" order by e.environment_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = read(snap, sql, now).await?;
    Ok(Page::cut(rows, first, as_of))
}

fn select(snap: &Snapshot) -> Result<QueryBuilder<'static, Postgres>, ReadError> {
    let table = snap.name(NAME, "environments")?;
    let mut sql = QueryBuilder::new(format!(
        "select e.* from {table} e where e.project is not null and e.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

async fn read(
    snap: &mut Snapshot,
    mut sql: QueryBuilder<'static, Postgres>,
    now: DateTime<Utc>,
) -> Result<Vec<EnvironmentRow>, ReadError> {
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let ids = rows.iter().map(|row| row.try_get("environment_id"));
    let ids = ids.collect::<Result<Vec<String>, _>>()?;
    let mut freezes = freezes(snap, &ids, now).await?;
    let mut environments = Vec::with_capacity(rows.len());
    for (row, id) in rows.iter().zip(ids) {
        let policy: Option<Json<ApprovalPolicy>> = row.try_get("policy")?;
        environments.push(EnvironmentRow {
            freezes: freezes.remove(&id).unwrap_or_default(),
            id,
            project: row.try_get("project")?,
            name: row.try_get("name")?,
            tier: word(row, "tier", Tier::of_word)?,
            policy: policy.map(|Json(policy)| policy),
            stream_version: row.try_get("stream_version")?,
            position: Position(row.try_get("position")?),
        });
    }
    Ok(environments)
}

/// The freezes of these environments that are not over.
async fn freezes(
    snap: &mut Snapshot,
    ids: &[String],
    now: DateTime<Utc>,
) -> Result<HashMap<String, Vec<Freeze>>, ReadError> {
    let (conn, tenant, table) = snap.table(NAME, "environment_freezes")?;
    let statement = format!(
        "select environment_id, entry from {table}
         where tenant = $1 and environment_id = any($2) and entry is not null
           and coalesce((entry->>'until')::timestamptz > $3, true)
         order by environment_id, freeze_id"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(ids)
        .bind(now)
        .fetch_all(conn)
        .await?;
    let mut freezes: HashMap<String, Vec<Freeze>> = HashMap::new();
    for row in &rows {
        let Json(freeze): Json<Freeze> = row.try_get("entry")?;
        let of = freezes.entry(row.try_get("environment_id")?);
        of.or_default().push(freeze);
    }
    Ok(freezes)
}
