//! Seals: behind the head of a log, its events are put under a Merkle tree whose root is signed. Whoever has
//! a signed root can be shown that nothing before it was changed, left out or put in.
//!
//! A seal is over what is stored: personal values are sealed there with keys of their own, so erasing a
//! person changes no leaf. Seals and their nodes are inserted and never changed.

mod chain;
mod difference;
mod keys;
mod leaf;
mod nodes;
mod proof;
mod publish;
mod range;
mod sealer;
mod statement;
mod stored;
mod told;
mod tree;
mod verify;

use std::sync::{Arc, Mutex};

use sqlx::PgConnection;
use tokio::time::Instant;

use crate::store::{Store, StoreError};
use crate::vault::{Vault, VaultError};

pub use difference::{Difference, What};
pub use keys::public_keys;
pub use proof::{Held, Proof, ProofError, Signed, prove_event, prove_growth};
pub use range::{RangeFold, RangeProof, event_leaf, prove_range, sealed_to};
pub use sealer::start;
pub use statement::Statement;
pub use told::{Sealed, seals_before};
pub use tree::Hash;
pub use verify::{Verified, Verify, verify};

/// Makes seals. Cheap to clone.
#[derive(Clone)]
pub struct Seals {
    store: Store,
    vault: Vault,
    /// The connection that events were read over last, and since when it rests.
    rested: Arc<Mutex<Option<(PgConnection, Instant)>>>,
}

/// Why something could not be sealed, or not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key that signs cannot be had.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What is to be sealed is not there.
    #[error(
        "the log of {tenant} has no event at position {position}, which is before its last one"
    )]
    Gap {
        /// Whose log.
        tenant: Arc<str>,
        /// Where.
        position: i64,
    },
    /// What was sealed cannot be built upon.
    #[error("the seal of {tenant} at {size} is not whole: run `daybook verify`")]
    Broken {
        /// Whose log.
        tenant: Arc<str>,
        /// Of how many events.
        size: i64,
    },
}

impl Seals {
    /// Seals the logs of this store, with keys that the vault wraps.
    pub fn new(store: Store, vault: Vault) -> Seals {
        Seals {
            store,
            vault,
            rested: Arc::default(),
        }
    }

    /// The last seal of a log, as it is signed.
    async fn last(&self, tenant: &Arc<str>) -> Result<Option<Signed>, SealError> {
        match stored::last(self.store.pool(), tenant).await? {
            Some(seal) => proof::signed(&self.store, tenant, &seal).await.map(Some),
            None => Ok(None),
        }
    }
}
