//! Commands on deployments: asked for, told of, moved on.

pub mod approval;
pub mod input;

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::deployment::{Change, DeploymentCommand};
use domain::values;

use self::input::{
    DeploymentChangeInput, RecordDeploymentInput, RequestDeploymentInput, changes, head_of,
};
use super::payload::{Conditions, Outcome, Receipt, Told};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::error::UserError;
use crate::api::failure::command_or_fault;
use crate::api::operation::Operation;
use crate::api::query::deployment::deployment;
use crate::api::scalars::DateTime;
use crate::api::types::deployment::Deployment;
use crate::commands::{self, CommandContext};
use crate::deployments::{Deployments, DeploymentsError};

head_of! {
    /// Begins a deployment.
    StartDeploymentInput {
        /// When; now if not said.
        at: Option<DateTime>,
    }
}
head_of! {
    /// Says that a deployment runs.
    SucceedDeploymentInput {
        /// Since when; now if not said.
        at: Option<DateTime>,
    }
}
head_of! {
    /// Says that a deployment came to nothing.
    FailDeploymentInput {
        /// When; now if not said.
        at: Option<DateTime>,
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}
head_of! {
    /// Says that a version from before runs again.
    RollBackDeploymentInput {
        /// Which version: one that ran in this environment as this service.
        to: String,
        /// Since when; now if not said.
        at: Option<DateTime>,
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}
head_of! {
    /// Calls a deployment off.
    CancelDeploymentInput {
        /// When; now if not said.
        at: Option<DateTime>,
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}
head_of! {
    /// Makes a deployment another one before it starts. What is left out stays.
    AmendDeploymentInput {
        /// The version from now on.
        version: Option<String>,
        /// The description from now on.
        description: Option<String>,
        /// The changes from now on, whole; at most 1,000.
        changes: Option<Vec<DeploymentChangeInput>>,
    }
}
head_of! {
    /// Tells more of what a deployment carries.
    AddDeploymentChangesInput {
        /// At most 1,000; those that are known are passed over.
        changes: Vec<DeploymentChangeInput>,
    }
}
head_of! {
    /// Says that a deployment was so broken that it needed a fix.
    MarkHotfixInput {
        /// The deployment that fixed it.
        fixed_by: Option<ID>,
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}
head_of! {
    /// Says that a deployment needed no fix.
    UnmarkHotfixInput {
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}

/// What became of a command on a deployment.
pub struct DeploymentPayload(Outcome);

/// What became of a command on a deployment.
#[Object]
impl DeploymentPayload {
    /// The deployment after the command; null if it was refused.
    async fn deployment(&self, ctx: &Context<'_>) -> Result<Option<Deployment>> {
        match self.0.id() {
            Some(id) => deployment(ctx, id).await,
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

/// Commands on deployments.
#[derive(Default)]
pub struct DeploymentCommands;

#[Object]
impl DeploymentCommands {
    /// Asks for a deployment, and for its approval: where its environment has no rule it is approved at
    /// once.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn request_deployment(
        &self,
        ctx: &Context<'_>,
        input: RequestDeploymentInput,
    ) -> Result<DeploymentPayload> {
        let operation = Operation::of(ctx);
        let (conditions, order) = input.order();
        let kept = match conditions.context(ctx) {
            Ok(context) => {
                let deployments = &operation.parts.deployments;
                deployments
                    .request(&context, &operation.caller, order)
                    .await
            }
            Err(refusal) => Err(refusal.into()),
        };
        new(ctx, kept).await
    }

    /// Tells of a deployment somewhere else, as it stands there. Told again under the same external id,
    /// environment and service it is known already.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn record_deployment(
        &self,
        ctx: &Context<'_>,
        input: RecordDeploymentInput,
    ) -> Result<DeploymentPayload> {
        let (conditions, told) = input.told();
        let kept = match conditions.context(ctx) {
            Ok(context) => {
                let deployments = &Operation::of(ctx).parts.deployments;
                deployments.record(&context, told).await
            }
            Err(refusal) => Err(refusal.into()),
        };
        new(ctx, kept).await
    }

    /// Begins a deployment that is approved, once its wait timer has ended and unless its environment is
    /// frozen.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn start_deployment(
        &self,
        ctx: &Context<'_>,
        input: StartDeploymentInput,
    ) -> Result<DeploymentPayload> {
        let at = input.at.map(|at| at.0);
        on_deployment(ctx, input.head(), async |deployments, context, id| {
            deployments.begin(context, id, at).await
        })
        .await
    }

    /// Says that a deployment runs.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn succeed_deployment(
        &self,
        ctx: &Context<'_>,
        input: SucceedDeploymentInput,
    ) -> Result<DeploymentPayload> {
        let at = input.at.map(|at| at.0);
        plainly(ctx, input.head(), |context| DeploymentCommand::Succeed {
            at,
            now: context.now,
        })
        .await
    }

    /// Says that a deployment came to nothing.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn fail_deployment(
        &self,
        ctx: &Context<'_>,
        input: FailDeploymentInput,
    ) -> Result<DeploymentPayload> {
        let (head, at) = (input.head(), input.at.map(|at| at.0));
        plainly(ctx, head, |context| DeploymentCommand::Fail {
            at,
            reason: input.reason,
            now: context.now,
        })
        .await
    }

    /// Says that a version from before runs again. While it cannot be told whether it ever ran, the answer
    /// is UNAVAILABLE.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn roll_back_deployment(
        &self,
        ctx: &Context<'_>,
        input: RollBackDeploymentInput,
    ) -> Result<DeploymentPayload> {
        let (head, at) = (input.head(), input.at.map(|at| at.0));
        let back = (input.to, at, input.reason);
        on_deployment(ctx, head, async |deployments, context, id| {
            deployments.roll_back(context, id, back).await
        })
        .await
    }

    /// Calls a deployment off.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn cancel_deployment(
        &self,
        ctx: &Context<'_>,
        input: CancelDeploymentInput,
    ) -> Result<DeploymentPayload> {
        let (head, at) = (input.head(), input.at.map(|at| at.0));
        plainly(ctx, head, |context| DeploymentCommand::Cancel {
            at,
            reason: input.reason,
            now: context.now,
        })
        .await
    }

    /// Makes a deployment another one before it starts: votes are void, and whoever amends it asks for
    /// it, too.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn amend_deployment(
        &self,
        ctx: &Context<'_>,
        input: AmendDeploymentInput,
    ) -> Result<DeploymentPayload> {
        let head = input.head();
        let content = (input.version, input.description, input.changes.map(changes));
        let caller = Operation::of(ctx).caller.clone();
        on_deployment(ctx, head, async |deployments, context, id| {
            deployments.amend(context, &caller, id, content).await
        })
        .await
    }

    /// Tells more of what a deployment carries. While people look at it that would be another one: amend
    /// it.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn add_deployment_changes(
        &self,
        ctx: &Context<'_>,
        input: AddDeploymentChangesInput,
    ) -> Result<DeploymentPayload> {
        let head = input.head();
        let changes: Vec<Change> = changes(input.changes);
        plainly(ctx, head, |_| DeploymentCommand::AddChanges { changes }).await
    }

    /// Says that a deployment was so broken that it needed a fix: a failure, whatever became of it.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn mark_hotfix(
        &self,
        ctx: &Context<'_>,
        input: MarkHotfixInput,
    ) -> Result<DeploymentPayload> {
        let head = input.head();
        let fixed_by = input.fixed_by.map(|id| id.0);
        plainly(ctx, head, |_| DeploymentCommand::MarkHotfix {
            fixed_by,
            reason: input.reason,
        })
        .await
    }

    /// Says that a deployment needed no fix.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn unmark_hotfix(
        &self,
        ctx: &Context<'_>,
        input: UnmarkHotfixInput,
    ) -> Result<DeploymentPayload> {
        let head = input.head();
        plainly(ctx, head, |_| DeploymentCommand::UnmarkHotfix {
            reason: input.reason,
        })
        .await
    }
}

