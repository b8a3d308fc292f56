//! What a batch of records adds to a delta.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use domain::log_batch::{LogBatchAccepted, LogBatchEvent, LogObject, LogRecord};
use domain::log_source::LogType;
use domain::{Event, Recorded};

use super::ids::Id;
use super::read::sealed;
use super::tables::COLUMNS_N;
use super::{Day, DayKey, Delta, LOG_GRAIN_S, VolumeKey, priority_code, type_code};
use crate::copy::CopyRows;

pub(super) fn batch(
    delta: &mut Delta,
    event: &Recorded<Event>,
    LogBatchEvent::LogBatchAccepted(batch): &LogBatchEvent,
) {
    // Added up by borrowed keys first: a batch has few of them, and texts are copied once for each.
    let mut days: BTreeMap<LogType, Day> = BTreeMap::new();
    let mut volume: BTreeMap<(i64, LogType, &str, &str), i64> = BTreeMap::new();
    let mut users: HashSet<(NaiveDate, Id<&str>)> = HashSet::new();
    for (index, record) in (0..).zip(&batch.records) {
        let user = record.user_id.as_deref().map(Id::user);
        row(&mut delta.records, event, batch, (index, record, user));
        let at = record.timestamp;
        let day = Day {
            records: 1,
            first: at,
            last: at,
        };
        let kept = days.entry(record.event_type);
        kept.and_modify(|kept| kept.merge(day)).or_insert(day);
        let bucket = at.timestamp().div_euclid(LOG_GRAIN_S);
        let version = record.app_version.as_deref().unwrap_or_default();
        let key = (bucket, record.event_type, &*record.event_name, version);
        *volume.entry(key).or_default() += 1;
        if let Some(user) = user {
            users.insert((at.date_naive(), user));
        }
    }
    for (log_type, found) in days {
        let key = DayKey {
            day: event.recorded_at.date_naive(),
            source_id: batch.source_id.clone(),
            log_type,
        };
        let kept = delta.days.entry(key);
        kept.and_modify(|kept| kept.merge(found)).or_insert(found);
    }
    for ((bucket, log_type, name, version), records) in volume {
        let key = VolumeKey {
            bucket,
            source_id: batch.source_id.clone(),
            log_type,
            name: name.to_owned(),
            version: version.to_owned(),
        };
        *delta.volume.entry(key).or_default() += records;
    }
    let users = users.into_iter().map(|(day, user)| (day, user.owned()));
    delta.users.extend(users);
}

fn row(
    rows: &mut CopyRows,
    event: &Recorded<Event>,
    batch: &LogBatchAccepted,
    (index, record, user): (i32, &LogRecord, Option<Id<&str>>),
) {
    rows.row(COLUMNS_N);
    rows.bigint(event.position.0);
    rows.time(event.recorded_at);
    rows.time(record.timestamp);
    rows.bigint_or_null(record.sequence_number);
    rows.date(event.recorded_at.date_naive());
    rows.integer(index);
    rows.smallint(type_code(record.event_type));
    rows.smallint(priority_code(record.priority));
    rows.boolean(event.metadata.backfill.as_deref() == Some("true"));
    rows.text(&event.tenant);
    rows.text(&batch.source_id);
    rows.text(&record.event_name);
    Id::copy(user, rows);
    rows.text_or_null(record.session_id.as_deref());
    rows.text_or_null(record.app_version.as_deref());
    Id::copy(record.event_id.as_deref().map(Id::declared), rows);
    rows.text_or_null(json(&record.device_info));
    rows.text_or_null(json(&record.properties));
    rows.text_or_null(sealed(record));
}

/// Names in the order of their bytes, and no blanks: the text that is searched.
pub(super) fn json(object: &LogObject) -> Option<&str> {
    (!object.is_empty()).then(|| object.text())
}
