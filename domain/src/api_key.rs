//! An API key: what a program shows instead of signing in. The secret is told once and never kept;
//! its SHA-256 is enough, because it is drawn at random and long.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::refusal::{Code, Refusal};
use crate::scope::Scope;
use crate::values::{TextRule, after, optional_text, sha256, text};

/// How many characters of the secret are shown in lists.
const LAST_CHARS: usize = 4;

/// What an API key can be told. Its id comes with the stream; times and policies come from us, so
/// they are no part of a command's fingerprint, and nor is what is drawn at random.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ApiKeyCommand {
    /// Bring it into being. Issued already: `ALREADY_EXISTS`.
    Issue {
        /// A name for people.
        name: String,
        /// SHA-256 of the secret, lower-case hexadecimal.
        #[serde(skip_serializing)]
        hash: String,
        /// The secret's last characters.
        #[serde(skip_serializing)]
        last_four: String,
        /// What it may be used for; at least one.
        scopes: BTreeSet<Scope>,
        /// What its issuer may do at this moment.
        #[serde(skip_serializing)]
        issuer_scopes: BTreeSet<Scope>,
        /// For how many seconds it was asked to be good, if that was said.
        asked_s: Option<u64>,
        /// Good until then.
        #[serde(skip_serializing)]
        expires_at: DateTime<Utc>,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
        /// Seconds a key may be good for at most.
        #[serde(skip_serializing)]
        ttl_max_s: u32,
        /// Seconds after which it is rotated by itself.
        rotate_every_s: Option<u32>,
        /// It comes from the server's settings rather than from a person.
        bootstrap: bool,
        /// The user who issues it; it is good for no more than they may, and no longer than they may sign
        /// in. `None`: an operator, or another program.
        #[serde(skip_serializing)]
        owner: Option<String>,
    },
    /// Be another secret from now on, the one before being good a little longer.
    Rotate {
        /// SHA-256 of the new secret, lower-case hexadecimal.
        #[serde(skip_serializing)]
        hash: String,
        /// The new secret's last characters.
        #[serde(skip_serializing)]
        last_four: String,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
        /// Seconds the one before is good for.
        #[serde(skip_serializing)]
        overlap_s: u32,
        /// For how many seconds the new one was asked to be good, if that was said.
        asked_s: Option<u64>,
        /// Good until then.
        #[serde(skip_serializing)]
        expires_at: DateTime<Utc>,
        /// Seconds a key may be good for at most.
        #[serde(skip_serializing)]
        ttl_max_s: u32,
    },
    /// Be good for nothing, at once and for good.
    Revoke {
        /// Why, in the operator's words.
        reason: Option<String>,
    },
}

/// What happened to an API key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ApiKeyEvent {
    /// The key is good.
    #[serde(rename = "api_key.issued")]
    ApiKeyIssued(ApiKeyIssued),
    /// The key is another secret.
    #[serde(rename = "api_key.rotated")]
    ApiKeyRotated(ApiKeyRotated),
    /// The key is good for nothing.
    #[serde(rename = "api_key.revoked")]
    ApiKeyRevoked(ApiKeyRevoked),
}

/// Issued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyIssued {
    /// A name for people.
    pub name: String,
    /// SHA-256 of the secret, lower-case hexadecimal.
    pub hash: String,
    /// The secret's last characters.
    pub last_four: String,
    /// What it may be used for, in the order of the list of scopes.
    pub scopes: BTreeSet<Scope>,
    /// Good until then.
    pub expires_at: DateTime<Utc>,
    /// Seconds after which it is rotated by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every_s: Option<u32>,
    /// It comes from the server's settings rather than from a person.
    pub bootstrap: bool,
    /// The user who issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Another secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyRotated {
    /// SHA-256 of the new secret, lower-case hexadecimal.
    pub hash: String,
    /// The new secret's last characters.
    pub last_four: String,
    /// The new one is good until then.
    pub expires_at: DateTime<Utc>,
    /// The one before is good until then. One that was before that is good no more.
    pub previous_until: DateTime<Utc>,
}

