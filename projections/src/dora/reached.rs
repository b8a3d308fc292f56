//! The deployments of a span, as every figure selects them.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

use super::{DoraQuery, DoraScope};
use crate::deployments::NAME;
use crate::{ReadError, Snapshot};

/// Adds `with d as (...)`: the deployments that reached the query's tier within `[from, to)`, each with
/// the number `n` of the bucket it falls in. `and` is one more condition on them.
pub(super) fn push_reached(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &DoraQuery,
    starts: &[DateTime<Utc>],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    and: &str,
) -> Result<(), ReadError> {
    let table = snap.name(NAME, "deployments")?;
    sql.push(
        "with d as materialized (select d.deployment_id, d.project, d.service, d.environment,
         d.version, d.reason, d.remedies, d.succeeded_at, d.succeeded_pos, d.rolled_back_at,
         d.rolled_back_pos, d.failure_facts, d.changes_from, width_bucket(d.succeeded_at, ",
    );
    sql.push_bind(starts.to_vec())
        .push(format!(") as n from {table} d where "));
    push_running(sql, snap, query, "d");
    sql.push(" and d.succeeded_at >= ").push_bind(from);
    sql.push(" and d.succeeded_at < ").push_bind(to);
    push_scope(sql, &query.scope, "d");
    if let Some(team) = &query.scope.team {
        sql.push(" and d.team = ").push_bind(team.clone());
    }
    sql.push(format!("{and})"));
    Ok(())
}

/// Adds that a deployment is ours, reached the query's tier, and is known to have.
pub(super) fn push_running(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &DoraQuery,
    d: &str,
) {
    sql.push(format!("{d}.tenant = "))
        .push_bind(snap.tenant().to_owned());
    // A word of ours: written out, so that the statement's plan is made for it.
    let tier = query.tier.as_str();
    sql.push(format!(
        " and {d}.tier = '{tier}' and {d}.succeeded_at is not null and {d}.succeeded_pos <= "
    ));
    sql.push_bind(query.known());
}

/// Adds that a deployment is within the scope, but for its team: what replaces a deployment of a team
/// may be said to be another team's.
pub(super) fn push_scope(sql: &mut QueryBuilder<'_, Postgres>, scope: &DoraScope, d: &str) {
    let equal = [
        ("project", &scope.project),
        ("environment", &scope.environment),
    ];
    for (column, value) in equal {
        if let Some(value) = value {
            sql.push(format!(" and {d}.{column} = "))
                .push_bind(value.clone());
        }
    }
    if let Some(services) = &scope.services {
        sql.push(format!(" and {d}.service = any("))
            .push_bind(services.clone())
            .push(")");
    }
}
