//! Seals as they are told to whoever asks, or notes them elsewhere.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::SealError;
use super::keys::public_keys;
use super::stored::{self, StoredSeal};
use crate::store::Store;
use crate::vault::hex;

/// A seal in words: whoever keeps it can tell later whether the log is still the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Whose log.
    pub tenant: Arc<str>,
    /// Position of the first event that no earlier seal holds.
    pub first: i64,
    /// Events 1 to here are under it.
    pub size: i64,
    /// The root over them, in hexadecimal.
    pub root: String,
    /// SHA-256 of the statement before, in hexadecimal.
    pub previous: String,
    /// When it was made.
    pub sealed_at: DateTime<Utc>,
    /// The key that signed, in hexadecimal.
    pub public_key: String,
    /// The signature, in hexadecimal.
    pub signature: String,
    /// What is signed.
    pub statement: String,
}

/// The seals of a log before that of `before` events, the last one first, at most `seals_max`.
pub async fn seals_before(
    store: &Store,
    tenant: &Arc<str>,
    before: Option<i64>,
    seals_max: i64,
) -> Result<Vec<Sealed>, SealError> {
    let (pool, before) = (store.pool(), before.unwrap_or(i64::MAX));
    let found = stored::before(pool, tenant, before, seals_max).await?;
    tell(pool, tenant, &found).await
}

async fn tell(
    pool: &PgPool,
    tenant: &Arc<str>,
    found: &[StoredSeal],
) -> Result<Vec<Sealed>, SealError> {
    let keys = public_keys(pool).await?;
    let told = found.iter().map(|seal| {
        let edge = seal.edge();
        let statement = edge.and_then(|edge| seal.statement(tenant, &edge));
        let told = statement.zip(keys.get(&seal.key_id));
        let (statement, key) = told.ok_or_else(|| SealError::Broken {
            tenant: tenant.clone(),
            size: seal.size,
        })?;
        Ok(Sealed {
            tenant: tenant.clone(),
            first: seal.first,
            size: seal.size,
            root: hex(&statement.root),
            previous: hex(&statement.previous),
            sealed_at: statement.sealed_at,
            public_key: hex(key),
            signature: hex(&seal.signature),
            statement: statement.text(),
        })
    });
    told.collect()
}
