//! Objectives: what they say and said, what does not count, which alerts are up.

mod news;
mod words;

pub use news::SloBurnAlert;
pub use words::{ServiceLevelIndicator, SloMethodKind, SloWindowKind};

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};
use domain::slo::{BurnRates, BurnRule, Method, Objective, Window};
use projections::slos::{self, AlertRow, ExclusionRow, RevisionRow, SloRow};

use super::int;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Long, Position};

/// A service level objective: how much of something is to be good.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Slo {
    /// Its id, unique among the tenant's objectives.
    pub id: ID,
    /// What it says.
    objective: SloObjective,
    /// The number of that: 1 for what it said first.
    revision: i32,
    /// When it was defined.
    defined_at: DateTime,
    /// Since when it says this.
    revised_at: DateTime,
    /// Since when it is measured no more; null while it is.
    retired_at: Option<DateTime>,
    /// Why it is not.
    retired_reason: Option<String>,
    /// Alerts that are up, by the length of their rules' spans.
    alerts: Vec<SloAlert>,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    stream_version: i32,
    /// Position of the last event in its stream.
    last_event_position: Position,
    /// Up to where it is told, if it was asked for as of then.
    #[graphql(skip)]
    known_at: Option<domain::Position>,
}

/// What an objective says.
#[derive(SimpleObject)]
pub struct SloObjective {
    /// A name for people.
    name: String,
    /// What is measured.
    sli: ServiceLevelIndicator,
    /// Of this project; null: of any.
    project: Option<String>,
    /// Of this service; null: of any.
    service: Option<String>,
    /// In this environment; null: in any.
    environment: Option<String>,
    /// How much of it is to be good, in parts per million: 999,000 is 99.9 %.
    objective_ppm: i32,
    /// Over which time.
    window: SloWindow,
    /// How it is counted.
    method: SloMethod,
    /// Up to so many seconds are good.
    threshold_seconds: i32,
    /// The percentile that is to be within the threshold as well, in parts per million.
    percentile_ppm: Option<i32>,
    /// Below so many, nothing is said.
    min_events: i32,
}

/// Over which time an objective is to be met.
#[derive(SimpleObject)]
pub struct SloWindow {
    /// Of which kind.
    kind: SloWindowKind,
    /// Of a rolling one: how many days.
    days: Option<i32>,
    /// Of the others: by the clocks of this zone.
    zone: Option<String>,
}

/// How attainment is counted.
#[derive(SimpleObject)]
pub struct SloMethod {
    /// What is counted.
    kind: SloMethodKind,
    /// Of slices: how long one is.
    slice_minutes: Option<i32>,
    /// Of slices: how much of one is to be good, in parts per million.
    slice_objective_ppm: Option<i32>,
}

/// An alert that is up: over both spans of its rule the error budget burnt too fast.
#[derive(SimpleObject)]
pub struct SloAlert {
    /// By which rule.
    rule: SloBurnRule,
    /// How fast it burnt when the alert went up.
    rates: SloBurnRates,
    /// Since when it is up.
    raised_at: DateTime,
    /// Position of the event that says so.
    since_position: Position,
}

/// Two spans of time, and how fast a budget may burn over both.
#[derive(SimpleObject)]
pub struct SloBurnRule {
    /// The long span, in minutes.
    long_minutes: i32,
    /// The short one; it lets the alert end soon after its cause.
    short_minutes: i32,
    /// The burn rate that is too fast, in thousandths: at 1,000 the budget lasts as long as the window.
    factor_milli: Long,
}

/// How fast an error budget burnt, in thousandths of what its window would bear.
#[derive(SimpleObject)]
pub struct SloBurnRates {
    /// Over the long span.
    long_milli: Long,
    /// Over the short one.
    short_milli: Long,
    /// The position of the log up to which was counted.
    position: Position,
}

/// What an objective said from some time on.
#[derive(SimpleObject)]
pub struct SloRevision {
    /// Its number.
    revision: i32,
    /// What it said.
    objective: SloObjective,
    /// From when on.
    at: DateTime,
    /// Position of the event that says so.
    position: Position,
}

/// A span of time that does not count, neither as good nor at all.
#[derive(SimpleObject)]
pub struct SloExcludedPeriod {
    /// From then on.
    from: DateTime,
    /// Up to then.
    to: DateTime,
    /// Why.
    reason: String,
    /// When somebody said so.
    at: DateTime,
    /// Position of the event that says so.
    position: Position,
}

impl Slo {
    /// As it is, or as it was known at a position.
    pub fn new(row: SloRow, known_at: Option<domain::Position>) -> Slo {
        Slo {
            id: ID(row.id),
            objective: row.objective.into(),
            revision: int(row.revision.into()),
            defined_at: DateTime(row.defined_at),
            revised_at: DateTime(row.revised_at),
            retired_at: row.retired_at.map(DateTime),
            retired_reason: row.retired_reason,
            alerts: row.alerts.into_iter().map(SloAlert::from).collect(),
            stream_version: int(row.stream_version),
            last_event_position: Position(row.position),
            known_at,
        }
    }
}