/// Sends a command that depends on nothing but the deployment itself.
async fn plainly(
    ctx: &Context<'_>,
    head: (Conditions, ID),
    command: impl FnOnce(&CommandContext) -> DeploymentCommand + Send,
) -> Result<DeploymentPayload> {
    on_deployment(ctx, head, async |deployments, context, id| {
        let command = command(context);
        deployments.on_deployment(context, id, command).await
    })
    .await
}

/// Tells a deployment something.
pub async fn on_deployment(
    ctx: &Context<'_>,
    (conditions, id): (Conditions, ID),
    command: impl AsyncFnOnce(
        &Deployments,
        &CommandContext,
        &str,
    ) -> std::result::Result<commands::Receipt, DeploymentsError>,
) -> Result<DeploymentPayload> {
    let id: Told<String> = values::id(&id, "id");
    let kept = match (conditions.context(ctx), id) {
        (Ok(context), Ok(id)) => {
            let deployments = &Operation::of(ctx).parts.deployments;
            command(deployments, &context, &id)
                .await
                .map(|kept| (id, kept))
        }
        (Err(refusal), _) | (_, Err(refusal)) => Err(refusal.into()),
    };
    new(ctx, kept).await
}

async fn new(
    ctx: &Context<'_>,
    kept: std::result::Result<(String, commands::Receipt), DeploymentsError>,
) -> Result<DeploymentPayload> {
    Ok(DeploymentPayload(settled(ctx, kept).await?))
}

/// What was said of a command on the object with this id.
pub async fn settled(
    ctx: &Context<'_>,
    kept: std::result::Result<(String, commands::Receipt), DeploymentsError>,
) -> Result<Outcome> {
    match kept {
        Ok((id, receipt)) => {
            let kept: std::result::Result<_, commands::CommandError> = Ok(receipt);
            Outcome::of(ctx, id, kept).await
        }
        Err(error) => {
            let error = command_or_fault(error)?;
            Outcome::of(ctx, String::new(), Err(error)).await
        }
    }
}
