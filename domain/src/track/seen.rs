//! A map from small keys to digests that is cheap to keep, copy and grow at its end.

/// How many entries wait out of order before they are merged in.
const LATE_MAX: usize = 1_024;

/// Sorted entries in one vector, and a short sorted one for what came out of order: two binary
/// searches a look-up, 16 to 24 bytes an entry, a copy is a `memcpy`. Fixes mostly come in order,
/// and then an insert is a push; chosen keys cannot degrade it as they could a hash map.
#[derive(Clone, Debug)]
pub(super) struct Seen<K> {
    sorted: Vec<(K, u64)>,
    late: Vec<(K, u64)>,
}

impl<K> Default for Seen<K> {
    fn default() -> Self {
        Seen {
            sorted: Vec::new(),
            late: Vec::new(),
        }
    }
}

impl<K: Ord + Copy> Seen<K> {
    pub(super) fn get(&self, key: K) -> Option<u64> {
        get(&self.sorted, key).or_else(|| get(&self.late, key))
    }

    /// Remembers the first digest of a key; later ones change nothing.
    pub(super) fn insert(&mut self, key: K, digest: u64) {
        // What is late is before the last sorted key, so a key after it is in neither.
        if self.sorted.last().is_none_or(|(last, _)| *last < key) {
            return self.sorted.push((key, digest));
        }
        if get(&self.sorted, key).is_some() {
            return;
        }
        if let Err(at) = self.late.binary_search_by_key(&key, |(k, _)| *k) {
            self.late.insert(at, (key, digest));
        }
        if self.late.len() >= LATE_MAX {
            self.sorted.append(&mut self.late);
            self.sorted.sort_by_key(|(k, _)| *k);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len() + self.late.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.sorted.capacity() + self.late.capacity()) * size_of::<(K, u64)>()
    }
}

fn get<K: Ord + Copy>(entries: &[(K, u64)], key: K) -> Option<u64> {
    let at = entries.binary_search_by_key(&key, |(k, _)| *k).ok()?;
    Some(entries[at].1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In order, out of order, again: always what a plain map that keeps firsts would say.
        #[test]
        fn it_is_a_map_that_keeps_the_first(
            pairs in prop::collection::vec((0i64..3_000, any::<u64>()), 0..4_000),
        ) {
            let (mut seen, mut plain) = (Seen::default(), BTreeMap::new());
            for (key, digest) in pairs {
                seen.insert(key, digest);
                plain.entry(key).or_insert(digest);
            }
            prop_assert_eq!(seen.len(), plain.len());
            for key in 0..3_000 {
                prop_assert_eq!(seen.get(key), plain.get(&key).copied());
            }
        }
    }

    #[test]
    fn a_day_backwards_is_no_different() {
        let mut seen = Seen::default();
        (0..20_000u64).rev().for_each(|n| seen.insert(n, n));
        (0..20_000).for_each(|n| assert_eq!(seen.get(n), Some(n)));
        assert_eq!(seen.len(), 20_000);
        assert!(seen.heap_bytes() < 20_000 * 16 * 2 + LATE_MAX * 16 * 2);
    }
}
