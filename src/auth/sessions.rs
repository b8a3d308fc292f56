//! Signing in, staying so, and signing out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::session::{ClientInfo, RevokeReason, Session, SessionCommand, SessionPolicy};
use domain::token::{Token, TokenCommand};
use domain::user::{User, UserCommand, UserStanding, email_claim};
use domain::{Actor, ActorKind, Code, Refusal};
use uuid::Uuid;

use super::credentials::check_shape;
use super::links::RefreshToken;
use super::{Auth, AuthError, Caller, Credential, Grant};
use crate::commands::{CommandContext, CommandError, Receipt};

/// Where somebody signs in from.
#[derive(Clone, Debug)]
pub struct ClientAt {
    /// The address, as far as it is known by somebody who is trusted.
    pub address: IpAddr,
    /// What the client says it is.
    pub user_agent: Option<String>,
}

/// What somebody is given who has signed in.
#[derive(Clone)]
pub struct SignedIn {
    /// Who.
    pub user_id: String,
    /// The session.
    pub session_id: String,
    /// Good for a while.
    pub access_token: String,
    /// For how long.
    pub expires_in: Duration,
    /// Good for the next access token, once.
    pub refresh_token: String,
    /// When the session ends if it is not used again.
    pub session_ends_at: DateTime<Utc>,
    /// What was kept.
    pub receipt: Receipt,
}

impl Auth {
    /// Signs somebody in. Whatever is wrong with account or password, the answer is the same and takes as
    /// long.
    pub async fn sign_in(
        &self,
        ctx: &CommandContext,
        client: &ClientAt,
        email: &str,
        password: &str,
    ) -> Result<SignedIn, AuthError> {
        check_shape(password, "password")?;
        let account = self.account(&ctx.tenant, email);
        let limiter = &self.0.limiter;
        let counted = limiter.login(client.address, &account).await;
        counted.map_err(AuthError::Limited)?;
        let user_id = self.user_of_email(&ctx.tenant, email).await?;
        // Asked for nobody as well.
        let known = user_id.as_deref().unwrap_or_default();
        let hash = self.password_hash(&ctx.tenant, known).await?;
        let fits = self.fits(password, hash.as_deref()).await?;
        let user_id = match user_id {
            Some(user_id) if fits => user_id,
            _ => return Err(failed().into()),
        };
        let user: User = self.now(&ctx.tenant, &user_id).await?;
        if user.standing() != UserStanding::Active {
            return Err(failed().into());
        }
        limiter.signed_in(client.address, &account).await;
        self.begin_session(ctx, client, &user_id).await
    }

    /// What tries are counted by: the account's one spelling.
    fn account(&self, tenant: &str, email: &str) -> String {
        format!("{tenant}\0{}", email_claim(email).value)
    }

    async fn begin_session(
        &self,
        ctx: &CommandContext,
        client: &ClientAt,
        user_id: &str,
    ) -> Result<SignedIn, AuthError> {
        let session_id = format!("session_{}", Uuid::now_v7().simple());
        let ctx = CommandContext {
            actor: person(user_id),
            command_id: None,
            expected_version: None,
            ..ctx.clone()
        };
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let settings = &self.0.settings;
        let policy = SessionPolicy {
            sliding_s: seconds(settings.session_sliding),
            absolute_s: seconds(settings.session_absolute),
            grace_s: seconds(settings.refresh_grace),
        };
        let start = |user: &User| SessionCommand::Start {
            user_id: user_id.to_owned(),
            policy,
            client: ClientInfo {
                ip: Some(client.address.to_string()),
                user_agent: client.user_agent.clone(),
            },
            user: user.standing(),
            epoch: user.session_epoch,
            now: ctx.now,
        };
        let door = &self.0.door;
        let kept = door
            .execute_relying::<Session, User>(&ctx, &session_id, user_id, start)
            .await?;
        self.tokens_of(&ctx.tenant, &session_id, 1, kept).await
    }

    /// Gives the next tokens for a refresh token.
    pub async fn refresh(&self, ctx: &CommandContext, token: &str) -> Result<SignedIn, AuthError> {
        let Some(token) = RefreshToken::read(&self.0.vault, token) else {
            let refusal = Refusal::new(Code::InvalidToken, "the refresh token was never given");
            return Err(refusal.at(["refreshToken"]).into());
        };
        let tenant: Arc<str> = token.tenant.as_str().into();
        let session: Session = self.now(&tenant, &token.session).await?;
        let ctx = CommandContext {
            tenant: tenant.clone(),
            actor: person(&session.user_id),
            command_id: None,
            expected_version: None,
            ..ctx.clone()
        };
        let refresh = |user: &User| SessionCommand::Refresh {
            presented: token.number,
            now: ctx.now,
            user: user.standing(),
            epoch_now: user.session_epoch,
        };
        let door = &self.0.door;
        let kept = door
            .execute_relying::<Session, User>(&ctx, &token.session, &session.user_id, refresh)
            .await?;
        let session: Session = self.now(&tenant, &token.session).await?;
        let number = session.successor_of(token.number)?;
        self.tokens_of(&tenant, &token.session, number, kept).await
    }

