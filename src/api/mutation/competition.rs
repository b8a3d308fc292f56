//! Commands on competitions: written down, opened, ended.

pub mod entry;
pub mod input;
pub mod moderation;

use std::collections::BTreeSet;

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::Aggregate;
use domain::competition::{self, CompetitionCommand};

use self::input::{CompetitionRulesInput, PrizePlanInput};
use super::deployment::input::head_of;
use super::payload::{Conditions, Outcome, Receipt, Told};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::error::UserError;
use crate::api::failure::{competition_or_fault, refusal_or_fault};
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::types::competition::Competition;
use crate::commands::{self, CommandContext, CommandError};
use crate::competitions::CompetitionsError;

/// Writes a competition down, for nobody to join yet.
#[derive(InputObject)]
struct CreateCompetitionInput {
    /// Its id from now on, 1 to 128 characters, without `/`; made if not said.
    id: Option<ID>,
    /// Its rules.
    rules: CompetitionRulesInput,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}
head_of! {
    /// Gives a competition other rules, all of them.
    ReviseCompetitionInput {
        /// Its rules from now on.
        rules: CompetitionRulesInput,
    }
}
head_of! {
    /// Says what the places of every period's board are worth.
    DefinePrizesInput {
        /// All of it; left out: nothing.
        prizes: Option<PrizePlanInput>,
    }
}
head_of! {
    /// Invites users and groups; whoever is invited stays so.
    InviteToCompetitionInput {
        /// Users: ids, or what another system calls those without an account.
        users: Option<Vec<String>>,
        /// Groups, by key.
        groups: Option<Vec<String>>,
    }
}
head_of! {
    /// Lets users join a competition.
    OpenCompetitionInput {}
}
head_of! {
    /// Ends a competition now, before its time.
    CutCompetitionShortInput {
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}
/// Closes a period of a competition.
#[derive(InputObject)]
struct ClosePeriodInput {
    /// Which competition.
    competition: ID,
    /// Which period, by key, such as `2027-W09`.
    period: String,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}
head_of! {
    /// Calls a competition off.
    CancelCompetitionInput {
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}

/// What became of a command on a competition.
struct CompetitionPayload(Outcome);

/// What became of a command on a competition.
#[Object]
impl CompetitionPayload {
    /// The competition after the command; null if it was refused.
    async fn competition(&self, ctx: &Context<'_>) -> Result<Option<Competition>> {
        let Some(id) = self.0.id() else {
            return Ok(None);
        };
        let (state, version) = present::<competition::Competition>(ctx, id).await?;
        Ok(Competition::of(id, state, version))
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

/// Commands on competitions.
#[derive(Default)]
pub struct CompetitionCommands;

#[Object]
impl CompetitionCommands {
    /// Writes a competition down, for nobody to join yet: until it is opened its rules can change.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn create_competition(
        &self,
        ctx: &Context<'_>,
        input: CreateCompetitionInput,
    ) -> Result<CompetitionPayload> {
        let context = Conditions::of_new(input.command_id).context(ctx);
        let id = input.id.map(|id| id.0);
        let kept = match (context, input.rules.rules()) {
            (Ok(context), Ok(rules)) => {
                let competitions = &Operation::of(ctx).parts.competitions;
                competitions.create(&context, id, rules).await
            }
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal.into()),
        };
        Ok(CompetitionPayload(settled(ctx, kept).await?))
    }

    /// Gives a competition other rules, all of them. Once it is opened they stay: RULES_FROZEN.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn revise_competition(
        &self,
        ctx: &Context<'_>,
        input: ReviseCompetitionInput,
    ) -> Result<CompetitionPayload> {
        let head = input.head();
        let rules = input.rules.rules();
        on_competition(ctx, head, |_| {
            let rules = Box::new(rules?);
            Ok(CompetitionCommand::Revise { rules })
        })
        .await
    }

    /// Says what the places of every period's board are worth, until the competition is opened.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn define_prizes(
        &self,
        ctx: &Context<'_>,
        input: DefinePrizesInput,
    ) -> Result<CompetitionPayload> {
        let head = input.head();
        let prizes = input.prizes.map(PrizePlanInput::plan).transpose();
        on_competition(ctx, head, |_| {
            let prizes = prizes?;
            Ok(CompetitionCommand::DefinePrizes { prizes })
        })
        .await
    }

    /// Invites users and groups; at most 10,000 in all. Whoever is invited stays so.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn invite_to_competition(
        &self,
        ctx: &Context<'_>,
        input: InviteToCompetitionInput,
    ) -> Result<CompetitionPayload> {
        let head = input.head();
        let users: BTreeSet<String> = input.users.into_iter().flatten().collect();
        let groups: BTreeSet<String> = input.groups.into_iter().flatten().collect();
        on_competition(ctx, head, |_| {
            Ok(CompetitionCommand::Invite { users, groups })
        })
        .await
    }

    /// Lets users join. From now on rules and prizes stay.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn open_competition(
        &self,
        ctx: &Context<'_>,
        input: OpenCompetitionInput,
    ) -> Result<CompetitionPayload> {
        on_competition(ctx, input.head(), |context| {
            Ok(CompetitionCommand::Open { now: context.now })
        })
        .await
    }

    /// Ends a competition now, before its time: the period it is in ends now.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn cut_competition_short(
        &self,
        ctx: &Context<'_>,
        input: CutCompetitionShortInput,
    ) -> Result<CompetitionPayload> {
        let head = input.head();
        on_competition(ctx, head, |context| {
            Ok(CompetitionCommand::CutShort {
                reason: input.reason,
                now: context.now,
            })
        })
        .await
    }

    /// Calls a competition off: no board is closed, and nothing is awarded, from now on.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn cancel_competition(
        &self,
        ctx: &Context<'_>,
        input: CancelCompetitionInput,
    ) -> Result<CompetitionPayload> {
        let head = input.head();
        on_competition(ctx, head, |_| {
            Ok(CompetitionCommand::Cancel {
                reason: input.reason,
            })
        })
        .await
    }

    /// Closes a period that is over, and its delay too: its board is frozen as of the moment it took no
    /// more scores, and its prizes are awarded. It is closed by itself some seconds later; this does not wait
    /// for that. Too early, or an earlier one is not closed: PERIOD_OPEN. Closed already: PERIOD_CLOSED.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn close_period(
        &self,
        ctx: &Context<'_>,
        input: ClosePeriodInput,
    ) -> Result<CompetitionPayload> {
        let kept = match Conditions::of_new(input.command_id).context(ctx) {
            Ok(context) => {
                let competitions = &Operation::of(ctx).parts.competitions;
                let closed = competitions.close_period(&context, &input.competition, &input.period);
                closed.await
            }
            Err(refusal) => Err(refusal.into()),
        };
        Ok(CompetitionPayload(settled(ctx, kept).await?))
    }
}

