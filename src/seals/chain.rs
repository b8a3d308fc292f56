//! The chain of seals: each continues the tree and names the statement of the one before.

use std::collections::HashMap;
use std::sync::Arc;

use super::difference::{Difference, What};
use super::statement::{Statement, is_signed};
use super::stored::StoredSeal;
use super::tree::{Edge, Hash};

/// A chain that has been followed up to somewhere.
pub(super) struct Chain {
    tenant: Arc<str>,
    /// Keys that may have signed, by id.
    keys: HashMap<String, [u8; 32]>,
    edge: Edge,
    /// Digest of the last statement.
    previous: Hash,
    seals: u64,
    last: Option<(Statement, String)>,
}

impl Chain {
    /// Before its first seal.
    pub(super) fn new(tenant: Arc<str>, keys: HashMap<String, [u8; 32]>) -> Chain {
        Chain {
            tenant,
            keys,
            edge: Edge::default(),
            previous: [0; 32],
            seals: 0,
            last: None,
        }
    }

    /// Events under the seals that have been followed.
    pub(super) fn sealed(&self) -> i64 {
        i64::try_from(self.edge.size()).unwrap_or(i64::MAX)
    }

    /// How many seals have been followed.
    pub(super) fn seals(&self) -> u64 {
        self.seals
    }

    /// The last statement, and who signed it.
    pub(super) fn last(self) -> Option<(Statement, String)> {
        self.last
    }

    /// Goes on to the next seal, or tells what is wrong with it.
    pub(super) fn follow(&mut self, seal: &StoredSeal) -> Result<(), Difference> {
        let next = self.sealed() + 1;
        if seal.first != next || seal.previous != self.previous {
            return Err(What::Unlinked.at(next));
        }
        let leaves = seal.leaves().ok_or(What::Unrooted.at(next))?;
        let mut edge = self.edge.clone();
        for leaf in leaves {
            edge.push(*leaf, |_, _| ());
        }
        if seal.edge().as_ref() != Some(&edge) {
            return Err(What::Unrooted.at(next));
        }
        let statement = seal.statement(&self.tenant, &edge);
        let statement = statement.ok_or(What::Unlinked.at(next))?;
        let key = self.keys.get(&seal.key_id);
        if !key.is_some_and(|key| is_signed(&statement, key, &seal.signature)) {
            return Err(What::Unsigned.at(next));
        }
        self.edge = edge;
        self.previous = statement.digest();
        self.seals += 1;
        self.last = Some((statement, seal.key_id.clone()));
        Ok(())
    }
}
