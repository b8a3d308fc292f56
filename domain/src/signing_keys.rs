//! The keys that sign an issuer's tokens: published before they sign, and published on until the
//! last token they signed has run out. Private parts are never here.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::refusal::{Code, Refusal};
use crate::values::after;

/// How many keys a state remembers; the oldest that do not sign are forgotten first.
pub const KEYS_MAX: usize = 32;
/// How many characters a key id may have.
pub const KID_CHARS_MAX: usize = 64;
/// How many characters 32 bytes have in base64url without padding.
const PUBLIC_CHARS: usize = 43;

/// What a set of keys can be told. The issuer comes with the stream; times and policies come from
/// us, so they are no part of a command's fingerprint, and nor is what is drawn at random.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum SigningKeysCommand {
    /// Tell others of a key that is going to sign. Known already: `ALREADY_EXISTS`.
    Publish {
        /// Its id, as tokens will name it.
        #[serde(skip_serializing)]
        kid: String,
        /// Its public part: `x` of an Ed25519 JWK.
        #[serde(skip_serializing)]
        public: String,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Sign with this one from now on, and retire the one before. Signing already: already so.
    Activate {
        /// Which.
        kid: String,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
        /// Seconds others may keep the list of keys: so long it is published before it signs.
        #[serde(skip_serializing)]
        published_for_s: u32,
        /// Seconds the longest token lives: so long the one before is published on.
        #[serde(skip_serializing)]
        token_life_s: u32,
    },
    /// Never sign with this one. Retired already: already so.
    Retire {
        /// Which; not the one that signs.
        kid: String,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
        /// Published until then.
        until: DateTime<Utc>,
    },
    /// Somebody else may have this one: nothing it signed counts any more. Known to be so: already
    /// so.
    Compromise {
        /// Which.
        kid: String,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
}

/// What happened to an issuer's keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SigningKeysEvent {
    /// Others are told of a key.
    #[serde(rename = "signing_key.published")]
    KeyPublished(KeyPublished),
    /// A key signs.
    #[serde(rename = "signing_key.activated")]
    KeyActivated(KeyActivated),
    /// A key signs no more.
    #[serde(rename = "signing_key.retired")]
    KeyRetired(KeyRetired),
    /// Nothing a key signed counts any more.
    #[serde(rename = "signing_key.compromised")]
    KeyCompromised(KeyCompromised),
}

/// Others are told of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyPublished {
    /// Its id.
    pub kid: String,
    /// `x` of an Ed25519 JWK.
    pub public: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Signs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyActivated {
    /// Its id.
    pub kid: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Signs no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRetired {
    /// Its id.
    pub kid: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What it signed counts until then.
    pub until: DateTime<Utc>,
}

/// Counts no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyCompromised {
    /// Its id.
    pub kid: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The state an issuer's events fold to: at most [`KEYS_MAX`] keys, at most one of them active.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigningKeys {
    /// In the order they were published.
    pub keys: Vec<SigningKey>,
}

/// One key of an issuer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigningKey {
    /// Its id.
    pub kid: String,
    /// `x` of an Ed25519 JWK.
    pub public: String,
    /// When others were told.
    pub published_at: DateTime<Utc>,
    /// Where it stands.
    pub standing: KeyStanding,
}

/// Where a key stands, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum KeyStanding {
    /// Others are told of it; it has signed nothing.
    Published,
    /// It signs.
    Active {
        /// Since when.
        at: DateTime<Utc>,
    },
    /// It signs no more.
    Retired {
        /// Since when.
        at: DateTime<Utc>,
        /// What it signed counts until then.
        until: DateTime<Utc>,
    },
    /// Nothing it signed counts.
    Compromised {
        /// Since when.
        at: DateTime<Utc>,
    },
}

impl SigningKeys {
    /// The key that signs. `None` before the first is activated, and after a compromise until the
    /// next one is.
    pub fn active(&self) -> Option<&SigningKey> {
        let active = |key: &&SigningKey| matches!(key.standing, KeyStanding::Active { .. });
        self.keys.iter().find(active)
    }

    /// The key that a token may name at this moment. One that is published only has signed nothing.
    pub fn verifier(&self, kid: &str, now: DateTime<Utc>) -> Option<&SigningKey> {
        self.find(kid).filter(|key| match key.standing {
            KeyStanding::Active { .. } => true,
            KeyStanding::Retired { until, .. } => now < until,
            KeyStanding::Published | KeyStanding::Compromised { .. } => false,
        })
    }

