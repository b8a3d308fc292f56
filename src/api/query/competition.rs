//! Questions about competitions, prizes, and what waits for a moderator.

use std::collections::HashMap;

use async_graphql::{Context, ID, Object, Result};
use projections::Page;
use projections::competitions::{self, DisputeRow, HeldRow};

use super::leaderboard::{competition_row, must_see, period_meant};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::competitions_fault;
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::types::competition::{
    BoardPeriod, Competition, CompetitionStatus, HeldScore, ModerationItem, PeriodPrizes,
    PrizeAward,
};
use crate::auth::Role;

/// Questions about competitions, prizes, and what waits for a moderator.
#[derive(Default)]
pub struct CompetitionQueries;

#[Object]
impl CompetitionQueries {
    /// One competition; null if there is none with this id. For everybody signed in: whoever is to join has to
    /// know the rules.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsRead)))]
    async fn competition(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The competition's id.")] id: ID,
    ) -> Result<Option<Competition>> {
        let row = competition_row(Operation::of(ctx), &id).await?;
        Ok(row.map(Competition::from))
    }

    /// Competitions by ascending id.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsRead)))]
    async fn competitions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Those that stand so; all if not said.")] status: Option<
            CompetitionStatus,
        >,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Competition>> {
        let operation = Operation::of(ctx);
        let ask = Ask::<String>::read(operation, "competitions", &status, first, after.as_deref())?;
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let (status, after) = (status.map(Into::into), ask.after.as_deref());
        let page = competitions::competitions(&mut snapshot, status, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |row| row.id.clone(), Competition::from))
    }

    /// The prizes of a period; null if there is no such competition. For whom `leaderboard` is.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsRead)))]
    async fn prizes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The competition.")] competition: ID,
        #[graphql(desc = "The period, by key; the one that goes on now if not said.")]
        period: Option<String>,
    ) -> Result<Option<PeriodPrizes>> {
        let operation = Operation::of(ctx);
        let Some(row) = competition_row(operation, &competition).await? else {
            return Ok(None);
        };
        must_see(operation, &row.id).await?;
        let period = period_meant(operation, &row, period.as_deref())?;
        Ok(Some(PeriodPrizes {
            competition_id: competition,
            period: BoardPeriod::read(operation, &row.id, period).await?,
        }))
    }

    /// What a user was awarded, the latest first: everybody signed in their own, and whoever sees what there
    /// is anybody's.
    #[graphql(directive = auth::apply(AuthRole::SignedIn, to(Scope::CompetitionsRead)))]
    async fn awards(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; one's own if not said.")] user: Option<ID>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<PrizeAward>> {
        let operation = Operation::of(ctx);
        let (caller, user) = (&operation.caller, user.map(|user| user.0));
        let user = operation
            .parts
            .competitions
            .whom(caller, user, Role::Viewer);
        let user = user.await.map_err(competitions_fault)?;
        let ask = Ask::<i64>::read(operation, "awards", &user, first, after.as_deref())?;
        let before = ask.after.map(domain::Position);
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let page = competitions::awards_of_user(&mut snapshot, &user, before, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let node = PrizeAward::page(&page.items);
        Ok(ask.connection(page, as_of, |row| row.position.0, node))
    }

    /// Scores that wait and disputes that are open, whatever waits longest first.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::CompetitionsWrite)))]
    async fn moderation_queue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this competition; of all if not said.")] competition: Option<ID>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<ModerationItem>> {
        let operation = Operation::of(ctx);
        let competition = competition.map(|id| id.0);
        let ask = Ask::<i64>::read(
            operation,
            "moderationQueue",
            &competition,
            first,
            after.as_deref(),
        )?;
        let (of, after) = (competition.as_deref(), ask.after.map(domain::Position));
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let held = competitions::held_scores(&mut snapshot, of, after, ask.first).await;
        let held = snapshot.answer(held)?;
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let disputes = competitions::open_disputes(&mut snapshot, of, after, ask.first).await;
        let disputes = snapshot.answer(disputes)?;
        let page = queue(operation, held, disputes, ask.first as usize).await?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |item| item.position().0, |item| item))
    }
}

/// What waits longest of both.
async fn queue(
    operation: &Operation,
    held: Page<HeldRow>,
    disputes: Page<DisputeRow>,
    first: usize,
) -> Result<Page<ModerationItem>, Fault> {
    // Scores are told with the decimal places of their competition.
    let mut decimals: HashMap<String, u8> = HashMap::new();
    for row in &held.items {
        if !decimals.contains_key(&row.competition) {
            let of = competition_row(operation, &row.competition).await?;
            let places = of.map_or(0, |of| of.rules.decimals);
            decimals.insert(row.competition.clone(), places);
        }
    }
    let held_items = held.items.into_iter().map(|row| {
        let places = decimals[&row.competition];
        ModerationItem::Held(HeldScore::new(row, places))
    });
    let disputed = disputes.items.into_iter();
    let disputed = disputed.map(|row| ModerationItem::Dispute(row.into()));
    let mut items: Vec<ModerationItem> = held_items.chain(disputed).collect();
    items.sort_by_key(ModerationItem::position);
    let has_next = items.len() > first || held.has_next || disputes.has_next;
    items.truncate(first);
    Ok(Page {
        items,
        has_next,
        as_of: held.as_of,
    })
}
