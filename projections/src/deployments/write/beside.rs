//! What stands beside a deployment: its changes, votes, approvers and steps.

use std::collections::HashMap;

use domain::deployment::Change;
use sqlx::PgConnection;

use crate::Target;
use crate::deployments::{StepTold, Vote};
use crate::latest::Latest;
use crate::upsert::{Column, Rows, Said, in_key_order};

const CHANGES: Rows = Rows {
    key: &[("deployment_id", "text"), ("change_id", "text")],
    said: &[Said {
        position: "position",
        columns: &[
            ("committed_at", "timestamptz"),
            ("authored_at", "timestamptz"),
            ("opened_at", "timestamptz"),
            ("first_review_at", "timestamptz"),
            ("merged_at", "timestamptz"),
        ],
    }],
    sums: &[],
    greatest: &[],
};

const VOTES: Rows = Rows {
    key: &[
        ("deployment_id", "text"),
        ("revision", "bigint"),
        ("user_id", "text"),
    ],
    said: &[Said {
        position: "position",
        columns: &[("word", "text"), ("at", "timestamptz"), ("comment", "text")],
    }],
    sums: &[],
    greatest: &[],
};

const APPROVERS: Rows = Rows {
    key: &[("deployment_id", "text"), ("user_id", "text")],
    said: &[],
    sums: &[],
    greatest: &["position"],
};

pub(super) async fn changes(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<(String, String), Latest<Change>>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let table = target.table("deployment_changes");
    take_turns(conn, target, &table).await?;
    sqlx::query(&CHANGES.upsert(&table))
        .bind(target.tenant)
        .bind(column.first_keys())
        .bind(column.second_keys())
        .bind(column.of(|c| c.value.committed_at))
        .bind(column.of(|c| c.value.authored_at))
        .bind(column.of(|c| c.value.opened_at))
        .bind(column.of(|c| c.value.first_review_at))
        .bind(column.of(|c| c.value.merged_at))
        .bind(column.of(|c| c.position))
        .execute(&mut *conn)
        .await?;
    sqlx::query(&format!(
        "update {table} c set shared = true
         where c.tenant = $1 and c.change_id = any($2) and not c.shared and exists (
             select from {table} o
             where o.tenant = c.tenant and o.change_id = c.change_id
               and o.deployment_id <> c.deployment_id)"
    ))
    .bind(target.tenant)
    .bind(column.second_keys())
    .execute(conn)
    .await?;
    Ok(())
}

/// Waits until nobody else writes changes of this tenant: of two who write the same change of two
/// deployments at the same moment neither would see that it is shared.
async fn take_turns(
    conn: &mut PgConnection,
    target: &Target<'_>,
    table: &str,
) -> Result<(), sqlx::Error> {
    let whose = format!("{table} {}", target.tenant);
    sqlx::query("select pg_advisory_xact_lock(hashtext('daybook.changes'), hashtext($1))")
        .bind(whose)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn votes(
    conn: &mut PgConnection,
    target: &Target<'_>,
    votes: HashMap<(String, i64, String), Latest<Vote>>,
) -> Result<(), sqlx::Error> {
    if votes.is_empty() {
        return Ok(());
    }
    let votes = in_key_order(votes);
    let column = Column(&votes);
    let keys = votes.iter().map(|(key, _)| key);
    let deployments: Vec<&str> = keys.clone().map(|(id, _, _)| id.as_str()).collect();
    let revisions: Vec<i64> = keys.clone().map(|(_, revision, _)| *revision).collect();
    let users: Vec<&str> = keys.map(|(_, _, user)| user.as_str()).collect();
    sqlx::query(&VOTES.upsert(&target.table("deployment_votes")))
        .bind(target.tenant)
        .bind(deployments)
        .bind(revisions)
        .bind(users)
        .bind(column.of(|v| v.value.word))
        .bind(column.of(|v| v.value.at))
        .bind(column.of(|v| v.value.comment.clone()))
        .bind(column.of(|v| v.position))
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn approvers(
    conn: &mut PgConnection,
    target: &Target<'_>,
    approvers: HashMap<(String, String), i64>,
) -> Result<(), sqlx::Error> {
    if approvers.is_empty() {
        return Ok(());
    }
    let approvers = in_key_order(approvers);
    let column = Column(&approvers);
    sqlx::query(&APPROVERS.upsert(&target.table("deployment_approvers")))
        .bind(target.tenant)
        .bind(column.first_keys())
        .bind(column.second_keys())
        .bind(column.of(|position| *position))
        .execute(conn)
        .await?;
    Ok(())
}

/// A step is an event, so it is never there already.
pub(super) async fn steps(
    conn: &mut PgConnection,
    target: &Target<'_>,
    steps: HashMap<(String, i64), StepTold>,
) -> Result<(), sqlx::Error> {
    if steps.is_empty() {
        return Ok(());
    }
    let steps = in_key_order(steps);
    let column = Column(&steps);
    let (ids, positions): (Vec<&str>, Vec<i64>) = steps
        .iter()
        .map(|((id, position), _)| (id.as_str(), *position))
        .unzip();
    let statement = format!(
        "insert into {} (tenant, deployment_id, position, kind, at, actor, fixed_by, detail)
         select $1, n.* from unnest($2::text[], $3::bigint[], $4::text[], $5::timestamptz[],
                                    $6::text[], $7::text[], $8::jsonb[]) n",
        target.table("deployment_steps")
    );
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(ids)
        .bind(positions)
        .bind(column.of(|s| s.kind))
        .bind(column.of(|s| s.at))
        .bind(column.of(|s| s.actor.clone()))
        .bind(column.of(|s| s.fixed_by.clone()))
        .bind(column.of(|s| s.detail.clone()))
        .execute(conn)
        .await?;
    Ok(())
}
