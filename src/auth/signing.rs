//! The keys that sign tokens: published before they sign, and published on until the last token they signed
//! has run out. The log tells of their public parts; the private ones lie wrapped beside it.

use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use domain::signing_keys::{KeyStanding, SigningKeys, SigningKeysCommand};
use domain::tenant::INSTALLATION_LOG;
use domain::{Code, StreamKey};

use super::key::{PublicKey, Ring, SigningKey, VerifyingKey};
use super::{Auth, AuthError, Inner};
use crate::commands::{CommandContext, CommandError};

/// An unknown key is looked for in the log, but only so often.
pub(super) const KEYS_PAUSE: Duration = Duration::from_millis(200);

/// A key is published for so much longer than others may keep what they were told: nodes hear of it one
/// after the other.
const PUBLISHED_LONGER: Duration = Duration::from_secs(10);

/// How the keys stand after a command.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The key that signs.
    pub signs: String,
    /// The key that will, and from when on.
    pub next: Option<(String, DateTime<Utc>)>,
}

impl Auth {
    /// Have the keys been looked at no longer ago than this?
    pub(super) fn keys_are_fresh(&self, age_max: Duration) -> bool {
        let checked = self.0.ring_checked.lock();
        let checked = checked.unwrap_or_else(PoisonError::into_inner);
        checked.is_some_and(|at| at.elapsed() <= age_max)
    }

    /// Looks which keys sign and verify, unless that was done a moment ago; once for all who wait.
    pub(super) async fn look_at_keys(&self) -> Result<(), AuthError> {
        let looking = self.0.looking_at_keys.lock().await;
        if !self.keys_are_fresh(KEYS_PAUSE) {
            self.refresh_keys().await?;
        }
        drop(looking);
        Ok(())
    }

    /// Looks which keys sign and verify.
    pub(super) async fn refresh_keys(&self) -> Result<(), AuthError> {
        let asked = Instant::now();
        let stream = StreamKey::of::<SigningKeys>(self.0.tokens.issuer());
        let version = self.versions(&own_log(), &[stream]).await?[0];
        if version != self.0.tokens.ring().version {
            let keys = self.keys().await?;
            self.0.tokens.install(self.ring(version, &keys).await?);
        }
        let checked = self.0.ring_checked.lock();
        *checked.unwrap_or_else(PoisonError::into_inner) = Some(asked);
        Ok(())
    }

    async fn keys(&self) -> Result<SigningKeys, CommandError> {
        self.now::<SigningKeys>(&own_log(), self.0.tokens.issuer())
            .await
    }

    /// What signs and verifies by a state of the key set.
    async fn ring(&self, version: i64, keys: &SigningKeys) -> Result<Ring, AuthError> {
        let now = self.0.clock.now();
        let signing = match keys.active() {
            None => None,
            Some(key) => Some(self.private_part(&key.kid).await?),
        };
        // Whose time is over is told by the clock, each time it is asked.
        let verifying = keys.keys.iter().filter_map(|key| match key.standing {
            KeyStanding::Active { .. } => VerifyingKey::new(&key.kid, &key.public, None),
            KeyStanding::Retired { until, .. } => {
                VerifyingKey::new(&key.kid, &key.public, Some(until))
            }
            KeyStanding::Published | KeyStanding::Compromised { .. } => None,
        });
        let published = keys.published(now);
        let published = published.map(|key| PublicKey::new(&key.kid, &key.public));
        Ok(Ring::new(
            version,
            signing,
            verifying.collect(),
            published.collect(),
        ))
    }

    /// Makes the first key where there is none that signs, and takes over what is there.
    pub(super) async fn keep_signing(&self) -> Result<(), AuthError> {
        let keys = self.keys().await?;
        if keys.active().is_none() {
            // However many nodes start at once, the first to come makes it.
            let mut ctx = self.own_context(own_log());
            ctx.command_id = Some(format!("the key after {} others", keys.keys.len()));
            let key = self.publish(&ctx).await?;
            if self.keys().await?.active().is_none() {
                let ctx = self.own_context(own_log());
                match self.activate(&ctx, &key).await {
                    Err(error) if has_code(&error, Code::NotFound) => {}
                    activated => activated?,
                }
            }
        }
        self.refresh_keys().await
    }

    /// Publishes a new key, unless this very command did before. Gives the id of the key that was published
    /// last.
    async fn publish(&self, ctx: &CommandContext) -> Result<String, AuthError> {
        let (issuer, key) = (self.0.tokens.issuer(), SigningKey::random());
        let (kid, tenant) = (key.id(), own_log());
        let wrapped = self.0.vault.wrap(&[issuer, kid], key.seed());
        sqlx::query("insert into signing_key_secrets (tenant, issuer, kid, wrapped) values ($1, $2, $3, $4)")
            .bind(&*tenant)
            .bind(issuer)
            .bind(kid)
            .bind(wrapped)
            .execute(self.0.store.pool())
            .await?;
        let command = SigningKeysCommand::Publish {
            kid: kid.to_owned(),
            public: key.public().to_owned(),
            now: self.0.clock.now(),
        };
        let door = &self.0.door;
        door.execute::<SigningKeys>(ctx, issuer, command).await?;
        let keys = self.keys().await?;
        let last = keys.keys.last().ok_or(AuthError::NoKey)?;
        Ok(last.kid.clone())
    }

    async fn activate(&self, ctx: &CommandContext, kid: &str) -> Result<(), AuthError> {
        let settings = &self.0.settings;
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let command = SigningKeysCommand::Activate {
            kid: kid.to_owned(),
            now: self.0.clock.now(),
            published_for_s: seconds(settings.jwks_max_age + PUBLISHED_LONGER),
            token_life_s: seconds(settings.token_ttl_max + settings.leeway + settings.recheck * 2),
        };
        let (door, issuer) = (&self.0.door, self.0.tokens.issuer());
        door.execute::<SigningKeys>(ctx, issuer, command).await?;
        Ok(())
    }

