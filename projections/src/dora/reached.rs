//! The deployments of a span, as every figure selects them.

use sqlx::{Postgres, QueryBuilder};

use super::{DoraQuery, DoraScope};
use crate::Snapshot;

/// Adds that a deployment `d` reached the query's tier within its span, and is of its scope.
pub(super) fn push_reached(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &DoraQuery,
) {
    push_running(sql, snap, query, "d");
    sql.push(" and d.succeeded_at >= ").push_bind(query.from);
    sql.push(" and d.succeeded_at < ").push_bind(query.to);
    push_places(sql, &query.scope, "d");
    if let Some(team) = &query.scope.team {
        sql.push(" and d.team = ").push_bind(team.clone());
    }
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
        " and {d}.tier = '{tier}' and {d}.succeeded_at is not null"
    ));
    push_known(sql, query, &format!("{d}.succeeded_pos"));
}

/// Adds that what was said at this position is known; nothing where all that was said is.
pub(super) fn push_known(sql: &mut QueryBuilder<'_, Postgres>, query: &DoraQuery, position: &str) {
    if let Some(known) = query.known_at {
        sql.push(format!(" and {position} <= ")).push_bind(known.0);
    }
}

/// Adds that a deployment is of the scope's project, services and environment. A team is no place: what
/// replaces a deployment of one may be said to be another's.
pub(super) fn push_places(sql: &mut QueryBuilder<'_, Postgres>, scope: &DoraScope, d: &str) {
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
    match scope.services.as_deref() {
        None => {}
        // Told apart, since the plan for one goes by the index of services.
        Some([service]) => {
            sql.push(format!(" and {d}.service = "))
                .push_bind(service.clone());
        }
        Some(services) => {
            sql.push(format!(" and {d}.service = any("))
                .push_bind(services.to_vec())
                .push(")");
        }
    }
}
