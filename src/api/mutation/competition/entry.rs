//! Commands on entries by those whose they are: join, leave, hand a score in, disagree.

use async_graphql::{Context, ID, InputObject, Object, Result};
use chrono::{DateTime as Instant, Utc};
use domain::{competition, entry};

use super::{present, settled};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::error::UserError;
use crate::api::mutation::payload::{Conditions, Outcome, Receipt};
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, Score};
use crate::api::types::competition::{CompetitionEntry, EntryPeriod};
use crate::auth::Caller;
use crate::commands::{self, CommandContext};
use crate::competitions::{Competitions, CompetitionsError, EntryOf, HandedIn};

/// The input of a command on an entry: its own fields, between whose it is and the conditions that every such
/// command takes.
macro_rules! entry_of {
    ($(#[doc = $doc:literal])* $name:ident {
        $($(#[doc = $field_doc:literal])* $(#[graphql($($with:tt)*)])? $field:ident: $ty:ty,)*
    }) => {
        $(#[doc = $doc])*
        #[derive(InputObject)]
        struct $name {
            /// The competition.
            competition: ID,
            /// Whose entry; one's own if not said. Another's takes a role or a scope.
            user: Option<ID>,
            $($(#[doc = $field_doc])* $(#[graphql($($with)*)])? $field: $ty,)*
            /// Idempotency key, 1 to 255 characters.
            command_id: Option<ID>,
            /// Refuse with VERSION_CONFLICT unless the entry is at this version.
            expected_version: Option<i32>,
        }

        impl $name {
            fn head(&self) -> (Conditions, EntryOf) {
                let conditions = Conditions {
                    command_id: self.command_id.clone(),
                    expected_version: self.expected_version,
                };
                let of = EntryOf {
                    competition: self.competition.0.clone(),
                    user: self.user.as_ref().map(|user| user.0.clone()),
                };
                (conditions, of)
            }
        }
    };
}
pub(super) use entry_of;

entry_of! {
    /// Has a user take part.
    JoinCompetitionInput {
        /// Do they agree to taking part?
        #[graphql(default)]
        consent: bool,
        /// Their groups, by key, at most 20. For operators and programs to say: groups can be invited.
        #[graphql(default)]
        groups: Vec<String>,
    }
}
entry_of! {
    /// Has a user take part no more.
    LeaveCompetitionInput {}
}
entry_of! {
    /// Hands a score in.
    SubmitScoreInput {
        /// What whoever hands it in calls it; unique per entry. Left out: it is known by its moment.
        submission_id: Option<String>,
        /// The score.
        score: Score,
        /// Tells equal scores apart, in the same sense as the score; left out: zero.
        sub_score: Option<Score>,
        /// When it was achieved, at most five minutes ahead; left out: when it came here. Sent again with the
        /// same `submissionId` or `commandId` it is still of the moment at which it came first.
        achieved_at: Option<DateTime>,
        /// What it comes from, such as a device or an app.
        source: Option<String>,
        /// Was it entered by hand?
        #[graphql(default)]
        manual: bool,
    }
}
entry_of! {
    /// Disagrees with what was decided on an entry.
    OpenDisputeInput {
        /// What the user says; 1 to 500 characters.
        statement: String,
    }
}

/// What became of a command on an entry.
pub(super) struct EntryPayload(pub Outcome);

/// What became of a command on an entry.
#[Object]
impl EntryPayload {
    /// The entry after the command; null if it was refused.
    async fn entry(&self, ctx: &Context<'_>) -> Result<Option<CompetitionEntry>> {
        shown(ctx, &self.0).await
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

/// What became of a score.
struct SubmitScorePayload {
    outcome: Outcome,
    /// If it was kept.
    achieved_at: Option<Instant<Utc>>,
}

/// What became of a score.
#[Object]
impl SubmitScorePayload {
    /// The entry after the command; null if it was refused.
    async fn entry(&self, ctx: &Context<'_>) -> Result<Option<CompetitionEntry>> {
        shown(ctx, &self.outcome).await
    }

    /// What the user has come to in the period that the score is of; null if it was refused.
    async fn period(&self, ctx: &Context<'_>) -> Result<Option<EntryPeriod>> {
        let (Some(id), Some(achieved_at)) = (self.outcome.id(), self.achieved_at) else {
            return Ok(None);
        };
        let (state, version) = present::<entry::Entry>(ctx, id).await?;
        let (of, _) = present::<competition::Competition>(ctx, &state.competition).await?;
        let ends_at = of.ends_at();
        let Some(rules) = of.rules else {
            return Ok(None);
        };
        let period = rules.frame(ends_at).period_of(achieved_at);
        let entry = CompetitionEntry::of(state, version, rules.decimals);
        Ok(period.and_then(|period| entry.in_period(&period.key)))
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

/// Commands on entries by those whose they are.
#[derive(Default)]
pub struct EntryCommands;

#[Object]
impl EntryCommands {
    /// Has a user take part in a competition: everybody signed in themselves, operators anybody. Whoever
    /// takes part already does so.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsWrite)))]
    async fn join_competition(
        &self,
        ctx: &Context<'_>,
        input: JoinCompetitionInput,
    ) -> Result<EntryPayload> {
        let head = input.head();
        let said = (input.consent, input.groups.into_iter().collect());
        on_entry(ctx, head, async |competitions, (context, caller), of| {
            competitions.join(context, caller, of, said).await
        })
        .await
    }

    /// Has a user take part no more: no board shows what they achieved, unless they join again.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsWrite)))]
    async fn leave_competition(
        &self,
        ctx: &Context<'_>,
        input: LeaveCompetitionInput,
    ) -> Result<EntryPayload> {
        on_entry(
            ctx,
            input.head(),
            async |competitions, (context, caller), of| {
                competitions.leave(context, caller, of).await
            },
        )
        .await
    }

    /// Hands a score in: everybody signed in their own, and whoever may hand records in anybody's. The same
    /// score again is the same score. One that a rule finds hard to believe waits for a moderator.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::ScoresWrite)))]
    async fn submit_score(
        &self,
        ctx: &Context<'_>,
        input: SubmitScoreInput,
    ) -> Result<SubmitScorePayload> {
        let (conditions, of) = input.head();
        let score = HandedIn {
            id: input.submission_id,
            score: input.score.0,
            sub_score: input.sub_score.map(|score| score.0),
            achieved_at: input.achieved_at.map(|at| at.0),
            source: input.source,
            manual: input.manual,
        };
        let operation = Operation::of(ctx);
        let kept = match conditions.context(ctx) {
            Ok(context) => {
                let competitions = &operation.parts.competitions;
                let caller = &operation.caller;
                competitions.submit(&context, caller, of, score).await
            }
            Err(refusal) => Err(refusal.into()),
        };
        let (kept, achieved_at) = match kept {
            Ok((kept, achieved_at)) => (Ok(kept), Some(achieved_at)),
            Err(error) => (Err(error), None),
        };
        Ok(SubmitScorePayload {
            outcome: settled(ctx, kept).await?,
            achieved_at,
        })
    }

    /// Disagrees with what was decided on an entry: somebody looks into it.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsWrite)))]
    async fn open_dispute(
        &self,
        ctx: &Context<'_>,
        input: OpenDisputeInput,
    ) -> Result<EntryPayload> {
        let head = input.head();
        let statement = input.statement;
        on_entry(ctx, head, async |competitions, (context, caller), of| {
            competitions.dispute(context, caller, of, statement).await
        })
        .await
    }
}

/// What came of a command on an entry, with its id.
type Kept = std::result::Result<(String, commands::Receipt), CompetitionsError>;

/// Tells an entry something in the caller's name.
pub(super) async fn on_entry(
    ctx: &Context<'_>,
    (conditions, of): (Conditions, EntryOf),
    command: impl AsyncFnOnce(&Competitions, (&CommandContext, &Caller), EntryOf) -> Kept,
) -> Result<EntryPayload> {
    let operation = Operation::of(ctx);
    let kept = match conditions.context(ctx) {
        Ok(context) => {
            let competitions = &operation.parts.competitions;
            command(competitions, (&context, &operation.caller), of).await
        }
        Err(refusal) => Err(refusal.into()),
    };
    Ok(EntryPayload(settled(ctx, kept).await?))
}

async fn shown(ctx: &Context<'_>, outcome: &Outcome) -> Result<Option<CompetitionEntry>> {
    let Some(id) = outcome.id() else {
        return Ok(None);
    };
    let (state, version) = present::<entry::Entry>(ctx, id).await?;
    let (of, _) = present::<competition::Competition>(ctx, &state.competition).await?;
    let decimals = of.rules.map_or(0, |rules| rules.decimals);
    Ok(Some(CompetitionEntry::of(state, version, decimals)))
}
