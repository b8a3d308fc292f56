//! Log records: found by what is said of them, counted, kept as long as their source says.

mod figures;
mod ids;
mod keeping;
mod lists;
mod truth;

use chrono::{TimeDelta, Utc};
use domain::Event;
use domain::log_batch::{LogBatchAccepted, LogBatchEvent, LogObject, LogPriority, LogRecord};
use domain::log_source::LogType;
use serde_json::{Value, json};

use super::scene::at;

/// A record with nothing but the necessary.
pub(super) fn record(time: &str, log_type: LogType, name: &str) -> LogRecord {
    LogRecord {
        event_id: None,
        timestamp: at(time),
        event_type: log_type,
        event_name: name.to_owned(),
        priority: LogPriority::Normal,
        user_id: None,
        session_id: None,
        app_version: None,
        sequence_number: None,
        device_info: LogObject::default(),
        properties: LogObject::default(),
        personal: None,
    }
}

/// A batch, as one event.
pub(super) fn batch(source: &str, records: Vec<LogRecord>) -> (String, Event) {
    let accepted = LogBatchAccepted {
        source_id: source.to_owned(),
        records,
    };
    let event = LogBatchEvent::LogBatchAccepted(accepted);
    (source.to_owned(), event.into())
}

/// 120 records of one day, one every seven minutes; three of them of the very same time.
fn a_day() -> Vec<(String, Event)> {
    let record = |n: i64| {
        let minutes = if (30..33).contains(&n) { 210 } else { n * 7 };
        let time = at("2016-01-05T00:00:00Z") + TimeDelta::minutes(minutes);
        let which = usize::try_from(n).unwrap();
        let said = json!({ "n": n, "cart": { "items": [n % 4, "Tea_cup 100%"] }, "provider_name": format!("p{}", n % 6) });
        LogRecord {
            priority: LogPriority::ALL[usize::from(n % 10 == 0)],
            user_id: (n % 2 == 0).then(|| format!("user{}", n % 3)),
            session_id: (n % 5 != 0).then(|| format!("session{}", n % 4)),
            app_version: (n % 3 != 0).then(|| format!("1.{}", n % 3)),
            sequence_number: (n % 5 != 0).then_some(n),
            properties: object(said),
            ..self::record(
                &time.to_rfc3339(),
                LogType::ALL[which % LogType::ALL.len()],
                &format!("Page_{}", n % 7),
            )
        }
    };
    let records: Vec<_> = (0..120).map(record).collect();
    let batches = records.chunks(25).zip(["web", "app"].into_iter().cycle());
    batches
        .map(|(records, source)| batch(source, records.to_vec()))
        .collect()
}

fn object(value: Value) -> LogObject {
    value.as_object().cloned().unwrap_or_default().into()
}

fn hour(hour: u32) -> chrono::DateTime<Utc> {
    at(&format!("2016-01-05T{hour:02}:00:00Z"))
}
