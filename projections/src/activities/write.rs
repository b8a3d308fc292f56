//! How a delta gets into the table of activities.

use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Delta, Fact, Said};
use crate::Target;
use crate::upsert::{Column, in_key_order};

fn said<T>(fact: &Fact, value: impl Fn(&Said) -> T) -> Option<T> {
    fact.as_ref().map(value)
}

/// A fact is of an event, and an event says one thing of an activity: it is never there already.
pub(super) async fn delta(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
) -> Result<(), sqlx::Error> {
    if delta.facts.is_empty() {
        return Ok(());
    }
    let facts = in_key_order(delta.facts);
    let column = Column(&facts);
    let keys = || facts.iter().map(|(key, _)| key);
    let users: Vec<&str> = keys().map(|(user, ..)| user.as_str()).collect();
    let sources: Vec<&str> = keys().map(|(_, source, ..)| source.as_str()).collect();
    let ids: Vec<&str> = keys().map(|(_, _, id, _)| id.as_str()).collect();
    let positions: Vec<i64> = keys().map(|(.., position)| *position).collect();
    let statement = format!(
        "insert into {} (tenant, user_id, source, external_id, position, start_at, revision,
                         activity, flags)
         select $1, n.* from unnest($2::text[], $3::text[], $4::text[], $5::bigint[],
                                    $6::timestamptz[], $7::bigint[], $8::jsonb[], $9::jsonb[]) n",
        target.table("activities")
    );
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(users)
        .bind(sources)
        .bind(ids)
        .bind(positions)
        .bind(column.of(|f| said(f, |s| s.activity.start)))
        .bind(column.of(|f| said(f, |s| i64::from(s.revision))))
        .bind(column.of(|f| said(f, |s| Json(s.activity.clone()))))
        .bind(column.of(|f| said(f, |s| Json(s.flags.clone()))))
        .execute(conn)
        .await?;
    Ok(())
}
