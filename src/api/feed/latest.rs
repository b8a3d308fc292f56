//! The latest item of each key, numbered by change: what a latest-wins group keeps for its members.
//!
//! A member remembers the last number it took. Whatever changed since stands behind it, each key
//! once, however long the member was away; a new member begins at the start, which is the snapshot.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::FeedItem;

/// See the file's first lines.
pub struct Latest {
    inner: Mutex<Inner>,
    keys_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Inner {
    numbers: HashMap<Arc<str>, u64>,
    changes: BTreeMap<u64, (Arc<str>, Change)>,
    last: u64,
    bytes: usize,
}

/// One item and, unless it is of a snapshot, when its event was committed.
#[derive(Clone, Debug)]
pub struct Change {
    /// As it is sent.
    pub item: FeedItem,
    /// When what it tells was committed.
    pub recorded_at: Option<DateTime<Utc>>,
}

/// More keys, or bytes, than a subscription may have.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMuch;

impl Latest {
    /// An empty one that keeps so many keys and bytes.
    pub fn new(keys_max: usize, bytes_max: usize) -> Latest {
        Latest {
            inner: Mutex::default(),
            keys_max,
            bytes_max,
        }
    }

    /// A key's new item.
    pub fn set(&self, key: &Arc<str>, change: Change) -> Result<(), TooMuch> {
        let mut inner = self.lock();
        inner.take(key);
        inner.bytes += change.item.payload.len();
        if inner.numbers.len() >= self.keys_max || inner.bytes > self.bytes_max {
            return Err(TooMuch);
        }
        inner.last += 1;
        let number = inner.last;
        inner.numbers.insert(key.clone(), number);
        inner.changes.insert(number, (key.clone(), change));
        Ok(())
    }

    /// A key concerns nobody any more.
    pub fn remove(&self, key: &str) {
        self.lock().take(key);
    }

    /// The first change after a number, and its own number.
    pub fn after(&self, number: u64) -> Option<(u64, Change)> {
        let inner = self.lock();
        let (number, (_, change)) = inner.changes.range(number + 1..).next()?;
        Some((*number, change.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, key: &str) {
        let number = self.numbers.remove(key);
        if let Some((_, change)) = number.and_then(|number| self.changes.remove(&number)) {
            self.bytes -= change.item.payload.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(latest: &Latest, key: &str, text: &'static str) -> Result<(), TooMuch> {
        let item = FeedItem {
            payload: text.into(),
            position: None,
        };
        latest.set(
            &key.into(),
            Change {
                item,
                recorded_at: None,
            },
        )
    }

    fn after(latest: &Latest, mut number: u64) -> Vec<String> {
        let mut told = Vec::new();
        while let Some((next, change)) = latest.after(number) {
            told.push(String::from_utf8_lossy(&change.item.payload).into_owned());
            number = next;
        }
        told
    }

    #[test]
    fn each_key_is_told_once_in_order_of_change() {
        let latest = Latest::new(10, 1_000);
        for (key, text) in [
            ("a", "a1"),
            ("b", "b1"),
            ("a", "a2"),
            ("c", "c1"),
            ("b", "b2"),
        ] {
            assert_eq!(set(&latest, key, text), Ok(()));
        }
        assert_eq!(after(&latest, 0), ["a2", "c1", "b2"]);
        assert_eq!(after(&latest, 3), ["c1", "b2"], "whoever has seen a2");
        assert_eq!(
            after(&latest, 1),
            ["a2", "c1", "b2"],
            "whoever stopped at a1"
        );
        latest.remove("c");
        assert_eq!(after(&latest, 0), ["a2", "b2"]);
    }

    #[test]
    fn keys_and_bytes_are_bounded() {
        let latest = Latest::new(2, 1_000);
        assert_eq!(set(&latest, "a", "1"), Ok(()));
        assert_eq!(set(&latest, "b", "1"), Ok(()));
        assert_eq!(set(&latest, "b", "2"), Ok(()));
        assert_eq!(set(&latest, "c", "1"), Err(TooMuch));
        let latest = Latest::new(100, 5);
        assert_eq!(set(&latest, "a", "1234"), Ok(()));
        assert_eq!(set(&latest, "a", "5678"), Ok(()));
        assert_eq!(set(&latest, "b", "12"), Err(TooMuch));
    }
}
