//! Sessions: how a delta gets into their table, and what is taken out of it.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::Target;
use crate::accounts::{SessionChange, Started};
use crate::latest::{last, said_at};
use crate::upsert::{Column, in_key_order, keep_later};

/// Writes sessions, each field by the later position.
pub(super) async fn sessions(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, SessionChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let ended = |c: &SessionChange| c.ended.as_ref().map(|e| e.value);
    sqlx::query(&sessions_sql(&target.table("accounts_sessions")))
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| started(c).map(|s| s.user_id.clone())))
        .bind(column.of(|c| started(c).map(|s| s.at)))
        .bind(column.of(|c| started(c).map(|s| i64::from(s.policy.sliding_s))))
        .bind(column.of(|c| started(c).map(|s| i64::from(s.policy.absolute_s))))
        .bind(column.of(|c| started(c).map(|s| s.epoch)))
        .bind(column.of(|c| started(c).and_then(|s| s.user_agent.clone())))
        .bind(column.of(|c| started(c).and_then(|s| s.ip.clone())))
        .bind(column.of(|c| started(c).filter(|s| s.ip.is_some()).map(|s| s.event)))
        .bind(column.of(|c| said_at(&c.started)))
        .bind(column.of(|c| c.last_used_at))
        .bind(column.of(|c| ended(c).map(|(at, _)| at)))
        .bind(column.of(|c| ended(c).map(|(_, why)| why)))
        .bind(column.of(|c| said_at(&c.ended)))
        .bind(column.of(|c| c.seen.version))
        .bind(column.of(|c| c.seen.position))
        .execute(conn)
        .await?;
    Ok(())
}

fn sessions_sql(table: &str) -> String {
    let started = [
        "user_id",
        "started_at",
        "sliding_s",
        "absolute_s",
        "epoch",
        "user_agent",
        "ip_sealed",
        "ip_event",
    ];
    let started = keep_later("s", "started_pos", &started);
    let ended = keep_later("s", "ended_pos", &["ended_at", "ended_why"]);
    format!(
        "insert into {table} as s
             (tenant, session_id, user_id, started_at, sliding_s, absolute_s, epoch, user_agent,
              ip_sealed, ip_event, started_pos, last_used_at, ended_at, ended_why, ended_pos,
              version, position)
         select $1, n.* from unnest(
             $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::bigint[],
             $8::text[], $9::text[], $10::uuid[], $11::bigint[], $12::timestamptz[],
             $13::timestamptz[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[]) n
         on conflict (tenant, session_id) do update set {started}, {ended},
             last_used_at = greatest(s.last_used_at, excluded.last_used_at),
             version = greatest(s.version, excluded.version),
             position = greatest(s.position, excluded.position)"
    )
}

fn started(c: &SessionChange) -> Option<&Started> {
    last(&c.started)
}

/// Takes out what the sessions of erased users say of their clients: of the users erased now all of
/// them, of users erased before the sessions written now.
pub(super) async fn forget_clients(
    conn: &mut PgConnection,
    target: &Target<'_>,
    sessions: &[String],
    users: &[String],
) -> Result<(), sqlx::Error> {
    let statement = format!(
        "update {} s set user_agent = null, ip_sealed = null, ip_event = null
         from {} u
         where s.tenant = $1 and (s.session_id = any($2) or s.user_id = any($3))
           and u.tenant = s.tenant and u.user_id = s.user_id and u.erased_at is not null
           and (s.user_agent is not null or s.ip_sealed is not null)",
        target.table("accounts_sessions"),
        target.table("accounts_users")
    );
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(sessions)
        .bind(users)
        .execute(conn)
        .await?;
    Ok(())
}
