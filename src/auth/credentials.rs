//! Passwords of accounts, and the links by which an address is verified and a first password set.

use std::sync::Arc;

use chrono::TimeDelta;
use domain::user::{PasswordChangeReason, User, UserCommand, UserEvent};
use domain::{Code, Event, Personal, Refusal, StreamKey};
use sqlx::{Executor as _, Postgres};

use super::accounts::PersonalValue;
use super::links::Link;
use super::password::{CHARS_MAX, PasswordError};
use super::{Auth, AuthError};
use crate::commands::{CommandContext, CommandError, Receipt};
use crate::vault::Place;

impl Auth {
    /// What a link carries that verifies the address of somebody, or sets their first password.
    pub(super) fn link(&self, ctx: &CommandContext, user_id: &str, password_epoch: u64) -> String {
        let ttl = TimeDelta::from_std(self.0.settings.link_ttl).unwrap_or_default();
        let link = Link {
            tenant: ctx.tenant.to_string(),
            user: user_id.to_owned(),
            password_epoch,
            expires_at: (ctx.now + ttl).timestamp(),
        };
        link.write(&self.0.vault)
    }

    /// Takes a link back: its owner's address is theirs. Whoever has no password yet sets it so. Gives the
    /// owner's id.
    pub async fn follow_link(
        &self,
        ctx: &CommandContext,
        token: &str,
        password: Option<&str>,
    ) -> Result<(String, Receipt), AuthError> {
        let invalid = || Refusal::new(Code::InvalidToken, "the link was never given").at(["token"]);
        let link = Link::read(&self.0.vault, token).ok_or_else(invalid)?;
        if link.expires_at <= ctx.now.timestamp() {
            let over = Refusal::new(Code::TokenExpired, "the link has run out");
            return Err(over.at(["token"]).into());
        }
        let mut ctx = ctx.clone();
        ctx.tenant = link.tenant.as_str().into();
        ctx.actor = domain::Actor {
            kind: domain::ActorKind::User,
            id: link.user.as_str().into(),
        };
        let user: User = self.now(&ctx.tenant, &link.user).await?;
        if user.password_epoch != link.password_epoch {
            return Err(invalid().into());
        }
        if self.is_suspended(&ctx.tenant).await? {
            let why = "the tenant is suspended: it can be read, not written";
            return Err(Refusal::new(Code::TenantSuspended, why).into());
        }
        // What cannot be their password is refused before anything is kept.
        let hash = match password {
            Some(password) => Some(self.first_password(&ctx, &link.user, password).await?),
            None => None,
        };
        let verify = UserCommand::VerifyEmail;
        let mut receipt = self
            .0
            .door
            .execute::<User>(&ctx, &link.user, verify)
            .await?;
        if let Some(hash) = hash {
            if !self.keep_first_password(&ctx, &link.user, &hash).await? {
                return Err(there_is_one().into());
            }
            let reason = PasswordChangeReason::Reset;
            let change = UserCommand::ChangePassword { reason };
            let (ctx, door) = (ctx.following(), &self.0.door);
            let kept = door.execute::<User>(&ctx, &link.user, change).await;
            if let Err(CommandError::Refused(_)) = &kept {
                // They were deactivated or erased in between: nothing of it stays.
                self.drop_password(&ctx.tenant, &link.user).await?;
            }
            receipt = kept?;
        }
        Ok((link.user, receipt))
    }

    /// The hash of a first password.
    async fn first_password(
        &self,
        ctx: &CommandContext,
        user_id: &str,
        password: &str,
    ) -> Result<String, AuthError> {
        if self.password_hash(&ctx.tenant, user_id).await?.is_some() {
            return Err(there_is_one().into());
        }
        let about = self.words_about(&ctx.tenant, user_id).await?;
        let about: Vec<&str> = about.iter().map(String::as_str).collect();
        self.hash(password, &about).await
    }

    /// Sets another password for whoever knows the one there is; every session is over.
    pub(super) async fn replace_password(
        &self,
        ctx: &CommandContext,
        user_id: &str,
        current: &str,
        new: &str,
    ) -> Result<Receipt, AuthError> {
        check_shape(current, "currentPassword")?;
        let about = self.words_about(&ctx.tenant, user_id).await?;
        let about: Vec<&str> = about.iter().map(String::as_str).collect();
        let known = self.password_hash(&ctx.tenant, user_id).await?;
        if !self.fits(current, known.as_deref()).await? {
            return Err(another().into());
        }
        let hash = match self.hash(new, &about).await {
            Ok(hash) => hash,
            Err(error) => return Err(under(error, "newPassword")),
        };
        // Hashing takes its time, and no connection is held meanwhile. Whoever changes it at the same moment
        // waits here, and is then told that it is another one.
        let mut work = projections::begin(self.0.store.pool(), "begin").await?;
        let still: Option<String> = sqlx::query_scalar(
            "select password_hash from credentials where tenant = $1 and user_id = $2 for update",
        )
        .bind(&*ctx.tenant)
        .bind(user_id)
        .fetch_optional(&mut *work)
        .await?;
        if still != known {
            return Err(another().into());
        }
        let reason = PasswordChangeReason::Changed;
        let change = UserCommand::ChangePassword { reason };
        let receipt = self.0.door.execute::<User>(ctx, user_id, change).await?;
        work.execute(
            sqlx::query(
                "update credentials set password_hash = $3, changed_at = now()
                 where tenant = $1 and user_id = $2",
            )
            .bind(&*ctx.tenant)
            .bind(user_id)
            .bind(hash),
        )
        .await?;
        work.commit().await?;
        Ok(receipt)
    }

