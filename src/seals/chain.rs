//! The chain of seals: each continues the tree and names the statement of the one before.

use std::collections::HashMap;
use std::sync::Arc;

use super::difference::{Difference, What};
use super::nodes::is_kept;
use super::statement::{Statement, is_signed};
use super::stored::StoredSeal;
use super::tree::{Edge, Hash, Node};

/// A chain that has been followed up to somewhere.
pub(super) struct Chain {
    tenant: Arc<str>,
    /// Keys that may have signed, by id.
    keys: HashMap<String, [u8; 32]>,
    edge: Edge,
    /// Digest of the last statement.
    previous: Hash,
    seals: u64,
    /// Roots that somebody noted, and is yet to be shown; the one of most events first.
    noted: Vec<(u64, Hash)>,
    /// The least of them that is another one.
    unlike: Option<u64>,
    last: Option<(Statement, String)>,
    /// Hashes that are to be kept, of the seals that were followed since they were taken last.
    nodes: Vec<(Node, Hash)>,
}

impl Chain {
    /// Before its first seal.
    pub(super) fn new(
        tenant: Arc<str>,
        keys: HashMap<String, [u8; 32]>,
        mut noted: Vec<(u64, Hash)>,
    ) -> Chain {
        noted.sort_unstable();
        noted.reverse();
        Chain {
            tenant,
            keys,
            noted,
            unlike: None,
            edge: Edge::default(),
            previous: [0; 32],
            seals: 0,
            last: None,
            nodes: Vec::new(),
        }
    }

    /// Is this the id of a key that may have signed?
    pub(super) fn knows(&self, key_id: &str) -> bool {
        self.keys.contains_key(key_id)
    }

    /// These keys may have signed.
    pub(super) fn learn(&mut self, keys: HashMap<String, [u8; 32]>) {
        self.keys = keys;
    }

    /// The noted root that is not this log's, or that is of more events than are sealed.
    pub(super) fn unlike_noted(&self) -> Option<Difference> {
        let missing = self.noted.iter().map(|(size, _)| *size);
        let size = self.unlike.into_iter().chain(missing).min()?;
        Some(What::Unlike.at(size.try_into().unwrap_or(i64::MAX)))
    }

    /// Events under the seals that have been followed.
    pub(super) fn sealed(&self) -> i64 {
        i64::try_from(self.edge.size()).unwrap_or(i64::MAX)
    }

    /// How many seals have been followed.
    pub(super) fn seals(&self) -> u64 {
        self.seals
    }

    /// The hashes that are to be kept of what was followed since this was asked last.
    pub(super) fn take_nodes(&mut self) -> Vec<(Node, Hash)> {
        std::mem::take(&mut self.nodes)
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
        let mut nodes = Vec::new();
        for leaf in leaves {
            edge.push(*leaf, |node, hash| {
                if is_kept(node) {
                    nodes.push((node, *hash));
                }
            });
            // The least is the last one.
            while let Some((_, root)) = self.noted.pop_if(|(size, _)| *size == edge.size()) {
                if root != edge.root() {
                    self.unlike = self.unlike.or(Some(edge.size()));
                }
            }
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
        self.nodes.append(&mut nodes);
        self.previous = statement.digest();
        self.seals += 1;
        self.last = Some((statement, seal.key_id.clone()));
        Ok(())
    }
}