    /// Publishes the key that signs next, if none is waiting. Nothing that a `compromised` key signed is good
    /// any more; if it was the one that signs, another one signs at once.
    pub async fn rotate(
        &self,
        ctx: &CommandContext,
        compromised: Option<&str>,
    ) -> Result<Rotation, AuthError> {
        let (door, issuer) = (&self.0.door, self.0.tokens.issuer());
        let mut ctx = ctx.clone();
        ctx.tenant = own_log();
        if let Some(kid) = compromised {
            let command = SigningKeysCommand::Compromise {
                kid: kid.to_owned(),
                now: self.0.clock.now(),
            };
            door.execute::<SigningKeys>(&ctx, issuer, command).await?;
            // The command is done; what follows from it is another.
            ctx.command_id = None;
        }
        let keys = self.keys().await?;
        if waiting(&keys).is_none() && (compromised.is_none() || keys.active().is_none()) {
            self.publish(&ctx).await?;
        }
        self.tend_keys().await?;
        self.refresh_keys().await?;
        let keys = self.keys().await?;
        let signs = keys.active().ok_or(AuthError::NoKey)?;
        let next = waiting(&keys);
        Ok(Rotation {
            signs: signs.kid.clone(),
            next: next.map(|key| (key.kid.clone(), key.published_at + self.published_for())),
        })
    }

    /// How long a key is published before it signs.
    fn published_for(&self) -> TimeDelta {
        let published_for = self.0.settings.jwks_max_age + PUBLISHED_LONGER;
        TimeDelta::from_std(published_for).unwrap_or(TimeDelta::MAX)
    }

    /// Has the key sign that has waited long enough, publishes one where it is time to, and forgets the private
    /// parts of keys that will not sign again.
    async fn tend_keys(&self) -> Result<(), AuthError> {
        let (keys, now) = (self.keys().await?, self.0.clock.now());
        let rotate_every = TimeDelta::from_std(self.0.settings.rotate_every);
        let rotate_every = rotate_every.unwrap_or(TimeDelta::MAX);
        let due = |since: DateTime<Utc>, after: TimeDelta| {
            since.checked_add_signed(after).is_some_and(|at| at <= now)
        };
        let ctx = self.own_context(own_log());
        match (waiting(&keys), keys.active().map(|key| key.standing)) {
            (Some(next), None) => self.activate(&ctx, &next.kid).await?,
            (Some(next), Some(_)) if due(next.published_at, self.published_for()) => {
                self.activate(&ctx, &next.kid).await?;
            }
            (None, Some(KeyStanding::Active { at }))
                if due(at, rotate_every - self.published_for().min(rotate_every)) =>
            {
                // Of all nodes that see this, one publishes.
                let mut ctx = ctx;
                ctx.command_id = Some(format!("the key after that of {}", at.timestamp_micros()));
                self.publish(&ctx).await?;
            }
            _ => return Ok(()),
        }
        let keys = self.keys().await?;
        let mut needed = keys.keys.iter().filter(|key| {
            matches!(
                key.standing,
                KeyStanding::Published | KeyStanding::Active { .. }
            )
        });
        let needed: Vec<&str> = needed.by_ref().map(|key| key.kid.as_str()).collect();
        sqlx::query(
            "delete from signing_key_secrets where tenant = $1 and issuer = $2
                and kid <> all($3) and created_at < now() - interval '1 hour'",
        )
        .bind(INSTALLATION_LOG)
        .bind(self.0.tokens.issuer())
        .bind(needed)
        .execute(self.0.store.pool())
        .await?;
        Ok(())
    }

    async fn private_part(&self, kid: &str) -> Result<SigningKey, AuthError> {
        let issuer = self.0.tokens.issuer();
        let wrapped: Option<Vec<u8>> = sqlx::query_scalar(
            "select wrapped from signing_key_secrets where tenant = $1 and issuer = $2 and kid = $3",
        )
        .bind(INSTALLATION_LOG)
        .bind(issuer)
        .bind(kid)
        .fetch_optional(self.0.store.pool())
        .await?;
        let wrapped = wrapped.ok_or(AuthError::NoKey)?;
        let seed = self.0.vault.unwrap(&[issuer, kid], &wrapped)?;
        Ok(SigningKey::of_seed(seed))
    }
}

/// The key that is published and does not sign yet.
fn waiting(keys: &SigningKeys) -> Option<&domain::signing_keys::SigningKey> {
    let mut waiting = keys.keys.iter().rev();
    waiting.find(|key| key.standing == KeyStanding::Published)
}

/// Which log tells of the keys: one set for all tenants.
fn own_log() -> Arc<str> {
    INSTALLATION_LOG.into()
}

fn has_code(error: &AuthError, code: Code) -> bool {
    matches!(error, AuthError::Command(CommandError::Refused(refusal)) if refusal.code == code)
}

/// Does what is due, now and then, as long as anybody needs it.
pub(super) async fn tend(auth: Weak<Inner>, every: Duration) {
    let mut turns = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let Some(inner) = auth.upgrade() else { return };
        let auth = Auth(inner);
        let done = [
            ("the signing keys were not tended", auth.tend_keys().await),
            (
                "the use of API keys was not written down",
                auth.keep_usage().await,
            ),
            ("an erasure was not finished", auth.finish_erasures().await),
        ];
        for (what, done) in done {
            if let Err(error) = done {
                tracing::warn!(%error, "{what}: {error}");
            }
        }
    }
}
