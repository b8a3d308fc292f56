//! Accounts: making them, their passwords, their roles, and what is known of the person behind one.

use std::sync::Arc;

use chrono::TimeDelta;
use domain::admins::{ADMINS_ID, Admins, AdminsCommand};
use domain::user::{PasswordChangeReason, User, UserCommand, UserEvent, email_claim};
use domain::{Aggregate as _, Code, Event, Personal, Refusal, StreamKey};
use sqlx::{Executor as _, Postgres};
use uuid::Uuid;

use super::api_keys::random_word;
use super::links::Link;
use super::password::{CHARS_MAX, PasswordError};
use super::{Auth, AuthError, Role};
use crate::commands::{CommandContext, CommandError, Receipt};
use crate::store::StoreError;
use crate::vault::Place;

/// Somebody who is to be known.
#[derive(Clone)]
pub struct Registration {
    /// Where they are reached.
    pub email: String,
    /// Their name, for people.
    pub name: String,
    /// Their password; without one they set it by the link that verifies their address.
    pub password: Option<String>,
    /// What they may do.
    pub roles: Vec<Role>,
    /// The address is known to be theirs.
    pub verified: bool,
}

/// Somebody who is known by now.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Their id.
    pub user_id: String,
    /// What was kept.
    pub receipt: Receipt,
    /// What the link that verifies their address carries; told once.
    pub link: Option<String>,
}

/// What may be told of a personal value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonalValue {
    /// The value.
    Known(String),
    /// The person was erased: nobody can read it again.
    Erased,
}

impl Auth {
    /// Makes somebody known, with a password if there is one.
    pub async fn register(
        &self,
        ctx: &CommandContext,
        who: Registration,
    ) -> Result<Registered, AuthError> {
        let user_id = self.user_id(ctx);
        let admin = who.roles.contains(&Role::Admin);
        let roles = who.roles.iter().filter(|role| **role != Role::Admin);
        let command = UserCommand::Register {
            email: who.email.clone(),
            name: who.name.clone(),
            roles: roles.copied().collect(),
            verified: who.verified,
        };
        // What cannot be is refused before a password is hashed for it.
        User::default().decide(&command)?;
        let mut stored = false;
        if let Some(password) = &who.password {
            let hash = self.hash(password, &[&who.email, &who.name]).await?;
            stored = self.keep_first_password(ctx, &user_id, &hash).await?;
        }
        let kept = self.0.door.execute::<User>(ctx, &user_id, command).await;
        if let (Err(CommandError::Refused(_)), true) = (&kept, stored) {
            self.drop_password(&ctx.tenant, &user_id).await?;
        }
        let receipt = kept?;
        if admin {
            self.appoint(&ctx.following(), &user_id).await?;
        }
        let link = (!receipt.replayed && !who.verified).then(|| self.link(ctx, &user_id, 0));
        Ok(Registered {
            user_id,
            receipt,
            link,
        })
    }

