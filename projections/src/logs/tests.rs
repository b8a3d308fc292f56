//! The fold of log records: order is no matter.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::Personal;
use domain::log_batch::{LogBatchAccepted, LogBatchEvent, LogObject, LogRecord};
use domain::log_source::{
    LogLimits, LogLimitsSet, LogRetention, LogRetentionSet, LogSourceEvent, LogSourcePaused,
    LogSourceRegistered, LogSourceResumed, PersonalFields, PersonalFieldsSet,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{at, check_order_is_no_matter, deal, recorded};

fn record(n: i64) -> LogRecord {
    let some = |every: i64, text: &str| (n % every == 0).then(|| format!("{text}{}", n % 3));
    let properties = json!({ "n": n }).as_object().cloned().unwrap();
    LogRecord {
        event_id: some(2, "event"),
        timestamp: at(n * 400) - TimeDelta::microseconds(n),
        event_type: LogType::ALL[usize::try_from(n).unwrap() % LogType::ALL.len()],
        event_name: format!("name{}", n % 2),
        priority: LogPriority::ALL[usize::try_from(n).unwrap() % 2],
        user_id: some(3, "user"),
        session_id: some(4, "session"),
        app_version: some(5, "v"),
        sequence_number: (n % 4 == 0).then_some(n),
        device_info: LogObject::default(),
        properties: properties.into(),
        personal: (n % 6 == 0).then(|| Personal::Sealed("5ea1".to_owned())),
    }
}

fn source(kind: u32, n: i64) -> LogSourceEvent {
    let days = u32::try_from(n % 9 + 1).unwrap();
    let limits = LogLimits {
        ahead_seconds_max: days,
        ..LogLimits::default()
    };
    let retention = LogRetention {
        days: Some(days),
        ..LogRetention::default()
    };
    let personal_fields = PersonalFields::default();
    match kind {
        0 => LogSourceEvent::LogSourceRegistered(LogSourceRegistered {
            limits,
            retention,
            personal_fields,
            on_first_batch: n % 2 == 0,
        }),
        1 => LogSourceEvent::LogLimitsSet(LogLimitsSet { limits }),
        2 => LogSourceEvent::LogRetentionSet(LogRetentionSet { retention }),
        3 => LogSourceEvent::PersonalFieldsSet(PersonalFieldsSet { personal_fields }),
        4 => LogSourceEvent::LogSourcePaused(LogSourcePaused {
            reason: format!("reason {n}"),
        }),
        _ => LogSourceEvent::LogSourceResumed(LogSourceResumed {}),
    }
}

fn event(kind: u32, n: i64, id: &str) -> Event {
    match kind {
        0..6 => source(kind, n).into(),
        _ => LogBatchEvent::LogBatchAccepted(LogBatchAccepted {
            source_id: id.to_owned(),
            records: (n..n + 5).map(record).collect(),
        })
        .into(),
    }
}

#[test]
fn a_batch_is_counted_by_its_days_buckets_and_users() {
    let mut delta = Delta::default();
    let batch = recorded(7, "b-1", event(9, 0, "web"));
    Logs::fold(&mut delta, &batch).unwrap();
    assert_eq!(Logs::rows(&delta), 5);
    assert_eq!(delta.days.len(), LogType::ALL.len());
    assert_eq!(delta.days.values().map(|d| d.records).sum::<i64>(), 5);
    // Five records of 400 s each lie in the quarters that begin at 0 and 900 s, but for the one just before.
    let buckets: BTreeSet<i64> = delta.volume.keys().map(|k| k.bucket).collect();
    assert_eq!(buckets.len(), 2);
    // Records 0 and 3 are about somebody, on one day.
    assert_eq!(delta.users.len(), 1, "{:?}", delta.users);
}

#[test]
fn codes_stand_for_their_words() {
    for log_type in LogType::ALL {
        assert_eq!(word(LogType::ALL, type_code(*log_type)).unwrap(), *log_type);
    }
    assert!(priority_code(LogPriority::High) > priority_code(LogPriority::Normal));
    assert!(word(LogType::ALL, 99).is_err() && word(LogType::ALL, -1).is_err());
}

proptest! {
    #[test]
    fn order_is_no_matter(
        told in proptest::collection::vec((0..3_u32, 0..9_u32), 0..30),
        deal in deal(),
    ) {
        let of = |(n, (id, kind)): (i64, (u32, u32))| {
            let id = format!("source{id}");
            let event = event(kind, n, &id);
            recorded(n, &id, event)
        };
        let events: Vec<_> = (1..).zip(told).map(of).collect();
        check_order_is_no_matter::<Logs, _>(&events, &deal, |delta| {
            (delta.records.sorted(), delta.days, delta.volume, delta.users, delta.sources)
        });
    }
}
