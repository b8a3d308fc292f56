//! Access tokens as they are made and checked, and what was found out about those seen before.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use metrics::counter;
use sha2::{Digest as _, Sha256};

use super::caller::{Caller, Credential};
use super::key::{PublicKey, Ring};
use super::token::{self, Rules};
use super::{AuthError, Grant, Unauthenticated};
use crate::cache::Memo;
use crate::config;
use crate::ops::{Clock, metrics as names};

/// Makes tokens and checks them with the keys of one moment. Whether whoever a token names may still do
/// what it says is for others to find out.
pub struct Tokens {
    rules: Rules,
    clock: Clock,
    access_ttl: Duration,
    ttl_max: Duration,
    ring: RwLock<Arc<Ring>>,
    remembered: Memo<Arc<Seen>>,
}

/// A token that was checked.
pub struct Seen {
    /// Whom it stands for, as it says itself.
    pub claimed: Arc<Caller>,
    ring_version: i64,
    /// When it was looked at what the log says of its caller, and whom it stands for by that, if for anybody.
    standing: Mutex<Option<(Instant, Option<Arc<Caller>>)>>,
}

impl Tokens {
    /// With no keys yet.
    pub fn new(settings: &config::Auth, clock: Clock) -> Tokens {
        let max = usize::try_from(settings.verified_tokens_max).unwrap_or(usize::MAX);
        Tokens {
            rules: Rules::new(settings),
            clock,
            access_ttl: settings.access_ttl,
            ttl_max: settings.token_ttl_max,
            ring: RwLock::default(),
            remembered: Memo::new(max),
        }
    }

    /// Goes on with these keys.
    pub fn install(&self, ring: Ring) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// The keys of this moment.
    pub fn ring(&self) -> Arc<Ring> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.clone()
    }

    /// The keys that others may check tokens with.
    pub fn published(&self) -> Vec<PublicKey> {
        self.ring().published(self.clock.now())
    }

    /// Makes a token.
    pub fn mint(&self, grant: &Grant) -> Result<String, AuthError> {
        let ttl = grant.ttl.unwrap_or(self.access_ttl);
        if ttl > self.ttl_max {
            return Err(AuthError::Grant(
                "it would live longer than auth.token_ttl_max",
            ));
        }
        token::mint(&self.ring(), &self.rules, grant, ttl, self.clock.now())
    }

    /// Checks a token: its algorithm, signature and every claim.
    pub fn verify(&self, token: &str) -> Result<Arc<Seen>, Unauthenticated> {
        if token.len() > token::BYTES_MAX {
            return Err(refused("size"));
        }
        let (now, ring) = (self.clock.now(), self.ring());
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(seen) = self.remembered.get(&digest)
            && seen.ring_version == ring.version
        {
            counter!(names::AUTH_TOTAL, "outcome" => "remembered").increment(1);
            return match self.flaw(&seen.claimed, now) {
                None => Ok(seen),
                Some(flaw) => Err(refused(flaw)),
            };
        }
        let claimed = token::check(&ring, &self.rules, token, now).map_err(refused)?;
        counter!(names::AUTH_TOTAL, "outcome" => "verified").increment(1);
        let seen = Arc::new(Seen {
            claimed: Arc::new(claimed),
            ring_version: ring.version,
            standing: Mutex::default(),
        });
        self.remembered.put(digest, seen.clone());
        Ok(seen)
    }

    /// What is wrong with a token that was good when it was checked: the clock goes on, and is set back at
    /// times. The same is answered by a process that sees the token for the first time.
    fn flaw(&self, claimed: &Caller, now: DateTime<Utc>) -> Option<&'static str> {
        if self.rules.expired(claimed.expires_at, now) {
            return Some("expired");
        }
        match claimed.credential {
            Credential::Token { issued_at, .. } if self.rules.early(issued_at, now) => {
                Some("early")
            }
            _ => None,
        }
    }

    /// Whose tokens these are.
    pub fn issuer(&self) -> &str {
        self.rules.issuer()
    }
}

impl Seen {
    /// Of a token of another issuer.
    pub fn foreign(claimed: Caller) -> Seen {
        Seen {
            claimed: Arc::new(claimed),
            ring_version: 0,
            standing: Mutex::default(),
        }
    }

    /// Whom it stands for, if that was found out no longer ago than this.
    pub fn standing(&self, age_max: Duration) -> Option<Arc<Caller>> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, caller) = standing.as_ref()?;
        caller.clone().filter(|_| at.elapsed() <= age_max)
    }

    /// Takes note of whom it stands for, as of `asked`; once it stands for nobody, nothing before counts.
    pub fn settle(&self, asked: Instant, caller: Option<Arc<Caller>>) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.as_ref().is_none_or(|(at, _)| *at <= asked) {
            *standing = Some((asked, caller));
        }
    }
}

/// Counts a refusal; why is never told.
pub(super) fn refused(reason: &'static str) -> Unauthenticated {
    counter!(names::AUTH_TOTAL, "outcome" => "refused", "reason" => reason).increment(1);
    tracing::debug!(reason, "credentials were refused: {reason}");
    Unauthenticated
}
