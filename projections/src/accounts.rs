//! The directory of accounts: users and their roles, sessions, API keys; tenants.
//!
//! Each field keeps the value with the greatest position, or the earliest or latest time, and counts
//! add up: associative and commutative, so ranges of the log may arrive in any order. An erased user is
//! a tombstone that beats everything personal said about them, whenever it arrives.
//!
//! Personal values stand here as they stand in the log, sealed; there is nothing here to open them with.

mod fold;
mod tables;
mod write;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use fold::sealed;
pub use read::{
    ApiKeyFilter, ApiKeyRow, Sealed, SessionRow, TenantRow, UserFilter, UserRow, UserStatus,
    api_key, api_keys, api_keys_due, session, sessions, tenant, tenants, user, users,
};

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::session::SessionPolicy;
use domain::{Event, Recorded};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::latest::{Latest, keep_last, keep_last_of};
use crate::{Poison, Projection, Target};

/// The read model's name.
pub const NAME: &str = "accounts";
/// Why a session ended, if a token was used again after it was given up; otherwise it is a word of
/// [`domain::session::RevokeReason`].
pub const REUSED: &str = "reused";

/// See the file's first lines.
pub(crate) struct Accounts;

/// What changed about whom.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta {
    users: HashMap<String, UserChange>,
    /// By (user, word of the role): do they hold it?
    roles: HashMap<(String, String), Latest<bool>>,
    sessions: HashMap<String, SessionChange>,
    api_keys: HashMap<String, ApiKeyChange>,
    tenants: HashMap<String, TenantChange>,
}

/// How far a stream was seen.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    version: i64,
    position: i64,
}

#[derive(Debug, Default, PartialEq)]
struct UserChange {
    registered: Option<Latest<Registered>>,
    verified: bool,
    password_changed_at: Option<DateTime<Utc>>,
    /// `None` inside once reactivated.
    deactivated: Option<Latest<Option<Deactivated>>>,
    erased_at: Option<DateTime<Utc>>,
    /// How many events ended all sessions begun before them: a sum.
    epochs: i64,
    seen: Seen,
}

#[derive(Debug, PartialEq)]
struct Registered {
    at: DateTime<Utc>,
    email: String,
    name: String,
    event: Uuid,
}

#[derive(Debug, PartialEq)]
struct Deactivated {
    at: DateTime<Utc>,
    reason: Option<String>,
    event: Uuid,
}

