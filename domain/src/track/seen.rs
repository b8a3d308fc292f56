//! A map from small keys to digests that is cheap to keep, copy and grow at its end.

/// How many entries wait out of order before they are merged in.
const LATE_MAX: usize = 1_024;

/// Sorted entries in one vector, and a short sorted one for what came out of order: two binary
/// searches a look-up, 16 to 24 bytes an entry, a copy is a `memcpy`. Fixes mostly come in order,
/// and then an insert is a push; chosen keys cannot degrade it as they could a hash map.
#[derive(Clone, Debug, PartialEq)]
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
        if self.sorted.last().is_none_or(|(last, _)| *last < key) {
            if get(&self.late, key).is_none() {
                self.sorted.push((key, digest));
            }
            return;
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
