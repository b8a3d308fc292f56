//! Competitions: their rules, and what users have come to in them.

mod award;
mod board;
mod entry;
mod moderation;
mod period;
mod words;

pub use award::{PeriodPrizes, PrizeAward};
pub use board::{
    LeaderboardAround, LeaderboardChange, LeaderboardLine, LeaderboardOf, MyRank, Shown,
};
pub use entry::{CompetitionEntry, EntryPeriod};
pub use moderation::{Exclusion, HeldScore, ModerationItem};
pub use period::{BoardPeriod, present};
pub use words::{
    ActivityFlag, CompetitionMetric, CompetitionStatus, CountsFrom, DisputeOutcome, GuardRule,
    JoinRule, PeriodKind, PrizeTies, ScoreOperator, ScoreSort, TiePolicy,
};

use std::borrow::Cow;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};
use chrono::{DateTime as Instant, Utc};
use domain::competition::{self, CompetitionRules, Metric};
use domain::period::{Calendar, CustomPeriod};
use domain::prize::{PrizePlan, PrizeRule as Rule};
use projections::competitions::{self, CompetitionRow};

use super::int;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Position, Score};

/// A competition.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Competition {
    /// Its id, unique among the tenant's competitions.
    pub id: ID,
    /// Where it stands.
    status: CompetitionStatus,
    /// Its rules; they stay once it is opened.
    rules: CompetitionRulesSaid,
    /// What the places of every period's board are worth; null: nothing.
    prizes: Option<CompetitionPrizes>,
    /// The first moment after it, as things stand; null: it goes on.
    ends_at: Option<DateTime>,
    /// The end of the last period that takes no more scores.
    sealed_until: Option<DateTime>,
    /// How many users and groups are invited.
    invited: i32,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    stream_version: i32,
    /// As the read model has it; none where its stream told of it.
    #[graphql(skip)]
    row: Option<Box<CompetitionRow>>,
}

/// What a competition is by.
#[derive(SimpleObject)]
#[graphql(name = "CompetitionRules")]
pub struct CompetitionRulesSaid {
    /// A name for people.
    name: String,
    /// What is compared.
    metric: CompetitionMetric,
    /// The name of a measure of its own.
    custom_metric: Option<String>,
    /// What a score is called, such as `points`.
    unit: Option<String>,
    /// How many decimal places a score has.
    decimals: i32,
    /// What several scores make together.
    operator: ScoreOperator,
    /// Which score is better.
    sort: ScoreSort,
    /// Which rank equal scores get.
    ties: TiePolicy,
    /// How time is cut into periods.
    periods: PeriodKind,
    /// The periods of a list; empty for the others.
    custom_periods: Vec<CompetitionPeriod>,
    /// Whose midnights cut it: a zone of the IANA database.
    zone: String,
    /// Its first moment.
    starts_at: DateTime,
    /// The first moment after it; null: it goes on.
    ends_at: Option<DateTime>,
    /// How long after a period's end its scores can still be handed in, in seconds.
    close_delay_seconds: i32,
    /// Who may join.
    join: JoinRule,
    /// From when on it counts what they do.
    counts_from: CountsFrom,
    /// Does whoever joins have to agree first?
    consent_required: bool,
    /// How many may take part; null: any number.
    size_max: Option<i32>,
    /// How many scores each may hand in in one period; null: as many as there may be.
    attempts_max: Option<i32>,
    /// What is taken from, for DECREMENT.
    start_score: Option<Score>,
    /// What a score must be to count at once.
    guards: CompetitionGuards,
    /// Sources of activities, the one to believe first first.
    sources: Vec<String>,
}

/// A stretch of time with a board of its own.
#[derive(SimpleObject)]
pub struct CompetitionPeriod {
    /// What it is called.
    key: String,
    /// Its first moment.
    start: DateTime,
    /// The first moment after it.
    end: DateTime,
}

/// What a score must be to count at once.
#[derive(SimpleObject)]
pub struct CompetitionGuards {
    /// A score above this waits for a moderator.
    score_max: Option<Score>,
    /// A score that is more than this for each minute since the last one waits for a moderator.
    per_minute_max: Option<Score>,
    /// Does a score that was entered by hand wait, and an activity not count?
    manual_refused: bool,
    /// Do activities that no body can do not count?
    flagged_refused: bool,
}

/// What the places of every period's board are worth.
#[derive(SimpleObject)]
pub struct CompetitionPrizes {
    /// What is given, such as `EUR`.
    currency: String,
    /// How many decimal places an amount has.
    decimals: i32,
    /// What there is to give each period.
    pool: Score,
    /// What happens to places that are shared.
    ties: PrizeTies,
    /// What is given; rules for one place add up.
    rules: Vec<PrizeRule>,
}

