//! Prizes that were awarded.

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};
use projections::competitions::{self, AwardCursor, AwardRow};

use super::BoardPeriod;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{Position, Score};
use crate::api::types::behind::Events;
use crate::api::types::event::Event;
use crate::api::types::int;

/// The prizes of a period.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct PeriodPrizes {
    /// The competition.
    pub competition_id: ID,
    /// The period; its `prizes` tell what there was to give, and what is given in all.
    pub period: BoardPeriod,
}

/// A prize that somebody was awarded.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct PrizeAward {
    /// In which competition.
    competition_id: ID,
    /// For which period, by key.
    period: String,
    /// To whom.
    user_id: ID,
    /// For which rank.
    rank: i32,
    /// How much, exactly.
    amount: Score,
    /// What is given, such as `EUR`.
    currency: String,
    /// Position of the event that says so.
    position: Position,
    #[graphql(skip)]
    events: Events,
}

#[ComplexObject]
impl PeriodPrizes {
    /// What was awarded, by rank and user; empty until the period is closed.
    async fn awards(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<PrizeAward>> {
        let operation = Operation::of(ctx);
        let (id, key) = (self.competition_id.as_str(), self.period.key.as_str());
        let ask =
            Ask::<(u64, String)>::read(operation, "prizes", &(id, key), first, after.as_deref())?;
        let after = ask.after.clone();
        let after = after.map(|(rank, user)| AwardCursor { rank, user });
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let after = after.as_ref();
        let page = competitions::awards(&mut snapshot, id, key, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let place = |row: &AwardRow| (row.award.rank, row.award.user.clone());
        let node = PrizeAward::page(&page.items);
        Ok(ask.connection(page, as_of, place, node))
    }
}

impl PrizeAward {
    /// Makes the awards of a page.
    pub fn page(rows: &[AwardRow]) -> impl Fn(AwardRow) -> PrizeAward + use<> {
        let events = Events::of(rows.iter().map(|row| &row.position));
        move |row| PrizeAward {
            competition_id: ID(row.competition),
            period: row.period,
            user_id: ID(row.award.user),
            rank: int(i64::try_from(row.award.rank).unwrap_or(i64::MAX)),
            amount: Score::of_units(row.award.amount, row.decimals),
            currency: row.currency,
            position: Position(row.position),
            events: events.clone(),
        }
    }
}

#[ComplexObject]
impl PrizeAward {
    /// The event, which holds awards of others of the period as well.
    async fn event(&self, ctx: &Context<'_>) -> Result<Option<Event>> {
        Ok(self.events.at(ctx, &[self.position]).await?.pop())
    }
}
