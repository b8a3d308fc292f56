//! API keys: how a delta gets into their table.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::Target;
use crate::accounts::{ApiKeyChange, Issued, Secret};
use crate::latest::{last, said_at};
use crate::upsert::{Column, in_key_order, keep_later};

/// Writes API keys, each field by the later position.
pub(super) async fn api_keys(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, ApiKeyChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    sqlx::query(&api_keys_sql(&target.table("accounts_api_keys")))
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| issued(c).map(|i| i.at)))
        .bind(column.of(|c| issued(c).map(|i| i.by.clone())))
        .bind(column.of(|c| issued(c).map(|i| i.name.clone())))
        .bind(column.of(|c| issued(c).map(|i| i.scopes.clone())))
        .bind(column.of(|c| issued(c).and_then(|i| i.rotate_every_s)))
        .bind(column.of(|c| issued(c).map(|i| i.bootstrap)))
        .bind(column.of(|c| said_at(&c.issued)))
        .bind(column.of(|c| secret(c).map(|s| s.last_four.clone())))
        .bind(column.of(|c| secret(c).map(|s| s.expires_at)))
        .bind(column.of(|c| secret(c).and_then(|s| s.rotated).map(|(at, _)| at)))
        .bind(column.of(|c| secret(c).and_then(|s| s.rotated).map(|(_, until)| until)))
        .bind(column.of(|c| said_at(&c.secret)))
        .bind(column.of(|c| c.revoked_at))
        .bind(column.of(|c| c.seen.version))
        .bind(column.of(|c| c.seen.position))
        .execute(conn)
        .await?;
    Ok(())
}

fn api_keys_sql(table: &str) -> String {
    let issued = [
        "issued_at",
        "issued_by",
        "name",
        "scopes",
        "rotate_every_s",
        "bootstrap",
    ];
    let issued = keep_later("k", "issued_pos", &issued);
    let secret = ["last_four", "expires_at", "rotated_at", "previous_until"];
    let secret = keep_later("k", "secret_pos", &secret);
    format!(
        "insert into {table} as k
             (tenant, api_key_id, issued_at, issued_by, name, scopes, rotate_every_s, bootstrap,
              issued_pos, last_four, expires_at, rotated_at, previous_until, secret_pos,
              revoked_at, version, position)
         select $1, n.id, n.issued_at, n.issued_by, n.name, string_to_array(n.scopes, ' '),
                n.rotate_every_s, n.bootstrap, n.issued_pos, n.last_four, n.expires_at,
                n.rotated_at, n.previous_until, n.secret_pos, n.revoked_at, n.version, n.position
         from unnest(
             $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::bigint[],
             $8::bool[], $9::bigint[], $10::text[], $11::timestamptz[], $12::timestamptz[],
             $13::timestamptz[], $14::bigint[], $15::timestamptz[], $16::bigint[], $17::bigint[])
             n (id, issued_at, issued_by, name, scopes, rotate_every_s, bootstrap, issued_pos,
                last_four, expires_at, rotated_at, previous_until, secret_pos, revoked_at, version,
                position)
         on conflict (tenant, api_key_id) do update set {issued}, {secret},
             revoked_at = least(k.revoked_at, excluded.revoked_at),
             version = greatest(k.version, excluded.version),
             position = greatest(k.position, excluded.position)"
    )
}

fn issued(c: &ApiKeyChange) -> Option<&Issued> {
    last(&c.issued)
}

fn secret(c: &ApiKeyChange) -> Option<&Secret> {
    last(&c.secret)
}
