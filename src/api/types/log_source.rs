//! Sources of log records, and what is said of their records.

use async_graphql::{Enum, ID, SimpleObject};
use domain::log_source::{self, LogType, PersonalRule as Rule};
use projections::logs::LogSourceRow;

use super::int;
use crate::api::scalars::{DateTime, Long, Position};

/// What a log record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "LogType")]
pub enum LogEventType {
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

/// What is done with a personal field of a log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Rule")]
pub enum PersonalRule {
    /// It is stored sealed with a key of the record's user, and can be erased.
    Seal,
    /// A record that carries it is rejected.
    Refuse,
}

/// A source of log records.
#[derive(SimpleObject)]
pub struct LogSource {
    /// What it is called.
    id: ID,
    /// Known because its first batch came, not because somebody asked for it.
    on_first_batch: bool,
    /// Since when it is known.
    registered_at: DateTime,
    /// What its records may be.
    limits: LogLimits,
    /// How long what it handed in can be asked for.
    retention: LogRetention,
    /// The fields of its records that tell who somebody is.
    personal_fields: Vec<PersonalField>,
    /// Why nothing is taken; null while records are.
    paused: Option<String>,
    /// How many of its records can be found.
    records: Long,
    /// When the last of them happened.
    last_at: Option<DateTime>,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    stream_version: i32,
    /// Position of the last event in its stream.
    last_event_position: Position,
}

/// What the records of a source may be.
#[derive(SimpleObject)]
pub struct LogLimits {
    /// Bytes that one record may take.
    record_bytes_max: i32,
    /// Records a minute, all of which may come at once; null: what the caller's own quota allows.
    records_per_minute_max: Option<i32>,
    /// Seconds that a record's time may be behind the server's clock.
    age_seconds_max: i32,
    /// Seconds that it may be ahead.
    ahead_seconds_max: i32,
}

/// How long what a source handed in can be asked for. The log itself is not touched by it.
#[derive(SimpleObject)]
pub struct LogRetention {
    /// Days a record can be found after it was recorded; null: for ever.
    days: Option<i32>,
    /// Other days for records of some types.
    days_by_type: Vec<LogTypeDays>,
    /// Days a declared id is remembered, so that its record is not accepted again; null: for ever.
    id_days: Option<i32>,
}

/// Days for records of one type.
#[derive(SimpleObject)]
pub struct LogTypeDays {
    /// Which.
    event_type: LogEventType,
    /// Days a record can be found.
    days: i32,
}

/// A field of log records that tells who somebody is.
#[derive(SimpleObject)]
pub struct PersonalField {
    /// `userId`, or `properties.` or `deviceInfo.` and a name.
    path: String,
    /// What is done with it.
    rule: PersonalRule,
}

impl From<LogSourceRow> for LogSource {
    fn from(row: LogSourceRow) -> LogSource {
        let fields = row.personal_fields.0.into_iter();
        let fields = fields.map(|(path, rule)| PersonalField {
            path,
            rule: rule.into(),
        });
        LogSource {
            id: ID(row.id),
            on_first_batch: row.on_first_batch,
            registered_at: DateTime(row.registered_at),
            limits: row.limits.into(),
            retention: row.retention.into(),
            personal_fields: fields.collect(),
            paused: row.paused,
            records: Long(row.records),
            last_at: row.last_at.map(DateTime),
            stream_version: int(row.stream_version),
            last_event_position: Position(row.position),
        }
    }
}

impl From<log_source::LogLimits> for LogLimits {
    fn from(limits: log_source::LogLimits) -> LogLimits {
        LogLimits {
            record_bytes_max: int(limits.record_bytes_max.into()),
            records_per_minute_max: limits.records_per_minute_max.map(|n| int(n.into())),
            age_seconds_max: int(limits.age_seconds_max.into()),
            ahead_seconds_max: int(limits.ahead_seconds_max.into()),
        }
    }
}

impl From<log_source::LogRetention> for LogRetention {
    fn from(retention: log_source::LogRetention) -> LogRetention {
        let days = |days: u32| int(days.into());
        let by_type = retention.days_by_type.into_iter();
        let by_type = by_type.map(|(event_type, n)| LogTypeDays {
            event_type: event_type.into(),
            days: days(n),
        });
        LogRetention {
            days: retention.days.map(days),
            days_by_type: by_type.collect(),
            id_days: retention.id_days.map(days),
        }
    }
}
