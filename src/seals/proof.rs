//! Proofs that need no database: that an event is in the log as it was sealed, and that a log only grew.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::SealError;
use super::keys::public_keys;
use super::leaf::leaf;
use super::nodes::Nodes;
use super::statement::{Statement, is_signed};
use super::stored::{self, StoredSeal};
use super::tree::{
    Hash, PROOF_HASHES_MAX, consistency_path, inclusion_path, is_consistent, root_from_inclusion,
};
use crate::store::{Store, StoredEvent, StoredRow};
use crate::vault::{hex, unhex};

/// A proof as it is written to a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "camelCase")]
pub enum Proof {
    /// This event is in the log.
    Event {
        /// The seal whose tree it is in.
        seal: Signed,
        /// The event, byte for byte.
        event: Box<ProvedEvent>,
        /// Hashes beside the way from its leaf to the root.
        path: Vec<HexHash>,
    },
    /// The log at one seal begins with all that it was at another.
    Growth {
        /// The smaller one.
        from: Signed,
        /// The larger one.
        to: Signed,
        /// Hashes that lead from both roots to the larger one.
        path: Vec<HexHash>,
    },
}

/// What a proof shows, once it is held to be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// In a sentence.
    pub shows: String,
    /// The keys that signed, in hexadecimal.
    pub public_keys: Vec<String>,
}

/// A statement and its signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signed {
    /// Whose log.
    tenant: String,
    /// How many events.
    size: u64,
    /// The root over them.
    root: HexHash,
    /// SHA-256 of the statement before.
    previous: HexHash,
    /// When.
    sealed_at: DateTime<Utc>,
    /// The key that signed.
    public_key: HexHash,
    /// The signature, in hexadecimal.
    signature: String,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvedEvent {
    position: i64,
    event_id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    recorded_at: DateTime<Utc>,
    payload: String,
    metadata: String,
}

/// A hash as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HexHash(pub(super) Hash);

impl TryFrom<String> for HexHash {
    type Error = String;

    fn try_from(text: String) -> Result<HexHash, String> {
        let hash = unhex(&text).and_then(|bytes| bytes.try_into().ok());
        hash.map(HexHash)
            .ok_or_else(|| format!("{text:?} is not 64 hexadecimal digits"))
    }
}

impl From<HexHash> for String {
    fn from(hash: HexHash) -> String {
        hex(&hash.0)
    }
}

/// Why a proof shows nothing, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// A signature is not of the key that it names, or that key is not trusted.
    #[error("the seal of {size} events is not signed by a trusted key")]
    Unsigned {
        /// Which.
        size: u64,
    },
    /// The event and the path lead elsewhere.
    #[error("the event at position {position} does not lead to the root of the seal")]
    NotIncluded {
        /// Which.
        position: i64,
    },
    /// The path does not lead from one tree to the other.
    #[error("the log of {to} events does not begin with that of {from}")]
    NotGrown {
        /// The smaller tree.
        from: u64,
        /// The larger one.
        to: u64,
    },
    /// The two logs are not the same one.
    #[error("the seals are of two logs, {from:?} and {to:?}")]
    OtherLog {
        /// Whose the one is.
        from: String,
        /// Whose the other is.
        to: String,
    },
    /// There is no seal over the event yet, or none of this size.
    #[error("no seal {0}")]
    NoSeal(String),
    /// There is no such event.
    #[error("there is no event at position {0}")]
    NoEvent(i64),
    /// The seal's tree has no such range, or its left edge has other hashes.
    #[error("the tree of the seal has no positions {from} to {to} with these hashes beside them")]
    NoRange {
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
    /// It could not be read.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl From<sqlx::Error> for ProofError {
    fn from(error: sqlx::Error) -> ProofError {
        ProofError::Seal(error.into())
    }
}

