//! How a delta gets into the tables of accounts.

mod users;
mod sessions;
mod api_keys;
mod tenants;

use sqlx::PgConnection;

use self::api_keys::api_keys;
use self::sessions::{forget_clients, sessions};
use self::tenants::tenants;
use self::users::{roles, users};
use super::Delta;
use crate::Target;

/// Writes the tables in one order, each in key order, so that two writers cannot wait for each other.
pub(super) async fn delta(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
) -> Result<(), sqlx::Error> {
    let erased: Vec<String> = delta
        .users
        .iter()
        .filter(|(_, change)| change.erased_at.is_some())
        .map(|(id, _)| id.clone())
        .collect();
    let started: Vec<String> = delta
        .sessions
        .iter()
        .filter(|(_, change)| change.started.is_some())
        .map(|(id, _)| id.clone())
        .collect();
    if !erased.is_empty() || !delta.sessions.is_empty() {
        take_turns(conn, target, erased.is_empty()).await?;
    }
    users(conn, target, delta.users).await?;
    roles(conn, target, delta.roles).await?;
    sessions(conn, target, delta.sessions).await?;
    if !erased.is_empty() || !started.is_empty() {
        forget_clients(conn, target, &started, &erased).await?;
    }
    api_keys(conn, target, delta.api_keys).await?;
    tenants(conn, target, delta.tenants).await
}

/// Waits until nobody erases users of this tenant, or, if we do, until nobody writes their sessions. A
/// session and the tombstone of its user are rows of different tables: of two who write them at the
/// same moment neither would see the other's, and what was to be erased would stay.
async fn take_turns(
    conn: &mut PgConnection,
    target: &Target<'_>,
    beside_others: bool,
) -> Result<(), sqlx::Error> {
    let lock = if beside_others {
        "pg_advisory_xact_lock_shared"
    } else {
        "pg_advisory_xact_lock"
    };
    let whose = format!("{} {}", target.table("accounts_sessions"), target.tenant);
    sqlx::query(&format!(
        "select {lock}(hashtext('daybook.accounts'), hashtext($1))"
    ))
    .bind(whose)
    .execute(conn)
    .await?;
    Ok(())
}
