//! Proofs of whole ranges: the events themselves, and the hashes of all that lies left and right of them,
//! lead to a signed root.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SealError;
use super::leaf::leaf;
use super::nodes::Nodes;
use super::proof::{HexHash, ProofError, Signed, signed};
use super::stored;
use super::tree::{Edge, Hash, Node, complete};
use crate::store::{Store, StoredRow};

/// What it takes, beside the events at some positions, to see that they are what was sealed there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RangeProof {
    /// The seal whose tree they are in.
    seal: Signed,
    /// Position of the first event.
    from: i64,
    /// Position of the last.
    to: i64,
    /// Hashes of the largest complete subtrees before the first, from the left.
    left: Vec<HexHash>,
    /// Hashes of the largest complete subtrees behind the last, from the left.
    right: Vec<HexHash>,
}

/// The tree, from its left up to the last leaf that was given.
#[derive(Clone, Debug)]
pub struct RangeFold(Edge);

impl RangeProof {
    /// Whose log it is about.
    pub fn tenant(&self) -> &str {
        self.seal.tenant()
    }

    /// Position of the first event.
    pub fn from(&self) -> i64 {
        self.from
    }

    /// Position of the last.
    pub fn to(&self) -> i64 {
        self.to
    }

    /// How many events the seal is of.
    pub fn size(&self) -> u64 {
        self.seal.size()
    }

    /// The key that signed, in hexadecimal.
    pub fn public_key(&self) -> String {
        self.seal.public_key()
    }

    /// What it shows of its events.
    pub fn shows(&self) -> String {
        format!(
            "events {} to {} of the log of {} are among its first {} as they were sealed at {}",
            self.from,
            self.to,
            self.tenant(),
            self.size(),
            self.seal.sealed_at()
        )
    }

    /// Makes sure that the seal is signed, with `trusted` by one of these keys, and that there is such a
    /// range in its tree; then leaves can be given.
    pub fn begin(&self, trusted: Option<&[[u8; 32]]>) -> Result<RangeFold, ProofError> {
        self.seal.check(trusted)?;
        let (from, to) = (self.from, self.to);
        let other = ProofError::NoRange { from, to };
        let size = i64::try_from(self.size()).unwrap_or(0);
        if from < 1 || to < from || to > size {
            return Err(other);
        }
        let left = self.left.iter().map(|hash| hash.0).collect();
        let edge = Edge::new(from.unsigned_abs() - 1, left).ok_or(other)?;
        Ok(RangeFold(edge))
    }
}

impl RangeFold {
    /// Adds the leaf of the next event.
    pub fn push(&mut self, leaf: Hash) {
        self.0.push(leaf, |_, _| ());
    }

    /// Do all leaves of the range lead to the root?
    pub fn leads_to(mut self, proof: &RangeProof) -> bool {
        let right: Vec<Hash> = proof.right.iter().map(|hash| hash.0).collect();
        self.0.size() == proof.to.unsigned_abs()
            && self.0.extend_to(proof.size(), &right)
            && self.0.root() == proof.seal.root()
    }
}

/// What proves a range of events under the last seal, apart from the events.
pub async fn prove_range(
    store: &Store,
    tenant: &Arc<str>,
    from: i64,
    to: i64,
) -> Result<RangeProof, ProofError> {
    let pool = store.pool();
    let last = stored::last(pool, tenant).await?;
    let none = || ProofError::NoSeal(format!("holds position {to} yet"));
    let seal = last.filter(|seal| seal.size >= to).ok_or_else(none)?;
    if from < 1 || to < from {
        return Err(ProofError::NoRange { from, to });
    }
    let (before, behind) = (from.unsigned_abs() - 1, to.unsigned_abs());
    let hashes = async |nodes: Vec<Node>| {
        let ranges = nodes
            .into_iter()
            .map(|node| node.index << node.level..(node.index + 1) << node.level);
        let found = Nodes { pool, tenant }.roots(ranges.collect()).await?;
        let broken = || SealError::Broken {
            tenant: tenant.clone(),
            size: seal.size,
        };
        let found = found.ok_or_else(broken)?;
        Ok::<_, ProofError>(found.into_iter().map(HexHash).collect())
    };
    Ok(RangeProof {
        from,
        to,
        left: hashes(complete(0..before)).await?,
        right: hashes(complete(behind..seal.size.unsigned_abs())).await?,
        seal: signed(store, tenant, &seal).await?,
    })
}

/// The last position that is sealed; 0 if none is.
pub async fn sealed_to(store: &Store, tenant: &str) -> Result<i64, SealError> {
    let last = stored::last(store.pool(), tenant).await?;
    Ok(last.map_or(0, |seal| seal.size))
}

/// The hash of an event's leaf.
pub fn event_leaf(tenant: &str, row: &StoredRow<'_>) -> Hash {
    leaf(tenant, row)
}
