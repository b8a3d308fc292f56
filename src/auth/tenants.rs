//! Tenants: a log of its own for each, told of in the log of `default`.

use std::sync::Arc;

use domain::Code;
use domain::tenant::{DEFAULT_TENANT, Tenant, TenantCommand};

use super::{Auth, AuthError};
use crate::commands::{CommandContext, CommandError, Receipt};

impl Auth {
    /// Carries out a command on a tenant. One that is created has a log from then on.
    pub async fn on_tenant(
        &self,
        ctx: &CommandContext,
        id: &str,
        command: TenantCommand,
    ) -> Result<Receipt, AuthError> {
        let creates = matches!(command, TenantCommand::Create { .. });
        let kept = self.0.door.execute::<Tenant>(ctx, id, command).await;
        // One that exists already may lack its log: whoever created it ended before it was opened.
        let exists = match &kept {
            Ok(_) => true,
            Err(CommandError::Refused(refusal)) => refusal.code == Code::AlreadyExists,
            Err(_) => false,
        };
        if creates && exists {
            self.open_log(id).await?;
        }
        Ok(kept?)
    }

    /// How a tenant stands by what the log says now; as if it had never been, if it was never created.
    pub async fn tenant(&self, id: &str) -> Result<Tenant, AuthError> {
        let of_default: Arc<str> = DEFAULT_TENANT.into();
        Ok(self.now(&of_default, id).await?)
    }

    /// Opens the log of a tenant, if it is not open.
    async fn open_log(&self, id: &str) -> Result<(), AuthError> {
        sqlx::query("insert into logs (tenant) values ($1) on conflict do nothing")
            .bind(id)
            .execute(self.0.store.pool())
            .await?;
        Ok(())
    }
}
