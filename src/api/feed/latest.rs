//! The latest item of each key, numbered by change: what a latest-wins group keeps for its members.
//!
//! A member remembers the last number it took. Whatever changed since stands behind it, each key
//! once, however long the member was away; a new member begins at the start, which is the snapshot.
//!
//! A key that has left is kept for members who may have been told of it, not shown to new ones, and
//! forgotten first where there is no more room; a member that was not told by then must begin anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// The numbers of those that have left.
    left: BTreeSet<u64>,
    /// The highest number of those that were forgotten.
    forgotten: u64,
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
    /// It tells that the key concerns nobody any more.
    pub left: bool,
}

/// What a member is to be told next.
#[derive(Debug)]
pub enum Next {
    /// This change, of this number.
    Change(u64, Change),
    /// Nothing so far.
    Nothing,
    /// It cannot be said: something that it was to be told of is forgotten.
    Forgotten,
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
        while inner.numbers.len() >= self.keys_max || inner.bytes > self.bytes_max {
            inner.forget()?;
        }
        inner.last += 1;
        let number = inner.last;
        if change.left {
            inner.left.insert(number);
        }
        inner.numbers.insert(key.clone(), number);
        inner.changes.insert(number, (key.clone(), change));
        Ok(())
    }

    /// A key concerns nobody any more.
    pub fn remove(&self, key: &str) {
        self.lock().take(key);
    }

    /// The number of the last change so far: where a new member joins.
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    /// The first change after a number, for a member who joined at another: it is not told of what had
    /// left before.
    pub fn after(&self, number: u64, joined: u64) -> Next {
        let inner = self.lock();
        if inner.forgotten > number.max(joined) {
            return Next::Forgotten;
        }
        let mut rest = inner.changes.range(number + 1..);
        let next = rest.find(|(number, (_, change))| !change.left || **number > joined);
        match next {
            Some((number, (_, change))) => Next::Change(*number, change.clone()),
            None => Next::Nothing,
        }
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
        if let Some(number) = number {
            self.left.remove(&number);
        }
    }

    /// Makes room: what left first goes first.
    fn forget(&mut self) -> Result<(), TooMuch> {
        let first = self.left.first().copied().ok_or(TooMuch)?;
        let (key, _) = self.changes.get(&first).ok_or(TooMuch)?;
        let key = key.clone();
        self.take(&key);
        self.forgotten = first;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(latest: &Latest, key: &str, text: &'static str, left: bool) -> Result<(), TooMuch> {
        let item = FeedItem {
            payload: text.into(),
            position: None,
        };
        let change = Change {
            item,
            recorded_at: None,
            left,
        };
        latest.set(&key.into(), change)
    }

    fn set(latest: &Latest, key: &str, text: &'static str) -> Result<(), TooMuch> {
        put(latest, key, text, false)
    }

    /// What a member is told who has taken a number, and joined at another.
    fn told(latest: &Latest, mut number: u64, joined: u64) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            match latest.after(number, joined) {
                Next::Change(next, change) => {
                    told.push(String::from_utf8_lossy(&change.item.payload).into_owned());
                    number = next;
                }
                Next::Nothing => return told,
                Next::Forgotten => {
                    told.push("forgotten".to_owned());
                    return told;
                }
            }
        }
    }

    fn after(latest: &Latest, number: u64) -> Vec<String> {
        told(latest, number, 0)
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
    #[test]
    fn who_may_know_a_key_is_told_that_it_left_and_nobody_else() {
        let latest = Latest::new(10, 1_000);
        assert_eq!(set(&latest, "a", "a1"), Ok(()));
        assert_eq!(set(&latest, "b", "b1"), Ok(()));
        assert_eq!(put(&latest, "a", "a left", true), Ok(()));
        assert_eq!(told(&latest, 1, 0), ["b1", "a left"], "whoever has seen a1");
        assert_eq!(told(&latest, 0, latest.last()), ["b1"], "a new member");
        assert_eq!(set(&latest, "a", "a2"), Ok(()), "it comes back");
        assert_eq!(told(&latest, 1, 0), ["b1", "a2"]);
    }

    #[test]
    fn what_left_makes_room_and_who_was_not_told_begins_anew() {
        let latest = Latest::new(3, 1_000);
        for key in ["a", "b", "c"] {
            assert_eq!(set(&latest, key, "here"), Ok(()));
        }
        assert_eq!(put(&latest, "a", "a left", true), Ok(()));
        assert_eq!(put(&latest, "b", "b left", true), Ok(()));
        assert_eq!(set(&latest, "d", "d1"), Ok(()));
        assert_eq!(told(&latest, 3, 0), ["forgotten"], "of a");
        assert_eq!(told(&latest, 4, 0), ["b left", "d1"], "was told of a");
        assert_eq!(told(&latest, 0, 5), ["here", "d1"], "never knew of a");
        assert_eq!(set(&latest, "e", "e1"), Ok(()));
        assert_eq!(set(&latest, "f", "f1"), Err(TooMuch));
    }
}
