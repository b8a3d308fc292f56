//! Tenants: a log of its own for each, told of in the log of `default`.

use domain::tenant::{Tenant, TenantCommand};

use super::{Auth, AuthError};
use crate::commands::{CommandContext, Receipt};

impl Auth {
    /// Carries out a command on a tenant. One that is created has a log from then on.
    pub async fn on_tenant(
        &self,
        ctx: &CommandContext,
        id: &str,
        command: TenantCommand,
    ) -> Result<Receipt, AuthError> {
        let creates = matches!(command, TenantCommand::Create { .. });
        let kept = self.0.door.execute::<Tenant>(ctx, id, command).await?;
        if creates {
            self.open_log(id).await?;
        }
        Ok(kept)
    }

    /// Opens the log of a tenant, if it is not open. Sent again, the command that created it does so too.
    async fn open_log(&self, id: &str) -> Result<(), AuthError> {
        sqlx::query("insert into logs (tenant) values ($1) on conflict do nothing")
            .bind(id)
            .execute(self.0.store.pool())
            .await?;
        Ok(())
    }
}
