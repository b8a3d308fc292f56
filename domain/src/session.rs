//! A session: the family of refresh tokens that one sign-in begins.
//!
//! Tokens are numbered 1, 2, 3 and so on; who presents number n is given n + 1 and nothing else,
//! however often they ask. A number that was given up before is a sign of theft and ends the family
//! for everybody who holds a token of it.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::personal::{Personal, PersonalField};
use crate::refusal::{Code, Refusal};
use crate::user::UserStanding;
use crate::values::{after, id};
use crate::words::words;

/// How many characters are kept of what a client says it is.
pub const USER_AGENT_CHARS_MAX: usize = 200;
/// How many characters are kept of a client's address: an IPv6 address takes 45.
pub const IP_CHARS_MAX: usize = 64;

words! {
    /// Why a session was ended on purpose.
    RevokeReason {
        SignedOut "signed_out" "The user signed out.";
        RevokedAll "revoked_all" "The user signed out everywhere.";
        PasswordChanged "password_changed" "The user's password is another one.";
        UserDeactivated "user_deactivated" "The user signs in no more.";
        Operator "operator" "An administrator ended it.";
    }
}

/// What a session can be told. Its id comes with the stream; times and policies come from us, so
/// they are no part of a command's fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum SessionCommand {
    /// Begin, with token number 1. Begun already: `ALREADY_EXISTS`.
    Start {
        /// Who has signed in.
        user_id: String,
        /// How long it lasts.
        #[serde(skip_serializing)]
        policy: SessionPolicy,
        /// From where.
        #[serde(skip_serializing)]
        client: ClientInfo,
        /// How the user stands at this moment.
        #[serde(skip_serializing)]
        user: UserStanding,
        /// [`crate::user::User::session_epoch`] at this moment.
        #[serde(skip_serializing)]
        epoch: u64,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
    /// Give the next token for this one. Given a moment ago: already so, and the same one is given.
    Refresh {
        /// The number of the token that is presented.
        presented: u64,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
        /// How the session's user stands at this moment.
        #[serde(skip_serializing)]
        user: UserStanding,
        /// That user's session epoch at this moment.
        #[serde(skip_serializing)]
        epoch_now: u64,
    },
    /// End. Ended already: already so.
    Revoke {
        /// Why.
        reason: RevokeReason,
        /// The time.
        #[serde(skip_serializing)]
        now: DateTime<Utc>,
    },
}

/// How long a session lasts, as it was when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionPolicy {
    /// Seconds after its last use.
    pub sliding_s: u32,
    /// Seconds after its beginning, whatever its use.
    pub absolute_s: u32,
    /// Seconds after a token was given in which it is given again for the one before: its first
    /// answer may have been lost.
    pub grace_s: u32,
}

/// Where a client is and what it says it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its address.
    pub ip: Option<String>,
    /// Its `User-Agent`.
    pub user_agent: Option<String>,
}

/// Both are personal.
impl fmt::Debug for ClientInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientInfo").finish_non_exhaustive()
    }
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SessionEvent {
    /// It began, with token number 1.
    #[serde(rename = "session.started")]
    SessionStarted(SessionStarted),
    /// The next token was given.
    #[serde(rename = "session.refreshed")]
    SessionRefreshed(SessionRefreshed),
    /// A token that was given up before was presented: the session is over.
    #[serde(rename = "session.reuse_detected")]
    ReuseDetected(ReuseDetected),
    /// It was ended on purpose.
    #[serde(rename = "session.revoked")]
    SessionRevoked(SessionRevoked),
}

/// Began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionStarted {
    /// Whose.
    pub user_id: String,
    /// How long it lasts.
    pub policy: SessionPolicy,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Personal>,
    /// By what, in the client's words, cut to [`USER_AGENT_CHARS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Personal>,
    /// The user's session epoch it is good for.
    pub epoch: u64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The next token was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionRefreshed {
    /// The number of the token given.
    pub number: u64,
    /// When.
    pub at: DateTime<Utc>,
}

/// A token that was given up before was presented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReuseDetected {
    /// Its number.
    pub presented: u64,
    /// The number that would have been good.
    pub current: u64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Ended on purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionRevoked {
    /// Why.
    pub reason: RevokeReason,
    /// When.
    pub at: DateTime<Utc>,
}

/// The state a session's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Session {
    /// Whose; empty before it began.
    pub user_id: String,
    /// How long it lasts.
    pub policy: SessionPolicy,
    /// The user's session epoch it is good for.
    pub epoch: u64,
    /// When it began, and when a token was last given; `None` before it began.
    pub used: Option<Used>,
    /// The number of the token that is good; 0 before it began.
    pub current: u64,
    /// Over, and how; running out is told by the clock, not by an event.
    pub ended: Option<Ended>,
}

/// When a session began and was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Used {
    /// Its beginning.
    pub first_at: DateTime<Utc>,
    /// When the current token was given.
    pub last_at: DateTime<Utc>,
}

/// How a session came to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    /// On purpose.
    Revoked,
    /// A token that was given up before was presented.
    Reused,
}

