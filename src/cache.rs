//! Answers kept for a while: in this process first, in Redis second. Nothing here is ever more than
//! a copy, and a key names the position it is a copy of: losing it costs speed only. Beside them what
//! processes tell each other through Redis: wake-ups, what was spent of quotas, and boards.

mod bell;
mod breaker;
mod frame;
mod key;
mod ledger;
mod memo;
mod ranks;
mod redis;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use moka::future::Cache as Memory;

use self::redis::Redis;
use crate::config;
use crate::ops::{Probed, metrics as names};

pub use bell::Bell;
pub use key::CacheKey;
pub use ledger::{Ledger, LedgerEntry, LedgerTold};
pub use memo::Memo;
pub use ranks::{Lines, RankedBoard, Ranks, RanksLoading, RanksTold};

/// Both layers. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    memory: Memory<CacheKey, Arc<[u8]>>,
    entry_bytes_max: usize,
    redis: Option<Redis>,
}

/// An answer, and where it was found.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The answer.
    pub bytes: Arc<[u8]>,
    /// Where it was found.
    pub source: Source,
}

/// Where an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this process, or made for another caller meanwhile.
    Memory,
    /// In Redis.
    Redis,
    /// Nowhere: it was made.
    Made,
}

/// The address of Redis cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("redis.url cannot be used: {0}")]
pub struct CacheError(String);

/// What an entry takes beside its bytes, roughly: key, pointers, bookkeeping.
const ENTRY_OVERHEAD_BYTES: usize = 200;

impl Cache {
    /// Connects to Redis, if there is one, when it is first needed. All processes that are to
    /// believe each other's entries are given the same `secret`.
    pub fn new(
        settings: &config::Cache,
        redis: &config::Redis,
        secret: [u8; 32],
    ) -> Result<Cache, CacheError> {
        let memory = Memory::builder()
            .max_capacity(settings.bytes_max.0)
            .weigher(|_, bytes: &Arc<[u8]>| {
                u32::try_from(bytes.len() + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
            })
            .time_to_live(settings.ttl)
            .build();
        let redis = Redis::open(redis, settings, secret)?;
        let entry_bytes_max = settings.entry_bytes_max.len();
        Ok(Cache(Arc::new(Inner {
            memory,
            entry_bytes_max,
            redis,
        })))
    }

    /// The answer kept in this process's memory.
    pub async fn kept_here(&self, key: &CacheKey) -> Option<Arc<[u8]>> {
        let bytes = self.0.memory.get(key).await?;
        counter!(names::CACHE_REQUESTS_TOTAL, "layer" => "memory", "outcome" => "hit").increment(1);
        Some(bytes)
    }

    /// The kept answer, or the one that `make` makes: once, however many callers ask meanwhile.
    ///
    /// An error is given to all who waited for this answer, and is not kept. When the caller that
    /// makes the answer goes away, another that waits makes it.
    pub async fn get_or<E, F>(
        &self,
        key: &CacheKey,
        make: impl FnOnce() -> F,
    ) -> Result<Kept, Arc<E>>
    where
        F: Future<Output = Result<Arc<[u8]>, E>>,
        E: Send + Sync + 'static,
    {
        let Inner {
            memory,
            entry_bytes_max,
            redis,
        } = &*self.0;
        let mut source = Source::Memory;
        let from = &mut source;
        let fill = async move {
            if let Some(redis) = redis
                && let Some(bytes) = redis.get(key).await
            {
                *from = Source::Redis;
                return Ok(bytes);
            }
            let bytes = make().await?;
            *from = Source::Made;
            if let Some(redis) = redis
                && bytes.len() <= *entry_bytes_max
            {
                redis.put_later(key, bytes.clone());
            }
            Ok(bytes)
        };
        let entry = memory.entry_by_ref(key).or_try_insert_with(fill).await?;
        let bytes = entry.into_value();
        if source == Source::Memory {
            counter!(names::CACHE_REQUESTS_TOTAL, "layer" => "memory", "outcome" => "hit")
                .increment(1);
            return Ok(Kept { bytes, source });
        }
        counter!(names::CACHE_REQUESTS_TOTAL, "layer" => "memory", "outcome" => "miss")
            .increment(1);
        if bytes.len() > *entry_bytes_max {
            memory.invalidate(key).await;
        }
        Ok(Kept { bytes, source })
    }

    /// Keeps an answer that was made without asking here first.
    pub async fn put(&self, key: &CacheKey, bytes: Arc<[u8]>) {
        let Inner {
            memory,
            entry_bytes_max,
            redis,
        } = &*self.0;
        if bytes.len() > *entry_bytes_max {
            return;
        }
        if let Some(redis) = redis {
            redis.put_later(key, bytes.clone());
        }
        memory.insert(*key, bytes).await;
    }

    /// Wake-ups of other processes through Redis, if there is one.
    pub fn bell(&self) -> Option<Bell> {
        self.0.redis.clone().map(Bell::new)
    }

    /// What all processes spent of their quotas, if there is Redis.
    pub fn ledger(&self) -> Option<Ledger> {
        self.0.redis.clone().map(Ledger::new)
    }

    /// Boards of all processes, if there is Redis. One that nobody asks for is kept so long.
    pub fn ranks(&self, ttl: Duration) -> Option<Ranks> {
        let redis = self.0.redis.clone()?;
        Some(Ranks::new(redis, ttl))
    }

    /// For the start lines: which cache, how much of it.
    pub fn describe(&self) -> String {
        let mib = self.0.memory.policy().max_capacity().unwrap_or(0) >> 20;
        match &self.0.redis {
            Some(redis) => format!("in process ({mib} MiB), then {}", redis.place()),
            None => format!("in process ({mib} MiB), right for one process; REDIS_URL adds Redis"),
        }
    }

    /// For health: a lost Redis degrades, no more.
    pub async fn probe(&self) -> Probed {
        match &self.0.redis {
            Some(redis) => redis.probe().await,
            None => Probed {
                detail: Some("in process only".to_owned()),
                ..Probed::ok()
            },
        }
    }

    /// Entries in this process's memory, once pending work is done. For tests and figures.
    pub async fn memory_entries(&self) -> u64 {
        self.0.memory.run_pending_tasks().await;
        self.0.memory.entry_count()
    }
}
