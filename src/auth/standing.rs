//! Whether somebody who was let in still may, asked of the log itself.
//!
//! What the versions of a few streams are is one question to the database; states that were loaded before
//! are good as long as their versions are. So what was revoked on another node is known here after
//! `auth.recheck`, with Redis or without, and nothing has to be told to anybody.

use std::sync::Arc;
use std::time::Instant;

use domain::admins::{ADMINS_ID, Admins};
use domain::api_key::ApiKey;
use domain::session::Session;
use domain::tenant::{DEFAULT_TENANT, Tenant};
use domain::token::Token;
use domain::user::{User, UserStanding};
use domain::{Aggregate, StreamKey};
use futures::FutureExt as _;

use super::caller::{Caller, Credential, Role};
use super::foreign::Stranger;
use super::signing::KEYS_PAUSE;
use super::tokens::{Seen, refused};
use super::{Admission, Auth, NotAdmitted, Shown};
use crate::commands::CommandError;

/// What keeps a key of ours apart from a token.
const API_KEY_MARK: &str = "dbk_";

impl Auth {
    /// Whom a request stands for.
    pub fn admit<'a>(&'a self, shown: Shown<'a>) -> Admission<'a> {
        let token = match (shown.bearer, shown.api_key) {
            (None, None) => return Admission::Known(Ok(self.0.anonymous.clone())),
            (Some(_), Some(_)) => return Admission::Known(Err(NotAdmitted::Ambiguous)),
            (None, Some(key)) => return self.admit_api_key(key, shown.address),
            (Some(key), None) if key.starts_with(API_KEY_MARK) => {
                return self.admit_api_key(key, shown.address);
            }
            (Some(token), None) => token,
        };
        match self
            .0
            .foreign
            .known(token, self.0.settings.recheck, self.0.clock.now())
        {
            Stranger::No => {}
            Stranger::Known(caller) => return Admission::Known(Ok(caller)),
            Stranger::Unknown => return Admission::Asking(self.admit_foreign(token).boxed()),
        }
        if self.keys_are_fresh(self.0.settings.recheck) {
            match self.0.tokens.verify(token) {
                Ok(seen) => {
                    if let Some(caller) = seen.standing(self.0.settings.recheck) {
                        return Admission::Known(Ok(caller));
                    }
                    return Admission::Asking(async move { self.still(&seen).await }.boxed());
                }
                Err(refused) if self.keys_are_fresh(KEYS_PAUSE) => {
                    return Admission::Known(Err(refused.into()));
                }
                Err(_) => {}
            }
        }
        Admission::Asking(self.admit_token(token).boxed())
    }

    async fn admit_token(&self, token: &str) -> Result<Arc<Caller>, NotAdmitted> {
        if let Err(error) = self.look_at_keys().await {
            tracing::warn!(%error, "the signing keys were not looked at: {error}");
            if !self.keys_are_fresh(self.0.settings.believed_for) {
                return Err(NotAdmitted::Unavailable);
            }
        }
        let seen = self.0.tokens.verify(token)?;
        self.still(&seen).await
    }

    /// Whom a token that was checked stands for by what the log says now.
    pub(super) async fn still(&self, seen: &Seen) -> Result<Arc<Caller>, NotAdmitted> {
        let asked = Instant::now();
        match self.standing(&seen.claimed).await {
            Ok(Some(caller)) => {
                let caller = Arc::new(caller);
                seen.settle(asked, Some(caller.clone()));
                Ok(caller)
            }
            Ok(None) => {
                seen.settle(asked, None);
                Err(refused("revoked").into())
            }
            Err(error) => {
                tracing::warn!(%error, "a caller's standing was not found out: {error}");
                let known = seen.standing(self.0.settings.believed_for);
                known.ok_or(NotAdmitted::Unavailable)
            }
        }
    }