/// What one rule gives: an amount or a share of the pool, for a place or for the first of all entries.
#[derive(SimpleObject)]
pub struct PrizeRule {
    /// For this place.
    place: Option<i32>,
    /// For so many of the entries, in parts per million.
    top_ppm: Option<i32>,
    /// So much.
    amount: Option<Score>,
    /// So much of the pool, in parts per million.
    share_ppm: Option<i32>,
}

impl Competition {
    /// As its stream tells it at a version; `None` where there is none.
    pub fn of(id: &str, state: competition::Competition, version: i64) -> Option<Competition> {
        let ends_at = state.ends_at().map(DateTime);
        let invited = state.users.len() + state.groups.len();
        Some(Competition {
            id: ID(id.to_owned()),
            status: state.status?.into(),
            rules: (*state.rules?).into(),
            prizes: state.prizes.map(CompetitionPrizes::from),
            ends_at,
            sealed_until: state.sealed_until.map(DateTime),
            invited: int(i64::try_from(invited).unwrap_or(i64::MAX)),
            stream_version: int(version),
            row: None,
        })
    }

    /// The competition as the read model has it. After a command that shows the command.
    async fn row(&self, operation: &Operation) -> Result<Cow<'_, CompetitionRow>, Fault> {
        if let Some(row) = &self.row {
            return Ok(Cow::Borrowed(row));
        }
        let mut snapshot = operation.read(&[competitions::NAME]).await?;
        let row = competitions::competition(&mut snapshot, &self.id).await;
        let missing = || Fault::of(FaultCode::Internal);
        snapshot.answer(row)?.map(Cow::Owned).ok_or_else(missing)
    }
}

impl From<CompetitionRow> for Competition {
    fn from(row: CompetitionRow) -> Competition {
        let whole = |number: u64| int(i64::try_from(number).unwrap_or(i64::MAX));
        Competition {
            id: ID(row.id.clone()),
            status: row.status.into(),
            rules: row.rules.clone().into(),
            prizes: row.prizes.clone().map(CompetitionPrizes::from),
            ends_at: row.ends_at(None).map(DateTime),
            sealed_until: row.sealed_until.map(DateTime),
            invited: whole(row.invited),
            stream_version: int(row.stream_version),
            row: Some(Box::new(row)),
        }
    }
}

#[ComplexObject]
impl Competition {
    /// When it was written down.
    async fn created_at(&self, ctx: &Context<'_>) -> Result<DateTime> {
        Ok(DateTime(self.row(Operation::of(ctx)).await?.created_at))
    }

    /// Since when it can be joined; null: it cannot yet.
    async fn opened_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        let row = self.row(Operation::of(ctx)).await?;
        Ok(row.opened_at.map(DateTime))
    }

    /// When it was over or called off.
    async fn ended_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        let row = self.row(Operation::of(ctx)).await?;
        Ok(row.ended_at.map(DateTime))
    }

    /// Why it was cut short or called off.
    async fn reason(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(self.row(Operation::of(ctx)).await?.reason.clone())
    }

    /// How many take part, those who are excluded among them.
    async fn entries(&self, ctx: &Context<'_>) -> Result<i32> {
        let entries = self.row(Operation::of(ctx)).await?.entries;
        Ok(int(i64::try_from(entries).unwrap_or(i64::MAX)))
    }

    /// How many are excluded, those who have left among them.
    async fn excluded(&self, ctx: &Context<'_>) -> Result<i32> {
        let excluded = self.row(Operation::of(ctx)).await?.excluded;
        Ok(int(i64::try_from(excluded).unwrap_or(i64::MAX)))
    }

    /// Position of the last event in its stream.
    async fn last_event_position(&self, ctx: &Context<'_>) -> Result<Position> {
        Ok(Position(self.row(Operation::of(ctx)).await?.position))
    }

    /// The period that goes on now; null between periods, before the first and after the last. A
    /// competition of one period has that one always.
    async fn present_period(&self, ctx: &Context<'_>) -> Result<Option<BoardPeriod>> {
        let operation = Operation::of(ctx);
        let row = self.row(operation).await?;
        let Some(present) = present(&row, operation.parts.clock.now()) else {
            return Ok(None);
        };
        Ok(Some(BoardPeriod::read(operation, &row.id, present).await?))
    }

    /// When the period that goes on now ends and the next board begins from nothing; null if none does.
    async fn next_reset(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        let operation = Operation::of(ctx);
        let row = self.row(operation).await?;
        let frame = row.rules.frame(row.ends_at(None));
        let now = operation.parts.clock.now();
        Ok(frame.next_reset(now).map(DateTime))
    }

    /// The periods that have begun, the latest first.
    async fn periods(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<BoardPeriod>> {
        let operation = Operation::of(ctx);
        let row = self.row(operation).await?;
        let list = self.id.as_str();
        let ask = Ask::<Instant<Utc>>::read(
            operation,
            "competitionPeriods",
            &list,
            first,
            after.as_deref(),
        )?;
        let page = period::begun(operation, &row, ask.after, ask.first).await?;
        let as_of = page.as_of.into();
        let place = |period: &BoardPeriod| period.start.0;
        Ok(ask.connection(page, as_of, place, |period| period))
    }
}

