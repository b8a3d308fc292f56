//! A batch of log records of one source: each judged alone, each declared id accepted once.
//!
//! The stream's key is the batch's own id, so that no batch waits for another and a batch that is
//! sent again is known whatever else was forgotten. A batch walks through here once: [`judge`] turns
//! what was said into a [`LogRecord`] or a refusal, the caller asks the log which declared ids it
//! has, and [`admit`] tells the new records from the known.

mod admit;
mod held;
mod keep;
mod object;
mod packed;
mod properties;
mod report;
mod secrets;

pub use admit::{
    Admission, Admitted, LogBatch, LogBatchCommand, PERSONAL_FIELD, admit, declared_id,
    is_personal_subject, personal_subject,
};
pub use held::HELD_BYTES_MAX;
pub(crate) use held::{ITEM_BYTES, TEXT_BYTES, entry_bytes};
pub use keep::{PERSONAL, from_kept, to_keep};
pub use object::LogObject;
pub use properties::{PROPERTY_KEY_CHARS_MAX, PROPERTY_KEYS_MAX, PROPERTY_LEVELS_MAX};
pub use report::{Judged, LogReport, LogRules, judge};
pub use secrets::REDACTED;
pub(crate) use secrets::shown;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::log_source::LogType;
use crate::personal::Personal;
use crate::words::words;

/// How many records one batch may carry.
pub const RECORDS_MAX: usize = 1_000;

words! {
    /// How urgent a record is.
    LogPriority {
        Normal "normal" "To be looked at with all others.";
        High "high" "To be looked at first.";
    }
}

/// What happened to a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LogBatchEvent {
    /// Its records were accepted, but for those that were rejected or known.
    #[serde(rename = "log_batch.accepted")]
    LogBatchAccepted(LogBatchAccepted),
}

/// Accepted records of one source, in the order they were handed in.
/// A record's identity in the log is `position:index`.
///
/// Stored by column, as fixes are: what most records of a batch have in common is written once.
#[derive(Clone, Debug, PartialEq)]
pub struct LogBatchAccepted {
    /// Whose records.
    pub source_id: String,
    /// At least one.
    pub records: Vec<LogRecord>,
}

/// One accepted record.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// The source's own id of this record, if it declares one: then it is accepted once, for as long
    /// as the source's ids are remembered.
    pub event_id: Option<String>,
    /// When it happened, by the source's clock, to the microsecond.
    pub timestamp: DateTime<Utc>,
    /// What it is about.
    pub event_type: LogType,
    /// What happened.
    pub event_name: String,
    /// How urgent it is.
    pub priority: LogPriority,
    /// A pseudonym of the user it is about: the same for the same user.
    pub user_id: Option<String>,
    /// Which session it belongs to.
    pub session_id: Option<String>,
    /// Which version of the program said so.
    pub app_version: Option<String>,
    /// Its number within its session, 0 or more; gaps and numbers that run back are accepted.
    pub sequence_number: Option<i64>,
    /// What the program ran on, but for what is personal.
    pub device_info: LogObject,
    /// Anything else, but for what is personal.
    pub properties: LogObject,
    /// What its source declared personal: [`LogPersonal`] as JSON.
    pub personal: Option<Personal>,
}

/// What is sealed of a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogPersonal {
    /// The user's id as the source said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Properties.
    #[serde(default, skip_serializing_if = "nothing")]
    pub properties: LogObject,
    /// What the program ran on.
    #[serde(default, skip_serializing_if = "nothing")]
    pub device_info: LogObject,
}

fn nothing(object: &LogObject) -> bool {
    object.is_empty()
}

#[cfg(test)]
mod tests;
