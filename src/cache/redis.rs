//! The second layer: Redis, asked within a time budget and never believed without proof.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue};
use tokio::sync::Semaphore;

use super::breaker::Breaker;
use super::{CacheError, CacheKey, frame};
use crate::config;
use crate::ops::{Probed, State, metrics as names};

/// One Redis, connected to when it is first needed and again whenever it was lost.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    connection: ConnectionManager,
    place: String,
    /// First part of every name: the configured prefix, and what tells apart those who do not
    /// believe each other.
    prefix: String,
    budget: Duration,
    ttl_ms: u64,
    frame_bytes_max: usize,
    secret: [u8; 32],
    breaker: Breaker,
    writes: Arc<Semaphore>,
    connect_timeout: Duration,
}

/// Stores under way at one time; further answers are not stored.
const WRITES_MAX: usize = 64;

impl Redis {
    /// `None` when no address is configured.
    pub fn open(
        settings: &config::Redis,
        cache: &config::Cache,
        secret: [u8; 32],
    ) -> Result<Option<Redis>, CacheError> {
        let Some(url) = &settings.url else {
            return Ok(None);
        };
        // The library's message may repeat the address, and with it the password.
        let refused = |_| CacheError(format!("{url} is not an address of a Redis server"));
        let client = Client::open(url.expose()).map_err(refused)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_response_timeout(Some(settings.budget))
            .set_number_of_retries(1);
        let connection =
            ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(refused)?;
        Ok(Some(Redis(Arc::new(Inner {
            client,
            connection,
            place: url.to_string(),
            prefix: format!("{}{}:", settings.prefix, frame::tag(&secret)),
            budget: settings.budget,
            ttl_ms: u64::try_from(cache.ttl.as_millis()).unwrap_or(u64::MAX),
            frame_bytes_max: cache
                .entry_bytes_max
                .len()
                .saturating_add(frame::OVERHEAD_BYTES),
            secret,
            breaker: Breaker::new(settings.breaker_failures, settings.breaker_open),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            connect_timeout: settings.connect_timeout,
        }))))
    }

    /// Where it is, without secrets.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// The kept answer, if Redis has one, says so in time and can prove it.
    pub async fn get(&self, key: &CacheKey) -> Option<Arc<[u8]>> {
        let end = isize::try_from(self.0.frame_bytes_max).unwrap_or(isize::MAX);
        // Reads no further than the largest entry there can be; empty if there is none.
        let command = Cmd::getrange(self.name(key), 0, end);
        let (outcome, answer) = match self.ask::<Vec<u8>>("get", &command).await {
            Err(outcome) => (outcome, None),
            Ok(frame) if frame.is_empty() => ("miss", None),
            Ok(frame) => match frame::open(&self.0.secret, key, &frame) {
                Some(answer) => ("hit", Some(answer.into())),
                None => {
                    tracing::warn!(%key, "an entry in Redis was not made by us: ignored");
                    ("disbelieved", None)
                }
            },
        };
        counter!(names::CACHE_REQUESTS_TOTAL, "layer" => "redis", "outcome" => outcome)
            .increment(1);
        answer
    }

    /// Stores an answer without making its caller wait; not at all when too many are under way.
    pub fn put_later(&self, key: &CacheKey, answer: Arc<[u8]>) {
        if self.0.ttl_ms == 0 {
            return;
        }
        let Ok(permit) = self.0.writes.clone().try_acquire_owned() else {
            return;
        };
        let (redis, key) = (self.clone(), *key);
        tokio::spawn(async move {
            let frame = frame::seal(&redis.0.secret, &key, &answer);
            let command = Cmd::pset_ex(redis.name(&key), frame, redis.0.ttl_ms);
            // A lost store is a later miss; `ask` has counted it.
            let _ = redis.ask::<()>("put", &command).await;
            drop(permit);
        });
    }

