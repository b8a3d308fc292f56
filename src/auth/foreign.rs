//! Callers with tokens of a foreign issuer: checked by its keys, remembered, and looked at in the log as our
//! own are, so that a token of theirs can be taken back here.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Actor, ActorKind};
use sha2::{Digest as _, Sha256};

use super::caller::{Caller, Credential};
use super::oidc::{Oidc, claimed_issuer};
use super::tokens::{Seen, refused};
use super::{Auth, NotAdmitted};
use crate::cache::Memo;
use crate::config;

/// What stands before the issuer's name for somebody: no user of ours has such an id.
const MARK: &str = "oidc|";

/// Tokens of the foreign issuer that were checked.
pub(super) struct Foreigners {
    oidc: Option<Oidc>,
    remembered: Memo<Arc<Seen>>,
    leeway: TimeDelta,
}

/// What is known of a token.
pub(super) enum Stranger {
    /// It is none of a foreign issuer's.
    No,
    /// It is, and stands for this caller.
    Known(Arc<Caller>),
    /// It says that it is, and is to be looked at.
    Unknown,
}

/// Is this the id of somebody whom another issuer vouches for?
pub(super) fn is_foreign(id: &str) -> bool {
    id.starts_with(MARK)
}

impl Foreigners {
    pub fn new(oidc: Option<Oidc>, settings: &config::Auth) -> Foreigners {
        let max = usize::try_from(settings.verified_tokens_max).unwrap_or(usize::MAX);
        Foreigners {
            remembered: Memo::new(if oidc.is_some() { max } else { 0 }),
            leeway: TimeDelta::from_std(settings.leeway).unwrap_or_default(),
            oidc,
        }
    }

    /// What is known of a token without asking anybody.
    pub fn known(&self, token: &str, age_max: Duration, now: DateTime<Utc>) -> Stranger {
        let Some(oidc) = &self.oidc else {
            return Stranger::No;
        };
        if let Some(seen) = self.seen(token, now) {
            return match seen.standing(age_max) {
                Some(caller) => Stranger::Known(caller),
                None => Stranger::Unknown,
            };
        }
        match claimed_issuer(token) {
            Some(issuer) if oidc.is_of(&issuer) => Stranger::Unknown,
            _ => Stranger::No,
        }
    }

    /// The token as it was checked before, unless it is over by now, or the clock was set back.
    fn seen(&self, token: &str, now: DateTime<Utc>) -> Option<Arc<Seen>> {
        let seen = self.remembered.get(&Sha256::digest(token).into())?;
        let early = match seen.claimed.credential {
            Credential::Token { issued_at, .. } => issued_at > now + self.leeway,
            Credential::None | Credential::ApiKey => false,
        };
        let over = now > seen.claimed.expires_at + self.leeway;
        (!early && !over).then_some(seen)
    }
}

impl Auth {
    /// Whom a token of the foreign issuer stands for.
    pub(super) async fn admit_foreign(&self, token: &str) -> Result<Arc<Caller>, NotAdmitted> {
        let foreign = &self.0.foreign;
        if let Some(seen) = foreign.seen(token, self.0.clock.now()) {
            return self.still(&seen).await;
        }
        let Some(oidc) = &foreign.oidc else {
            return Err(refused("issuer or audience").into());
        };
        let told = oidc.verify(token).await.map_err(refused)?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        // A token without an id of its own is known by what it is.
        let id = told.token_id.unwrap_or_else(|| {
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256-{hex}")
        });
        let seen = Arc::new(Seen::foreign(Caller {
            actor: Actor {
                kind: ActorKind::User,
                id: format!("{MARK}{}", told.subject).into(),
            },
            tenant: told.tenant.into(),
            roles: told.roles,
            scopes: Vec::new(),
            credential: Credential::Token {
                id: format!("{MARK}{id}").into(),
                session: None,
                issued_at: told.issued_at,
            },
            suspended: false,
            expires_at: told.expires_at,
        }));
        foreign.remembered.put(digest, seen.clone());
        self.still(&seen).await
    }
}
