//! Where log records come from.

use async_graphql::{ID, SimpleObject};
use domain::log_source::{LogLimits as Limits, LogRetention as Retention};
use projections::logs::{LogSourceRow, LogTotals};

use super::words::{LogPersonalRule, LogType};
use crate::api::scalars::{DateTime, Long, Position};
use crate::api::types::int;

/// A source of log records.
#[derive(SimpleObject)]
pub struct LogSource {
    /// What it is called, unique among the tenant's sources.
    pub id: ID,
    /// Known because its first batch came, not because somebody asked for it.
    on_first_batch: bool,
    /// Since when it is known.
    registered_at: DateTime,
    /// What its records may be.
    limits: LogLimits,
    /// How long they can be found.
    retention: LogRetention,
    /// What in them tells who somebody is.
    personal_fields: Vec<LogPersonalField>,
    /// Why nothing is taken; null while records are.
    paused_reason: Option<String>,
    /// How many of its records can be found.
    records: Long,
    /// When the last of them happened; null without any.
    last_at: Option<DateTime>,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    stream_version: i32,
    /// Position of the last event in its stream.
    last_event_position: Position,
}

/// What the records of a source may be.
#[derive(SimpleObject)]
pub struct LogLimits {
    /// How many bytes one record may take.
    record_bytes_max: i32,
    /// How many records a minute; null: what the caller's own quota allows.
    records_per_minute_max: Option<i32>,
    /// How many seconds a record's time may be behind the server's clock, unless it is a backfill.
    age_seconds_max: i32,
    /// How many seconds it may be ahead.
    ahead_seconds_max: i32,
}

/// How long what a source handed in can be found. The log itself keeps it.
#[derive(SimpleObject)]
pub struct LogRetention {
    /// Days after a record was recorded; null: for ever.
    days: Option<i32>,
    /// Other days for records of some types.
    days_by_type: Vec<LogTypeRetention>,
    /// Days a declared id is remembered, so that its record is not accepted again; null: for ever.
    id_days: Option<i32>,
}

/// How long records of one type can be found.
#[derive(SimpleObject)]
pub struct LogTypeRetention {
    /// The type.
    event_type: LogType,
    /// Days after a record was recorded.
    days: i32,
}

/// A field of a source's records that tells who somebody is.
#[derive(SimpleObject)]
pub struct LogPersonalField {
    /// `userId`, or `properties.` or `deviceInfo.` and a name.
    path: String,
    /// What is done with it.
    rule: LogPersonalRule,
}

/// All sources of log records together.
#[derive(SimpleObject)]
pub struct LogStatus {
    /// How many are known.
    sources: i32,
    /// From how many nothing is taken.
    paused_sources: i32,
    /// How many records can be found.
    records: Long,
    /// When the last of them happened; null without any.
    last_at: Option<DateTime>,
    /// The position in the log all of it is as of.
    as_of_position: Position,
}

/// A number of seconds, bytes or days as `Int`: the domain keeps them below its limit.
fn whole(value: u32) -> i32 {
    int(value.into())
}

impl From<LogSourceRow> for LogSource {
    fn from(row: LogSourceRow) -> LogSource {
        let fields = row.personal_fields.0.into_iter();
        let field = |(path, rule): (String, domain::log_source::PersonalRule)| LogPersonalField {
            path,
            rule: rule.into(),
        };
        LogSource {
            id: ID(row.id),
            on_first_batch: row.on_first_batch,
            registered_at: DateTime(row.registered_at),
            limits: row.limits.into(),
            retention: row.retention.into(),
            personal_fields: fields.map(field).collect(),
            paused_reason: row.paused,
            records: Long(row.records),
            last_at: row.last_at.map(DateTime),
            stream_version: int(row.stream_version),
            last_event_position: Position(row.position),
        }
    }
}

impl From<Limits> for LogLimits {
    fn from(limits: Limits) -> LogLimits {
        LogLimits {
            record_bytes_max: whole(limits.record_bytes_max),
            records_per_minute_max: limits.records_per_minute_max.map(whole),
            age_seconds_max: whole(limits.age_seconds_max),
            ahead_seconds_max: whole(limits.ahead_seconds_max),
        }
    }
}

impl From<Retention> for LogRetention {
    fn from(retention: Retention) -> LogRetention {
        let by_type = retention.days_by_type.into_iter();
        let by_type = by_type.map(|(event_type, days)| LogTypeRetention {
            event_type: event_type.into(),
            days: whole(days),
        });
        LogRetention {
            days: retention.days.map(whole),
            days_by_type: by_type.collect(),
            id_days: retention.id_days.map(whole),
        }
    }
}

impl From<LogTotals> for LogStatus {
    fn from(totals: LogTotals) -> LogStatus {
        LogStatus {
            sources: int(totals.sources),
            paused_sources: int(totals.paused),
            records: Long(totals.records),
            last_at: totals.last_at.map(DateTime),
            as_of_position: Position(totals.as_of),
        }
    }
}