/// Good for nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyRevoked {
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The state an API key's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKey {
    /// The secret that is good; `None` before it is issued.
    pub current: Option<Secret>,
    /// The one before, if there was one.
    pub previous: Option<Secret>,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// The user who issued it.
    pub owner: Option<String>,
    /// How long a secret is to be used at most, in seconds.
    pub rotate_every_s: Option<u32>,
    /// Good for nothing?
    pub revoked: bool,
}

/// A secret, as far as it is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// Its SHA-256, lower-case hexadecimal.
    pub hash: String,
    /// Good until then.
    pub until: DateTime<Utc>,
}

impl ApiKey {
    /// Until when the secret with this hash is good; `None` if it is no secret of this key, or the
    /// key is revoked.
    pub fn good_until(&self, hash: &str) -> Option<DateTime<Utc>> {
        let secrets = [&self.current, &self.previous];
        let mut secrets = secrets.into_iter().flatten();
        let secret = secrets.find(|secret| secret.hash == hash)?;
        (!self.revoked).then_some(secret.until)
    }

    fn must_be_issued(&self) -> Result<&Secret, Refusal> {
        let Some(current) = &self.current else {
            return Err(Refusal::new(Code::NotFound, "no such API key"));
        };
        if self.revoked {
            return Err(Refusal::new(Code::ApiKeyRevoked, "the API key is revoked"));
        }
        Ok(current)
    }

    fn rotate(
        &self,
        hash: &str,
        last_four: &str,
        now: DateTime<Utc>,
        overlap_s: u32,
        expires_at: DateTime<Utc>,
    ) -> Result<Vec<ApiKeyEvent>, Refusal> {
        let current = self.must_be_issued()?;
        if now >= current.until {
            let message = "the API key has run out: issue a new one";
            return Err(Refusal::new(Code::ApiKeyExpired, message));
        }
        if self.good_until(hash).is_some() {
            let message = "the secret is one this key has already";
            return Err(Refusal::new(Code::Validation, message).at(["hash"]));
        }
        Ok(vec![ApiKeyEvent::ApiKeyRotated(ApiKeyRotated {
            hash: hash.to_owned(),
            last_four: last_four.to_owned(),
            expires_at,
            previous_until: after(now, overlap_s).min(current.until),
        })])
    }
}

fn check_secret(hash: &str, last_four: &str) -> Result<(), Refusal> {
    sha256(hash, "hash")?;
    if last_four.len() != LAST_CHARS || !last_four.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let message = format!("lastFour is not {LAST_CHARS} letters and digits");
        return Err(Refusal::new(Code::Validation, message).at(["lastFour"]));
    }
    Ok(())
}

fn check_expiry(
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
    ttl_max_s: u32,
) -> Result<(), Refusal> {
    if expires_at <= now || expires_at > after(now, ttl_max_s) {
        let message = format!("expiresAt is not within {ttl_max_s} seconds from now");
        return Err(Refusal::new(Code::OutOfRange, message)
            .at(["expiresAt"])
            .with("maxSeconds", ttl_max_s)
            .with("actualSeconds", (expires_at - now).num_seconds()));
    }
    Ok(())
}

/// Nobody gives what they do not have.
fn check_scopes(scopes: &BTreeSet<Scope>, issuer: &BTreeSet<Scope>) -> Result<(), Refusal> {
    if scopes.is_empty() {
        return Err(Refusal::new(Code::Validation, "scopes is empty").at(["scopes"]));
    }
    let beyond: Vec<&str> = scopes.difference(issuer).map(|s| s.as_str()).collect();
    if !beyond.is_empty() {
        let message = "the API key may not be used for more than its issuer may do";
        return Err(Refusal::new(Code::ScopeEscalation, message)
            .at(["scopes"])
            .with("beyond", beyond));
    }
    Ok(())
}

impl Aggregate for ApiKey {
    const TYPE: &'static str = "api_key";
    type Command = ApiKeyCommand;
    type Event = ApiKeyEvent;
    const SHAPE: Option<Shape<ApiKey>> = Some(Shape::json(1));

