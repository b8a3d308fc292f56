//! Accounts: making them, their roles, and what is known of the person behind one.

use domain::admins::{ADMINS_ID, Admins, AdminsCommand};
use domain::user::{User, UserCommand, email_claim};
use domain::{Aggregate as _, Code};
use uuid::Uuid;

use super::api_keys::random_word;
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
#[derive(Clone)]
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
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> AuthError {
        AuthError::Command(error.into())
    }
}
