//! Commands on objectives.

pub mod input;

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::slo::SloCommand;
use domain::values;

use self::input::{DefineSloInput, ReviseSloInput};
use super::deployment::input::head_of;
use super::payload::{Conditions, Outcome, Receipt};
use crate::api::access::{AuthRole, auth};
use crate::api::error::UserError;
use crate::api::operation::Operation;
use crate::api::query::slo::slo;
use crate::api::scalars::DateTime;
use crate::api::types::slo::Slo;
use crate::commands::{self, CommandContext, CommandError};
use crate::slos::Slos;

head_of! {
    /// Has an objective be measured no more.
    RetireSloInput {
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}
head_of! {
    /// Leaves a span of time out.
    ExcludePeriodInput {
        /// From then on.
        from: DateTime,
        /// Up to then.
        to: DateTime,
        /// Why; 1 to 500 characters.
        reason: String,
    }
}

/// What became of a command on an objective.
struct SloPayload(Outcome);

/// What became of a command on an objective.
#[Object]
impl SloPayload {
    /// The objective after the command; null if it was refused.
    async fn slo(&self, ctx: &Context<'_>) -> Result<Option<Slo>> {
        match self.0.id() {
            Some(id) => slo(ctx, id, None).await,
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

/// Commands on objectives.
#[derive(Default)]
pub struct SloCommands;

#[Object]
impl SloCommands {
    /// Brings an objective into being, as revision 1. It is measured from then on, also over what happened
    /// before.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn define_slo(&self, ctx: &Context<'_>, input: DefineSloInput) -> Result<SloPayload> {
        let context = input.conditions().context(ctx);
        let id = input.id.clone().map(|id| id.0);
        let kept = match (context, input.objective()) {
            (Ok(context), Ok(objective)) => {
                let slos = &Operation::of(ctx).parts.slos;
                slos.define(&context, id, objective).await
            }
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal.into()),
        };
        told(ctx, kept).await
    }

    /// Has an objective say something else, whole, from now on. What it said is kept; alerts that are up go
    /// down, since they are of what it said.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn revise_slo(&self, ctx: &Context<'_>, input: ReviseSloInput) -> Result<SloPayload> {
        let head = input.head();
        let objective = match input.objective() {
            Ok(objective) => objective,
            Err(refusal) => return Ok(SloPayload(Outcome::refused(refusal))),
        };
        on_slo(ctx, head, async |slos, context, id| {
            slos.revise(context, id, objective).await
        })
        .await
    }

    /// Has an objective be measured no more; it accepts nothing from then on.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn retire_slo(&self, ctx: &Context<'_>, input: RetireSloInput) -> Result<SloPayload> {
        let head = input.head();
        let retire = SloCommand::Retire {
            reason: input.reason,
        };
        on_slo(ctx, head, async |slos, context, id| {
            slos.on_slo(context, id, retire).await
        })
        .await
    }

    /// Leaves a span of time out, of what was good and of all there was. At most 1,000 for one objective.
    #[graphql(directive = auth::apply(AuthRole::Admin, None))]
    async fn exclude_period(
        &self,
        ctx: &Context<'_>,
        input: ExcludePeriodInput,
    ) -> Result<SloPayload> {
        let head = input.head();
        let exclude = SloCommand::ExcludePeriod {
            from: input.from.0,
            to: input.to.0,
            reason: input.reason,
        };
        on_slo(ctx, head, async |slos, context, id| {
            slos.on_slo(context, id, exclude).await
        })
        .await
    }
}

async fn on_slo(
    ctx: &Context<'_>,
    (conditions, id): (Conditions, ID),
    command: impl AsyncFnOnce(
        &Slos,
        &CommandContext,
        &str,
    ) -> std::result::Result<commands::Receipt, CommandError>,
) -> Result<SloPayload> {
    let kept = match (conditions.context(ctx), values::id(&id, "id")) {
        (Ok(context), Ok(id)) => {
            let slos = &Operation::of(ctx).parts.slos;
            command(slos, &context, &id).await.map(|kept| (id, kept))
        }
        (Err(refusal), _) | (_, Err(refusal)) => Err(refusal.into()),
    };
    told(ctx, kept).await
}

async fn told(
    ctx: &Context<'_>,
    kept: std::result::Result<(String, commands::Receipt), CommandError>,
) -> Result<SloPayload> {
    let (id, kept) = match kept {
        Ok((id, receipt)) => (id, Ok(receipt)),
        Err(error) => (String::new(), Err(error)),
    };
    Ok(SloPayload(Outcome::of(ctx, id, kept).await?))
}