    /// What somebody's password must not consist of: their name and address.
    async fn words_about(
        &self,
        tenant: &Arc<str>,
        user_id: &str,
    ) -> Result<Vec<String>, AuthError> {
        let stream = StreamKey::of::<User>(user_id);
        let first = self.0.store.read_stream(tenant, &stream, 0, 1).await;
        let first = first.map_err(CommandError::from)?;
        let Some(stored) = first.first() else {
            return Ok(Vec::new());
        };
        let Ok(Event::User(UserEvent::UserRegistered(registered))) =
            stored.decode().map(|recorded| recorded.event)
        else {
            return Ok(Vec::new());
        };
        let mut words = Vec::new();
        for (field, value) in [("email", registered.email), ("name", registered.name)] {
            let Personal::Sealed(sealed) = value else {
                continue;
            };
            let place = Place {
                tenant,
                subject: user_id,
                field,
                event_id: stored.event_id,
            };
            if let PersonalValue::Known(word) = self.open(&place, &sealed).await? {
                words.push(word);
            }
        }
        Ok(words)
    }

    pub(super) async fn hash(&self, password: &str, about: &[&str]) -> Result<String, AuthError> {
        // The part before the @ is as well known as the whole.
        let local = about.iter().filter_map(|word| word.split_once('@'));
        let local: Vec<&str> = local.map(|(local, _)| local).collect();
        let about = [about, &local].concat();
        Ok(self.0.passwords.hash(password, &about).await?)
    }

    pub(super) async fn fits(&self, password: &str, hash: Option<&str>) -> Result<bool, AuthError> {
        Ok(self.0.passwords.verify(password, hash).await?)
    }

    /// Keeps the first password of somebody; false if there is one.
    pub(super) async fn keep_first_password(
        &self,
        ctx: &CommandContext,
        user_id: &str,
        hash: &str,
    ) -> Result<bool, AuthError> {
        let kept = sqlx::query(
            "insert into credentials (tenant, user_id, password_hash) values ($1, $2, $3)
             on conflict do nothing",
        )
        .bind(&*ctx.tenant)
        .bind(user_id)
        .bind(hash)
        .execute(self.0.store.pool())
        .await?;
        Ok(kept.rows_affected() > 0)
    }

    pub(super) async fn drop_password(&self, tenant: &str, user_id: &str) -> Result<(), AuthError> {
        drop_password(self.0.store.pool(), tenant, user_id).await?;
        Ok(())
    }

    pub(super) async fn password_hash(
        &self,
        tenant: &str,
        user_id: &str,
    ) -> Result<Option<String>, AuthError> {
        Ok(sqlx::query_scalar(
            "select password_hash from credentials where tenant = $1 and user_id = $2",
        )
        .bind(tenant)
        .bind(user_id)
        .fetch_optional(self.0.store.pool())
        .await?)
    }
}

pub(super) async fn drop_password<'e>(
    on: impl sqlx::Executor<'e, Database = Postgres>,
    tenant: &str,
    user_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from credentials where tenant = $1 and user_id = $2")
        .bind(tenant)
        .bind(user_id)
        .execute(on)
        .await?;
    Ok(())
}

/// A password that nobody can have costs nothing but looking at it.
pub(super) fn check_shape(password: &str, field: &str) -> Result<(), Refusal> {
    let chars = password.chars().count();
    if chars == 0 || chars > CHARS_MAX || password.contains('\0') {
        let message = format!("{field} is not 1 to {CHARS_MAX} characters without NUL");
        let refusal = Refusal::new(Code::Validation, message).at([field]);
        return Err(refusal.with("limit", CHARS_MAX).with("actual", chars));
    }
    Ok(())
}

fn there_is_one() -> Refusal {
    let message = "there is a password already: sign in and change it";
    Refusal::new(Code::AlreadyExists, message).at(["password"])
}

/// The present password is another one than was said.
fn another() -> Refusal {
    let message = "the current password is another one";
    Refusal::new(Code::SignInFailed, message).at(["currentPassword"])
}

/// Says of a refusal about a password which field it came in.
fn under(error: AuthError, field: &str) -> AuthError {
    match error {
        AuthError::Command(CommandError::Refused(mut refusal)) => {
            refusal.path = vec![field.to_owned()];
            refusal.into()
        }
        other => other,
    }
}

impl From<PasswordError> for AuthError {
    fn from(error: PasswordError) -> AuthError {
        match error {
            PasswordError::Refused(refusal) => refusal.into(),
            PasswordError::Overloaded | PasswordError::GivenUp => AuthError::Busy,
        }
    }
}
