//! Reading users, with their roles in the same statement.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::Position;
use domain::user::Role;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::{Sealed, sealed, words};
use crate::accounts::NAME;
use crate::{Page, ReadError, Snapshot};

/// A registered user; once erased, what is left of them: that they were there.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRow {
    /// Their id.
    pub id: String,
    /// When they were registered (recorded time).
    pub registered_at: DateTime<Utc>,
    /// Where they are reached, field `email`; `None` once erased.
    pub email: Option<Sealed>,
    /// A name for people, field `name`; `None` once erased.
    pub name: Option<Sealed>,
    /// What they may do, administering the tenant included.
    pub roles: BTreeSet<Role>,
    /// Is the address known to be theirs?
    pub verified: bool,
    /// When the password last became another one (recorded time); `None` if it is the first.
    pub password_changed_at: Option<DateTime<Utc>>,
    /// Since when they may not sign in; `None` while they may.
    pub deactivated_at: Option<DateTime<Utc>>,
    /// Why not, field `reason`; `None` if nobody said so, and once erased.
    pub deactivated_reason: Option<Sealed>,
    /// Since when they are nobody any more.
    pub erased_at: Option<DateTime<Utc>>,
    /// Version of their stream.
    pub version: i64,
    /// Position of the last event of their stream.
    pub position: Position,
}

/// How a user stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// They may sign in.
    Active,
    /// They may not.
    Deactivated,
    /// They are nobody any more.
    Erased,
}

impl UserRow {
    /// How they stand.
    pub fn status(&self) -> UserStatus {
        match (self.erased_at, self.deactivated_at) {
            (Some(_), _) => UserStatus::Erased,
            (None, Some(_)) => UserStatus::Deactivated,
            (None, None) => UserStatus::Active,
        }
    }
}

/// Which users; conditions add up. Erased ones are listed only if they are asked for, by status or id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserFilter {
    /// Those who hold this role.
    pub role: Option<Role>,
    /// Those who stand so.
    pub status: Option<UserStatus>,
    /// Those with one of these ids; whoever asks bounds their number.
    pub ids: Option<Vec<String>>,
}

/// One user by id, erased or not.
pub async fn user(snap: &mut Snapshot, id: &str) -> Result<Option<UserRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and u.user_id = ").push_bind(id);
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// Users by ascending id, those after `after`, at most `first`.
pub async fn users(
    snap: &mut Snapshot,
    filter: &UserFilter,
    after: Option<&str>,
    first: u32,
) -> Result<Page<UserRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap)?;
    if let Some(role) = filter.role {
        let roles = snap.name(NAME, "accounts_roles")?;
        sql.push(format!(
            " and exists (select from {roles} r where r.tenant = u.tenant
                          and r.user_id = u.user_id and r.held and r.role = "
        ));
        sql.push_bind(role.as_str()).push(")");
    }
    match filter.status {
        Some(UserStatus::Active) => {
            sql.push(" and u.erased_at is null and u.deactivated_at is null");
        }
        Some(UserStatus::Deactivated) => {
            sql.push(" and u.erased_at is null and u.deactivated_at is not null");
        }
        Some(UserStatus::Erased) => {
            sql.push(" and u.erased_at is not null");
        }
        None if filter.ids.is_none() => {
            sql.push(" and u.erased_at is null");
        }
        None => {}
    }
    if let Some(ids) = &filter.ids {
        sql.push(" and u.user_id = any(").push_bind(ids).push(")");
    }
    if let Some(after) = after {
        sql.push(" and u.user_id > ").push_bind(after);
    }
    sql.push(" order by u.user_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let users = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(users, first, as_of))
}

fn select<'q>(snap: &Snapshot) -> Result<QueryBuilder<'q, Postgres>, ReadError> {
    let users = snap.name(NAME, "accounts_users")?;
    let roles = snap.name(NAME, "accounts_roles")?;
    let mut sql = QueryBuilder::new(format!(
        "select u.user_id, u.registered_at, u.email_sealed, u.name_sealed, u.registered_event,
                u.verified, u.password_changed_at, u.deactivated_at, u.deactivated_reason_sealed,
                u.deactivated_event, u.erased_at, u.version, u.position,
                array(select r.role from {roles} r
                      where r.tenant = u.tenant and r.user_id = u.user_id and r.held) as roles
         from {users} u where u.registered_at is not null and u.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

fn read(row: &PgRow) -> Result<UserRow, sqlx::Error> {
    Ok(UserRow {
        id: row.try_get("user_id")?,
        registered_at: row.try_get("registered_at")?,
        email: sealed(row, "email_sealed", "registered_event")?,
        name: sealed(row, "name_sealed", "registered_event")?,
        roles: words(row, "roles", Role::of_word)?,
        verified: row.try_get("verified")?,
        password_changed_at: row.try_get("password_changed_at")?,
        deactivated_at: row.try_get("deactivated_at")?,
        deactivated_reason: sealed(row, "deactivated_reason_sealed", "deactivated_event")?,
        erased_at: row.try_get("erased_at")?,
        version: row.try_get("version")?,
        position: Position(row.try_get("position")?),
    })
}
