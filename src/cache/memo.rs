//! What was found out before, by the digest of what it was found out of: bounded, and forgotten in
//! the order in which it was last needed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Two generations: what is needed again moves to the young one; when that is full, the old one
/// is forgotten whole. So at most `max` entries, and no list to keep in order.
pub struct Memo<V> {
    half_max: usize,
    generations: Mutex<Generations<V>>,
}

struct Generations<V> {
    young: HashMap<[u8; 32], V>,
    old: HashMap<[u8; 32], V>,
}

impl<V: Clone> Memo<V> {
    /// Remembers at most `max` things; none if 0 or 1.
    pub fn new(max: usize) -> Memo<V> {
        Memo {
            half_max: max / 2,
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
        }
    }

    /// What is remembered under this digest.
    pub fn get(&self, digest: &[u8; 32]) -> Option<V> {
        let old = {
            let generations = self.generations.lock();
            let generations = generations.unwrap_or_else(PoisonError::into_inner);
            if let Some(value) = generations.young.get(digest) {
                return Some(value.clone());
            }
            generations.old.get(digest).cloned()
        }?;
        self.put(*digest, old.clone());
        Some(old)
    }

    /// Remembers something.
    pub fn put(&self, digest: [u8; 32], value: V) {
        if self.half_max == 0 {
            return;
        }
        let generations = self.generations.lock();
        let mut generations = generations.unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= self.half_max {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(digest, value);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.generations.lock().expect("no panic while it is held");
        generations.young.len() + generations.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_needed() {
        let memo = Memo::new(100);
        let digest = |n: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            digest
        };
        memo.put(digest(0), 0);
        for n in 1..10_000 {
            memo.put(digest(n), n);
            assert_eq!(memo.get(&digest(0)), Some(0), "after {n}");
            assert!(memo.len() <= 100);
        }
        assert_eq!(memo.get(&digest(1)), None);
        let none = Memo::new(0);
        none.put(digest(0), 0);
        assert_eq!(none.len(), 0);
    }
}
