//! Reading API keys: what they are good for and until when, and which are to be rotated.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::Position;
use domain::scope::Scope;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::words;
use crate::accounts::NAME;
use crate::{Page, ReadError, Snapshot};

/// An API key that was issued.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// The last characters of the secret that is good.
    pub last_four: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// When it was issued (recorded time).
    pub issued_at: DateTime<Utc>,
    /// The actor who issued it, such as `user:7`.
    pub issued_by: String,
    /// Until when its secret is good.
    pub expires_at: DateTime<Utc>,
    /// Seconds after which it is rotated by itself; `None` for never.
    pub rotate_every_s: Option<i64>,
    /// When it was last rotated (recorded time); `None` if it never was.
    pub rotated_at: Option<DateTime<Utc>>,
    /// Until when the secret before the last rotation is good; `None` if there was no rotation.
    pub previous_until: Option<DateTime<Utc>>,
    /// Since when it is good for nothing (recorded time); `None` unless it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// It comes from the server's settings rather than from a person.
    pub bootstrap: bool,
    /// Version of its stream.
    pub version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// Which API keys; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiKeyFilter {
    /// Revoked ones too.
    pub include_revoked: bool,
    /// Those this actor has issued.
    pub issued_by: Option<String>,
}

/// One API key by id, revoked or not.
pub async fn api_key(snap: &mut Snapshot, id: &str) -> Result<Option<ApiKeyRow>, ReadError> {
    let mut sql = select(snap)?;
    sql.push(" and k.api_key_id = ").push_bind(id);
    let row = sql.build().fetch_optional(snap.connection()).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// API keys by ascending id, those after `after`, at most `first`.
pub async fn api_keys(
    snap: &mut Snapshot,
    filter: &ApiKeyFilter,
    after: Option<&str>,
    first: u32,
) -> Result<Page<ApiKeyRow>, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let mut sql = select(snap)?;
    if !filter.include_revoked {
        sql.push(" and k.revoked_at is null");
    }
    if let Some(actor) = &filter.issued_by {
        sql.push(" and k.issued_by = ").push_bind(actor);
    }
    if let Some(after) = after {
        sql.push(" and k.api_key_id > ").push_bind(after);
    }
    sql.push(" order by k.api_key_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let keys = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(keys, first, as_of))
}

/// The API keys whose time to be rotated by themselves has come, those longest due first, at most
/// `limit`. Keys that were revoked or have run out are left alone: they cannot be rotated, and would
/// take the places of those that can.
pub async fn api_keys_due(
    snap: &mut Snapshot,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<ApiKeyRow>, ReadError> {
    const DUE_AT: &str =
        "coalesce(k.rotated_at, k.issued_at) + k.rotate_every_s * interval '1 second'";
    let mut sql = select(snap)?;
    sql.push(" and k.rotate_every_s is not null and k.revoked_at is null and k.expires_at > ")
        .push_bind(now)
        .push(format!(" and {DUE_AT} <= "))
        .push_bind(now)
        .push(format!(" order by {DUE_AT}, k.api_key_id limit "))
        .push_bind(i64::from(limit));
    let rows = sql.build().fetch_all(snap.connection()).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

fn select<'q>(snap: &Snapshot) -> Result<QueryBuilder<'q, Postgres>, ReadError> {
    let keys = snap.name(NAME, "accounts_api_keys")?;
    let mut sql = QueryBuilder::new(format!(
        "select k.api_key_id, k.name, k.last_four, k.scopes, k.issued_at, k.issued_by, k.expires_at,
                k.rotate_every_s, k.rotated_at, k.previous_until, k.revoked_at, k.bootstrap,
                k.version, k.position
         from {keys} k where k.issued_at is not null and k.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    Ok(sql)
}

fn read(row: &PgRow) -> Result<ApiKeyRow, sqlx::Error> {
    Ok(ApiKeyRow {
        id: row.try_get("api_key_id")?,
        name: row.try_get("name")?,
        last_four: row.try_get("last_four")?,
        scopes: words(row, "scopes", Scope::of_word)?,
        issued_at: row.try_get("issued_at")?,
        issued_by: row.try_get("issued_by")?,
        expires_at: row.try_get("expires_at")?,
        rotate_every_s: row.try_get("rotate_every_s")?,
        rotated_at: row.try_get("rotated_at")?,
        previous_until: row.try_get("previous_until")?,
        revoked_at: row.try_get("revoked_at")?,
        bootstrap: row.try_get("bootstrap")?,
        version: row.try_get("version")?,
        position: Position(row.try_get("position")?),
    })
}
