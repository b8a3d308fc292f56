//! Reading deployments, environments and incidents: one of a kind by id, and lists of them.

mod board;
mod known;
mod timeline;
mod approvals;
mod versions;
mod environments;
mod incidents;
mod statistics;

pub use approvals::{pending_approvals, run_out};
pub use board::{DeploymentFilter, DeploymentRow, Requested, deployment, deployments};
pub use environments::{EnvironmentRow, environment, environments};
pub use incidents::{IncidentFilter, IncidentRow, LinkRow, incident, incidents};
pub use known::deployments_known;
pub use statistics::{Statistics, StatisticsEvidence, StatisticsQuery, Taken, counted, statistics};
pub use timeline::{ChangeRow, Step, changes, timeline};
pub use versions::{DeployedVersion, deployed_version, deployed_versions, last_success};

use chrono::{DateTime, Utc};
use domain::ExternalRef;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use crate::columns::word;

/// Where a page of a list ended that is in order of time, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListCursor {
    /// The last one's time.
    pub at: DateTime<Utc>,
    /// The last one's id.
    pub id: String,
}

/// Adds `and <column> = <value>` if there is one.
fn push_equal(sql: &mut QueryBuilder<'_, Postgres>, column: &str, value: Option<&str>) {
    if let Some(value) = value {
        sql.push(format!(" and {column} = "))
            .push_bind(value.to_owned());
    }
}

/// Adds `and <column> is in [from, to)`, each end if there is one.
fn push_span(
    sql: &mut QueryBuilder<'_, Postgres>,
    column: &str,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) {
    if let Some(from) = from {
        sql.push(format!(" and {column} >= ")).push_bind(from);
    }
    if let Some(to) = to {
        sql.push(format!(" and {column} < ")).push_bind(to);
    }
}

/// Adds what comes after `after`, the order, newest first, and the page's length.
fn push_page(
    sql: &mut QueryBuilder<'_, Postgres>,
    (at, id): (&str, &str),
    after: Option<&ListCursor>,
    first: u32,
) {
    if let Some(after) = after {
        sql.push(format!(" and ({at}, {id}) < ("))
            .push_bind(after.at)
            .push(", ")
            .push_bind(after.id.clone())
            .push(")");
    }
    sql.push(format!(" order by {at} desc, {id} desc limit "))
        .push_bind(i64::from(first) + 1);
}

fn external(row: &PgRow) -> Result<Option<ExternalRef>, sqlx::Error> {
    let source: Option<String> = row.try_get("external_source")?;
    let id: Option<String> = row.try_get("external_id")?;
    Ok(source
        .zip(id)
        .map(|(source, id)| ExternalRef { source, id }))
}
