//! Commands on users, for administrators.

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::{Refusal, values};

use super::payload::{Conditions, Outcome, Receipt, Told};
use crate::api::access::{AuthRole, auth};
use crate::api::error::UserError;
use crate::api::operation::Operation;
use crate::api::query::identity::user;
use crate::api::types::user::{User, UserRole};
use crate::auth::{Auth, AuthError, Registration, Role};
use crate::commands::{self, CommandContext};

/// Makes somebody known.
#[derive(InputObject)]
struct RegisterUserInput {
    /// Where they are reached; unique among the tenant's users, however it is spelled.
    email: String,
    /// Their name, for people; at most 200 characters.
    name: String,
    /// Their first password: 8 to 128 characters. Without one they set it by the link that verifies their
    /// address.
    password: Option<String>,
    /// What they may do.
    #[graphql(default)]
    roles: Vec<UserRole>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// Lets somebody do more, or less.
#[derive(InputObject)]
struct UserRoleInput {
    /// Whom.
    user_id: ID,
    /// What.
    role: UserRole,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// Lets somebody sign in no more.
#[derive(InputObject)]
struct DeactivateUserInput {
    /// Whom.
    user_id: ID,
    /// Why, for people; at most 500 characters.
    reason: Option<String>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the user is at this version.
    expected_version: Option<i32>,
}

/// Names a user.
#[derive(InputObject)]
struct UserInput {
    /// Whom.
    user_id: ID,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the user is at this version.
    expected_version: Option<i32>,
}

/// What became of a command on a user.
struct UserPayload(Outcome);

/// What became of a command on a user.
#[Object]
impl UserPayload {
    /// The user after the command; null if it was refused.
    async fn user(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match self.0.id() {
            Some(id) => user(ctx, id).await,
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

/// What became of making somebody known.
struct RegisterUserPayload {
    outcome: Outcome,
    link: Option<String>,
}

/// What became of making somebody known.
#[Object]
impl RegisterUserPayload {
    /// The user; null if they were refused.
    async fn user(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match self.outcome.id() {
            Some(id) => user(ctx, id).await,
            None => Ok(None),
        }
    }

    /// What they send to `verifyEmail`, to be handed to them by way of their address. Told once: null where the
    /// command had been kept before.
    async fn verification_token(&self) -> Option<&str> {
        self.link.as_deref()
    }

    /// Proof that the command was kept; null if it was refused.
    async fn receipt(&self) -> Option<Receipt> {
        self.outcome.receipt()
    }

    /// Why the command was refused; empty if it was kept.
    async fn user_errors(&self) -> Vec<UserError> {
        self.outcome.errors()
    }
}

/// Commands on users.
#[derive(Default)]
pub struct UserCommands;

#[Object]
impl UserCommands {
    /// Makes somebody known. In development what verifies their address is written to the log of the process
    /// as well.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn register_user(
        &self,
        ctx: &Context<'_>,
        input: RegisterUserInput,
    ) -> Result<RegisterUserPayload> {
        let refused = |refusal: Refusal| RegisterUserPayload {
            outcome: Outcome::refused(refusal),
            link: None,
        };
        let context = match Conditions::of_new(input.command_id).context(ctx) {
            Ok(context) => context,
            Err(refusal) => return Ok(refused(refusal)),
        };
        let who = Registration {
            email: input.email,
            name: input.name,
            password: input.password,
            roles: input.roles.into_iter().map(Role::from).collect(),
            verified: false,
        };
        let operation = Operation::of(ctx);
        let registered = operation.parts.auth.register(&context, who).await;
        let (mut link, mut id) = (None, String::new());
        let kept = registered.map(|registered| {
            id = registered.user_id;
            link = registered.link;
            registered.receipt
        });
        if let Some(token) = link.as_ref().filter(|_| operation.parts.shows_links) {
            // The field is named for what it is: values of tokens are not written out.
            tracing::info!(user_id = id, link = %token, "an address can be verified");
        }
        let outcome = Outcome::of(ctx, id, kept).await?;
        Ok(RegisterUserPayload { outcome, link })
    }

    /// Lets somebody do more. `ADMIN` makes them an administrator of the tenant.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn assign_role(&self, ctx: &Context<'_>, input: UserRoleInput) -> Result<UserPayload> {
        let (conditions, role) = (Conditions::of_new(input.command_id), input.role.into());
        on_user(
            ctx,
            conditions,
            &input.user_id,
            async |identity, context, id| identity.assign_role(context, id, role).await,
        )
        .await
    }

    /// Lets somebody do less. The last administrator stays one.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn revoke_role(&self, ctx: &Context<'_>, input: UserRoleInput) -> Result<UserPayload> {
        let (conditions, role) = (Conditions::of_new(input.command_id), input.role.into());
        on_user(
            ctx,
            conditions,
            &input.user_id,
            async |identity, context, id| identity.revoke_role(context, id, role).await,
        )
        .await
    }

    /// Lets somebody sign in no more: their sessions and the API keys they have issued are good for nothing
    /// from then on. Administrators must be dismissed first.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn deactivate_user(
        &self,
        ctx: &Context<'_>,
        input: DeactivateUserInput,
    ) -> Result<UserPayload> {
        let conditions = Conditions {
            command_id: input.command_id,
            expected_version: input.expected_version,
        };
        let reason = input.reason;
        on_user(
            ctx,
            conditions,
            &input.user_id,
            async |identity, context, id| identity.deactivate(context, id, reason).await,
        )
        .await
    }

    /// Lets somebody sign in again.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn reactivate_user(&self, ctx: &Context<'_>, input: UserInput) -> Result<UserPayload> {
        let conditions = Conditions {
            command_id: input.command_id,
            expected_version: input.expected_version,
        };
        on_user(
            ctx,
            conditions,
            &input.user_id,
            async |identity, context, id| identity.reactivate(context, id).await,
        )
        .await
    }

    /// Erases somebody's personal data, for good: the key under which it lies sealed in the log is destroyed.
    /// What they did stays, and stays provable; who they were is not told any more. Administrators must be
    /// dismissed first.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn erase_personal_data(
        &self,
        ctx: &Context<'_>,
        input: UserInput,
    ) -> Result<UserPayload> {
        let conditions = Conditions {
            command_id: input.command_id,
            expected_version: input.expected_version,
        };
        on_user(
            ctx,
            conditions,
            &input.user_id,
            async |identity, context, id| identity.erase(context, id).await,
        )
        .await
    }
}

async fn on_user(
    ctx: &Context<'_>,
    conditions: Conditions,
    id: &str,
    command: impl AsyncFnOnce(
        &Auth,
        &CommandContext,
        &str,
    ) -> std::result::Result<commands::Receipt, AuthError>,
) -> Result<UserPayload> {
    let id: Told<String> = values::id(id, "userId");
    let (context, id) = match (conditions.context(ctx), id) {
        (Ok(context), Ok(id)) => (context, id),
        (Err(refusal), _) | (_, Err(refusal)) => return Ok(UserPayload(Outcome::refused(refusal))),
    };
    let kept = command(&Operation::of(ctx).parts.auth, &context, &id).await;
    Ok(UserPayload(Outcome::of(ctx, id, kept).await?))
}