    /// Tells whoever listens to a channel; lost if Redis is.
    pub async fn publish(&self, channel: &str, message: &[u8]) {
        let command = Cmd::publish(self.channel(channel), message);
        // A lost wake-up is a later poll; `ask` has counted it.
        let _ = self.ask::<()>("publish", &command).await;
    }

    /// A connection that hears a channel. Unbounded in time once it is made: whoever reads it knows
    /// how long silence may last.
    pub async fn subscribe(&self, channel: &str) -> redis::RedisResult<redis::aio::PubSub> {
        let connecting = async {
            let mut heard = self.0.client.get_async_pubsub().await?;
            heard.subscribe(self.channel(channel)).await?;
            Ok(heard)
        };
        tokio::time::timeout(self.0.connect_timeout, connecting)
            .await
            .unwrap_or_else(|late| Err(std::io::Error::from(late).into()))
    }

    /// What proves that a message is one of our processes'.
    pub fn secret(&self) -> &[u8; 32] {
        &self.0.secret
    }

    fn channel(&self, channel: &str) -> String {
        format!("{}{channel}", self.0.prefix)
    }

    /// How it is doing, for health.
    pub async fn probe(&self) -> Probed {
        match self.ask::<String>("ping", &redis::cmd("PING")).await {
            Ok(_) => Probed::ok(),
            Err(why) => Probed::because(
                State::Degraded,
                format!("{}: {why}; serving without it", self.0.place),
            ),
        }
    }

    /// One request within the budget; the error says `skipped`, `late` or `failed`.
    async fn ask<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: &Cmd,
    ) -> Result<T, &'static str> {
        let mut connection = self.0.connection.clone();
        self.within_budget(operation, command.query_async(&mut connection))
            .await
    }

    /// Runs a script by its name, or whole if the server does not know it; both within one budget.
    pub async fn ask_script<T: FromRedisValue>(
        &self,
        operation: &'static str,
        by_name: &Cmd,
        whole: impl FnOnce() -> Cmd,
    ) -> Result<T, &'static str> {
        let mut connection = self.0.connection.clone();
        let run = async {
            match by_name.query_async(&mut connection).await {
                Err(unknown) if unknown.code() == Some("NOSCRIPT") => {
                    whole().query_async(&mut connection).await
                }
                answer => answer,
            }
        };
        self.within_budget(operation, run).await
    }

    /// Removes what is kept under a name.
    pub async fn forget(&self, name: &str) {
        // What is not removed ends by itself; `ask` has counted it.
        let _ = self.ask::<()>("forget", &Cmd::del(name)).await;
    }

    async fn within_budget<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, &'static str> {
        let begun = Instant::now();
        if !self.0.breaker.allows(begun) {
            return Err("skipped");
        }
        let answer = tokio::time::timeout(self.0.budget, request).await;
        let took = begun.elapsed();
        histogram!(names::REDIS_SECONDS, "operation" => operation).record(took);
        let answer = match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::debug!(operation, %error, "redis failed: {error}");
                Err("failed")
            }
            Err(_) => Err("late"),
        };
        let closed = self.0.breaker.record(answer.is_ok(), Instant::now());
        gauge!(names::REDIS_BREAKER_OPEN).set(if closed { 0.0 } else { 1.0 });
        answer
    }

    fn name(&self, key: &CacheKey) -> String {
        format!("{}cache:{key}", self.0.prefix)
    }

    /// The name of what is kept by a digest, for those who share our secret.
    pub fn named(&self, what: &str, digest: &[u8; 16]) -> String {
        let digest = u128::from_be_bytes(*digest);
        format!("{}{what}:{digest:032x}", self.0.prefix)
    }

    /// The name of a part of what is kept by a digest. All its parts lie together, in a cluster too.
    pub fn part(&self, digest: &[u8; 16], part: &str) -> String {
        let digest = u128::from_be_bytes(*digest);
        format!("{}board:{{{digest:032x}}}:{part}", self.0.prefix)
    }
}
