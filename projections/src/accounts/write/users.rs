//! Users and their roles: how a delta gets into their tables.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::Target;
use crate::accounts::{Deactivated, Registered, UserChange};
use crate::latest::{Latest, last, said_at};
use crate::upsert::{Column, in_key_order, keep_later};

/// Writes users, each field by the later position. A tombstone, ours or the row's, leaves nothing
/// personal.
pub(super) async fn users(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, UserChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    sqlx::query(&users_sql(&target.table("accounts_users")))
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| registered(c).map(|r| r.at)))
        .bind(column.of(|c| personal(c).map(|r| r.email.clone())))
        .bind(column.of(|c| personal(c).map(|r| r.name.clone())))
        .bind(column.of(|c| personal(c).map(|r| r.event)))
        .bind(column.of(|c| said_at(&c.registered)))
        .bind(column.of(|c| c.verified))
        .bind(column.of(|c| c.password_changed_at))
        .bind(column.of(|c| deactivated(c).map(|d| d.at)))
        .bind(column.of(|c| reasoned(c).and_then(|d| d.reason.clone())))
        .bind(column.of(|c| reasoned(c).map(|d| d.event)))
        .bind(column.of(|c| said_at(&c.deactivated)))
        .bind(column.of(|c| c.erased_at))
        .bind(column.of(|c| c.epochs))
        .bind(column.of(|c| c.seen.version))
        .bind(column.of(|c| c.seen.position))
        .execute(conn)
        .await?;
    Ok(())
}

fn users_sql(table: &str) -> String {
    let later = [
        (
            "registered_pos",
            "registered_at",
            &["email_sealed", "name_sealed", "registered_event"][..],
        ),
        (
            "deactivated_pos",
            "deactivated_at",
            &["deactivated_reason_sealed", "deactivated_event"],
        ),
    ]
    .map(|(said, at, personal)| {
        let forgotten = personal
            .iter()
            .map(|column| keep_unless_erased(said, column));
        let forgotten = forgotten.collect::<Vec<_>>().join(", ");
        format!("{forgotten}, {}", keep_later("u", said, &[at]))
    })
    .join(", ");
    format!(
        "insert into {table} as u
             (tenant, user_id, registered_at, email_sealed, name_sealed, registered_event,
              registered_pos, verified, password_changed_at, deactivated_at,
              deactivated_reason_sealed, deactivated_event, deactivated_pos, erased_at,
              session_epoch, version, position)
         select $1, n.* from unnest(
             $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::uuid[], $7::bigint[],
             $8::bool[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::uuid[],
             $13::bigint[], $14::timestamptz[], $15::bigint[], $16::bigint[], $17::bigint[]) n
         on conflict (tenant, user_id) do update set {later},
             verified = u.verified or excluded.verified,
             password_changed_at = greatest(u.password_changed_at, excluded.password_changed_at),
             erased_at = least(u.erased_at, excluded.erased_at),
             session_epoch = u.session_epoch + excluded.session_epoch,
             version = greatest(u.version, excluded.version),
             position = greatest(u.position, excluded.position)"
    )
}

/// SQL that takes a personal column of a user from the row where its position is later, and from
/// neither once the user is erased.
fn keep_unless_erased(said: &str, column: &str) -> String {
    format!(
        "{column} = case
             when u.erased_at is not null or excluded.erased_at is not null then null
             when excluded.{said} > u.{said} then excluded.{column} else u.{column} end"
    )
}

/// Writes who holds which role; the last word wins.
pub(super) async fn roles(
    conn: &mut PgConnection,
    target: &Target<'_>,
    roles: HashMap<(String, String), Latest<bool>>,
) -> Result<(), sqlx::Error> {
    if roles.is_empty() {
        return Ok(());
    }
    let roles = in_key_order(roles);
    let column = Column(&roles);
    let table = target.table("accounts_roles");
    let statement = format!(
        "insert into {table} as r (tenant, user_id, role, held, position)
         select $1, n.* from unnest($2::text[], $3::text[], $4::bool[], $5::bigint[]) n
         on conflict (tenant, user_id, role) do update set
             held = excluded.held, position = excluded.position
         where r.position < excluded.position"
    );
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(column.first_keys())
        .bind(column.second_keys())
        .bind(column.of(|r| r.value))
        .bind(column.of(|r| r.position))
        .execute(conn)
        .await?;
    Ok(())
}

fn registered(c: &UserChange) -> Option<&Registered> {
    last(&c.registered)
}

/// What was registered, if it may be kept.
fn personal(c: &UserChange) -> Option<&Registered> {
    registered(c).filter(|_| c.erased_at.is_none())
}

fn deactivated(c: &UserChange) -> Option<&Deactivated> {
    last(&c.deactivated)?.as_ref()
}

/// A deactivation that gives a reason, if it may be kept.
fn reasoned(c: &UserChange) -> Option<&Deactivated> {
    deactivated(c).filter(|d| c.erased_at.is_none() && d.reason.is_some())
}