    /// The tokens of a session: an access token, and the refresh token of this number.
    async fn tokens_of(
        &self,
        tenant: &Arc<str>,
        session_id: &str,
        number: u64,
        receipt: Receipt,
    ) -> Result<SignedIn, AuthError> {
        let session: Session = self.now(tenant, session_id).await?;
        let over = || Refusal::new(Code::SessionRevoked, "the session is over");
        let roles = self.roles_now(tenant, &session.user_id).await?;
        let roles = roles.ok_or_else(over)?;
        self.refresh_keys().await?;
        let access_token = self.mint(&Grant {
            subject: session.user_id.clone(),
            tenant: tenant.to_string(),
            roles,
            session: Some(session_id.to_owned()),
            ..Grant::default()
        })?;
        let refresh_token = RefreshToken {
            tenant: tenant.to_string(),
            session: session_id.to_owned(),
            number,
        };
        Ok(SignedIn {
            session_ends_at: session.ends_at().ok_or_else(over)?,
            user_id: session.user_id,
            session_id: session_id.to_owned(),
            access_token,
            expires_in: self.0.settings.access_ttl,
            refresh_token: refresh_token.write(&self.0.vault),
            receipt,
        })
    }

    /// Signs the caller out: their session, or the token itself if it belongs to none, is over.
    pub async fn sign_out(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
    ) -> Result<Receipt, AuthError> {
        let Credential::Token { id, session, .. } = &caller.credential else {
            return Err(not_signed_in().into());
        };
        if let Some(session) = session {
            return self
                .end_session(ctx, session, RevokeReason::SignedOut)
                .await;
        }
        let command = TokenCommand::Revoke {
            expires_at: caller.expires_at,
        };
        Ok(self.0.door.execute::<Token>(ctx, id, command).await?)
    }

    /// Ends one session: the caller's own, or any if they administer the tenant. Others' are not found.
    pub async fn revoke_session(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        session_id: &str,
    ) -> Result<Receipt, AuthError> {
        let session: Session = self.now(&ctx.tenant, session_id).await?;
        let own = caller.is_user(&session.user_id);
        if !own && !caller.may(super::Role::Admin) {
            let refusal = Refusal::new(Code::NotFound, "no such session");
            return Err(refusal.at(["sessionId"]).into());
        }
        let reason = match own {
            true => RevokeReason::SignedOut,
            false => RevokeReason::Operator,
        };
        self.end_session(ctx, session_id, reason).await
    }

    async fn end_session(
        &self,
        ctx: &CommandContext,
        session_id: &str,
        reason: RevokeReason,
    ) -> Result<Receipt, AuthError> {
        let command = SessionCommand::Revoke {
            reason,
            now: ctx.now,
        };
        let door = &self.0.door;
        Ok(door.execute::<Session>(ctx, session_id, command).await?)
    }

    /// Ends every session of the caller.
    pub async fn sign_out_everywhere(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
    ) -> Result<Receipt, AuthError> {
        let user_id = own_account(caller)?;
        let command = UserCommand::SignOutEverywhere;
        Ok(self.0.door.execute::<User>(ctx, user_id, command).await?)
    }

    /// Sets another password for the caller, and signs them in anew: every session before is over.
    pub async fn change_password(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        client: &ClientAt,
        (current, new): (&str, &str),
    ) -> Result<SignedIn, AuthError> {
        let user_id = own_account(caller)?;
        // Whoever holds a token they found must not guess the password by it.
        let account = format!("{}\0change\0{user_id}", ctx.tenant);
        let counted = self.0.limiter.login(client.address, &account).await;
        counted.map_err(AuthError::Limited)?;
        self.replace_password(ctx, user_id, current, new).await?;
        self.0.limiter.signed_in(client.address, &account).await;
        let ctx = ctx.following();
        self.begin_session(&ctx, client, user_id).await
    }
}

/// The account of a caller who signed in to one.
fn own_account(caller: &Caller) -> Result<&str, AuthError> {
    match &caller.credential {
        Credential::Token {
            session: Some(_), ..
        } => Ok(&caller.actor.id),
        _ => Err(not_signed_in().into()),
    }
}

fn not_signed_in() -> CommandError {
    Refusal::new(
        Code::NotFound,
        "the token belongs to no session of a user: there is nothing to end or change",
    )
    .into()
}

fn failed() -> Refusal {
    Refusal::new(
        Code::SignInFailed,
        "there is no such account, or its password is another one",
    )
}

fn person(user_id: &str) -> Actor {
    Actor {
        kind: ActorKind::User,
        id: user_id.into(),
    }
}
