//! Commands on entries by those who decide on them.

use async_graphql::{Context, ID, InputObject, Object, Result};

use super::entry::{EntryPayload, entry_of, on_entry};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::mutation::payload::{Conditions, Told, whole};
use crate::api::types::competition::DisputeOutcome;
use crate::competitions::{EntryOf, Moderated, Word};

entry_of! {
    /// Lets a score count that waits.
    ReleaseScoreInput {
        /// In which period, by key.
        period: String,
        /// Which score: its number.
        attempt: i32,
        /// Why; at most 500 characters.
        reason: Option<String>,
    }
}
entry_of! {
    /// Lets a score that waits never count.
    DismissScoreInput {
        /// In which period, by key.
        period: String,
        /// Which score: its number.
        attempt: i32,
        /// Why; 1 to 500 characters.
        reason: String,
    }
}
entry_of! {
    /// Takes an entry off every board.
    ExcludeEntryInput {
        /// Why; 1 to 500 characters.
        reason: String,
    }
}
entry_of! {
    /// Puts an entry back.
    ReinstateEntryInput {
        /// Why; 1 to 500 characters.
        reason: String,
    }
}
entry_of! {
    /// Decides on a dispute.
    ResolveDisputeInput {
        /// How it ends.
        outcome: DisputeOutcome,
        /// Why; 1 to 500 characters.
        reason: String,
    }
}

/// Commands on entries by those who decide on them.
#[derive(Default)]
pub struct ModerationCommands;

#[Object]
impl ModerationCommands {
    /// Lets a score count that waits, while its period takes scores.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn release_score(
        &self,
        ctx: &Context<'_>,
        input: ReleaseScoreInput,
    ) -> Result<EntryPayload> {
        let head = input.head();
        let score = moderated(input.period, input.attempt, input.reason);
        on_entry(ctx, head, async |competitions, (context, caller), of| {
            competitions.release(context, caller, of, score?).await
        })
        .await
    }

    /// Lets a score that waits never count.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn dismiss_score(
        &self,
        ctx: &Context<'_>,
        input: DismissScoreInput,
    ) -> Result<EntryPayload> {
        let head = input.head();
        let score = moderated(input.period, input.attempt, Some(input.reason));
        decide(ctx, head, score.map(Word::Dismiss)).await
    }

    /// Takes an entry off every board, and has it hand in nothing. Its user can dispute it.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn exclude_entry(
        &self,
        ctx: &Context<'_>,
        input: ExcludeEntryInput,
    ) -> Result<EntryPayload> {
        let head = input.head();
        let reason = input.reason;
        decide(ctx, head, Ok(Word::Exclude { reason })).await
    }

    /// Puts an entry back on its boards, with all it achieved.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn reinstate_entry(
        &self,
        ctx: &Context<'_>,
        input: ReinstateEntryInput,
    ) -> Result<EntryPayload> {
        let head = input.head();
        let reason = input.reason;
        decide(ctx, head, Ok(Word::Reinstate { reason })).await
    }

    /// Decides on a dispute. Whoever was right is not excluded any more; scores that wait are decided on one
    /// by one.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn resolve_dispute(
        &self,
        ctx: &Context<'_>,
        input: ResolveDisputeInput,
    ) -> Result<EntryPayload> {
        let head = input.head();
        let word = Word::Resolve {
            outcome: input.outcome.into(),
            reason: input.reason,
        };
        decide(ctx, head, Ok(word)).await
    }
}

fn moderated(period: String, attempt: i32, reason: Option<String>) -> Told<Moderated> {
    Ok(Moderated {
        period,
        attempt: whole(attempt, "attempt")?,
        reason,
    })
}

async fn decide(
    ctx: &Context<'_>,
    head: (Conditions, EntryOf),
    word: Told<Word>,
) -> Result<EntryPayload> {
    on_entry(ctx, head, async |competitions, (context, caller), of| {
        competitions.decide(context, caller, of, word?).await
    })
    .await
}
