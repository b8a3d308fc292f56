//! What ran where: versions that were deployed, and the last deployment before something happened.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::deployment::Tier;
use sqlx::Row;

use super::board::{DeploymentRow, read, select};
use super::push_equal;
use crate::deployments::NAME;
use crate::{Page, ReadError, Snapshot};

/// A version that ran in an environment.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployedVersion {
    /// The version.
    pub version: String,
    /// Since when, the last time.
    pub last_at: DateTime<Utc>,
    /// How often it was deployed there.
    pub deployments: i64,
}

/// What is known of one version of a service in an environment; `None` if it never ran there.
pub async fn deployed_version(
    snap: &mut Snapshot,
    (project, environment, service): (&str, &str, &str),
    version: &str,
) -> Result<Option<DeployedVersion>, ReadError> {
    let (conn, tenant, table) = snap.table(NAME, "deployments")?;
    let statement = format!(
        "select version, max(succeeded_at) as last_at, count(*) as deployments from {table}
         where tenant = $1 and project = $2 and environment = $3 and service = $4 and version = $5
           and succeeded_at is not null
         group by version"
    );
    let row = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(version)
        .fetch_optional(conn)
        .await?;
    Ok(row.as_ref().map(read_version).transpose()?)
}

/// Versions of a service that ever ran in an environment, in the order of their letters, those after
/// `after`, at most `first`.
pub async fn deployed_versions(
    snap: &mut Snapshot,
    (project, environment, service): (&str, &str, &str),
    after: Option<&str>,
    first: u32,
) -> Result<Page<DeployedVersion>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (conn, tenant, table) = snap.table(NAME, "deployments")?;
    let statement = format!(
        "select version, max(succeeded_at) as last_at, count(*) as deployments from {table}
         where tenant = $1 and project = $2 and environment = $3 and service = $4 and version > $5
           and succeeded_at is not null
         group by version order by version limit $6"
    );
    let rows = sqlx::query(&statement)
        .bind(&*tenant)
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(after.unwrap_or_default())
        .bind(i64::from(first) + 1)
        .fetch_all(conn)
        .await?;
    let versions = rows.iter().map(read_version);
    let versions = versions.collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(versions, first, as_of))
}

fn read_version(row: &sqlx::postgres::PgRow) -> Result<DeployedVersion, sqlx::Error> {
    Ok(DeployedVersion {
        version: row.try_get("version")?,
        last_at: row.try_get("last_at")?,
        deployments: row.try_get("deployments")?,
    })
}

/// The last deployment that reached production of a project, and of a service and an environment of it
/// if these are known, at or before `at`: what an incident that began then is put down to where nobody
/// says better. As known at `known_at`.
pub async fn last_success(
    snap: &mut Snapshot,
    project: &str,
    service: Option<&str>,
    environment: Option<&str>,
    at: DateTime<Utc>,
    known_at: Option<Position>,
) -> Result<Option<DeploymentRow>, ReadError> {
    let mut sql = select(snap)?;
    push_equal(&mut sql, "d.tier", Some(Tier::Production.as_str()));
    push_equal(&mut sql, "d.project", Some(project));
    push_equal(&mut sql, "d.service", service);
    push_equal(&mut sql, "d.environment", environment);
    sql.push(" and d.succeeded_at <= ").push_bind(at);
    sql.push(" and d.succeeded_pos <= ")
        .push_bind(known_at.map_or(i64::MAX, |known| known.0));
    sql.push(" order by d.succeeded_at desc, d.succeeded_pos desc limit 1");
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read).transpose()?)
}
