//! Closed lists of words about competitions.

use async_graphql::Enum;
use domain::activity::ActivityFlag as Flag;
use domain::competition::{
    CompetitionStatus as Status, CountsFrom as Counts, GuardRule as Guard, JoinRule as Joining,
};
use domain::entry::DisputeOutcome as Outcome;
use domain::prize::PrizeTies as Ties;
use domain::score::{Operator, Sort};
use domain::standing::TiePolicy as Policy;

/// Where a competition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status")]
pub enum CompetitionStatus {
    /// Its rules can change, and nobody can join.
    Draft,
    /// It can be joined.
    Open,
    /// Its last period is closed. Final.
    Ended,
    /// It was called off. Final.
    Cancelled,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum CompetitionMetric {
    /// Steps of activities.
    Steps,
    /// Distance of activities, in metres with three decimal places.
    Distance,
    /// Energy of activities, in kilocalories.
    Calories,
    /// Minutes of activity.
    ActiveMinutes,
    /// A measure of activities of a name of its own.
    Custom,
    /// Scores that are handed in.
    Submitted,
}

/// What several scores of one user in one period make together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Operator")]
pub enum ScoreOperator {
    /// The best of them counts.
    Best,
    /// The latest of them counts, by when it was achieved.
    Set,
    /// Their sum counts.
    Sum,
    /// What is left of a score to start from once they are taken away.
    Decrement,
}

/// Which score is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Sort")]
pub enum ScoreSort {
    /// The higher one.
    Descending,
    /// The lower one.
    Ascending,
}

/// Which rank equal scores get. Scores are equal if their sub-scores are too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Policy")]
pub enum TiePolicy {
    /// They share a rank, and the next one counts all before it: 1-2-2-4.
    Competition,
    /// They share a rank, and the next one follows: 1-2-2-3.
    Dense,
    /// None is shared: who was first is before, of one instant the lesser user id: 1-2-3-4.
    Ordinal,
    /// Who was first is before; those of one instant share a rank.
    Earliest,
}

/// How time is cut into periods; each has its own board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum PeriodKind {
    /// One period: `all`.
    AllTime,
    /// From midnight to midnight: `2026-11-22`.
    Daily,
    /// ISO 8601 weeks, from Monday: `2026-W47`.
    Weekly,
    /// From the first of a month: `2026-11`.
    Monthly,
    /// As listed.
    Custom,
}

/// Who may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Joining")]
pub enum JoinRule {
    /// Anybody of the tenant.
    Open,
    /// Whoever is invited, in person or with a group.
    Invited,
}

/// From when on what somebody does counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Counts")]
pub enum CountsFrom {
    /// From the competition's start: whoever joins late brings what they did before.
    Start,
    /// From when they joined.
    Joining,
}

/// What happens to prizes of places that equal scores share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Ties")]
pub enum PrizeTies {
    /// The sum of all their places is divided; what cannot be goes to who was first.
    Split,
    /// Each gets the prize of the rank they share, though the pool be exceeded.
    Duplicate,
}

/// How a dispute ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Outcome")]
pub enum DisputeOutcome {
    /// What was disputed stays.
    Upheld,
    /// It was wrong: who was excluded is not any more.
    Overturned,
}

/// Why a score waits for a moderator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Guard")]
pub enum GuardRule {
    /// It is higher than a score is expected to be.
    ScoreMax,
    /// It is more than can be achieved in the time.
    PerMinuteMax,
    /// It was entered by hand.
    Manual,
}

/// Why an activity is hard to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Flag")]
pub enum ActivityFlag {
    /// More steps than legs can make.
    StepsPerMinute,
    /// More energy than a body can turn over.
    CaloriesPerMinute,
    /// Faster than its kind can be.
    Speed,
    /// More minutes of activity than it lasted.
    ActiveMinutes,
}