async fn on_competition(
    ctx: &Context<'_>,
    (conditions, id): (Conditions, ID),
    command: impl FnOnce(&CommandContext) -> Told<CompetitionCommand> + Send,
) -> Result<CompetitionPayload> {
    let told = conditions
        .context(ctx)
        .and_then(|context| Ok((command(&context)?, context)));
    let kept = match told {
        Ok((command, context)) => {
            let competitions = &Operation::of(ctx).parts.competitions;
            competitions.on_competition(&context, &id, command).await
        }
        Err(refusal) => Err(refusal.into()),
    };
    Ok(CompetitionPayload(settled(ctx, kept).await?))
}

/// What was said of a command on the object with this id.
async fn settled(
    ctx: &Context<'_>,
    kept: std::result::Result<(String, commands::Receipt), CompetitionsError>,
) -> Result<Outcome> {
    match kept {
        Ok((id, receipt)) => {
            let kept: std::result::Result<_, CommandError> = Ok(receipt);
            Outcome::of(ctx, id, kept).await
        }
        Err(error) => {
            let error = competition_or_fault(error)?;
            Outcome::of(ctx, String::new(), Err(error)).await
        }
    }
}

/// An object as the log has it now, with its version.
async fn present<A: Aggregate>(ctx: &Context<'_>, id: &str) -> Result<(A, i64)> {
    let fault = |error| refusal_or_fault(error).map_or_else(|fault| fault, Fault::from);
    let operation = Operation::of(ctx);
    let (door, tenant) = (&operation.parts.door, operation.tenant());
    let present = door.load_now_versioned::<A>(tenant, id).await;
    Ok(present.map_err(fault)?)
}
