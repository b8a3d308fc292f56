//! What was spent here is told to Redis, and what was spent elsewhere is learned, some times a second and
//! for all at once: no request waits for it.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use metrics::counter;

use super::Inner;
use super::gcra::Quota;
use super::key::Key;
use crate::cache::{Ledger, LedgerEntry};
use crate::ops::metrics as names;

/// Buckets that were spent of since the last time.
pub struct Settling {
    pub ledger: Ledger,
    spent_of: Mutex<Vec<Key>>,
    keys_max: usize,
}

impl Settling {
    /// So many buckets at a time.
    pub fn new(ledger: Ledger, keys_max: usize) -> Settling {
        Settling {
            ledger,
            spent_of: Mutex::default(),
            keys_max,
        }
    }

    /// Takes note that a bucket was spent of. False if there are too many.
    pub fn note(&self, key: Key) -> bool {
        let mut keys = self.spent_of.lock().unwrap_or_else(PoisonError::into_inner);
        let room = keys.len() < self.keys_max;
        if room {
            keys.push(key);
        }
        room
    }

    fn take(&self) -> Vec<Key> {
        let mut keys = self.spent_of.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *keys)
    }
}

/// Settles until nobody counts any more.
pub async fn run(counting: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(inner) = counting.upgrade() else {
            return;
        };
        inner.settle().await;
    }
}

impl Inner {
    async fn settle(&self) {
        let Some(settling) = &self.settling else {
            return;
        };
        let mut keys = settling.take();
        let mut entries = Vec::with_capacity(keys.len());
        keys.retain(|key| {
            let (mut owed, mut own) = (0, None);
            self.buckets.with_kept(*key, |bucket| {
                (owed, own) = (std::mem::take(&mut bucket.owed), bucket.quota);
            });
            if owed > 0 {
                let quota = own.unwrap_or_else(|| self.quota(key.kind()));
                entries.push(entry(*key, quota, owed));
            }
            owed > 0
        });
        if keys.is_empty() {
            return;
        }
        // What Redis did not hear is forgotten: others let through less meanwhile, as we do.
        let settled = settling.ledger.spend(&entries, false).await;
        let Some(settled) = self.heard(settled) else {
            return;
        };
        let now = self.now();
        for (key, level_us) in keys.into_iter().zip(settled.levels_us) {
            let of_kind = self.quota(key.kind());
            self.buckets.with_kept(key, |bucket| {
                let most = bucket.quota.unwrap_or(of_kind).most_ns();
                let level = level_us.saturating_mul(1_000).saturating_add(bucket.owed);
                bucket.tat = bucket.tat.max(now.saturating_add(level.min(most)));
            });
        }
    }

    /// A bucket with the quota of its kind, as Redis keeps it.
    pub fn entry(&self, key: Key, owed_ns: u64) -> LedgerEntry {
        entry(key, self.quota(key.kind()), owed_ns)
    }

    /// Whether Redis answers decides how much this process gives out.
    pub fn heard<T>(&self, said: Result<T, &'static str>) -> Option<T> {
        let nodes = u64::from(self.nodes_assumed);
        let share = if said.is_ok() { 1 } else { nodes };
        let before = self.share.swap(share, Ordering::Relaxed);
        let reason = match said {
            Ok(said) => return Some(said),
            Err(reason) => reason,
        };
        counter!(names::LIMIT_FALLBACKS_TOTAL, "reason" => reason).increment(1);
        if before != share {
            tracing::warn!(
                reason,
                nodes,
                "Redis does not share quotas: each is divided by {nodes} (limits.nodes_assumed)"
            );
        }
        None
    }
}

fn entry(key: Key, quota: Quota, owed_ns: u64) -> LedgerEntry {
    LedgerEntry {
        key: *key.bytes(),
        cost_us: owed_ns.div_ceil(1_000),
        room_us: quota.room_ns() / 1_000,
        most_us: quota.most_ns() / 1_000,
    }
}
