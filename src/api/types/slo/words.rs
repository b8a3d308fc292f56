//! Closed lists of words about objectives.

use async_graphql::Enum;
use domain::slo::Sli;

/// What is measured. All of them are spans of time that are good while they are short, and belong to the
/// time at which they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Sli")]
pub enum ServiceLevelIndicator {
    /// From asking for approval, for each revision of a deployment, to having it from people.
    ApprovalWait,
    /// From the start of a deployment to its end, good or bad.
    DeploymentDuration,
    /// From asking for a deployment to production to its running there.
    RequestToProduction,
    /// From the newest fix that is known to each full minute, of all vehicles.
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
