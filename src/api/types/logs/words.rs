//! Words about log records.

use async_graphql::Enum;
use domain::log_batch::LogPriority as Priority;
use domain::log_source::{LogType as Type, PersonalRule};
use projections::logs::{LogBucket as Bucket, LogOrder as Order, LogSort};

/// What a log record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Type")]
pub enum LogType {
    /// What somebody did.
    Behavioral,
    /// What a device or a program measured.
    Telemetry,
    /// What a program says of itself.
    Observability,
    /// What went wrong.
    Error,
    /// How long something took, or how much it used.
    Performance,
}

/// How urgent a log record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Priority")]
pub enum LogPriority {
    /// To be looked at with all others.
    Normal,
    /// To be looked at first.
    High,
}

/// What is done with a personal field of a log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "PersonalRule")]
pub enum LogPersonalRule {
    /// It is stored sealed with a key of the record's user, and can be erased.
    Seal,
    /// A record that carries it is rejected.
    Refuse,
}

/// An order of log records. Of equal ones the place in the log decides.
#[expect(
    clippy::enum_variant_names,
    reason = "spelled as in the API, where other lists have the same words"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum LogOrder {
    /// Those that happened last first.
    NewestFirst,
    /// Those that happened first first.
    OldestFirst,
    /// The most urgent first, of these those that happened last.
    MostUrgentFirst,
    /// The least urgent first, of these those that happened first.
    LeastUrgentFirst,
}

/// How long the buckets of figures of log records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Bucket")]
pub enum LogBucket {
    /// 15 minutes.
    QuarterHour,
    /// An hour of the zone. Where clocks change within one, it ends there.
    Hour,
    /// A day of the zone: of two midnights the first begins it.
    Day,
    /// Seven of them, from Monday.
    Week,
    /// A month of the zone.
    Month,
    /// The whole span.
    Whole,
}

/// The days of which there are active users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum LogActiveSpan {
    /// One day.
    Day,
    /// It and the 6 days before.
    Week,
    /// It and the 29 days before.
    Month,
}

impl LogActiveSpan {
    /// How many days there are before the last.
    pub fn days_before(self) -> u64 {
        match self {
            LogActiveSpan::Day => 0,
            LogActiveSpan::Week => 6,
            LogActiveSpan::Month => 29,
        }
    }
}

/// What volumes of log records are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum LogVolumeBy {
    /// Each type.
    Type,
    /// Each name.
    Name,
    /// Each version of the program.
    Version,
}

impl From<LogOrder> for Order {
    fn from(order: LogOrder) -> Order {
        let (by, ascending) = match order {
            LogOrder::NewestFirst => (LogSort::Time, false),
            LogOrder::OldestFirst => (LogSort::Time, true),
            LogOrder::MostUrgentFirst => (LogSort::Priority, false),
            LogOrder::LeastUrgentFirst => (LogSort::Priority, true),
        };
        Order { by, ascending }
    }
}
