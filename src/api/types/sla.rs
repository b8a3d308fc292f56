//! How far an objective is met.

mod evidence;

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use projections::slo::{self, HistoryBucket, SampleKind, SloQuery};

use super::int;
use super::slo::{SloBurnRule, SloObjective};
use super::statistics::seconds;
use crate::api::operation::Operation;
use crate::api::page::Paged;
use crate::api::scalars::{DateTime, Duration, Position};
use evidence::SlaSample;

/// Is an objective met?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "slo::SloStatus")]
pub enum SlaStatus {
    /// It is: the share, and the percentile if one is named.
    Met,
    /// It is not.
    Missed,
    /// There are fewer samples than it asks for: nothing is said.
    LowTraffic,
    /// There are none: nothing can be said.
    NoData,
}

/// What can be said of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "SampleKind")]
pub enum SlaSampleKind {
    /// It is within the threshold.
    Good,
    /// It is longer.
    Bad,
    /// It ended before it began, by the clocks of others, and does not count.
    Negative,
    /// It has not ended, and does not count yet.
    Open,
}

/// How a window is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "HistoryBucket")]
pub enum SlaBucket {
    /// Into calendar days.
    Day,
    /// Into calendar weeks, from Monday.
    Week,
}

/// How far an objective is met.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct SlaStats {
    /// Of which objective; null if it is kept nowhere.
    slo_id: Option<ID>,
    /// What it says, as it is or as it was known then.
    objective: SloObjective,
    /// Start of its window, included.
    from: DateTime,
    /// The window's end so far, excluded.
    to: DateTime,
    /// How many samples there are.
    samples: i32,
    /// How many of them are within the threshold.
    within_threshold: i32,
    /// Their share, whatever the method; null without samples.
    share_within_threshold: Option<f64>,
    /// How many samples ended before they began, by the clocks of others. They count nowhere else.
    negative: i32,
    /// How much began in the window and had not ended by its end. It counts nowhere else.
    open: i32,
    /// What the method counts: samples, or slices of time that have one.
    total: i32,
    /// How many of them are good.
    good: i32,
    /// Their share; null without any.
    attainment: Option<f64>,
    /// The percentile that the objective names, interpolated; null without samples, or if it names none.
    percentile: Option<Duration>,
    /// What may be bad, and what is.
    error_budget: ErrorBudget,
    /// How fast the budget is used up, by each rule whose long span fits into the window.
    burn_rates: Vec<SlaBurnRate>,
    /// Is the objective met?
    status: SlaStatus,
    /// The position in the log all of it is as of.
    as_of_position: Position,
    #[graphql(skip)]
    query: Arc<SloQuery>,
}

/// What may be bad, and what is.
#[derive(SimpleObject)]
pub struct ErrorBudget {
    /// The share that may be bad.
    budget: f64,
    /// How much of that is used, 1 being all of it; null where nothing is counted.
    consumed: Option<f64>,
    /// 1 less that: below 0 once more is bad than may be.
    remaining: Option<f64>,
}

/// How fast an error budget is used up: at 1 it lasts as long as the window.
#[derive(SimpleObject)]
pub struct SlaBurnRate {
    /// The two spans, and the rate that is too fast.
    rule: SloBurnRule,
    /// That rate.
    factor: f64,
    /// The rate over the long span; null where nothing is counted.
    long: Option<f64>,
    /// The rate over the short span; null where nothing is counted.
    short: Option<f64>,
    /// Is it too fast, over both?
    too_fast: bool,
}

/// A part of a window.
#[derive(SimpleObject)]
pub struct SlaHistory {
    /// Its start, included.
    start: DateTime,
    /// Its end, excluded.
    end: DateTime,
    /// What the method counts in it.
    total: i32,
    /// How many of that are good.
    good: i32,
    /// Their share; null without any.
    attainment: Option<f64>,
}

impl SlaStats {
    /// The answer to a question about an objective, which is kept under this id if it is.
    pub fn new(slo_id: Option<ID>, query: SloQuery, found: slo::Attainment) -> SlaStats {
        let ppm = query.objective.objective_ppm;
        let consumed = found.counted.budget_used(ppm);
        let rate = |rate: slo::BurnRate| SlaBurnRate {
            factor: f64::from(rate.rule.factor_milli) / 1_000.0,
            long: rate.long.budget_used(ppm),
            short: rate.short.budget_used(ppm),
            too_fast: rate.is_too_fast(ppm),
            rule: rate.rule.into(),
        };
        SlaStats {
            slo_id,
            objective: query.objective.clone().into(),
            from: DateTime(found.from),
            to: DateTime(found.to),
            samples: int(found.samples.total),
            within_threshold: int(found.samples.good),
            share_within_threshold: found.samples.share(),
            negative: int(found.negative),
            open: int(found.open),
            total: int(found.counted.total),
            good: int(found.counted.good),
            attainment: found.counted.share(),
            percentile: found.percentile_s.map(seconds),
            error_budget: ErrorBudget {
                budget: slo::error_budget(ppm),
                consumed,
                remaining: consumed.map(|consumed| 1.0 - consumed),
            },
            burn_rates: found.burn.into_iter().map(rate).collect(),
            status: found.status.into(),
            as_of_position: Position(found.as_of),
            query: Arc::new(query),
        }
    }
}

#[ComplexObject]
impl SlaStats {
    /// The window in days or weeks without gaps, in order of time: those of its zone, or of UTC if it is
    /// rolling. The first and the last one end with the window.
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How the window is cut.", default_with = "SlaBucket::Day")]
        bucket: SlaBucket,
    ) -> Result<Vec<SlaHistory>> {
        let operation = Operation::of(ctx);
        operation.spend_evidence()?;
        let model = SloQuery::model(self.query.objective.sli);
        let mut snapshot = operation.read(&[model]).await?;
        let parts = slo::history(&mut snapshot, &self.query, bucket.into()).await;
        let parts = snapshot.answer(parts)?.into_iter();
        Ok(parts.map(SlaHistory::from).collect())
    }

    /// The samples of a kind, by time. Of each kind there are as many as are counted.
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which samples.")] kind: SlaSampleKind,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<SlaSample>> {
        evidence::page(ctx, &self.query, kind.into(), first, after).await
    }
}

impl From<slo::SloHistory> for SlaHistory {
    fn from(part: slo::SloHistory) -> SlaHistory {
        SlaHistory {
            start: DateTime(part.start),
            end: DateTime(part.end),
            total: int(part.counted.total),
            good: int(part.counted.good),
            attainment: part.counted.share(),
        }
    }
}
