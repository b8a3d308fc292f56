//! API keys, and signing keys.

use async_graphql::{ID, SimpleObject};
use projections::accounts::ApiKeyRow;

use super::int;
use crate::api::scalars::{DateTime, Duration, Long};
use crate::auth::Usage;

/// What a program shows instead of signing in. The key itself is told once, when it is made or rotated.
#[derive(SimpleObject)]
pub struct ApiKey {
    /// Its id.
    pub id: ID,
    /// What it is called, for people.
    name: String,
    /// The last four characters, to know it by.
    last_four: String,
    /// What it may be used for, as far as whoever issued it still may.
    scopes: Vec<String>,
    /// When it was issued, by the log's clock.
    issued_at: DateTime,
    /// Who issued it, as `kind:id`.
    issued_by: String,
    /// When its secret ends.
    expires_at: DateTime,
    /// How long one secret is to be used at most.
    rotate_every: Option<Duration>,
    /// When its secret should be another one, if it is to be rotated; it ends a while after.
    rotation_due_at: Option<DateTime>,
    /// When it was rotated last.
    rotated_at: Option<DateTime>,
    /// Until when the secret before the last rotation is good.
    previous_until: Option<DateTime>,
    /// Since when it is good for nothing.
    revoked_at: Option<DateTime>,
    /// Taken over from the settings rather than issued.
    bootstrap: bool,
    /// Requests of the last 30 days that showed it and were let in; some seconds behind.
    requests: Long,
    /// The last of all; some seconds behind.
    last_used_at: Option<DateTime>,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    version: i32,
}

impl ApiKey {
    /// A key and how it is used.
    pub fn new(row: ApiKeyRow, usage: Usage) -> ApiKey {
        let rotate_every = row.rotate_every_s.map(chrono::TimeDelta::seconds);
        let since = row.rotated_at.unwrap_or(row.issued_at);
        let due = rotate_every.and_then(|every| since.checked_add_signed(every));
        ApiKey {
            id: ID(row.id),
            name: row.name,
            last_four: row.last_four,
            scopes: row.scopes.iter().map(|s| s.as_str().to_owned()).collect(),
            issued_at: DateTime(row.issued_at),
            issued_by: row.issued_by,
            expires_at: DateTime(row.expires_at),
            rotate_every: rotate_every.map(Duration),
            rotation_due_at: due.map(DateTime),
            rotated_at: row.rotated_at.map(DateTime),
            previous_until: row.previous_until.map(DateTime),
            revoked_at: row.revoked_at.map(DateTime),
            bootstrap: row.bootstrap,
            requests: Long(usage.requests),
            last_used_at: usage.last_used_at.map(DateTime),
            version: int(row.version),
        }
    }
}

/// A key that signs tokens.
#[derive(SimpleObject)]
pub struct SigningKeys {
    /// The id (`kid`) of the key that signs.
    pub signing: String,
    /// The id of the key that will sign next; null if none is published for that.
    pub next: Option<String>,
    /// From when on it will.
    pub next_signs_from: Option<DateTime>,
}