    fn decide(&self, command: &ApiKeyCommand) -> Result<Vec<ApiKeyEvent>, Refusal> {
        match command {
            ApiKeyCommand::Issue {
                name,
                hash,
                last_four,
                scopes,
                issuer_scopes,
                asked_s: _,
                expires_at,
                now,
                ttl_max_s,
                rotate_every_s,
                bootstrap,
                owner,
            } => {
                if self.current.is_some() {
                    return Err(Refusal::new(
                        Code::AlreadyExists,
                        "the API key exists already",
                    ));
                }
                let name = text(TextRule::Name, name, "name")?.to_owned();
                check_secret(hash, last_four)?;
                check_scopes(scopes, issuer_scopes)?;
                check_expiry(*expires_at, *now, *ttl_max_s)?;
                if *rotate_every_s == Some(0) {
                    let message = "rotateEveryS is not at least 1";
                    return Err(Refusal::new(Code::OutOfRange, message).at(["rotateEveryS"]));
                }
                Ok(vec![ApiKeyEvent::ApiKeyIssued(ApiKeyIssued {
                    name,
                    hash: hash.clone(),
                    last_four: last_four.clone(),
                    scopes: scopes.clone(),
                    expires_at: *expires_at,
                    rotate_every_s: *rotate_every_s,
                    bootstrap: *bootstrap,
                    owner: owner.clone(),
                })])
            }
            ApiKeyCommand::Rotate {
                hash,
                last_four,
                now,
                overlap_s,
                asked_s: _,
                expires_at,
                ttl_max_s,
            } => {
                self.must_be_issued()?;
                check_secret(hash, last_four)?;
                check_expiry(*expires_at, *now, *ttl_max_s)?;
                self.rotate(hash, last_four, *now, *overlap_s, *expires_at)
            }
            ApiKeyCommand::Revoke { reason } => {
                self.must_be_issued()?;
                let reason = optional_text(TextRule::Reason, reason.as_deref(), "reason")?;
                Ok(vec![ApiKeyEvent::ApiKeyRevoked(ApiKeyRevoked { reason })])
            }
        }
    }

    fn apply(&mut self, event: &ApiKeyEvent) {
        match event {
            ApiKeyEvent::ApiKeyIssued(e) => {
                self.current = Some(Secret {
                    hash: e.hash.clone(),
                    until: e.expires_at,
                });
                self.scopes.clone_from(&e.scopes);
                self.owner.clone_from(&e.owner);
                self.rotate_every_s = e.rotate_every_s;
            }
            ApiKeyEvent::ApiKeyRotated(e) => {
                let current = Secret {
                    hash: e.hash.clone(),
                    until: e.expires_at,
                };
                self.previous = self.current.replace(current).map(|previous| Secret {
                    until: e.previous_until,
                    ..previous
                });
            }
            ApiKeyEvent::ApiKeyRevoked(_) => self.revoked = true,
        }
    }

