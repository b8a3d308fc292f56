//! Forgetting somebody: the log says that they were, the key of all that is sealed of them is destroyed, and
//! what beside the log could tell of them is deleted.
//!
//! What is to be done is written down before the first step. Should this process end in between, any
//! process finishes it.

use domain::admins::{ADMINS_ID, Admins};
use domain::log_batch::is_personal_subject;
use domain::log_person::{LogPerson, LogPersonCommand, LogPersonId};
use domain::user::{User, UserCommand};
use domain::{Aggregate as _, Code};

use super::credentials::drop_password;
use super::{Auth, AuthError};
use crate::commands::{CommandContext, CommandError, Receipt};

/// Erasures finished in one turn.
const FINISHED_AT_ONCE: i64 = 100;

impl Auth {
    /// Forgets somebody, for good. Whoever was forgotten before is refused as `USER_ERASED`, and whatever
    /// should still be there of them is gone then too.
    pub async fn erase(&self, ctx: &CommandContext, user_id: &str) -> Result<Receipt, AuthError> {
        self.begin(&ctx.tenant, user_id).await?;
        let erase = |admins: &Admins| UserCommand::ErasePersonalData {
            admin: admins.names(user_id),
        };
        let door = &self.0.door;
        let kept = door
            .execute_relying::<User, Admins>(ctx, user_id, ADMINS_ID, erase)
            .await;
        match &kept {
            Err(CommandError::Refused(refusal)) if refusal.code != Code::UserErased => {
                self.strike(&ctx.tenant, user_id).await?;
            }
            Ok(_) | Err(CommandError::Refused(_)) => self.purge(&ctx.tenant, user_id).await?,
            // Whether it was kept is not known: it is finished if it was.
            Err(_) => {}
        }
        Ok(kept?)
    }

    /// Erases what is personal of somebody whom log records alone are about, up to now: what is recorded of
    /// them later has another key. A command that is sent again erases nothing that came since.
    pub async fn erase_log_person(
        &self,
        ctx: &CommandContext,
        who: &LogPersonId,
    ) -> Result<Receipt, AuthError> {
        let subject = who.subject().map_err(CommandError::Refused)?;
        let is_begun_now = self.begin(&ctx.tenant, &subject).await?;
        let erase = LogPersonCommand::ErasePersonalData;
        let door = &self.0.door;
        let kept = door.execute::<LogPerson>(ctx, &subject, erase).await;
        match &kept {
            // Told again, and finished the first time.
            Ok(receipt) if receipt.replayed && is_begun_now => {
                self.strike(&ctx.tenant, &subject).await?;
            }
            Ok(_) => {
                self.0.vault.destroy(&ctx.tenant, &subject).await?;
                self.strike(&ctx.tenant, &subject).await?;
            }
            Err(CommandError::Refused(_)) => self.strike(&ctx.tenant, &subject).await?,
            // Whether it was kept is not known: it is finished if it was.
            Err(_) => {}
        }
        Ok(kept?)
    }

    /// Finishes what was begun and not finished.
    pub(super) async fn finish_erasures(&self) -> Result<(), AuthError> {
        let begun: Vec<(String, String)> = sqlx::query_as(
            "select tenant, subject from erasures
             where requested_at < now() - interval '1 minute' limit $1",
        )
        .bind(FINISHED_AT_ONCE)
        .fetch_all(self.0.store.pool())
        .await?;
        for (tenant, user_id) in begun {
            if is_personal_subject(&user_id) {
                self.finish_log_person(&tenant, &user_id).await?;
                continue;
            }
            let user: User = self.now(&tenant.as_str().into(), &user_id).await?;
            if user.erased {
                tracing::info!(tenant, user_id, "an erasure that was begun is finished");
                self.purge(&tenant, &user_id).await?;
            } else {
                self.strike(&tenant, &user_id).await?;
            }
        }
        Ok(())
    }

    /// Somebody who was erased before may have been asked about again and that not been kept: they are erased
    /// as well then, as an administrator wished.
    async fn finish_log_person(&self, tenant: &str, subject: &str) -> Result<(), AuthError> {
        let person: LogPerson = self.now(&tenant.into(), subject).await?;
        if person.erased {
            tracing::info!(tenant, subject, "an erasure that was begun is finished");
            self.0.vault.destroy(tenant, subject).await?;
        }
        self.strike(tenant, subject).await
    }

    /// Destroys the key, and deletes what beside the log could tell of them: the password, the claim on the
    /// address, and the digests of what was asked of the account, which could be guessed at.
    async fn purge(&self, tenant: &str, user_id: &str) -> Result<(), AuthError> {
        self.0.vault.destroy(tenant, user_id).await?;
        let mut work = projections::begin(self.0.store.pool(), "begin").await?;
        sqlx::query("delete from claims where tenant = $1 and scope = $2 and aggregate_id = $3")
            .bind(tenant)
            .bind(domain::user::EMAIL_SCOPE)
            .bind(user_id)
            .execute(&mut *work)
            .await?;
        sqlx::query(
            "delete from commands where tenant = $1 and aggregate_type = $2 and aggregate_id = $3",
        )
        .bind(tenant)
        .bind(User::TYPE)
        .bind(user_id)
        .execute(&mut *work)
        .await?;
        sqlx::query(
            "delete from snapshots where tenant = $1 and aggregate_type = $2 and aggregate_id = $3",
        )
        .bind(tenant)
        .bind(User::TYPE)
        .bind(user_id)
        .execute(&mut *work)
        .await?;
        drop_password(&mut *work, tenant, user_id).await?;
        sqlx::query("delete from erasures where tenant = $1 and subject = $2")
            .bind(tenant)
            .bind(user_id)
            .execute(&mut *work)
            .await?;
        work.commit().await?;
        Ok(())
    }

    /// Writes down what is to be done; `false` if it is written down already.
    async fn begin(&self, tenant: &str, subject: &str) -> Result<bool, AuthError> {
        let written = sqlx::query(
            "insert into erasures (tenant, subject) values ($1, $2) on conflict do nothing",
        )
        .bind(tenant)
        .bind(subject)
        .execute(self.0.store.pool())
        .await?;
        Ok(written.rows_affected() == 1)
    }

    async fn strike(&self, tenant: &str, user_id: &str) -> Result<(), AuthError> {
        sqlx::query("delete from erasures where tenant = $1 and subject = $2")
            .bind(tenant)
            .bind(user_id)
            .execute(self.0.store.pool())
            .await?;
        Ok(())
    }
}