impl Proof {
    /// Is it true? With `trusted`, only if one of these keys has signed.
    pub fn check(&self, trusted: Option<&[[u8; 32]]>) -> Result<Held, ProofError> {
        match self {
            Proof::Event { seal, event, path } => {
                seal.check(trusted)?;
                let (position, size) = (event.position, seal.size);
                let index = position
                    .checked_sub(1)
                    .and_then(|at| u64::try_from(at).ok());
                let leaf = leaf(&seal.tenant, &event.row());
                let root = index.and_then(|at| root_from_inclusion(leaf, at, size, &hashes(path)));
                if root != Some(seal.root.0) || !is_whole(event.recorded_at) {
                    return Err(ProofError::NotIncluded { position });
                }
                Ok(Held {
                    shows: format!(
                        "event {position} of the log of {} is among its first {size} as they were \
                         sealed at {}",
                        seal.tenant, seal.sealed_at
                    ),
                    public_keys: vec![seal.public_key.into()],
                })
            }
            Proof::Growth { from, to, path } => {
                if from.tenant != to.tenant {
                    return Err(ProofError::OtherLog {
                        from: from.tenant.clone(),
                        to: to.tenant.clone(),
                    });
                }
                from.check(trusted)?;
                to.check(trusted)?;
                let trees = ((from.size, &from.root.0), (to.size, &to.root.0));
                if !is_consistent(trees.0, trees.1, &hashes(path)) {
                    let (from, to) = (from.size, to.size);
                    return Err(ProofError::NotGrown { from, to });
                }
                Ok(Held {
                    shows: format!(
                        "the log of {} as it was sealed with {} events at {} begins with the {} of {}",
                        to.tenant, to.size, to.sealed_at, from.size, from.sealed_at
                    ),
                    public_keys: vec![from.public_key.into(), to.public_key.into()],
                })
            }
        }
    }
}

/// Times are hashed and signed to the microsecond.
fn is_whole(time: DateTime<Utc>) -> bool {
    time.timestamp_subsec_nanos().is_multiple_of(1_000)
}

fn hashes(path: &[HexHash]) -> Vec<Hash> {
    // One too many leads nowhere as surely as a million do.
    let most = PROOF_HASHES_MAX + 1;
    path.iter().take(most).map(|hash| hash.0).collect()
}

impl Signed {
    /// What it says of the log of `tenant`, if it is of that one: how many events, and the root over them.
    /// Only if it is signed, with `trusted` by one of these keys.
    pub fn noted(
        &self,
        tenant: &str,
        trusted: Option<&[[u8; 32]]>,
    ) -> Result<Option<(u64, Hash)>, ProofError> {
        if self.tenant != tenant {
            return Ok(None);
        }
        self.check(trusted)?;
        Ok(Some((self.size, self.root.0)))
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn root(&self) -> Hash {
        self.root.0
    }

    pub(super) fn sealed_at(&self) -> DateTime<Utc> {
        self.sealed_at
    }

    pub(super) fn public_key(&self) -> String {
        self.public_key.into()
    }

    /// Is it signed, with `trusted` by one of these keys?
    pub(super) fn check(&self, trusted: Option<&[[u8; 32]]>) -> Result<(), ProofError> {
        let key = self.public_key.0;
        let known = trusted.is_none_or(|keys| keys.contains(&key));
        // What is not signed is not told either.
        let whole = is_whole(self.sealed_at) && !self.tenant.chars().any(char::is_control);
        let statement = Statement {
            tenant: self.tenant.clone(),
            size: self.size,
            root: self.root.0,
            previous: self.previous.0,
            sealed_at: self.sealed_at,
        };
        let signature = unhex(&self.signature).unwrap_or_default();
        if known && whole && is_signed(&statement, &key, &signature) {
            return Ok(());
        }
        Err(ProofError::Unsigned { size: self.size })
    }
}

impl ProvedEvent {
    fn of(event: &StoredEvent) -> ProvedEvent {
        ProvedEvent {
            position: event.position.0,
            event_id: event.event_id,
            aggregate_type: event.aggregate_type.to_string(),
            aggregate_id: event.aggregate_id.to_string(),
            sequence: event.sequence,
            event_type: event.event_type.to_string(),
            event_version: event.event_version.to_string(),
            recorded_at: event.recorded_at,
            payload: event.payload.clone(),
            metadata: event.metadata.clone(),
        }
    }