    fn weight_bytes(&self) -> usize {
        let secrets = [&self.current, &self.previous].into_iter().flatten();
        let hashes: usize = secrets.map(|secret| secret.hash.capacity()).sum();
        size_of::<Self>() + hashes + self.scopes.len() * size_of::<Scope>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{at, check, check_shape, given, refusal};

    const DAY_S: u32 = 86_400;

    fn hash(of: char) -> String {
        of.to_string().repeat(64)
    }

    fn issued() -> ApiKeyEvent {
        ApiKeyEvent::ApiKeyIssued(ApiKeyIssued {
            name: "depot".to_owned(),
            hash: hash('a'),
            last_four: "aB3d".to_owned(),
            scopes: BTreeSet::from([Scope::LogsWrite, Scope::VehiclesRead]),
            expires_at: at(1_000),
            rotate_every_s: None,
            bootstrap: false,
            owner: Some("ada".to_owned()),
        })
    }

    fn rotated(to: char, expires: i64, previous_until: i64) -> ApiKeyEvent {
        ApiKeyEvent::ApiKeyRotated(ApiKeyRotated {
            hash: hash(to),
            last_four: "Zz9z".to_owned(),
            expires_at: at(expires),
            previous_until: at(previous_until),
        })
    }

    fn revoked() -> ApiKeyEvent {
        ApiKeyEvent::ApiKeyRevoked(ApiKeyRevoked { reason: None })
    }

    /// What makes [`issued`], changed a little.
    fn issue(change: impl FnOnce(&mut ApiKeyIssued, &mut BTreeSet<Scope>)) -> ApiKeyCommand {
        let ApiKeyEvent::ApiKeyIssued(mut wanted) = issued() else {
            unreachable!("issued is issued");
        };
        let mut issuer_scopes = wanted.scopes.clone();
        change(&mut wanted, &mut issuer_scopes);
        ApiKeyCommand::Issue {
            name: wanted.name,
            hash: wanted.hash,
            last_four: wanted.last_four,
            scopes: wanted.scopes,
            issuer_scopes,
            asked_s: Some(1_000),
            expires_at: wanted.expires_at,
            now: at(0),
            ttl_max_s: DAY_S,
            rotate_every_s: wanted.rotate_every_s,
            bootstrap: wanted.bootstrap,
            owner: wanted.owner,
        }
    }

    /// At `now`, good for 2000 seconds, the one before for 300.
    fn rotate(to: char, now: i64) -> ApiKeyCommand {
        ApiKeyCommand::Rotate {
            hash: hash(to),
            last_four: "Zz9z".to_owned(),
            now: at(now),
            overlap_s: 300,
            asked_s: None,
            expires_at: at(now + 2_000),
            ttl_max_s: DAY_S,
        }
    }

    fn revoke(reason: Option<&str>) -> ApiKeyCommand {
        ApiKeyCommand::Revoke {
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn a_key_is_issued_once() {
        check::<ApiKey>(&[], issue(|_, _| {}), Ok(&[issued()]));
        check::<ApiKey>(&[issued()], issue(|_, _| {}), Err(Code::AlreadyExists));
        let imported = issue(|wanted, issuer| {
            wanted.bootstrap = true;
            wanted.rotate_every_s = Some(60);
            issuer.insert(Scope::Backfill);
        });
        let decided = ApiKey::default().decide(&imported).expect("accepted");
        let [ApiKeyEvent::ApiKeyIssued(event)] = &decided[..] else {
            panic!("{decided:?}");
        };
        assert!(event.bootstrap && event.rotate_every_s == Some(60));
        assert!(!event.scopes.contains(&Scope::Backfill), "asked for less");
    }

    #[test]
    fn a_key_may_not_do_more_than_its_issuer() {
        let more = issue(|wanted, _| {
            wanted.scopes.insert(Scope::AuditRead);
            wanted.scopes.insert(Scope::Backfill);
        });
        let refusal = refusal::<ApiKey>(&[], &more);
        assert_eq!(refusal.code, Code::ScopeEscalation);
        assert_eq!(
            refusal.details["beyond"],
            serde_json::json!(["backfill", "audit:read"])
        );
        check::<ApiKey>(
            &[],
            issue(|wanted, _| wanted.scopes.clear()),
            Err(Code::Validation),
        );
    }

    #[test]
    fn what_a_key_is_made_of_is_checked() {
        let refused = |change: fn(&mut ApiKeyIssued)| {
            let refusal = refusal::<ApiKey>(&[], &issue(|wanted, _| change(wanted)));
            (refusal.code, refusal.path.join("."))
        };
        let invalid = |field: &str| (Code::Validation, field.to_owned());
        assert_eq!(refused(|w| w.name.clear()), invalid("name"));
        assert_eq!(refused(|w| w.hash.make_ascii_uppercase()), invalid("hash"));
        assert_eq!(refused(|w| w.hash.truncate(63)), invalid("hash"));
        assert_eq!(refused(|w| w.last_four.truncate(3)), invalid("lastFour"));
        assert_eq!(
            refused(|w| w.last_four = "a\0b1".into()),
            invalid("lastFour")
        );
        let outside = |field: &str| (Code::OutOfRange, field.to_owned());
        assert_eq!(refused(|w| w.expires_at = at(0)), outside("expiresAt"));
        assert_eq!(refused(|w| w.expires_at = at(86_401)), outside("expiresAt"));
        assert_eq!(
            refused(|w| w.rotate_every_s = Some(0)),
            outside("rotateEveryS")
        );
        let longest = issue(|wanted, _| wanted.expires_at = at(86_400));
        assert!(ApiKey::default().decide(&longest).is_ok());
    }

    /// K12
    #[test]
    fn a_rotated_secret_is_good_until_the_overlap_is_over() {
        let first = [issued()];
        check::<ApiKey>(&first, rotate('b', 100), Ok(&[rotated('b', 2_100, 400)]));
        check::<ApiKey>(&first, rotate('b', 900), Ok(&[rotated('b', 2_900, 1_000)]));
        let key = given::<ApiKey>(&[issued(), rotated('b', 2_100, 400)]);
        assert_eq!(key.good_until(&hash('a')), Some(at(400)));
        assert_eq!(key.good_until(&hash('b')), Some(at(2_100)));
        assert_eq!(key.good_until(&hash('c')), None);

        let twice = [issued(), rotated('b', 2_100, 400), rotated('c', 2_200, 500)];
        let key = given::<ApiKey>(&twice);
        assert_eq!(key.good_until(&hash('a')), None, "one overlap at a time");
        assert_eq!(key.good_until(&hash('b')), Some(at(500)));
    }

    #[test]
    fn a_key_is_rotated_to_another_secret_while_it_is_good() {
        check::<ApiKey>(&[], rotate('b', 100), Err(Code::NotFound));
        check::<ApiKey>(&[issued()], rotate('a', 100), Err(Code::Validation));
        check::<ApiKey>(&[issued()], rotate('X', 100), Err(Code::Validation));
        check::<ApiKey>(&[issued()], rotate('b', 1_000), Err(Code::ApiKeyExpired));
        let mut long = rotate('b', 100);
        if let ApiKeyCommand::Rotate { ttl_max_s, .. } = &mut long {
            *ttl_max_s = 1_999;
        }
        check::<ApiKey>(&[issued()], long, Err(Code::OutOfRange));
    }

    /// K11
    #[test]
    fn a_revoked_key_accepts_nothing() {
        let lost = ApiKeyEvent::ApiKeyRevoked(ApiKeyRevoked {
            reason: Some("lost".to_owned()),
        });
        check::<ApiKey>(&[issued()], revoke(Some(" lost")), Ok(&[lost]));
        check::<ApiKey>(&[issued()], revoke(None), Ok(&[revoked()]));
        check::<ApiKey>(&[issued()], revoke(Some("")), Err(Code::Validation));
        check::<ApiKey>(&[], revoke(None), Err(Code::NotFound));
        let over = [issued(), rotated('b', 2_100, 400), revoked()];
        check::<ApiKey>(&over, revoke(None), Err(Code::ApiKeyRevoked));
        check::<ApiKey>(&over, rotate('c', 150), Err(Code::ApiKeyRevoked));
        check::<ApiKey>(&over, issue(|_, _| {}), Err(Code::AlreadyExists));
        for secret in ['a', 'b'] {
            assert_eq!(given::<ApiKey>(&over).good_until(&hash(secret)), None);
        }
    }

    #[test]
    fn a_state_is_written_as_it_always_was() {
        let key = given::<ApiKey>(&[issued(), rotated('b', 2_100, 400)]);
        check_shape(
            &key,
            &format!(
                r#"{{"current":{{"hash":"{}","until":"2026-09-21T14:48:20Z"}},"previous":{{"hash":"{}","until":"2026-09-21T14:20:00Z"}},"scopes":["vehicles:read","logs:write"],"owner":"ada","rotateEveryS":null,"revoked":false}}"#,
                hash('b'),
                hash('a')
            ),
        );
    }

    #[test]
    fn a_fingerprint_holds_what_was_asked() {
        let text = serde_json::to_string(&issue(|_, _| {})).expect("a command");
        assert_eq!(
            text,
            r#"{"type":"issue","name":"depot","scopes":["vehicles:read","logs:write"],"askedS":1000,"rotateEveryS":null,"bootstrap":false}"#
        );
    }
}
