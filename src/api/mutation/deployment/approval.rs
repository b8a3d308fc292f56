//! Commands on the approval of a deployment.

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::{Code, Refusal};

use super::input::head_of;
use super::{DeploymentPayload, on_deployment};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::mutation::payload::Conditions;
use crate::api::operation::Operation;
use crate::deployments::Ballot;

head_of! {
    /// Asks those whom the environment's policy names.
    RequestApprovalInput {}
}
head_of! {
    /// Agrees to a deployment.
    ApproveDeploymentInput {
        /// The deployment's revision that was looked at.
        revision: i32,
        /// What is said beside; at most 500 characters.
        comment: Option<String>,
    }
}
head_of! {
    /// Says no to a deployment.
    RejectDeploymentInput {
        /// The deployment's revision that was looked at.
        revision: i32,
        /// What is said beside; at most 500 characters.
        comment: Option<String>,
    }
}
head_of! {
    /// Takes one's vote back.
    RevokeApprovalInput {}
}
head_of! {
    /// Breaks the glass.
    OverrideApprovalInput {
        /// Why; 1 to 500 characters.
        reason: String,
    }
}

/// Commands on approvals.
#[derive(Default)]
pub struct ApprovalCommands;

#[Object]
impl ApprovalCommands {
    /// Asks those whom the environment's policy names at this moment; where it has no rule the deployment
    /// is approved at once. `requestDeployment` does so by itself unless it is told not to.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn request_approval(
        &self,
        ctx: &Context<'_>,
        input: RequestApprovalInput,
    ) -> Result<DeploymentPayload> {
        on_deployment(ctx, input.head(), async |deployments, context, id| {
            deployments.request_approval(context, id).await
        })
        .await
    }

    /// Agrees to a deployment, in the name of the caller, or of whoever answers for the API key. The vote
    /// that completes the approval approves it.
    #[graphql(directive = auth::apply(AuthRole::Approver, to(Scope::DeploymentsApprove)))]
    async fn approve_deployment(
        &self,
        ctx: &Context<'_>,
        input: ApproveDeploymentInput,
    ) -> Result<DeploymentPayload> {
        vote(ctx, input.head(), (true, input.revision, input.comment)).await
    }

    /// Says no to a deployment: one who was asked is enough.
    #[graphql(directive = auth::apply(AuthRole::Approver, to(Scope::DeploymentsApprove)))]
    async fn reject_deployment(
        &self,
        ctx: &Context<'_>,
        input: RejectDeploymentInput,
    ) -> Result<DeploymentPayload> {
        vote(ctx, input.head(), (false, input.revision, input.comment)).await
    }

    /// Takes one's vote back, until the deployment has started.
    #[graphql(directive = auth::apply(AuthRole::Approver, to(Scope::DeploymentsApprove)))]
    async fn revoke_approval(
        &self,
        ctx: &Context<'_>,
        input: RevokeApprovalInput,
    ) -> Result<DeploymentPayload> {
        let caller = Operation::of(ctx).caller.clone();
        on_deployment(ctx, input.head(), async |deployments, context, id| {
            deployments.revoke_vote(context, &caller, id).await
        })
        .await
    }

    /// Breaks the glass: lets a deployment start without votes, before its wait timer ends and while its
    /// environment is frozen. Who did so and why stays on its timeline.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn override_approval(
        &self,
        ctx: &Context<'_>,
        input: OverrideApprovalInput,
    ) -> Result<DeploymentPayload> {
        let (head, caller) = (input.head(), Operation::of(ctx).caller.clone());
        on_deployment(ctx, head, async |deployments, context, id| {
            deployments
                .break_glass(context, &caller, id, input.reason)
                .await
        })
        .await
    }
}

async fn vote(
    ctx: &Context<'_>,
    head: (Conditions, ID),
    (agrees, revision, comment): (bool, i32, Option<String>),
) -> Result<DeploymentPayload> {
    let caller = Operation::of(ctx).caller.clone();
    on_deployment(ctx, head, async |deployments, context, id| {
        let revision = u32::try_from(revision).map_err(|_| {
            let refusal = Refusal::new(Code::OutOfRange, "a revision is 1 or more");
            refusal.at(["revision"]).with("min", 1)
        })?;
        let ballot = Ballot {
            agrees,
            revision,
            comment,
        };
        deployments.vote(context, &caller, id, ballot).await
    })
    .await
}
