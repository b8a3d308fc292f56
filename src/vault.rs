//! Personal values: sealed before they are appended, readable only as long as their subject's key exists.
//!
//! Every subject (a person) has a key of its own, kept outside of the log and wrapped by the master key.
//! Destroying the key erases the subject from a log that is never rewritten: its events stay, what they say
//! of the person can never be read again. Backups of the keys must therefore not outlive the promise.

mod master;
mod seal;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use sqlx::PgPool;

use crate::cache::Memo;
use crate::config;
use master::MasterKey;
pub use seal::{Place, SubjectKey, hex, random_bytes, unhex};

/// The name of the master key that is made in the data directory when none is configured.
pub const DEVELOPMENT_KEY: &str = "development-vault.key";

/// How often keys are asked for that others are making or destroying at the same moment.
const KEYS_ASKED_MAX: u32 = 8;

/// Keys of subjects, and what is derived from the master key. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    pool: PgPool,
    master: MasterKey,
    /// Keys read a moment ago, if there was one. Not believed for long: another process may destroy it.
    recent: Memo<(Instant, Option<SubjectKey>)>,
    key_ttl: Duration,
}

/// Why there is no vault, or why it does not open.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The master key's file cannot be used.
    #[error("the vault's master key {path} cannot be used: {problem}", path = .path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Personal values are to be sealed where there is no vault.
    #[error("there is no vault to seal personal values with")]
    Absent,
    /// A stored key was not wrapped by this master key.
    #[error("a stored key cannot be unwrapped: this is not the master key it was wrapped with")]
    Foreign,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Vault {
    /// Reads the configured master key, or the development one in `data_dir`, which is made if absent.
    pub fn open(
        settings: &config::Vault,
        data_dir: &Path,
        pool: PgPool,
    ) -> Result<Vault, VaultError> {
        let master = match &settings.master_key_file {
            Some(path) => MasterKey::read(path)?,
            None => MasterKey::read_or_make(&data_dir.join(DEVELOPMENT_KEY))?,
        };
        Ok(Vault(Arc::new(Inner {
            pool,
            master,
            recent: Memo::new(settings.keys_max),
            key_ttl: settings.key_ttl,
        })))
    }

    /// The key of a subject, made if it has none yet.
    pub async fn key(&self, tenant: &str, subject: &str) -> Result<SubjectKey, VaultError> {
        if let Some(key) = self.existing_key(tenant, subject).await? {
            return Ok(key);
        }
        let (made, place) = (SubjectKey::random(), key_place(tenant, subject));
        let wrapped = self.0.master.wrap(&made, &place);
        // Another process may have been faster: its key counts.
        sqlx::query("insert into subject_keys (tenant, subject, wrapped) values ($1, $2, $3) on conflict do nothing")
            .bind(tenant)
            .bind(subject)
            .bind(wrapped)
            .execute(&self.0.pool)
            .await?;
        let key = self.stored(tenant, subject).await?;
        key.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// The key of a subject; `None` if it was destroyed or never made.
    pub async fn existing_key(
        &self,
        tenant: &str,
        subject: &str,
    ) -> Result<Option<SubjectKey>, VaultError> {
        let name = name(tenant, subject);
        let asked = Instant::now();
        if let Some((at, Some(key))) = self.0.recent.get(&name)
            && asked - at < self.0.key_ttl
        {
            return Ok(Some(key));
        }
        let key = self.stored(tenant, subject).await?;
        self.0.recent.put(name, (asked, key.clone()));
        Ok(key)
    }

    /// The keys of all these subjects, made for those that have none, in one question however many there are.
    pub async fn keys(
        &self,
        tenant: &str,
        mut subjects: Vec<String>,
    ) -> Result<HashMap<String, SubjectKey>, VaultError> {
        let asked = Instant::now();
        // In one order: two who make the same keys do not wait for each other in a ring.
        subjects.sort_unstable();
        subjects.dedup();
        let mut keys = HashMap::with_capacity(subjects.len());
        subjects.retain(|subject| {
            let recent = self.0.recent.get(&name(tenant, subject));
            let Some((_, Some(key))) = recent.filter(|(at, _)| asked - *at < self.0.key_ttl) else {
                return true;
            };
            keys.insert(subject.clone(), key);
            false
        });
        for _ in 0..KEYS_ASKED_MAX {
            if subjects.is_empty() {
                return Ok(keys);
            }
            for (subject, wrapped) in self.stored_or_made(tenant, &subjects).await? {
                let place = key_place(tenant, &subject);
                let key = self.0.master.unwrap(&wrapped, &place);
                let key = key.ok_or(VaultError::Foreign)?;
                let seen = (asked, Some(key.clone()));
                self.0.recent.put(name(tenant, &subject), seen);
                keys.insert(subject, key);
            }
            // Somebody else was making it, or destroyed what they made.
            subjects.retain(|subject| !keys.contains_key(subject));
        }
        Err(sqlx::Error::RowNotFound.into())
    }

    /// Wrapped keys of these subjects; one that somebody else makes at this moment is left out.
    async fn stored_or_made(
        &self,
        tenant: &str,
        subjects: &[String],
    ) -> Result<Vec<(String, Vec<u8>)>, VaultError> {
        let made = subjects.iter().map(|subject| {
            let place = key_place(tenant, subject);
            self.0.master.wrap(&SubjectKey::random(), &place)
        });
        let made: Vec<Vec<u8>> = made.collect();
        // Whose key there is already keeps it: both halves see the same moment.
        let stored = sqlx::query_as(
            "with made as (
                 insert into subject_keys (tenant, subject, wrapped)
                 select $1, subject, wrapped from unnest($2::text[], $3::bytea[]) u(subject, wrapped)
                 where not exists (select from subject_keys k
                                   where k.tenant = $1 and k.subject = u.subject)
                 on conflict do nothing
                 returning subject, wrapped)
             select subject, wrapped from made
             union all
             select subject, wrapped from subject_keys where tenant = $1 and subject = any($2)",
        )
        .bind(tenant)
        .bind(subjects)
        .bind(made)
        .fetch_all(&self.0.pool)
        .await?;
        Ok(stored)
    }

    /// Destroys the key of a subject: nothing sealed under it can be read again. False if there was none.
    pub async fn destroy(&self, tenant: &str, subject: &str) -> Result<bool, VaultError> {
        let gone = sqlx::query("delete from subject_keys where tenant = $1 and subject = $2")
            .bind(tenant)
            .bind(subject)
            .execute(&self.0.pool)
            .await?;
        let forgotten = (Instant::now(), None);
        self.0.recent.put(name(tenant, subject), forgotten);
        Ok(gone.rows_affected() > 0)
    }

    /// A keyed digest of a personal value, for comparing without knowing it: what the log claims instead of
    /// the value. Differs between tenants and scopes.
    pub fn pseudonym(&self, tenant: &str, scope: &str, value: &str) -> [u8; 32] {
        self.0.master.digest(&[
            b"pseudonym v1",
            tenant.as_bytes(),
            scope.as_bytes(),
            value.as_bytes(),
        ])
    }

    /// Wraps a secret of our own for its place, such as the private part of a signing key.
    pub fn wrap(&self, place: &[&str], secret: &[u8; 32]) -> Vec<u8> {
        let secret = SubjectKey::from_bytes(secret).expect("it has 32 bytes");
        self.0.master.wrap(&secret, &secret_place(place))
    }

    /// Unwraps a secret of our own.
    pub fn unwrap(&self, place: &[&str], wrapped: &[u8]) -> Result<[u8; 32], VaultError> {
        let secret = self.0.master.unwrap(wrapped, &secret_place(place));
        let secret = secret.and_then(|secret| secret.bytes().try_into().ok());
        secret.ok_or(VaultError::Foreign)
    }

    /// A secret for `purpose` that all processes with the same master key share.
    pub fn shared_secret(&self, purpose: &str) -> [u8; 32] {
        self.digest("shared secret v1", &[purpose])
    }

    /// A keyed digest of some parts, which nobody without the master key can make: what a token that we
    /// give out and take back is known by. `purpose` keeps those of different kinds apart.
    pub fn digest(&self, purpose: &str, parts: &[&str]) -> [u8; 32] {
        let mut all: Vec<&[u8]> = vec![b"digest v1", purpose.as_bytes()];
        all.extend(parts.iter().map(|part| part.as_bytes()));
        self.0.master.digest(&all)
    }

    async fn stored(&self, tenant: &str, subject: &str) -> Result<Option<SubjectKey>, VaultError> {
        let wrapped: Option<Vec<u8>> = sqlx::query_scalar(
            "select wrapped from subject_keys where tenant = $1 and subject = $2",
        )
        .bind(tenant)
        .bind(subject)
        .fetch_optional(&self.0.pool)
        .await?;
        let Some(wrapped) = wrapped else {
            return Ok(None);
        };
        let key = self.0.master.unwrap(&wrapped, &key_place(tenant, subject));
        key.map(Some).ok_or(VaultError::Foreign)
    }
}

/// What a key is remembered by.
fn name(tenant: &str, subject: &str) -> [u8; 32] {
    Sha256::digest(seal::join(&[tenant.as_bytes(), subject.as_bytes()])).into()
}

/// Where a secret of our own belongs.
fn secret_place(place: &[&str]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = vec![b"secret v1"];
    parts.extend(place.iter().map(|part| part.as_bytes()));
    seal::join(&parts)
}

/// Where a wrapped key belongs: moved to another row it does not open.
fn key_place(tenant: &str, subject: &str) -> Vec<u8> {
    seal::join(&[b"subject key v1", tenant.as_bytes(), subject.as_bytes()])
}
