//! The board as it stood at a position: which deployments were on it, by what they were then.
//!
//! What never changes is asked of today's rows. Where a deployment stood and what it was about then is
//! asked of its timeline, unless its row has said the same since.

use domain::Position;
use sqlx::{Postgres, QueryBuilder, Row};

use super::board::{push_planned, push_words};
use super::{DeploymentFilter, ListCursor, push_page};
use crate::deployments::NAME;
use crate::{Page, ReadError, Snapshot};

/// Where a deployment stands after a step of its timeline; `null` for steps that leave it where it was.
const STATUS_AFTER: &str = "
    case s.kind
        when 'deployment.requested' then 'requested'
        when 'deployment.recorded' then s.detail->>'status'
        when 'deployment.approval_requested' then 'awaiting_approval'
        when 'deployment.approval_satisfied' then 'approved'
        when 'deployment.approval_overridden' then 'approved'
        when 'deployment.approval_rejected' then 'rejected'
        when 'deployment.approval_expired' then 'expired'
        when 'deployment.started' then 'in_progress'
        when 'deployment.succeeded' then 'succeeded'
        when 'deployment.failed' then 'failed'
        when 'deployment.rolled_back' then 'rolled_back'
        when 'deployment.cancelled' then 'cancelled'
        else case when (s.detail->>'reopened')::boolean then 'awaiting_approval' end
    end";

/// What a deployment is about after a step; `null` for steps that do not say.
const VERSION_AFTER: &str = "
    case when s.kind in ('deployment.requested', 'deployment.recorded', 'deployment.amended')
         then s.detail->>'version' end";

/// Where the deployments stand in the list that were known at a position and were then as the filter asks:
/// newest first, those after `after`, at most `first`. What they were is told by their own events.
pub async fn deployments_known(
    snap: &mut Snapshot,
    filter: &DeploymentFilter,
    known: Position,
    after: Option<&ListCursor>,
    first: u32,
) -> Result<Page<ListCursor>, ReadError> {
    let as_of = snap.position(&[NAME])?.min(known);
    let (table, steps) = (
        snap.name(NAME, "deployments")?,
        snap.name(NAME, "deployment_steps")?,
    );
    let mut sql = QueryBuilder::new(format!(
        "select d.known_at, d.deployment_id from {table} d
         where d.known_at is not null and d.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    sql.push(" and d.plan_pos <= ").push_bind(known.0);
    push_planned(&mut sql, filter);
    if let Some(status) = &filter.status {
        sql.push(" and ");
        push_then(&mut sql, &steps, ("d.status", STATUS_AFTER), known);
        push_words(&mut sql, status);
    }
    if let Some(version) = &filter.version {
        sql.push(" and ");
        push_then(&mut sql, &steps, ("d.version", VERSION_AFTER), known);
        sql.push(" = ").push_bind(version.clone());
    }
    push_page(&mut sql, ("d.known_at", "d.deployment_id"), after, first);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let place = |row: &sqlx::postgres::PgRow| {
        let (at, id) = (row.try_get("known_at")?, row.try_get("deployment_id")?);
        Ok(ListCursor { at, id })
    };
    let rows = rows.iter().map(place).collect::<Result<_, sqlx::Error>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// Adds a column of today's row if nothing was said of the deployment since, else what the last step up
/// to then says of it.
fn push_then(
    sql: &mut QueryBuilder<'_, Postgres>,
    steps: &str,
    (today, after_step): (&str, &str),
    known: Position,
) {
    sql.push("case when d.position <= ").push_bind(known.0);
    sql.push(format!(
        " then {today} else (
            select {after_step} from {steps} s
            where s.tenant = d.tenant and s.deployment_id = d.deployment_id
              and {after_step} is not null and s.position <= "
    ));
    sql.push_bind(known.0)
        .push(" order by s.position desc limit 1) end");
}
