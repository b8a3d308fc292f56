//! Closed lists of words about objectives.

use async_graphql::Enum;
use domain::slo::Sli;

/// What is measured. All of them are spans of time that are good while they are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Sli")]
pub enum ServiceLevelIndicator {
    /// From asking for approval to having it.
    ApprovalWait,
    /// From the start of a deployment to its end.
    DeploymentDuration,
    /// From asking for a deployment to production to its end.
    RequestToProduction,
    /// From a fix to now, whenever it is looked.
    FeedFreshness,
}

/// Over which time an objective is to be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SloWindowKind {
    /// The last days, up to now; `days` says how many.
    Rolling,
    /// This week, from Monday, by the clocks of `zone`.
    CalendarWeek,
    /// This month, by the clocks of `zone`.
    CalendarMonth,
}

/// What of an objective is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SloMethodKind {
    /// What happened: the share of it that was good.
    Occurrences,
    /// Slices of time: the share of those in which enough was good.
    Timeslices,
}
