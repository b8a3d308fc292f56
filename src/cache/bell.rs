//! Wake-ups between processes through Redis: where PostgreSQL's own do not pass, as behind a pooler.
//!
//! A message is a hint: whoever hears it may look, and believes what it sees. One that no process of
//! ours has signed is not even heard.

use std::time::Duration;

use domain::Position;
use futures::StreamExt as _;

use super::redis::Redis;
use super::{CacheKey, frame};

const CHANNEL: &str = "head";

/// After so long without a word the line may be dead: listen on a new one.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// First and longest pause before listening again.
const AGAIN_MIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Tells other processes, and hears them. Cheap to clone.
#[derive(Clone)]
pub struct Bell {
    redis: Redis,
    /// What messages are signed under, so that no kept answer is taken for one.
    key: CacheKey,
}

impl Bell {
    pub(super) fn new(redis: Redis) -> Bell {
        Bell {
            redis,
            key: CacheKey::new("", &[], "bell", b""),
        }
    }

    /// Says that a tenant's head is at least here. Lost without a word if Redis is.
    pub async fn ring(&self, tenant: &str, head: Position) {
        let message = format!("{head} {tenant}");
        let sealed = frame::seal(self.redis.secret(), &self.key, message.as_bytes());
        self.redis.publish(CHANNEL, &sealed).await;
    }

    /// Tells `heard` of every message, our own included, until it is dropped.
    pub async fn listen(&self, heard: impl Fn(&str, Position)) {
        let mut pause = AGAIN_MIN;
        loop {
            match self.hear(&heard).await {
                Ok(()) => pause = AGAIN_MIN,
                Err(error) => {
                    tracing::debug!(%error, "no wake-ups by Redis; others wake us meanwhile");
                    pause = (pause * 2).min(AGAIN_MAX);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Hears until the line ends or has been silent for long.
    async fn hear(&self, heard: &impl Fn(&str, Position)) -> redis::RedisResult<()> {
        let mut messages = self.redis.subscribe(CHANNEL).await?.into_on_message();
        while let Ok(Some(message)) = tokio::time::timeout(SILENCE_MAX, messages.next()).await {
            let sealed = message.get_payload_bytes();
            let opened = frame::open(self.redis.secret(), &self.key, sealed);
            let said = opened.and_then(|said| std::str::from_utf8(said).ok());
            if let Some((head, tenant)) = said.and_then(|said| said.split_once(' '))
                && let Ok(head) = head.parse()
            {
                heard(tenant, Position(head));
            }
        }
        Ok(())
    }
}