    /// The keys others are told of at this moment: the JWKS, oldest first.
    pub fn published(&self, now: DateTime<Utc>) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().filter(move |key| match key.standing {
            KeyStanding::Published | KeyStanding::Active { .. } => true,
            KeyStanding::Retired { until, .. } => now < until,
            KeyStanding::Compromised { .. } => false,
        })
    }

    fn find(&self, kid: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    fn known(&self, kid: &str) -> Result<&SigningKey, Refusal> {
        self.find(kid)
            .ok_or_else(|| Refusal::new(Code::NotFound, "no such signing key").at(["kid"]))
    }

    fn publish(
        &self,
        kid: &str,
        public: &str,
        at: DateTime<Utc>,
    ) -> Result<Vec<SigningKeysEvent>, Refusal> {
        check_kid(kid)?;
        check_public(public)?;
        if self.keys.iter().any(|k| k.kid == kid || k.public == public) {
            let message = "a key of this id or with this public part exists already";
            return Err(Refusal::new(Code::AlreadyExists, message));
        }
        Ok(vec![SigningKeysEvent::KeyPublished(KeyPublished {
            kid: kid.to_owned(),
            public: public.to_owned(),
            at,
        })])
    }

    /// Where nothing signs there is nobody to wait for: whoever asks for the list finds the key.
    fn activate(
        &self,
        kid: &str,
        at: DateTime<Utc>,
        published_for_s: u32,
        token_life_s: u32,
    ) -> Result<Vec<SigningKeysEvent>, Refusal> {
        let key = self.known(kid)?;
        match key.standing {
            KeyStanding::Active { .. } => return Ok(vec![]),
            KeyStanding::Retired { .. } | KeyStanding::Compromised { .. } => return Err(spent()),
            KeyStanding::Published => {}
        }
        let activated = SigningKeysEvent::KeyActivated(KeyActivated {
            kid: kid.to_owned(),
            at,
        });
        let Some(former) = self.active() else {
            return Ok(vec![activated]);
        };
        let left = after(key.published_at, published_for_s).signed_duration_since(at);
        if left > TimeDelta::zero() {
            let message = "others may not have heard of the key yet";
            let seconds = left.num_seconds() + i64::from(left.subsec_nanos() > 0);
            return Err(Refusal::new(Code::KeyTooFresh, message)
                .at(["kid"])
                .with("secondsLeft", seconds));
        }
        let retired = SigningKeysEvent::KeyRetired(KeyRetired {
            kid: former.kid.clone(),
            at,
            until: after(at, token_life_s),
        });
        Ok(vec![retired, activated])
    }

    fn retire(
        &self,
        kid: &str,
        at: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<SigningKeysEvent>, Refusal> {
        match self.known(kid)?.standing {
            KeyStanding::Active { .. } => {
                let message = "the key signs: activate another one, which retires this one";
                Err(Refusal::new(Code::KeyActive, message).at(["kid"]))
            }
            KeyStanding::Compromised { .. } => Err(spent()),
            KeyStanding::Retired { .. } => Ok(vec![]),
            KeyStanding::Published => Ok(vec![SigningKeysEvent::KeyRetired(KeyRetired {
                kid: kid.to_owned(),
                at,
                until: until.max(at),
            })]),
        }
    }

    fn stand(&mut self, kid: &str, standing: KeyStanding) {
        if let Some(key) = self.keys.iter_mut().find(|key| key.kid == kid) {
            key.standing = standing;
        }
    }

    fn forget_the_oldest(&mut self) {
        let active = |key: &SigningKey| matches!(key.standing, KeyStanding::Active { .. });
        if self.keys.len() > KEYS_MAX
            && let Some(oldest) = self.keys.iter().position(|key| !active(key))
        {
            self.keys.remove(oldest);
        }
    }
}

fn spent() -> Refusal {
    let message = "the key was retired or compromised and never signs again";
    Refusal::new(Code::KeySpent, message).at(["kid"])
}

fn is_base64url(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// It stands in headers of tokens and in paths.
fn check_kid(kid: &str) -> Result<(), Refusal> {
    if !(1..=KID_CHARS_MAX).contains(&kid.len()) || !is_base64url(kid) {
        let message = format!("kid is not 1 to {KID_CHARS_MAX} of A-Z, a-z, 0-9, - and _");
        return Err(Refusal::new(Code::Validation, message).at(["kid"]));
    }
    Ok(())
}

/// 43 characters are two bits more than 32 bytes: in the one canonical spelling those are zero.
fn check_public(public: &str) -> Result<(), Refusal> {
    let canonical = public.ends_with(|c| "AEIMQUYcgkosw048".contains(c));
    if public.len() != PUBLIC_CHARS || !is_base64url(public) || !canonical {
        let message = "public is not 32 bytes in base64url without padding";
        return Err(Refusal::new(Code::Validation, message).at(["public"]));
    }
    Ok(())
}

impl Aggregate for SigningKeys {
    const TYPE: &'static str = "keys";
    type Command = SigningKeysCommand;
    type Event = SigningKeysEvent;
    const SHAPE: Option<Shape<SigningKeys>> = Some(Shape::json(1));

    fn decide(&self, command: &SigningKeysCommand) -> Result<Vec<SigningKeysEvent>, Refusal> {
        match command {
            SigningKeysCommand::Publish { kid, public, now } => self.publish(kid, public, *now),
            SigningKeysCommand::Activate {
                kid,
                now,
                published_for_s,
                token_life_s,
            } => self.activate(kid, *now, *published_for_s, *token_life_s),
            SigningKeysCommand::Retire { kid, now, until } => self.retire(kid, *now, *until),
            SigningKeysCommand::Compromise { kid, now } => match self.known(kid)?.standing {
                KeyStanding::Compromised { .. } => Ok(vec![]),
                _ => Ok(vec![SigningKeysEvent::KeyCompromised(KeyCompromised {
                    kid: kid.clone(),
                    at: *now,
                })]),
            },
        }
    }

    fn apply(&mut self, event: &SigningKeysEvent) {
        match event {
            SigningKeysEvent::KeyPublished(e) => {
                self.keys.push(SigningKey {
                    kid: e.kid.clone(),
                    public: e.public.clone(),
                    published_at: e.at,
                    standing: KeyStanding::Published,
                });
                self.forget_the_oldest();
            }
            SigningKeysEvent::KeyActivated(e) => {
                self.stand(&e.kid, KeyStanding::Active { at: e.at });
            }
            SigningKeysEvent::KeyRetired(e) => {
                let (at, until) = (e.at, e.until);
                self.stand(&e.kid, KeyStanding::Retired { at, until });
            }
            SigningKeysEvent::KeyCompromised(e) => {
                self.stand(&e.kid, KeyStanding::Compromised { at: e.at });
            }
        }
    }

    fn weight_bytes(&self) -> usize {
        let key = |k: &SigningKey| size_of::<SigningKey>() + k.kid.capacity() + k.public.capacity();
        size_of::<Self>() + self.keys.iter().map(key).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
