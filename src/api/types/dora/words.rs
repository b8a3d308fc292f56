//! Closed lists of words about DORA's figures.

use async_graphql::Enum;
use projections::dora;

/// How the span is cut: days, weeks and months are those of the query's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "dora::DoraBucket")]
pub enum DoraBucket {
    /// A calendar day.
    Day,
    /// A calendar week, from Monday.
    Week,
    /// A calendar month.
    Month,
}

/// Where a change's lead time begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "dora::LeadBasis")]
pub enum LeadTimeBasis {
    /// When it was committed.
    Committed,
    /// When it was written first; changes of which that is not known are counted apart.
    Authored,
}

/// The report that figures are compared with, by its year. Its bands never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "dora::Benchmark")]
pub enum DoraBenchmark {
    /// Of 2021.
    #[graphql(name = "REPORT_2021")]
    Report2021,
    /// Of 2023.
    #[graphql(name = "REPORT_2023")]
    Report2023,
}

/// How well, compared with those a report asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "dora::Performance")]
pub enum DoraPerformance {
    /// As the best.
    Elite,
    /// Better than most.
    High,
    /// As most.
    Medium,
    /// Worse than most.
    Low,
}

/// How often, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "dora::FrequencyBand")]
pub enum FrequencyBand {
    /// On three days or more of a usual week.
    Daily,
    /// On a day of a usual week.
    Weekly,
    /// Once a month or more.
    Monthly,
    /// Less often.
    Yearly,
}

/// How a deployment is known to have broken something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "dora::FailureKind")]
pub enum FailureKind {
    /// Somebody put an incident down to it.
    Explicit,
    /// A rule put an incident down to it that nobody put down to any deployment.
    Inferred,
    /// It was rolled back.
    Rollback,
    /// A deployment that is a rollback replaced the version it brought.
    InferredRollback,
    /// It was marked as having needed a fix.
    Hotfix,
}