#[derive(Debug, Default, PartialEq)]
struct SessionChange {
    started: Option<Latest<Started>>,
    /// When a token was last given, the first one included.
    last_used_at: Option<DateTime<Utc>>,
    /// When and how it was ended.
    ended: Option<Latest<(DateTime<Utc>, &'static str)>>,
    seen: Seen,
}

#[derive(Debug, PartialEq)]
struct Started {
    user_id: String,
    at: DateTime<Utc>,
    policy: SessionPolicy,
    epoch: i64,
    user_agent: Option<String>,
    ip: Option<String>,
    event: Uuid,
}

#[derive(Debug, Default, PartialEq)]
struct ApiKeyChange {
    issued: Option<Latest<Issued>>,
    secret: Option<Latest<Secret>>,
    revoked_at: Option<DateTime<Utc>>,
    seen: Seen,
}

#[derive(Debug, PartialEq)]
struct Issued {
    at: DateTime<Utc>,
    by: String,
    name: String,
    /// Their words, joined by blanks.
    scopes: String,
    rotate_every_s: Option<i64>,
    bootstrap: bool,
}

/// What is known of the secret that is good. Its hash is not: nobody asks a read model for it.
#[derive(Debug, PartialEq)]
struct Secret {
    last_four: String,
    expires_at: DateTime<Utc>,
    /// When it took the place of another, and until when that one is good.
    rotated: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

#[derive(Debug, Default, PartialEq)]
struct TenantChange {
    created_at: Option<DateTime<Utc>>,
    name: Option<Latest<String>>,
    /// `None` inside once resumed.
    suspended: Option<Latest<Option<Suspended>>>,
    seen: Seen,
}

#[derive(Debug, PartialEq)]
struct Suspended {
    at: DateTime<Utc>,
    reason: Option<String>,
}

impl Projection for Accounts {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 1;
    const AGGREGATES: &'static [&'static str] = &["user", "admins", "session", "api_key", "tenant"];
    const TABLES: &'static [&'static str] = &[
        "accounts_users",
        "accounts_roles",
        "accounts_sessions",
        "accounts_api_keys",
        "accounts_tenants",
    ];
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        tables::ddl(target)
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        match &event.event {
            Event::User(what) => fold::user(delta, event, what),
            Event::Admins(what) => {
                fold::admins(delta, event, what);
                Ok(())
            }
            Event::Session(what) => fold::session(delta, event, what),
            Event::ApiKey(what) => {
                fold::api_key(delta, event, what);
                Ok(())
            }
            Event::Tenant(what) => {
                fold::tenant(delta, event, what);
                Ok(())
            }
            // Of other aggregates: not asked for.
            _ => Ok(()),
        }
    }

    fn merge(into: &mut Delta, from: Delta) {
        for (id, change) in from.users {
            into.users.entry(id).or_default().merge(change);
        }
        for (key, held) in from.roles {
            keep_last_of(&mut into.roles, key, held);
        }
        for (id, change) in from.sessions {
            into.sessions.entry(id).or_default().merge(change);
        }
        for (id, change) in from.api_keys {
            into.api_keys.entry(id).or_default().merge(change);
        }
        for (id, change) in from.tenants {
            into.tenants.entry(id).or_default().merge(change);
        }
    }

    fn rows(delta: &Delta) -> usize {
        delta.users.len()
            + delta.roles.len()
            + delta.sessions.len()
            + delta.api_keys.len()
            + delta.tenants.len()
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        write::delta(conn, target, delta).await
    }
}

impl Seen {
    fn see(&mut self, event: &Recorded<Event>) {
        self.merge(Seen {
            version: event.sequence,
            position: event.position.0,
        });
    }

    fn merge(&mut self, other: Seen) {
        self.version = self.version.max(other.version);
        self.position = self.position.max(other.position);
    }
}

impl UserChange {
    fn merge(&mut self, from: UserChange) {
        keep_last(&mut self.registered, from.registered);
        self.verified |= from.verified;
        keep_max(&mut self.password_changed_at, from.password_changed_at);
        keep_last(&mut self.deactivated, from.deactivated);
        keep_min(&mut self.erased_at, from.erased_at);
        self.epochs += from.epochs;
        self.seen.merge(from.seen);
    }
}

impl SessionChange {
    fn merge(&mut self, from: SessionChange) {
        keep_last(&mut self.started, from.started);
        keep_max(&mut self.last_used_at, from.last_used_at);
        keep_last(&mut self.ended, from.ended);
        self.seen.merge(from.seen);
    }
}

impl ApiKeyChange {
    fn merge(&mut self, from: ApiKeyChange) {
        keep_last(&mut self.issued, from.issued);
        keep_last(&mut self.secret, from.secret);
        keep_min(&mut self.revoked_at, from.revoked_at);
        self.seen.merge(from.seen);
    }
}

impl TenantChange {
    fn merge(&mut self, from: TenantChange) {
        keep_min(&mut self.created_at, from.created_at);
        keep_last(&mut self.name, from.name);
        keep_last(&mut self.suspended, from.suspended);
        self.seen.merge(from.seen);
    }
}

fn keep_max(kept: &mut Option<DateTime<Utc>>, said: Option<DateTime<Utc>>) {
    *kept = (*kept).max(said);
}

fn keep_min(kept: &mut Option<DateTime<Utc>>, said: Option<DateTime<Utc>>) {
    *kept = kept.iter().copied().chain(said).min();
}