#[ComplexObject]
impl Slo {
    /// What it said and says, the latest first.
    async fn revisions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<SloRevision>> {
        let operation = Operation::of(ctx);
        let list = (self.id.as_str(), self.known_at);
        let ask = Ask::<i64>::read(operation, "revisions", &list, first, after.as_deref())?;
        let before = ask.after.map(domain::Position);
        let mut snapshot = operation.read(&[slos::NAME]).await?;
        let known_at = self.known_at;
        let page = slos::revisions(&mut snapshot, &self.id, known_at, before, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |row| row.position.0, SloRevision::from))
    }

    /// What does not count, in the order in which it was said.
    async fn excluded_periods(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<SloExcludedPeriod>> {
        let operation = Operation::of(ctx);
        let list = (self.id.as_str(), self.known_at);
        let ask = Ask::<i64>::read(operation, "excludedPeriods", &list, first, after.as_deref())?;
        let after = ask.after.map(domain::Position);
        let mut snapshot = operation.read(&[slos::NAME]).await?;
        let known_at = self.known_at;
        let page = slos::exclusions(&mut snapshot, &self.id, known_at, after, ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |row| row.position.0, Into::into))
    }
}

impl From<Objective> for SloObjective {
    fn from(objective: Objective) -> SloObjective {
        SloObjective {
            name: objective.name,
            sli: objective.sli.into(),
            project: objective.scope.project,
            service: objective.scope.service,
            environment: objective.scope.environment,
            objective_ppm: int(objective.objective_ppm.into()),
            window: objective.window.into(),
            method: objective.method.into(),
            threshold_seconds: int(objective.threshold_seconds.into()),
            percentile_ppm: objective.percentile_ppm.map(|ppm| int(ppm.into())),
            min_events: int(objective.min_events.into()),
        }
    }
}

impl From<Window> for SloWindow {
    fn from(window: Window) -> SloWindow {
        let (kind, days, zone) = match window {
            Window::Rolling { days } => (SloWindowKind::Rolling, Some(int(days.into())), None),
            Window::CalendarWeek { zone } => (SloWindowKind::CalendarWeek, None, Some(zone)),
            Window::CalendarMonth { zone } => (SloWindowKind::CalendarMonth, None, Some(zone)),
        };
        SloWindow { kind, days, zone }
    }
}

impl From<Method> for SloMethod {
    fn from(method: Method) -> SloMethod {
        match method {
            Method::Occurrences {} => SloMethod {
                kind: SloMethodKind::Occurrences,
                slice_minutes: None,
                slice_objective_ppm: None,
            },
            Method::Timeslices {
                slice_minutes,
                slice_objective_ppm,
            } => SloMethod {
                kind: SloMethodKind::Timeslices,
                slice_minutes: Some(int(slice_minutes.into())),
                slice_objective_ppm: Some(int(slice_objective_ppm.into())),
            },
        }
    }
}

impl From<AlertRow> for SloAlert {
    fn from(row: AlertRow) -> SloAlert {
        SloAlert {
            rule: row.rule.into(),
            rates: row.rates.into(),
            raised_at: DateTime(row.raised_at),
            since_position: Position(row.position),
        }
    }
}

impl From<BurnRule> for SloBurnRule {
    fn from(rule: BurnRule) -> SloBurnRule {
        SloBurnRule {
            long_minutes: int(rule.long_minutes.into()),
            short_minutes: int(rule.short_minutes.into()),
            factor_milli: Long(rule.factor_milli.into()),
        }
    }
}

impl From<BurnRates> for SloBurnRates {
    fn from(rates: BurnRates) -> SloBurnRates {
        let milli = |rate: u64| Long(i64::try_from(rate).unwrap_or(i64::MAX));
        SloBurnRates {
            long_milli: milli(rates.long_milli),
            short_milli: milli(rates.short_milli),
            position: Position(rates.position),
        }
    }
}

impl From<RevisionRow> for SloRevision {
    fn from(row: RevisionRow) -> SloRevision {
        SloRevision {
            revision: int(row.revision.into()),
            objective: row.objective.into(),
            at: DateTime(row.at),
            position: Position(row.position),
        }
    }
}

impl From<ExclusionRow> for SloExcludedPeriod {
    fn from(row: ExclusionRow) -> SloExcludedPeriod {
        SloExcludedPeriod {
            from: DateTime(row.from),
            to: DateTime(row.to),
            reason: row.reason,
            at: DateTime(row.at),
            position: Position(row.position),
        }
    }
}
