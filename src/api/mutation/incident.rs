//! Commands on incidents.

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::incident::{IncidentCommand, IncidentReport};
use domain::values;

use super::deployment::input::{ExternalRefInput, head_of};
use super::deployment::settled;
use super::payload::{Conditions, Outcome, Receipt, Told};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::error::UserError;
use crate::api::operation::Operation;
use crate::api::query::deployment::incident;
use crate::api::scalars::DateTime;
use crate::api::types::deployment::IncidentSeverity;
use crate::api::types::incident::Incident;
use crate::commands::{self, CommandContext};
use crate::deployments::{Deployments, DeploymentsError, Opened};

/// Makes an incident known.
#[derive(InputObject)]
struct OpenIncidentInput {
    /// The incident's id from now on, 1 to 128 characters; made if not said.
    id: Option<ID>,
    /// A sentence for people; at most 200 characters.
    title: String,
    /// How bad it is.
    severity: IncidentSeverity,
    /// The project, 1 to 128 characters.
    project: String,
    /// What is broken; if not said, the project as a whole.
    service: Option<String>,
    /// Where; not known if not said.
    environment: Option<String>,
    /// When it began; now if not said.
    opened_at: Option<DateTime>,
    /// What the system it comes from calls it; unique.
    external: Option<ExternalRefInput>,
    /// The deployment that caused it. If not said it is inferred: the last one that reached production
    /// before.
    deployment_id: Option<ID>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

head_of! {
    /// Puts an incident down to a deployment on purpose.
    LinkDeploymentInput {
        /// Which deployment.
        deployment_id: ID,
    }
}
head_of! {
    /// Takes a link back; it is not inferred again.
    UnlinkDeploymentInput {
        /// Which deployment.
        deployment_id: ID,
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}
head_of! {
    /// Says that an incident is over.
    ResolveIncidentInput {
        /// Since when; now if not said.
        at: Option<DateTime>,
    }
}
head_of! {
    /// Says that an incident is not over after all.
    ReopenIncidentInput {
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}

/// What became of a command on an incident.
struct IncidentPayload(Outcome);

/// What became of a command on an incident.
#[Object]
impl IncidentPayload {
    /// The incident after the command; null if it was refused.
    async fn incident(&self, ctx: &Context<'_>) -> Result<Option<Incident>> {
        match self.0.id() {
            Some(id) => incident(ctx, id).await,
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

/// Commands on incidents.
#[derive(Default)]
pub struct IncidentCommands;

#[Object]
impl IncidentCommands {
    /// Makes an incident known, and puts it down to a deployment: the one that is named, or the one that
    /// the rule `last_production_success` finds, labelled so. While that cannot be told the answer is
    /// UNAVAILABLE; sent again with the same `commandId` the rest is done.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn open_incident(
        &self,
        ctx: &Context<'_>,
        input: OpenIncidentInput,
    ) -> Result<IncidentPayload> {
        let context = match Conditions::of_new(input.command_id).context(ctx) {
            Ok(context) => context,
            Err(refusal) => return Ok(IncidentPayload(Outcome::refused(refusal))),
        };
        let report = IncidentReport {
            title: input.title,
            severity: input.severity.into(),
            project: input.project,
            service: input.service,
            environment: input.environment,
            opened_at: input.opened_at.map_or(context.now, |at| at.0),
            external: input.external.map(domain::ExternalRef::from),
        };
        let opened = Opened {
            id: input.id.map(|id| id.0),
            report,
            deployment: input.deployment_id.map(|id| id.0),
        };
        let deployments = &Operation::of(ctx).parts.deployments;
        let kept = deployments.open(&context, opened).await;
        Ok(IncidentPayload(settled(ctx, kept).await?))
    }

    /// Puts an incident down to a deployment on purpose; an inferred link to it becomes one on purpose.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn link_deployment(
        &self,
        ctx: &Context<'_>,
        input: LinkDeploymentInput,
    ) -> Result<IncidentPayload> {
        let head = input.head();
        on_incident(ctx, head, async |deployments, context, id| {
            deployments
                .link_on_purpose(context, id, &input.deployment_id)
                .await
        })
        .await
    }

    /// Takes a link back; it is not inferred again.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn unlink_deployment(
        &self,
        ctx: &Context<'_>,
        input: UnlinkDeploymentInput,
    ) -> Result<IncidentPayload> {
        let head = input.head();
        plainly(ctx, head, |_| IncidentCommand::UnlinkDeployment {
            deployment: input.deployment_id.0,
            reason: input.reason,
        })
        .await
    }

    /// Says that an incident is over.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn resolve_incident(
        &self,
        ctx: &Context<'_>,
        input: ResolveIncidentInput,
    ) -> Result<IncidentPayload> {
        let (head, at) = (input.head(), input.at.map(|at| at.0));
        plainly(ctx, head, |context| IncidentCommand::Resolve {
            at,
            now: context.now,
        })
        .await
    }

    /// Says that an incident is not over after all.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::DeploymentsWrite)))]
    async fn reopen_incident(
        &self,
        ctx: &Context<'_>,
        input: ReopenIncidentInput,
    ) -> Result<IncidentPayload> {
        let head = input.head();
        plainly(ctx, head, |_| IncidentCommand::Reopen {
            reason: input.reason,
        })
        .await
    }
}

/// Sends a command that depends on nothing but the incident itself.
async fn plainly(
    ctx: &Context<'_>,
    head: (Conditions, ID),
    command: impl FnOnce(&CommandContext) -> IncidentCommand + Send,
) -> Result<IncidentPayload> {
    on_incident(ctx, head, async |deployments, context, id| {
        let command = command(context);
        deployments.on_incident(context, id, command).await
    })
    .await
}

async fn on_incident(
    ctx: &Context<'_>,
    (conditions, id): (Conditions, ID),
    command: impl AsyncFnOnce(
        &Deployments,
        &CommandContext,
        &str,
    ) -> std::result::Result<commands::Receipt, DeploymentsError>,
) -> Result<IncidentPayload> {
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
    Ok(IncidentPayload(settled(ctx, kept).await?))
}
