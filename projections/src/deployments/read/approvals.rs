//! What waits for somebody's vote, and what has waited too long.

use chrono::{DateTime, Utc};

use super::board::{DeploymentRow, read, select};
use super::{ListCursor, push_page};
use crate::deployments::NAME;
use crate::{Page, ReadError, Snapshot};

/// Deployments that wait for this user's vote at `now`, newest first, those after `after`, at most
/// `first`: they await approval that has not run out, a rule names the user, who has no vote on this
/// revision, and it is not one they want themselves where the policy bars that.
pub async fn pending_approvals(
    snap: &mut Snapshot,
    user_id: &str,
    now: DateTime<Utc>,
    after: Option<&ListCursor>,
    first: u32,
) -> Result<Page<DeploymentRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let (approvers, votes, steps) = (
        snap.name(NAME, "deployment_approvers")?,
        snap.name(NAME, "deployment_votes")?,
        snap.name(NAME, "deployment_steps")?,
    );
    let mut sql = select(snap)?;
    sql.push(" and d.status in ('awaiting_approval') and d.expires_at > ")
        .push_bind(now);
    sql.push(format!(
        " and exists (select from {approvers} a where a.tenant = d.tenant
              and a.deployment_id = d.deployment_id and a.position = d.policy_pos and a.user_id = "
    ));
    sql.push_bind(user_id).push(")");
    sql.push(format!(
        " and not exists (select from {votes} v where v.tenant = d.tenant
              and v.deployment_id = d.deployment_id and v.revision = d.revision
              and v.word <> 'revoked' and v.user_id = "
    ));
    sql.push_bind(user_id).push(")");
    // Who wants it: who asked for it, and who amended it.
    sql.push(
        " and not (d.self_review_barred
                   and (coalesce(d.requested_kind = 'user', false) and d.requested_by = ",
    );
    sql.push_bind(user_id).push(format!(
        " or exists (select from {steps} s where s.tenant = d.tenant
              and s.deployment_id = d.deployment_id and s.kind = 'deployment.amended'
              and s.detail->>'by' = "
    ));
    sql.push_bind(user_id).push(")))");
    push_page(&mut sql, ("d.known_at", "d.deployment_id"), after, first);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, first, as_of))
}

/// Ids of deployments that have not begun by the time their approval has run out, those due first, at most
/// `first`.
pub async fn run_out(
    snap: &mut Snapshot,
    now: DateTime<Utc>,
    first: u32,
) -> Result<Vec<String>, ReadError> {
    let (conn, tenant, table) = snap.table(NAME, "deployments")?;
    let statement = format!(
        "select deployment_id from {table}
         where tenant = $1 and status in ('awaiting_approval', 'approved') and expires_at <= $2
         order by expires_at, deployment_id limit $3"
    );
    let ids = sqlx::query_scalar(&statement).bind(&*tenant).bind(now);
    Ok(ids.bind(i64::from(first)).fetch_all(conn).await?)
}
