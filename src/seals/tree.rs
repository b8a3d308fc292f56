//! Merkle trees as RFC 9162, section 2.1 has them: roots, proofs of inclusion, proofs of consistency. Pure.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

/// SHA-256 of a leaf, of a node, or of a whole tree.
pub type Hash = [u8; 32];

/// Most hashes a proof has: a path in a tree of 2^63 leaves, and one more for consistency.
pub const PROOF_HASHES_MAX: usize = 64;

/// The hash of a node over its two children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let hash = Sha256::new().chain_update([1]).chain_update(left);
    hash.chain_update(right).finalize().into()
}

/// The root of a tree without leaves.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// A complete subtree: `2^level` leaves, from leaf `index * 2^level` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// 0 is a leaf.
    pub level: u32,
    /// Which of its level, from the left.
    pub index: u64,
}

/// The largest complete subtrees that a range of leaves falls into, from the left. The range begins where a
/// subtree of its size may begin, as all ranges do that proofs are about.
pub fn complete(range: Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut from = range.start;
    while from < range.end {
        let fits = (range.end - from).ilog2();
        let level = fits.min(from.trailing_zeros());
        nodes.push(Node {
            level,
            index: from >> level,
        });
        from += 1 << level;
    }
    nodes
}

/// The root over neighbouring subtrees that become smaller to the right.
fn root_of(subtrees: &[Hash]) -> Hash {
    let Some((last, others)) = subtrees.split_last() else {
        return empty_root();
    };
    others
        .iter()
        .rfold(*last, |right, left| node_hash(left, &right))
}

/// The right edge of a tree that grows: all it takes to append leaves and to tell its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// Roots of the complete subtrees of the tree, the largest first.
    peaks: Vec<Hash>,
}

impl Edge {
    /// The edge of a tree of `size` leaves; `None` if these are not as many peaks as it has.
    pub fn new(size: u64, peaks: Vec<Hash>) -> Option<Edge> {
        (size.count_ones() as usize == peaks.len()).then_some(Edge { size, peaks })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of its complete subtrees, the largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf; every node that is complete with it is told, the leaf itself first.
    pub fn push(&mut self, leaf: Hash, completed: impl FnMut(Node, &Hash)) {
        let index = self.size;
        self.push_node(Node { level: 0, index }, leaf, completed);
    }

    /// Appends a complete subtree, which is where one of its size may begin.
    fn push_node(&mut self, mut node: Node, hash: Hash, mut completed: impl FnMut(Node, &Hash)) {
        let mut hash = hash;
        completed(node, &hash);
        self.size += 1 << node.level;
        while node.index % 2 == 1 {
            let left = self.peaks.pop().expect("a right child has a left one");
            hash = node_hash(&left, &hash);
            node = Node {
                level: node.level + 1,
                index: node.index / 2,
            };
            completed(node, &hash);
        }
        self.peaks.push(hash);
    }

    /// Appends the complete subtrees of what follows up to `size`, as [`complete`] lists them; `false`,
    /// and nothing is appended, if these are not as many hashes.
    pub fn extend_to(&mut self, size: u64, hashes: &[Hash]) -> bool {
        let nodes = complete(self.size..size);
        if nodes.len() != hashes.len() || size < self.size {
            return false;
        }
        for (node, hash) in nodes.into_iter().zip(hashes) {
            self.push_node(node, *hash, |_, _| ());
        }
        true
    }

    /// The root of the tree as it is now.
    pub fn root(&self) -> Hash {
        root_of(&self.peaks)
    }
}

/// The ranges whose roots prove, from the leaf upwards, that leaf `index` is in a tree of `size` leaves.
/// Empty too if there is no such leaf.
pub fn inclusion_path(index: u64, size: u64) -> Vec<Range<u64>> {
    let mut path = Vec::new();
    let mut tree = 0..size;
    while index < tree.end && tree.end - tree.start > 1 {
        let middle = tree.start + split(tree.end - tree.start);
        let (left, right) = (tree.start..middle, middle..tree.end);
        let (inside, beside) = match index < middle {
            true => (left, right),
            false => (right, left),
        };
        path.push(beside);
        tree = inside;
    }
    path.reverse();
    path
}

/// The ranges whose roots prove that a tree of `second` leaves begins with that of `first`. Empty if either
/// is empty or both are the same: then there is nothing to prove.
pub fn consistency_path(first: u64, second: u64) -> Vec<Range<u64>> {
    if first == 0 || first >= second {
        return Vec::new();
    }
    let mut path = Vec::new();
    let mut tree = 0..second;
    // The first tree is a node of the second: whoever verifies has its root already.
    let mut whole = true;
    while tree.end != first {
        let middle = tree.start + split(tree.end - tree.start);
        if first <= middle {
            path.push(middle..tree.end);
            tree.end = middle;
        } else {
            path.push(tree.start..middle);
            tree.start = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(tree);
    }
    path.reverse();
    path
}

/// The largest power of two below a number of leaves that is at least 2.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The root over a range of a path, by the hashes of its complete subtrees.
pub fn range_root(range: Range<u64>, mut hash_of: impl FnMut(Node) -> Hash) -> Hash {
    let subtrees: Vec<Hash> = complete(range).into_iter().map(&mut hash_of).collect();
    root_of(&subtrees)
}

/// The root that a leaf and its proof lead to (RFC 9162, 2.1.3.2); `None` if no tree of this size has such a
/// proof of such a leaf.
pub fn root_from_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut root) = (index, size - 1, leaf);
    for hash in proof {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            root = node_hash(hash, &root);
            while at % 2 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            root = node_hash(&root, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

/// Does this proof show that the tree of `second` leaves begins with that of `first` (RFC 9162, 2.1.4.2)?
pub fn is_consistent(
    (first, first_root): (u64, &Hash),
    (second, second_root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    if first > second {
        return false;
    }
    if first == second {
        return proof.is_empty() && first_root == second_root;
    }
    if first == 0 {
        return proof.is_empty() && *first_root == empty_root();
    }
    // A first tree that is a node of the second is not told again.
    let mut hashes = proof.iter();
    let start = match first.is_power_of_two() {
        true => Some(first_root),
        false => hashes.next(),
    };
    let Some(start) = start else { return false };
    let (mut at, mut last) = (first - 1, second - 1);
    while at % 2 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut old, mut new) = (*start, *start);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            (old, new) = (node_hash(hash, &old), node_hash(hash, &new));
            while at % 2 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *first_root && new == *second_root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The hash of a leaf that is these bytes.
    fn leaf_hash(entry: &[u8]) -> Hash {
        let hash = Sha256::new().chain_update([0]).chain_update(entry);
        hash.finalize().into()
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    /// The root as the RFC defines it (2.1.1), by recursion.
    fn defined_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [only] => *only,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&defined_root(left), &defined_root(right))
            }
        }
    }

