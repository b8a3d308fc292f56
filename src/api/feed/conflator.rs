//! At most so many updates a second of each key: the first goes at once, of those that follow too
//! soon the latest goes when its time has come.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Holds back updates that come too soon. Keys that rest longer than the interval are forgotten.
pub struct Conflator<K, V> {
    interval: Duration,
    /// Keys that have to rest, with what is held back of them.
    keys: HashMap<K, Option<V>>,
    /// When each of them has rested.
    due: BTreeSet<(Instant, K)>,
}

impl<K: Clone + Eq + Hash + Ord, V> Conflator<K, V> {
    /// With this time between two updates of one key.
    pub fn new(interval: Duration) -> Conflator<K, V> {
        Conflator {
            interval,
            keys: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Gives the update back if it may go now, else keeps it; says whether another one that was
    /// held back is passed over for it.
    pub fn offer(&mut self, key: &K, update: V, now: Instant) -> (Option<V>, bool) {
        match self.keys.get_mut(key) {
            Some(held) => (None, held.replace(update).is_some()),
            None => {
                self.rest(key.clone(), now);
                (Some(update), false)
            }
        }
    }

    /// The updates whose time has come.
    pub fn due(&mut self, now: Instant) -> Vec<(K, V)> {
        let mut due = Vec::new();
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.due.pop_first() else {
                break;
            };
            if let Some(update) = self.keys.remove(&key).flatten() {
                self.rest(key.clone(), now);
                due.push((key, update));
            }
        }
        due
    }

    /// When something is to be looked at again.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Drops what is held back of a key.
    pub fn drop_held(&mut self, key: &K) {
        if let Some(held) = self.keys.get_mut(key) {
            *held = None;
        }
    }

    fn rest(&mut self, key: K, now: Instant) {
        self.due.insert((now + self.interval, key.clone()));
        self.keys.insert(key, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_goes_more_often_than_it_may_and_the_latest_is_never_kept_back() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut conflator = Conflator::new(Duration::from_millis(100));
        assert_eq!(
            conflator.offer(&"a", 1, at(0)),
            (Some(1), false),
            "the first at once"
        );
        assert_eq!(conflator.offer(&"a", 2, at(10)), (None, false));
        assert_eq!(
            conflator.offer(&"b", 7, at(20)),
            (Some(7), false),
            "each key for itself"
        );
        assert_eq!(
            conflator.offer(&"a", 3, at(99)),
            (None, true),
            "2 is passed over"
        );
        assert_eq!(conflator.due(at(99)), []);
        assert_eq!(conflator.next_due(), Some(at(100)));
        assert_eq!(conflator.due(at(100)), [("a", 3)]);
        assert_eq!(conflator.offer(&"a", 4, at(150)), (None, false));
        assert_eq!(
            conflator.due(at(200)),
            [("a", 4)],
            "and b, which had nothing, is forgotten"
        );
        assert_eq!(conflator.offer(&"b", 8, at(201)), (Some(8), false));
        assert_eq!(conflator.offer(&"b", 9, at(202)), (None, false));
        conflator.drop_held(&"b");
        assert_eq!(conflator.due(at(1_000)), []);
        assert_eq!(conflator.next_due(), None);
    }
}
