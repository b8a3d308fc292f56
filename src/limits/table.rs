//! What is remembered by key: bounded, in shards, and what does not matter any more goes first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use metrics::{Counter, counter};

use super::key::{ByKey, Key};
use crate::ops::metrics as names;

/// Something that does not matter any more after some time.
pub trait Lapses: Default {
    /// Whoever is not remembered after this time is treated the same.
    fn lapses_at(&self) -> u64;
}

/// Values by key.
pub struct Table<V> {
    shards: Box<[Mutex<Shard<V>>]>,
    shard_max: usize,
    evicted: Counter,
}

type Shard<V> = HashMap<Key, V, ByKey>;

/// Threads that meet in one shard wait for each other for some 50 ns.
const SHARDS: usize = 64;

/// What is driven out of a full shard at once: looking for what matters least takes a look at all.
const EVICTED_SHARE: usize = 8;

impl<V: Lapses> Table<V> {
    /// At most about `max` values.
    pub fn new(max: usize) -> Table<V> {
        Table {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_max: max.div_ceil(SHARDS).max(1),
            evicted: counter!(names::LIMIT_EVICTIONS_TOTAL),
        }
    }

    /// Does something with the value of this key, a new one if there is none.
    pub fn with<R>(&self, key: Key, now: u64, act: impl FnOnce(&mut V) -> R) -> R {
        let shard = self.shards[key.place(SHARDS)].lock();
        let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = shard.get_mut(&key) {
            return act(value);
        }
        if shard.len() >= self.shard_max {
            self.evicted.increment(make_room(&mut shard, now));
        }
        act(shard.entry(key).or_default())
    }

    /// Does something with the value of this key, if there is one.
    pub fn with_kept(&self, key: Key, act: impl FnOnce(&mut V)) {
        let shard = self.shards[key.place(SHARDS)].lock();
        let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = shard.get_mut(&key) {
            act(value);
        }
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap().len())
            .sum()
    }
}

/// Forgets what has lapsed, and where that is too little what lapses soonest: whoever has spent most is
/// remembered longest. Tells how many were forgotten that still mattered.
fn make_room<V: Lapses>(shard: &mut Shard<V>, now: u64) -> u64 {
    let full = shard.len();
    shard.retain(|_, value| value.lapses_at() > now);
    let share = full.div_ceil(EVICTED_SHARE);
    let Some(more) = share
        .checked_sub(full - shard.len())
        .filter(|more| *more > 0)
    else {
        return 0;
    };
    let mut order: Vec<(u64, Key)> = shard.iter().map(|(key, v)| (v.lapses_at(), *key)).collect();
    order.select_nth_unstable_by_key(more - 1, |(at, _)| *at);
    for (_, key) in &order[..more] {
        shard.remove(key);
    }
    more as u64
}

#[cfg(test)]
mod tests {
    use super::super::key::{Keys, Kind};
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    #[derive(Default)]
    struct At(u64);

    impl Lapses for At {
        fn lapses_at(&self) -> u64 {
            self.0
        }
    }

    fn key(n: u32) -> Key {
        Keys::new([7; 32]).address(Kind::Address, IpAddr::V4(Ipv4Addr::from_bits(n)))
    }

    #[test]
    fn it_is_bounded_and_forgets_what_matters_least() {
        let table = Table::<At>::new(6_400);
        // Spenders whose time is far ahead, among many more whose time is near.
        for n in 0..200 {
            table.with(key(n), 0, |at| at.0 = 1_000_000);
        }
        for n in 200..100_000 {
            table.with(key(n), 0, |at| at.0 = 10);
            assert!(n % 1_000 != 0 || table.len() <= 6_400);
        }
        for n in 0..200 {
            assert_eq!(table.with(key(n), 0, |at| at.0), 1_000_000, "{n}");
        }
        let mut kept = 0;
        table.with_kept(key(200), |_| kept += 1);
        assert_eq!(kept, 0, "an early one whose time was near is gone");
        assert!(table.len() <= 6_400);
    }

    #[test]
    fn what_has_lapsed_goes_first_and_is_no_eviction() {
        let mut shard = Shard::<At>::default();
        for n in 0..100 {
            shard.insert(key(n), At(u64::from(n)));
        }
        assert_eq!(make_room(&mut shard, 50), 0, "enough had lapsed");
        assert_eq!(shard.len(), 49);
        assert_eq!(make_room(&mut shard, 50), 7, "an eighth of those left");
        assert_eq!(shard.values().map(|at| at.0).min(), Some(58));
    }
}