    fn hash_in(leaves: &[Hash]) -> impl Fn(Node) -> Hash + '_ {
        |node| {
            let range = node.index << node.level..(node.index + 1) << node.level;
            defined_root(&leaves[range.start as usize..range.end as usize])
        }
    }

    fn inclusion(leaves: &[Hash], index: u64) -> Vec<Hash> {
        let path = inclusion_path(index, leaves.len() as u64);
        path.into_iter()
            .map(|range| range_root(range, hash_in(leaves)))
            .collect()
    }

    fn consistency(leaves: &[Hash], first: u64) -> Vec<Hash> {
        let path = consistency_path(first, leaves.len() as u64);
        path.into_iter()
            .map(|range| range_root(range, hash_in(leaves)))
            .collect()
    }

    fn hex(hash: &Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The entries that tests of Certificate Transparency logs share, and the roots they publish.
    #[test]
    fn published_roots() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut edge = Edge::default();
        assert_eq!(
            hex(&edge.root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let roots: Vec<String> = entries
            .iter()
            .map(|entry| {
                edge.push(leaf_hash(entry), |_, _| ());
                hex(&edge.root())
            })
            .collect();
        assert_eq!(
            roots[0],
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            roots[7],
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn an_edge_has_the_root_of_its_leaves() {
        let all = leaves(70);
        let mut edge = Edge::default();
        for (n, leaf) in all.iter().enumerate() {
            assert_eq!(edge.root(), defined_root(&all[..n]), "{n}");
            let mut completed = Vec::new();
            edge.push(*leaf, |node, hash| completed.push((node, *hash)));
            for (node, hash) in completed {
                assert_eq!(hash, hash_in(&all)(node), "{node:?}");
            }
        }
        let copy = Edge::new(edge.size(), edge.peaks().to_vec());
        assert_eq!(copy, Some(edge.clone()));
        assert_eq!(Edge::new(71, edge.peaks().to_vec()), None);
    }

    /// Every leaf of every small tree, and no other leaf, place, size or root.
    #[test]
    fn what_is_included_can_be_proved_and_nothing_else() {
        let all = leaves(34);
        for size in 1..=all.len() {
            let tree = &all[..size];
            let root = defined_root(tree);
            for index in 0..size as u64 {
                let proof = inclusion(tree, index);
                let shown = |leaf, index, size, proof: &[Hash]| {
                    root_from_inclusion(leaf, index, size, proof) == Some(root)
                };
                let (leaf, size) = (tree[index as usize], size as u64);
                assert!(shown(leaf, index, size, &proof), "{index} of {size}");
                assert!(!shown(all[33], index, size, &proof) || leaf == all[33]);
                for other in (0..size + 2).filter(|other| *other != index) {
                    assert!(
                        !shown(leaf, other, size, &proof),
                        "{index} at {other} of {size}"
                    );
                }
                let longer = [&proof[..], &[root]].concat();
                assert!(!shown(leaf, index, size, &longer));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!shown(leaf, index, size, shorter));
                }
            }
        }
    }

    #[test]
    fn a_tree_that_grew_can_be_proved_and_no_other() {
        let all = leaves(34);
        for second in 0..=all.len() as u64 {
            let tree = &all[..second as usize];
            let root = defined_root(tree);
            for first in 0..=second {
                let before = defined_root(&tree[..first as usize]);
                let proof = consistency(tree, first);
                let grown = (second, &root);
                assert!(
                    is_consistent((first, &before), grown, &proof),
                    "{first} {second}"
                );
                let other = leaf_hash(b"other");
                assert!(!is_consistent((first, &other), grown, &proof));
                assert!(!is_consistent((first, &before), (second, &other), &proof) || first == 0);
                let longer = [&proof[..], &[root]].concat();
                assert!(!is_consistent((first, &before), grown, &longer));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!is_consistent((first, &before), grown, shorter));
                }
            }
        }
    }

    proptest! {
        /// Whatever is done to a proof, it leads to another root or to none.
        #[test]
        fn a_changed_proof_proves_nothing(
            size in 2u64..3_000, at in any::<prop::sample::Index>(),
            which in any::<prop::sample::Index>(), bit in 0usize..256,
        ) {
            let tree = leaves(size);
            let index = at.index(size as usize) as u64;
            let root = defined_root(&tree);
            let mut proof = inclusion(&tree, index);
            let leaf = tree[index as usize];
            prop_assert_eq!(root_from_inclusion(leaf, index, size, &proof), Some(root));
            let place = which.index(proof.len());
            proof[place][bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(root_from_inclusion(leaf, index, size, &proof), Some(root));
        }

        #[test]
        fn large_trees_grow_consistently(second in 2u64..3_000, at in any::<prop::sample::Index>()) {
            let tree = leaves(second);
            let first = at.index(second as usize) as u64;
            let (before, after) = (defined_root(&tree[..first as usize]), defined_root(&tree));
            let proof = consistency(&tree, first);
            prop_assert!(proof.len() <= PROOF_HASHES_MAX);
            prop_assert!(is_consistent((first, &before), (second, &after), &proof));
        }
    }

    /// Every range of every small tree leads to its root, by what lies left and right of it, and by
    /// nothing else.
    #[test]
    fn a_range_and_what_is_beside_it_lead_to_the_root() {
        let all = leaves(21);
        let hash_of = hash_in(&all);
        for size in 1..=all.len() as u64 {
            let root = defined_root(&all[..size as usize]);
            for from in 0..size {
                for to in from + 1..=size {
                    let left: Vec<Hash> = complete(0..from).into_iter().map(&hash_of).collect();
                    let right: Vec<Hash> = complete(to..size).into_iter().map(&hash_of).collect();
                    let shown = |leaves: &[Hash], right: &[Hash]| {
                        let mut edge = Edge::new(from, left.clone())?;
                        leaves.iter().for_each(|leaf| edge.push(*leaf, |_, _| ()));
                        (edge.size() == to && edge.extend_to(size, right)).then(|| edge.root())
                    };
                    let own = &all[from as usize..to as usize];
                    assert_eq!(shown(own, &right), Some(root), "{from} {to} {size}");
                    let mut other = own.to_vec();
                    other[0][7] ^= 1;
                    assert_ne!(shown(&other, &right), Some(root));
                    let more = [&right[..], &[root]].concat();
                    assert_eq!(shown(own, &more), None);
                    if let Some((last, fewer)) = right.split_last() {
                        assert_eq!(shown(own, fewer), None);
                        let mut changed = *last;
                        changed[0] ^= 1;
                        let changed = [fewer, &[changed]].concat();
                        assert_ne!(shown(own, &changed), Some(root));
                    }
                }
            }
        }
    }
}