    /// The caller a token names as the log has them now; `None` if they may not any more.
    async fn standing(&self, claimed: &Caller) -> Result<Option<Caller>, CommandError> {
        let Credential::Token { id, session, .. } = &claimed.credential else {
            return Ok(None);
        };
        let (tenant, user) = (&claimed.tenant, &claimed.actor.id);
        let mut streams = vec![
            StreamKey::of::<Token>(id),
            StreamKey::of::<User>(user),
            StreamKey::of::<Admins>(ADMINS_ID),
        ];
        streams.extend(session.as_deref().map(StreamKey::of::<Session>));
        let versions = self.versions(tenant, &streams).await?;
        let (revoked, user_at, roster_at) = (versions[0], versions[1], versions[2]);
        if revoked > 0 {
            return Ok(None);
        }
        let suspended = self.is_suspended(tenant).await?;
        let mut caller = Caller {
            suspended,
            ..claimed.clone()
        };
        if user_at == 0 {
            // Made by an operator for a program: good until it ends or is taken back.
            return Ok(session.is_none().then_some(caller));
        }
        let door = &self.0.door;
        let user: User = door.load_from(tenant, user, user_at).await?;
        if user.standing() != UserStanding::Active {
            return Ok(None);
        }
        if let (Some(session), Some(session_at)) = (session, versions.get(3)) {
            let session: Session = door.load_from(tenant, session, *session_at).await?;
            let over = session.ended.is_some() || session.epoch != user.session_epoch;
            if over || session.user_id != *caller.actor.id {
                return Ok(None);
            }
        }
        let roster: Admins = door.load_from(tenant, ADMINS_ID, roster_at).await?;
        let held = |role: &Role| match role {
            Role::Admin => roster.names(&caller.actor.id),
            role => user.roles.contains(role),
        };
        caller.roles.retain(held);
        Ok(Some(caller))
    }

    /// The user a caller acts for: themselves, or whoever answers for the API key. `None` for a program
    /// that is nobody's.
    pub async fn person(&self, caller: &Caller) -> Result<Option<String>, CommandError> {
        let (tenant, id) = (&caller.tenant, &caller.actor.id);
        match caller.credential {
            Credential::None => Ok(None),
            Credential::ApiKey => {
                let key: ApiKey = self.now(tenant, id).await?;
                Ok(key.owner)
            }
            Credential::Token { .. } => {
                let versions = self.versions(tenant, &[StreamKey::of::<User>(id)]).await?;
                Ok((versions[0] > 0).then(|| id.to_string()))
            }
        }
    }

    /// Does the log say that the user may sign in, and with which roles?
    pub(super) async fn roles_now(
        &self,
        tenant: &Arc<str>,
        user: &str,
    ) -> Result<Option<Vec<Role>>, CommandError> {
        let streams = [
            StreamKey::of::<User>(user),
            StreamKey::of::<Admins>(ADMINS_ID),
        ];
        let versions = self.versions(tenant, &streams).await?;
        let door = &self.0.door;
        let state: User = door.load_from(tenant, user, versions[0]).await?;
        if state.standing() != UserStanding::Active {
            return Ok(None);
        }
        let roster: Admins = door.load_from(tenant, ADMINS_ID, versions[1]).await?;
        let mut roles: Vec<Role> = state.roles.iter().copied().collect();
        roles.extend(roster.names(user).then_some(Role::Admin));
        Ok(Some(roles))
    }

    /// May the tenant be read, but not written?
    pub(super) async fn is_suspended(&self, tenant: &str) -> Result<bool, CommandError> {
        if tenant == DEFAULT_TENANT {
            return Ok(false);
        }
        let of_default: Arc<str> = DEFAULT_TENANT.into();
        let tenant: Tenant = self.0.door.load_now(&of_default, tenant).await?;
        Ok(tenant.suspended)
    }

    /// The versions of these streams now, in their order; 0 for one that is not there.
    pub(super) async fn versions(
        &self,
        tenant: &Arc<str>,
        streams: &[StreamKey],
    ) -> Result<Vec<i64>, CommandError> {
        let streams: Vec<&StreamKey> = streams.iter().collect();
        let versions = self.0.store.stream_versions(tenant, &streams).await?;
        debug_assert_eq!(versions.len(), streams.len());
        Ok(versions)
    }

    /// The state of an aggregate as the log has it now.
    pub(super) async fn now<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
    ) -> Result<A, CommandError> {
        self.0.door.load_now(tenant, id).await
    }
}