    fn row(&self) -> StoredRow<'_> {
        StoredRow {
            position: self.position,
            aggregate_type: &self.aggregate_type,
            aggregate_id: &self.aggregate_id,
            sequence: self.sequence,
            event_type: &self.event_type,
            event_version: &self.event_version,
            event_id: self.event_id.as_bytes(),
            recorded_us: self.recorded_at.timestamp_micros(),
            payload: &self.payload,
            metadata: &self.metadata,
        }
    }
}

/// Proves that an event is in the log, under the last seal.
pub async fn prove_event(
    store: &Store,
    tenant: &Arc<str>,
    position: i64,
) -> Result<Proof, ProofError> {
    let pool = store.pool();
    let last = stored::last(pool, tenant).await?;
    let seal = last.filter(|seal| seal.size >= position);
    let none = || ProofError::NoSeal(format!("holds position {position} yet"));
    let seal = seal.ok_or_else(none)?;
    let at = [Position(position)];
    let events = store.read_positions(tenant, &at).await;
    let events = events.map_err(SealError::from)?;
    let event = events.first().ok_or(ProofError::NoEvent(position))?;
    let size = seal.size.unsigned_abs();
    let path = inclusion_path(position.unsigned_abs() - 1, size);
    let proof = Proof::Event {
        event: Box::new(ProvedEvent::of(event)),
        path: path_of(store, tenant, path, seal.size).await?,
        seal: signed(store, tenant, &seal).await?,
    };
    proof.check(None)?;
    Ok(proof)
}

/// Proves that the log at the last seal begins with what it was at the seal of `size` events.
pub async fn prove_growth(
    store: &Store,
    tenant: &Arc<str>,
    size: i64,
) -> Result<Proof, ProofError> {
    let pool = store.pool();
    let none = || ProofError::NoSeal(format!("is of {size} events"));
    let from = stored::behind(pool, tenant, size - 1, 1).await?;
    let from = from.into_iter().find(|seal| seal.size == size);
    let from = from.ok_or_else(none)?;
    let to = stored::last(pool, tenant).await?.ok_or_else(none)?;
    let path = consistency_path(from.size.unsigned_abs(), to.size.unsigned_abs());
    let proof = Proof::Growth {
        path: path_of(store, tenant, path, to.size).await?,
        from: signed(store, tenant, &from).await?,
        to: signed(store, tenant, &to).await?,
    };
    proof.check(None)?;
    Ok(proof)
}

async fn path_of(
    store: &Store,
    tenant: &Arc<str>,
    ranges: Vec<Range<u64>>,
    size: i64,
) -> Result<Vec<HexHash>, SealError> {
    let nodes = Nodes {
        pool: store.pool(),
        tenant,
    };
    let roots = nodes.roots(ranges).await?;
    let broken = || SealError::Broken {
        tenant: tenant.clone(),
        size,
    };
    let roots = roots.ok_or_else(broken)?;
    Ok(roots.into_iter().map(HexHash).collect())
}

pub(super) async fn signed(
    store: &Store,
    tenant: &Arc<str>,
    seal: &StoredSeal,
) -> Result<Signed, SealError> {
    let broken = || SealError::Broken {
        tenant: tenant.clone(),
        size: seal.size,
    };
    let edge = seal.edge().ok_or_else(broken)?;
    let statement = seal.statement(tenant, &edge).ok_or_else(broken)?;
    let keys = public_keys(store.pool()).await?;
    let key = keys.get(&seal.key_id).ok_or_else(broken)?;
    Ok(Signed {
        tenant: statement.tenant,
        size: statement.size,
        root: HexHash(statement.root),
        previous: HexHash(statement.previous),
        sealed_at: statement.sealed_at,
        public_key: HexHash(*key),
        signature: hex(&seal.signature),
    })
}
