//! What all processes spent of their quotas, in Redis: one script for many buckets, all or none.
//!
//! Redis knows digests and times, nothing else. What it says is checked for being possible at all; it can
//! be asked to believe that more was spent, never that less was.

use std::sync::atomic::{AtomicU32, Ordering};

use redis::{Cmd, cmd};

use super::redis::Redis;

/// The script. It is sent whole only to a server that does not know it.
const SCRIPT: &str = include_str!("ledger.lua");

/// Its name: the SHA-1 of its text. A test asks a server.
const SCRIPT_NAME: &str = "94a1e54116b9064fb32d5aa689a45c9937a193f2";

/// The number of the next question: an answer to another one is not taken for its answer.
static QUESTIONS: AtomicU32 = AtomicU32::new(0);

/// The ledger all processes share. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Redis);

/// What is spent of one bucket.
#[derive(Clone, Copy, Debug)]
pub struct LedgerEntry {
    /// Which one: a digest.
    pub key: [u8; 16],
    /// What is spent, microseconds.
    pub cost_us: u64,
    /// What an empty bucket takes to be full.
    pub room_us: u64,
    /// The most it may be overspent.
    pub most_us: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerTold {
    /// One bucket held too little, so nothing was spent of any.
    pub refused: bool,
    /// How far each bucket is from full, in the order asked.
    pub levels_us: Vec<u64>,
}

impl Ledger {
    pub(super) fn new(redis: Redis) -> Ledger {
        Ledger(redis)
    }

    /// Spends of all buckets: of all or of none, or whatever is left of them. The error says why Redis
    /// told nothing: `skipped`, `late`, `failed` or `garbage`.
    pub async fn spend(
        &self,
        entries: &[LedgerEntry],
        all_or_none: bool,
    ) -> Result<LedgerTold, &'static str> {
        let number = QUESTIONS.fetch_add(1, Ordering::Relaxed);
        let call = |how: &str, script: &str| {
            let mut call = self.call(how, script, entries);
            call.arg(number).arg(u8::from(all_or_none));
            for entry in entries {
                call.arg(entry.cost_us)
                    .arg(entry.room_us)
                    .arg(entry.most_us);
            }
            call
        };
        let known = call("EVALSHA", SCRIPT_NAME);
        let told = self
            .0
            .ask_script::<Vec<i64>>("spend", &known, || call("EVAL", SCRIPT));
        read(&told.await?, number, entries).ok_or("garbage")
    }

    /// Forgets what was spent of a bucket; lost if Redis is.
    pub async fn forget(&self, key: &[u8; 16]) {
        self.0.forget(&self.name(key)).await;
    }

    /// The script's name or text, and the buckets.
    fn call(&self, how: &str, script: &str, entries: &[LedgerEntry]) -> Cmd {
        let mut call = cmd(how);
        call.arg(script).arg(entries.len());
        for entry in entries {
            call.arg(self.name(&entry.key));
        }
        call
    }

    fn name(&self, key: &[u8; 16]) -> String {
        self.0.named("spent", key)
    }
}

/// What was told, if it can be true.
fn read(told: &[i64], number: u32, entries: &[LedgerEntry]) -> Option<LedgerTold> {
    let (&[answers, refused], levels) = told.split_first_chunk()?;
    let is_whole = levels.len() == entries.len() && matches!(refused, 0 | 1);
    let possible = is_whole && answers == i64::from(number);
    let levels = levels.iter().zip(entries).map(|(level, entry)| {
        let level = u64::try_from(*level).ok();
        level.filter(|level| *level <= entry.most_us)
    });
    let levels_us = levels.collect::<Option<Vec<u64>>>()?;
    possible.then_some(LedgerTold {
        refused: refused == 1,
        levels_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_true_is_not_believed() {
        let entry = LedgerEntry {
            key: [1; 16],
            cost_us: 1,
            room_us: 10,
            most_us: 20,
        };
        let read = |told: &[i64]| read(told, 7, &[entry, entry]).map(|told| told.levels_us);
        assert_eq!(read(&[7, 0, 20, 0]), Some(vec![20, 0]));
        assert_eq!(read(&[7, 1, 5, 6]), Some(vec![5, 6]));
        let garbage: [&[i64]; 9] = [
            &[],
            &[7],
            &[7, 0],
            &[7, 0, 1],
            &[7, 0, 1, 2, 3],
            &[7, 2, 1, 1],
            &[7, 0, -1, 1],
            &[7, 0, 21, 1],
            &[6, 0, 1, 1],
        ];
        for garbage in garbage {
            assert_eq!(read(garbage), None, "{garbage:?}");
        }
    }
}
