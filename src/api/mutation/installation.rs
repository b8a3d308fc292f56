//! Commands on the installation: its tenants, and the keys that sign its tokens.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use domain::tenant::{TenantCommand, new_tenant_id, tenant_id};

use super::payload::{Conditions, Outcome, Receipt, told, user_errors};
use crate::api::access::{AuthRole, auth};
use crate::api::error::UserError;
use crate::api::operation::Operation;
use crate::api::query::identity::tenant;
use crate::api::scalars::DateTime;
use crate::api::types::api_key::SigningKeys;
use crate::api::types::tenant::Tenant;

/// Creates a tenant.
#[derive(InputObject)]
struct CreateTenantInput {
    /// The tenant's id from now on: 1 to 63 of a-z, 0-9 and -.
    id: ID,
    /// Its name, for people; at most 200 characters.
    name: String,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// Gives a tenant another name.
#[derive(InputObject)]
struct RenameTenantInput {
    /// Which tenant.
    id: ID,
    /// Its name from now on; at most 200 characters.
    name: String,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the tenant is at this version.
    expected_version: Option<i32>,
}

/// Has a tenant read, but not written.
#[derive(InputObject)]
struct SuspendTenantInput {
    /// Which tenant.
    id: ID,
    /// Why, for people; at most 500 characters.
    reason: Option<String>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the tenant is at this version.
    expected_version: Option<i32>,
}

/// Has a tenant written again.
#[derive(InputObject)]
struct ResumeTenantInput {
    /// Which tenant.
    id: ID,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the tenant is at this version.
    expected_version: Option<i32>,
}

/// Rotates the keys that sign tokens.
#[derive(InputObject)]
struct RotateSigningKeyInput {
    /// The id (`kid`) of a key that others may have got hold of: nothing it signed is good any more, and if it
    /// was the one that signs, another signs at once.
    compromised: Option<ID>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// What became of a command on a tenant.
struct TenantPayload(Outcome);

/// What became of a command on a tenant.
#[Object]
impl TenantPayload {
    /// The tenant after the command; null if it was refused.
    async fn tenant(&self, ctx: &Context<'_>) -> Result<Option<Tenant>> {
        match self.0.id() {
            Some(id) => tenant(ctx, id).await,
            None => Ok(None),
        }
    }

    /// Proof that the command was kept; null if it was refused.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.receipt()
    }

    /// Why the command was refused; empty if it was kept.
    async fn user_errors(&self) -> Vec<UserError> {
        self.0.errors()
    }
}

/// What became of rotating the keys that sign tokens.
#[derive(SimpleObject)]
struct RotateSigningKeyPayload {
    /// How the keys stand; null if the command was refused.
    signing_keys: Option<SigningKeys>,
    /// Why the command was refused; empty if it was kept.
    user_errors: Vec<UserError>,
}

/// Commands on the installation.
#[derive(Default)]
pub struct InstallationCommands;

#[Object]
impl InstallationCommands {
    /// Creates a tenant: a log of its own.
    #[graphql(directive = auth::apply(AuthRole::InstallationAdmin, None))]
    async fn create_tenant(
        &self,
        ctx: &Context<'_>,
        input: CreateTenantInput,
    ) -> Result<TenantPayload> {
        let id = new_tenant_id(&input.id, "id");
        let command = TenantCommand::Create { name: input.name };
        on_tenant(ctx, Conditions::of_new(input.command_id), id, command).await
    }

    /// Gives a tenant another name.
    #[graphql(directive = auth::apply(AuthRole::InstallationAdmin, None))]
    async fn rename_tenant(
        &self,
        ctx: &Context<'_>,
        input: RenameTenantInput,
    ) -> Result<TenantPayload> {
        let conditions = Conditions {
            command_id: input.command_id,
            expected_version: input.expected_version,
        };
        let command = TenantCommand::Rename { name: input.name };
        on_tenant(ctx, conditions, tenant_id(&input.id, "id"), command).await
    }

    /// Has a tenant read, but not written, on every node within 5 seconds.
    #[graphql(directive = auth::apply(AuthRole::InstallationAdmin, None))]
    async fn suspend_tenant(
        &self,
        ctx: &Context<'_>,
        input: SuspendTenantInput,
    ) -> Result<TenantPayload> {
        let conditions = Conditions {
            command_id: input.command_id,
            expected_version: input.expected_version,
        };
        let command = TenantCommand::Suspend {
            reason: input.reason,
        };
        on_tenant(ctx, conditions, tenant_id(&input.id, "id"), command).await
    }

    /// Has a tenant written again.
    #[graphql(directive = auth::apply(AuthRole::InstallationAdmin, None))]
    async fn resume_tenant(
        &self,
        ctx: &Context<'_>,
        input: ResumeTenantInput,
    ) -> Result<TenantPayload> {
        let conditions = Conditions {
            command_id: input.command_id,
            expected_version: input.expected_version,
        };
        let id = tenant_id(&input.id, "id");
        on_tenant(ctx, conditions, id, TenantCommand::Resume).await
    }

    /// Publishes the key that signs tokens next. It signs once everybody had time to hear of it; what the key
    /// before signed is good until it ends.
    #[graphql(directive = auth::apply(AuthRole::InstallationAdmin, None))]
    async fn rotate_signing_key(
        &self,
        ctx: &Context<'_>,
        input: Option<RotateSigningKeyInput>,
    ) -> Result<RotateSigningKeyPayload> {
        let (command_id, compromised) =
            input.map_or((None, None), |input| (input.command_id, input.compromised));
        let context = match Conditions::of_new(command_id).context(ctx) {
            Ok(context) => context,
            Err(refusal) => {
                return Ok(RotateSigningKeyPayload {
                    signing_keys: None,
                    user_errors: vec![refusal.under(["input"]).into()],
                });
            }
        };
        let identity = &Operation::of(ctx).parts.auth;
        let rotated = identity
            .rotate(&context, compromised.as_deref().map(String::as_str))
            .await;
        let told = told(rotated)?;
        Ok(RotateSigningKeyPayload {
            user_errors: user_errors(&told),
            signing_keys: told.ok().map(|rotation| {
                let (next, next_signs_from) = rotation.next.unzip();
                SigningKeys {
                    signing: rotation.signs,
                    next,
                    next_signs_from: next_signs_from.map(DateTime),
                }
            }),
        })
    }
}

async fn on_tenant(
    ctx: &Context<'_>,
    conditions: Conditions,
    id: super::payload::Told<String>,
    command: TenantCommand,
) -> Result<TenantPayload> {
    let (context, id) = match (conditions.context(ctx), id) {
        (Ok(context), Ok(id)) => (context, id),
        (Err(refusal), _) | (_, Err(refusal)) => {
            return Ok(TenantPayload(Outcome::refused(refusal)));
        }
    };
    let kept = Operation::of(ctx)
        .parts
        .auth
        .on_tenant(&context, &id, command)
        .await;
    Ok(TenantPayload(Outcome::of(ctx, id, kept).await?))
}