impl Session {
    /// When the session runs out if it is not used again: the earlier of last use + sliding and
    /// beginning + absolute. `None` before it began.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        let used = self.used?;
        let sliding = after(used.last_at, self.policy.sliding_s);
        Some(sliding.min(after(used.first_at, self.policy.absolute_s)))
    }

    /// What to tell whoever presented this number, once [`SessionCommand::Refresh`] was accepted
    /// and is folded in: the number of the token to give. `REFRESH_REUSED` if the acceptance was of
    /// a theft; `SESSION_REVOKED` if the session was ended since.
    pub fn successor_of(&self, presented: u64) -> Result<u64, Refusal> {
        match self.ended {
            Some(Ended::Reused) => Err(Refusal::new(
                Code::RefreshReused,
                "a refresh token was used again after it was given up",
            )),
            Some(Ended::Revoked) => Err(revoked()),
            None if (1..self.current).contains(&presented) => Ok(presented + 1),
            None => Err(invalid()),
        }
    }

    fn start(
        &self,
        user_id: &str,
        policy: SessionPolicy,
        client: &ClientInfo,
        epoch: u64,
        at: DateTime<Utc>,
    ) -> Result<Vec<SessionEvent>, Refusal> {
        if self.used.is_some() {
            return Err(Refusal::new(
                Code::AlreadyExists,
                "the session exists already",
            ));
        }
        Ok(vec![SessionEvent::SessionStarted(SessionStarted {
            user_id: id(user_id, "userId")?,
            policy,
            ip: cut(client.ip.as_deref(), IP_CHARS_MAX).map(Personal::Plain),
            user_agent: cut(client.user_agent.as_deref(), USER_AGENT_CHARS_MAX)
                .map(Personal::Plain),
            epoch,
            at,
        })])
    }

    fn refresh(
        &self,
        presented: u64,
        now: DateTime<Utc>,
        user: UserStanding,
        epoch_now: u64,
    ) -> Result<Vec<SessionEvent>, Refusal> {
        let (Some(used), Some(ends_at)) = (self.used, self.ends_at()) else {
            return Err(invalid());
        };
        if self.ended.is_some() || user != UserStanding::Active || epoch_now != self.epoch {
            return Err(revoked());
        }
        if presented == 0 || presented > self.current {
            return Err(invalid());
        }
        // A clock that is set back revives nothing.
        let now = now.max(used.last_at);
        if now >= ends_at {
            return Err(Refusal::new(Code::TokenExpired, "the session has run out"));
        }
        if presented == self.current {
            let number = self.current + 1;
            let refreshed = SessionRefreshed { number, at: now };
            return Ok(vec![SessionEvent::SessionRefreshed(refreshed)]);
        }
        let in_grace = now <= after(used.last_at, self.policy.grace_s);
        if presented + 1 == self.current && in_grace {
            return Ok(vec![]);
        }
        Ok(vec![SessionEvent::ReuseDetected(ReuseDetected {
            presented,
            current: self.current,
            at: now,
        })])
    }
}

fn revoked() -> Refusal {
    Refusal::new(Code::SessionRevoked, "the session is over")
}

fn invalid() -> Refusal {
    Refusal::new(Code::InvalidToken, "the session never gave this token")
}

/// What a client says about itself is kept as far as it is printable, and never refused: nobody is
/// kept from signing in by it.
fn cut(text: Option<&str>, chars_max: usize) -> Option<String> {
    let printable = text?.trim().chars().filter(|c| !c.is_control());
    Some(printable.take(chars_max).collect()).filter(|kept: &String| !kept.is_empty())
}

impl Aggregate for Session {
    const TYPE: &'static str = "session";
    type Command = SessionCommand;
    type Event = SessionEvent;
    const SHAPE: Option<Shape<Session>> = Some(Shape::json(1));

    fn decide(&self, command: &SessionCommand) -> Result<Vec<SessionEvent>, Refusal> {
        match command {
            SessionCommand::Start {
                user_id,
                policy,
                client,
                user,
                epoch,
                now,
            } => {
                user.must_be_active()?;
                self.start(user_id, *policy, client, *epoch, *now)
            }
            SessionCommand::Refresh {
                presented,
                now,
                user,
                epoch_now,
            } => self.refresh(*presented, *now, *user, *epoch_now),
            SessionCommand::Revoke { reason, now } => {
                if self.used.is_none() {
                    return Err(Refusal::new(Code::NotFound, "no such session"));
                }
                if self.ended.is_some() {
                    return Ok(vec![]);
                }
                Ok(vec![SessionEvent::SessionRevoked(SessionRevoked {
                    reason: *reason,
                    at: *now,
                })])
            }
        }
    }

    fn apply(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::SessionStarted(e) => {
                self.user_id.clone_from(&e.user_id);
                self.policy = e.policy;
                self.epoch = e.epoch;
                self.used = Some(Used {
                    first_at: e.at,
                    last_at: e.at,
                });
                self.current = 1;
            }
            SessionEvent::SessionRefreshed(e) => {
                self.current = e.number;
                if let Some(used) = &mut self.used {
                    used.last_at = e.at;
                }
            }
            SessionEvent::ReuseDetected(_) => self.ended = Some(Ended::Reused),
            SessionEvent::SessionRevoked(_) => self.ended = Some(Ended::Revoked),
        }
    }

    /// They are the user's, not the session's: they go with the user.
    fn personal<'e>(_id: &str, event: &'e mut SessionEvent) -> Vec<PersonalField<'e>> {
        let SessionEvent::SessionStarted(started) = event else {
            return Vec::new();
        };
        let fields = [
            ("ip", &mut started.ip),
            ("user_agent", &mut started.user_agent),
        ];
        let fields = fields.into_iter().filter_map(|(field, value)| {
            let value = value.as_mut()?;
            Some(PersonalField {
                subject: started.user_id.clone(),
                field,
                value,
            })
        });
        fields.collect()
    }

    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.user_id.capacity()
    }
}

#[cfg(test)]
mod tests;
