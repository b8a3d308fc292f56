//! Tokens checked before: bounded, and forgotten in the order in which they were last needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::Caller;

/// Two generations: what is needed again moves to the young one; when that is full, the old one
/// is forgotten whole. So at most `max` entries, and no list to keep in order.
pub struct Remembered {
    half_max: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<[u8; 32], Arc<Caller>>,
    old: HashMap<[u8; 32], Arc<Caller>>,
}

impl Remembered {
    /// Remembers at most `max` tokens; none if 0 or 1.
    pub fn new(max: u64) -> Remembered {
        let half_max = usize::try_from(max / 2).unwrap_or(usize::MAX);
        Remembered {
            half_max,
            generations: Mutex::default(),
        }
    }

    /// Whom the token with this digest stands for, if it was checked before.
    pub fn get(&self, digest: &[u8; 32]) -> Option<Arc<Caller>> {
        let old = {
            let generations = self.generations.lock().unwrap_or_else(|e| e.into_inner());
            if let Some(caller) = generations.young.get(digest) {
                return Some(caller.clone());
            }
            generations.old.get(digest).cloned()
        }?;
        self.put(*digest, old.clone());
        Some(old)
    }

    /// Remembers a checked token.
    pub fn put(&self, digest: [u8; 32], caller: Arc<Caller>) {
        if self.half_max == 0 {
            return;
        }
        let mut generations = self.generations.lock().unwrap_or_else(|e| e.into_inner());
        if generations.young.len() >= self.half_max {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(digest, caller);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.generations.lock().unwrap();
        generations.young.len() + generations.old.len()
    }
}

#[cfg(test)]
mod tests {
    use domain::{Actor, ActorKind};

    use super::*;

    fn caller() -> Arc<Caller> {
        Arc::new(Caller {
            actor: Actor {
                kind: ActorKind::User,
                id: "ann".into(),
            },
            tenant: "default".into(),
            roles: vec![],
            scopes: vec![],
            token_id: "t".into(),
            expires_at: chrono::DateTime::UNIX_EPOCH,
        })
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_needed() {
        let remembered = Remembered::new(100);
        let digest = |n: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            digest
        };
        remembered.put(digest(0), caller());
        for n in 1..10_000 {
            remembered.put(digest(n), caller());
            assert!(remembered.get(&digest(0)).is_some(), "after {n}");
            assert!(remembered.len() <= 100);
        }
        assert!(remembered.get(&digest(1)).is_none());
        let none = Remembered::new(0);
        none.put(digest(0), caller());
        assert_eq!(none.len(), 0);
    }
}