    /// Makes the first administrator of a tenant, with a password drawn at random, which is told here and never
    /// again. `None` if there is one, or another process makes one at this moment.
    pub async fn first_admin(
        &self,
        tenant: &str,
        email: &str,
    ) -> Result<Option<String>, AuthError> {
        let ctx = self.own_context(tenant.into());
        let roster: Admins = self.now(&ctx.tenant, ADMINS_ID).await?;
        if !roster.user_ids.is_empty() {
            return Ok(None);
        }
        let password = random_word();
        let who = Registration {
            email: email.to_owned(),
            name: "Administrator".to_owned(),
            password: Some(password.clone()),
            roles: vec![Role::Admin],
            verified: true,
        };
        match self.register(&ctx, who).await {
            Ok(_) => Ok(Some(password)),
            Err(AuthError::Command(CommandError::Refused(refusal)))
                if refusal.code == Code::EmailTaken =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What a link carries that verifies the address of somebody, or sets their first password.
    fn link(&self, ctx: &CommandContext, user_id: &str, password_epoch: u64) -> String {
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
        let verify = UserCommand::VerifyEmail;
        let mut receipt = self
            .0
            .door
            .execute::<User>(&ctx, &link.user, verify)
            .await?;
        if let Some(password) = password {
            let about = self.words_about(&ctx.tenant, &link.user).await?;
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            let hash = self.hash(password, &about).await?;
            if !self.keep_first_password(&ctx, &link.user, &hash).await? {
                let message = "there is a password already: sign in and change it";
                let refusal = Refusal::new(Code::AlreadyExists, message);
                return Err(refusal.at(["password"]).into());
            }
            let reason = PasswordChangeReason::Reset;
            let change = UserCommand::ChangePassword { reason };
            let ctx = ctx.following();
            receipt = self
                .0
                .door
                .execute::<User>(&ctx, &link.user, change)
                .await?;
        }
        Ok((link.user, receipt))
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
        // Whoever changes it at the same moment waits here, and is then told that it is another one.
        let mut work = projections::begin(self.0.store.pool(), "begin").await?;
        let hash: Option<String> = sqlx::query_scalar(
            "select password_hash from credentials where tenant = $1 and user_id = $2 for update",
        )
        .bind(&*ctx.tenant)
        .bind(user_id)
        .fetch_optional(&mut *work)
        .await?;
        if !self.fits(current, hash.as_deref()).await? {
            let message = "the current password is another one";
            let refusal = Refusal::new(Code::SignInFailed, message);
            return Err(refusal.at(["currentPassword"]).into());
        }
        let hash = match self.hash(new, &about).await {
            Ok(hash) => hash,
            Err(error) => return Err(under(error, "newPassword")),
        };
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

    /// Lets somebody do more.
    pub async fn assign_role(
        &self,
        ctx: &CommandContext,
        user_id: &str,
        role: Role,
    ) -> Result<Receipt, AuthError> {
        if role == Role::Admin {
            return self.appoint(ctx, user_id).await;
        }
        let command = UserCommand::AssignRole { role };
        Ok(self.0.door.execute::<User>(ctx, user_id, command).await?)
    }

    /// Lets somebody do less.
    pub async fn revoke_role(
        &self,
        ctx: &CommandContext,
        user_id: &str,
        role: Role,
    ) -> Result<Receipt, AuthError> {
        let door = &self.0.door;
        if role == Role::Admin {
            let command = AdminsCommand::Dismiss {
                user_id: user_id.to_owned(),
            };
            return Ok(door.execute::<Admins>(ctx, ADMINS_ID, command).await?);
        }
        let command = UserCommand::RevokeRole { role };
        Ok(door.execute::<User>(ctx, user_id, command).await?)
    }

    async fn appoint(&self, ctx: &CommandContext, user_id: &str) -> Result<Receipt, AuthError> {
        let appoint = |user: &User| AdminsCommand::Appoint {
            user_id: user_id.to_owned(),
            standing: user.standing(),
        };
        let door = &self.0.door;
        let kept = door
            .execute_relying::<Admins, User>(ctx, ADMINS_ID, user_id, appoint)
            .await;
        Ok(kept?)
    }

    /// Lets somebody sign in no more.
    pub async fn deactivate(
        &self,
        ctx: &CommandContext,
        user_id: &str,
        reason: Option<String>,
    ) -> Result<Receipt, AuthError> {
        let deactivate = |admins: &Admins| UserCommand::Deactivate {
            reason,
            admin: admins.names(user_id),
        };
        let door = &self.0.door;
        let kept = door
            .execute_relying::<User, Admins>(ctx, user_id, ADMINS_ID, deactivate)
            .await;
        Ok(kept?)
    }

    /// Lets somebody sign in again.
    pub async fn reactivate(
        &self,
        ctx: &CommandContext,
        user_id: &str,
    ) -> Result<Receipt, AuthError> {
        let command = UserCommand::Reactivate;
        Ok(self.0.door.execute::<User>(ctx, user_id, command).await?)
    }

    /// Who has this address; nobody, if nobody has.
    pub async fn user_of_email(
        &self,
        tenant: &str,
        email: &str,
    ) -> Result<Option<String>, AuthError> {
        let claim = email_claim(email);
        let pseudonym = self.0.vault.pseudonym(tenant, claim.scope, &claim.value);
        Ok(sqlx::query_scalar(
            "select aggregate_id from claims where tenant = $1 and scope = $2 and value_hash = $3",
        )
        .bind(tenant)
        .bind(claim.scope)
        .bind(&pseudonym[..16])
        .fetch_optional(self.0.store.pool())
        .await?)
    }

    /// A personal value as it stands sealed in an event.
    pub async fn open(&self, place: &Place<'_>, sealed: &str) -> Result<PersonalValue, AuthError> {
        let key = self
            .0
            .vault
            .existing_key(place.tenant, place.subject)
            .await?;
        let value = key.and_then(|key| key.open(place, sealed));
        Ok(value.map_or(PersonalValue::Erased, PersonalValue::Known))
    }

    /// Can what was sealed of a person still be read by anybody?
    pub async fn is_readable(&self, tenant: &str, subject: &str) -> Result<bool, AuthError> {
        Ok(self.0.vault.existing_key(tenant, subject).await?.is_some())
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

    /// The id of somebody new: the same for the same command sent again.
    fn user_id(&self, ctx: &CommandContext) -> String {
        let Some(command_id) = &ctx.command_id else {
            return format!("user_{}", Uuid::now_v7().simple());
        };
        let parts = [&*ctx.tenant, &ctx.actor.to_string(), command_id];
        let digest = self.0.vault.digest("user id", &parts);
        let id = Uuid::from_slice(&digest[..16]).expect("it has 16 bytes");
        format!("user_{}", id.simple())
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
    async fn keep_first_password(
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

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> AuthError {
        AuthError::Command(error.into())
    }
}
