//! Tenants: how a delta gets into their table.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::Target;
use crate::accounts::{Suspended, TenantChange};
use crate::latest::{last, said_at};
use crate::upsert::{Column, in_key_order, keep_later};

/// Writes tenants, each field by the later position.
pub(super) async fn tenants(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, TenantChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let table = target.table("accounts_tenants");
    let name_later = keep_later("t", "name_pos", &["name"]);
    let suspended_later = keep_later("t", "suspended_pos", &["suspended_at", "suspended_reason"]);
    let statement = format!(
        "insert into {table} as t
             (tenant, tenant_id, created_at, name, name_pos, suspended_at, suspended_reason,
              suspended_pos, version, position)
         select $1, n.* from unnest(
             $2::text[], $3::timestamptz[], $4::text[], $5::bigint[], $6::timestamptz[],
             $7::text[], $8::bigint[], $9::bigint[], $10::bigint[]) n
         on conflict (tenant, tenant_id) do update set {name_later}, {suspended_later},
             created_at = least(t.created_at, excluded.created_at),
             version = greatest(t.version, excluded.version),
             position = greatest(t.position, excluded.position)"
    );
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| c.created_at))
        .bind(column.of(|c| c.name.as_ref().map(|name| name.value.clone())))
        .bind(column.of(|c| said_at(&c.name)))
        .bind(column.of(|c| suspended(c).map(|s| s.at)))
        .bind(column.of(|c| suspended(c).and_then(|s| s.reason.clone())))
        .bind(column.of(|c| said_at(&c.suspended)))
        .bind(column.of(|c| c.seen.version))
        .bind(column.of(|c| c.seen.position))
        .execute(conn)
        .await?;
    Ok(())
}

fn suspended(c: &TenantChange) -> Option<&Suspended> {
    last(&c.suspended)?.as_ref()
}
