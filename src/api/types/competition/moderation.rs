//! What waits for a moderator, and what was decided.

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject, Union};
use projections::accounts::Sealed;
use projections::competitions::{self, DecisionRow, DisputeRow, HeldRow};

use super::GuardRule;
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, Position, Score};
use crate::api::types::int;
use crate::api::types::user::open;

/// What waits for a moderator.
#[derive(Union)]
pub enum ModerationItem {
    /// A score.
    Held(HeldScore),
    /// A dispute.
    Dispute(OpenDispute),
}

/// A score that waits: `releaseScore` lets it count, `dismissScore` never.
#[derive(SimpleObject)]
pub struct HeldScore {
    /// In which competition.
    competition_id: ID,
    /// Whose.
    user_id: ID,
    /// In which period it would count, by key.
    period: String,
    /// Its number among the user's of the period, from 1.
    attempt: i32,
    /// What whoever handed it in calls it.
    submission_id: Option<String>,
    /// The score.
    score: Score,
    /// Tells equal scores apart.
    sub_score: Score,
    /// When it was achieved.
    achieved_at: DateTime,
    /// What it comes from.
    source: Option<String>,
    /// Was it entered by hand?
    manual: bool,
    /// Which rule holds it.
    rule: GuardRule,
    /// What the rule found.
    found: String,
    /// Since when it waits.
    since: DateTime,
    /// Position of the event that says so.
    position: Position,
}

/// A dispute that is open: `resolveDispute` decides.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct OpenDispute {
    /// In which competition.
    competition_id: ID,
    /// Whose.
    user_id: ID,
    /// Are they excluded?
    excluded: bool,
    /// Since when it is open.
    since: DateTime,
    /// Position of the event that says so.
    position: Position,
    #[graphql(skip)]
    statement: Option<Sealed>,
}

/// Why somebody is on no board.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Exclusion {
    /// Since when.
    at: DateTime,
    /// Position of the event that says so.
    position: Position,
    #[graphql(skip)]
    user: String,
    #[graphql(skip)]
    reason: Option<Sealed>,
}

impl ModerationItem {
    /// Position of the event since which it waits.
    pub fn position(&self) -> domain::Position {
        match self {
            ModerationItem::Held(held) => held.position.0,
            ModerationItem::Dispute(dispute) => dispute.position.0,
        }
    }
}

impl HeldScore {
    /// Of a score with so many decimal places.
    pub fn new(row: HeldRow, decimals: u8) -> HeldScore {
        let text = |score: domain::score::Score| Score::of_units(score.units(), decimals);
        let submission = row.submission;
        HeldScore {
            competition_id: ID(row.competition),
            user_id: ID(row.user),
            period: row.period,
            attempt: int(row.attempt.into()),
            submission_id: submission.id,
            score: text(submission.score),
            sub_score: text(submission.sub_score),
            achieved_at: DateTime(submission.achieved_at),
            source: submission.source,
            manual: submission.manual,
            rule: row.rule.into(),
            found: row.found,
            since: DateTime(row.at),
            position: Position(row.position),
        }
    }
}

impl From<DisputeRow> for OpenDispute {
    fn from(row: DisputeRow) -> OpenDispute {
        OpenDispute {
            competition_id: ID(row.competition),
            user_id: ID(row.user),
            excluded: row.excluded,
            since: DateTime(row.at),
            position: Position(row.position),
            statement: row.statement,
        }
    }
}

#[ComplexObject]
impl OpenDispute {
    /// What they say; null once their data is erased.
    async fn statement(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let statement = self.statement.as_ref();
        Ok(open(ctx, &self.user_id, "statement", statement).await?)
    }

    /// Why they are excluded, if they are.
    async fn exclusion(&self, ctx: &Context<'_>) -> Result<Option<Exclusion>> {
        if !self.excluded {
            return Ok(None);
        }
        let operation = Operation::of(ctx);
        operation.spend_evidence()?;
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let entry = competitions::entry(&mut snapshot, &self.competition_id, &self.user_id).await;
        let decision = snapshot.answer(entry)?.and_then(|entry| entry.exclusion);
        Ok(decision.map(|decision| Exclusion::new(&self.user_id, decision)))
    }
}

impl Exclusion {
    /// What was decided about a user.
    pub fn new(user: &str, decision: DecisionRow) -> Exclusion {
        Exclusion {
            at: DateTime(decision.at),
            position: Position(decision.position),
            user: user.to_owned(),
            reason: decision.reason,
        }
    }
}

#[ComplexObject]
impl Exclusion {
    /// Why; null once the user's data is erased.
    async fn reason(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(open(ctx, &self.user, "reason", self.reason.as_ref()).await?)
    }
}
