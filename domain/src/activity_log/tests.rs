//! The rules of months of activities.

use super::*;
use crate::activity::{ActivityFlag, Measures};
use crate::given::{at, check, given};

fn activity(id: &str, steps: i64) -> Activity {
    Activity {
        source: "watch".to_owned(),
        external_id: id.to_owned(),
        device: None,
        kind: "walking".to_owned(),
        start: at(0),
        end: at(600),
        offset_minutes: None,
        manual: false,
        measures: Measures {
            steps: Some(steps),
            ..Measures::default()
        },
    }
}

fn named(id: &str) -> ActivityRef {
    activity(id, 0).named()
}

fn told(activity: Activity) -> SyncRecord {
    SyncRecord::Activity(Box::new(activity))
}

fn sync(records: Vec<SyncRecord>) -> ActivityLogCommand {
    ActivityLogCommand {
        user: "ada".to_owned(),
        month: "2026-09".to_owned(),
        records,
        rules: ActivityRules::default(),
        now: at(600),
    }
}

fn recorded(activity: Activity, revision: u32) -> RecordedActivity {
    RecordedActivity {
        flags: ActivityRules::default().flags(&activity),
        activity,
        revision,
    }
}

fn synced(
    recorded: Vec<RecordedActivity>,
    amended: Vec<RecordedActivity>,
    removed: &[&str],
) -> ActivityLogEvent {
    ActivityLogEvent::ActivitiesSynced(ActivitiesSynced {
        user: "ada".to_owned(),
        rules: ActivityRules::default(),
        recorded,
        amended,
        removed: removed.iter().map(|id| named(id)).collect(),
    })
}

#[test]
fn a_sync_sent_again_changes_nothing() {
    let records = vec![told(activity("a", 5)), told(activity("b", 6))];
    let first = synced(
        vec![recorded(activity("a", 5), 1), recorded(activity("b", 6), 1)],
        vec![],
        &[],
    );
    check::<ActivityLog>(&[], sync(records.clone()), Ok(std::slice::from_ref(&first)));
    check::<ActivityLog>(std::slice::from_ref(&first), sync(records), Ok(&[]));
    let more = vec![told(activity("a", 7)), told(activity("c", 8))];
    let second = synced(
        vec![recorded(activity("c", 8), 1)],
        vec![recorded(activity("a", 7), 2)],
        &[],
    );
    check::<ActivityLog>(&[first], sync(more), Ok(&[second]));
}

#[test]
fn what_is_taken_back_can_be_told_again() {
    let remove = |id: &str| SyncRecord::Remove(named(id));
    let mut events = vec![synced(vec![recorded(activity("a", 5), 1)], vec![], &[])];
    let gone = synced(vec![], vec![], &["a"]);
    check::<ActivityLog>(
        &events,
        sync(vec![remove("a")]),
        Ok(std::slice::from_ref(&gone)),
    );
    check::<ActivityLog>(&events, sync(vec![remove("b")]), Ok(&[]));
    events.push(gone);
    check::<ActivityLog>(&events, sync(vec![remove("a")]), Ok(&[]));
    let again = synced(vec![recorded(activity("a", 5), 2)], vec![], &[]);
    check::<ActivityLog>(&events, sync(vec![told(activity("a", 5))]), Ok(&[again]));
}

#[test]
fn each_record_has_its_outcome() {
    let known = given::<ActivityLog>(&[synced(
        vec![recorded(activity("a", 5), 1), recorded(activity("b", 5), 1)],
        vec![],
        &[],
    )]);
    let other_month = Activity {
        start: at(-40 * 86_400),
        end: at(-40 * 86_400 + 600),
        ..activity("m", 5)
    };
    let records = vec![
        told(activity("a", 5)),
        told(activity("b", 6)),
        told(activity("c", 5_000)),
        told(activity("c", 5_000)),
        told(activity("c", 5)),
        SyncRecord::Remove(named("a")),
        SyncRecord::Remove(named("z")),
        told(other_month),
        told(activity("d", -1)),
    ];
    let admitted = known.admit(&sync(records));
    let mut words = admitted.outcomes.iter().map(|outcome| match outcome {
        ActivityOutcome::Recorded(_) => "recorded",
        ActivityOutcome::Amended(_) => "amended",
        ActivityOutcome::Duplicate => "duplicate",
        ActivityOutcome::Removed => "removed",
        ActivityOutcome::Absent => "absent",
        ActivityOutcome::Rejected(refusal) => refusal.code.as_str(),
    });
    let expect = [
        "duplicate",
        "amended",
        "recorded",
        "duplicate",
        "VALIDATION",
        "VALIDATION",
        "absent",
        "VALIDATION",
        "OUT_OF_RANGE",
    ];
    assert!(words.by_ref().eq(expect), "{:?}", admitted.outcomes);
    let event = admitted.event.expect("something new");
    assert_eq!(
        (
            event.recorded.len(),
            event.amended.len(),
            event.removed.len()
        ),
        (1, 1, 0)
    );
    assert_eq!(
        event.recorded[0].flags,
        [ActivityFlag::StepsPerMinute].into()
    );
}

#[test]
fn a_sync_is_bounded() {
    let many = vec![SyncRecord::Remove(named("a")); SYNC_RECORDS_MAX + 1];
    check::<ActivityLog>(&[], sync(many), Err(Code::TooLarge));
    let slash = ActivityLogCommand {
        user: "a/b".to_owned(),
        ..sync(vec![])
    };
    check::<ActivityLog>(&[], slash, Err(Code::Validation));
    let mut log = ActivityLog::default();
    for n in 0..MONTH_ACTIVITIES_MAX {
        log.learn(&recorded(activity(&n.to_string(), 5), 1));
    }
    assert_eq!(log.activities(), MONTH_ACTIVITIES_MAX);
    let outcomes = log
        .admit(&sync(vec![told(activity("x", 5)), told(activity("7", 6))]))
        .outcomes;
    let full = |outcome: &ActivityOutcome| matches!(outcome, ActivityOutcome::Rejected(refusal) if refusal.code == Code::TooLarge);
    assert!(full(&outcomes[0]));
    assert!(matches!(outcomes[1], ActivityOutcome::Amended(_)));
    assert!(log.weight_bytes() > MONTH_ACTIVITIES_MAX * 60);
}

#[test]
fn an_activity_is_held_by_one_month() {
    let log = ActivityLog::default();
    let event = synced(
        vec![recorded(activity("a", 5), 2)],
        vec![recorded(activity("b", 5), 2)],
        &["c"],
    );
    let freed = ClaimChange {
        release: true,
        ..activity_claim("ada", &named("c"))
    };
    assert_eq!(
        log.claims(&event),
        [freed, activity_claim("ada", &named("a"))]
    );
    assert_eq!(activity_log_id("ada", &month_of(at(0))), "ada/2026-09");
}