impl From<CompetitionRules> for CompetitionRulesSaid {
    fn from(rules: CompetitionRules) -> CompetitionRulesSaid {
        let decimals = rules.decimals;
        let score = |score: domain::score::Score| Score::of_units(score.units(), decimals);
        let (metric, custom_metric) = metric(rules.metric);
        let (periods, custom_periods) = match rules.periods {
            Calendar::AllTime => (PeriodKind::AllTime, Vec::new()),
            Calendar::Daily => (PeriodKind::Daily, Vec::new()),
            Calendar::Weekly => (PeriodKind::Weekly, Vec::new()),
            Calendar::Monthly => (PeriodKind::Monthly, Vec::new()),
            Calendar::Custom(list) => (PeriodKind::Custom, list),
        };
        CompetitionRulesSaid {
            name: rules.name,
            metric,
            custom_metric,
            unit: rules.unit,
            decimals: decimals.into(),
            operator: rules.operator.into(),
            sort: rules.sort.into(),
            ties: rules.ties.into(),
            periods,
            custom_periods: custom_periods.into_iter().map(Into::into).collect(),
            zone: rules.zone.name().to_owned(),
            starts_at: DateTime(rules.starts_at),
            ends_at: rules.ends_at.map(DateTime),
            close_delay_seconds: int(rules.close_delay_seconds.into()),
            join: rules.join.into(),
            counts_from: rules.counts_from.into(),
            consent_required: rules.consent_required,
            size_max: rules.size_max.map(|size| int(size.into())),
            attempts_max: rules.attempts_max.map(|attempts| int(attempts.into())),
            start_score: rules.start_score.map(score),
            guards: CompetitionGuards {
                score_max: rules.guards.score_max.map(score),
                per_minute_max: rules.guards.per_minute_max.map(score),
                manual_refused: rules.guards.manual_refused,
                flagged_refused: rules.guards.flagged_refused,
            },
            sources: rules.sources,
        }
    }
}

fn metric(metric: Metric) -> (CompetitionMetric, Option<String>) {
    match metric {
        Metric::Steps => (CompetitionMetric::Steps, None),
        Metric::Distance => (CompetitionMetric::Distance, None),
        Metric::Calories => (CompetitionMetric::Calories, None),
        Metric::ActiveMinutes => (CompetitionMetric::ActiveMinutes, None),
        Metric::Custom(name) => (CompetitionMetric::Custom, Some(name)),
        Metric::Submitted => (CompetitionMetric::Submitted, None),
    }
}

impl From<CustomPeriod> for CompetitionPeriod {
    fn from(period: CustomPeriod) -> CompetitionPeriod {
        CompetitionPeriod {
            key: period.key,
            start: DateTime(period.start),
            end: DateTime(period.end),
        }
    }
}

impl From<PrizePlan> for CompetitionPrizes {
    fn from(plan: PrizePlan) -> CompetitionPrizes {
        let decimals = plan.decimals;
        let rule = |rule: Rule| match rule {
            Rule::Fixed { place, amount } => PrizeRule {
                place: Some(int(place.into())),
                top_ppm: None,
                amount: Some(Score::of_units(amount, decimals)),
                share_ppm: None,
            },
            Rule::Percentage { place, share_ppm } => PrizeRule {
                place: Some(int(place.into())),
                top_ppm: None,
                amount: None,
                share_ppm: Some(int(share_ppm.into())),
            },
            Rule::TopPercent { top_ppm, share_ppm } => PrizeRule {
                place: None,
                top_ppm: Some(int(top_ppm.into())),
                amount: None,
                share_ppm: Some(int(share_ppm.into())),
            },
        };
        CompetitionPrizes {
            currency: plan.currency,
            decimals: decimals.into(),
            pool: Score::of_units(plan.pool, decimals),
            ties: plan.ties.into(),
            rules: plan.rules.into_iter().map(rule).collect(),
        }
    }
}
