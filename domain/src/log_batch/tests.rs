//! The rules of log records: what is believed, what is accepted once, how it is stored.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::aggregate::Aggregate;
use crate::event::Event;
use crate::given::{at, given};
use crate::log_source::{LogLimits, PersonalFields, PersonalRule};
use crate::refusal::{Code, Refusal};

fn object(value: Value) -> LogObject {
    serde_json::from_value(value).expect("an object")
}

fn report() -> LogReport {
    LogReport {
        event_id: Some("e-1".to_owned()),
        timestamp: "2026-09-21T14:13:20Z".to_owned(),
        event_type: "behavioral".to_owned(),
        event_name: "checkout".to_owned(),
        priority: Some("high".to_owned()),
        user_id: Some("ann@example.org".to_owned()),
        session_id: Some("s-1".to_owned()),
        app_version: Some("2.4.1".to_owned()),
        sequence_number: Some(7),
        device_info: object(json!({"os": "linux", "ip": "203.0.113.7"})),
        properties: object(json!({"total": 12.5, "email": "ann@example.org", "note": null})),
    }
}

fn rules<'r>(limits: &'r LogLimits, personal_fields: &'r PersonalFields) -> LogRules<'r> {
    LogRules {
        limits,
        personal_fields,
        now: at(0),
        backfill: false,
        pseudonym: &|id| format!("p{}", id.len()),
    }
}

fn judged_as(report: &LogReport, personal: &[(&str, PersonalRule)]) -> Result<Judged, Refusal> {
    let fields = personal
        .iter()
        .map(|(path, rule)| ((*path).to_owned(), *rule));
    let fields = PersonalFields(fields.collect::<BTreeMap<_, _>>());
    judge(report, &rules(&LogLimits::default(), &fields))
}

/// The refusal of the report after a change.
fn refused(change: impl FnOnce(&mut LogReport)) -> Refusal {
    let mut changed = report();
    change(&mut changed);
    let refusal = judged_as(&changed, &[]).expect_err("a refusal");
    assert!(refusal.message.chars().count() <= 200, "{refusal}");
    refusal
}

fn code(change: impl FnOnce(&mut LogReport)) -> (Code, String) {
    let refusal = refused(change);
    (refusal.code, refusal.path.join("/"))
}

#[test]
fn a_record_says_all_its_source_said() {
    let judged = judged_as(&report(), &[]).expect("a record");
    let expected = LogRecord {
        event_id: Some("e-1".to_owned()),
        timestamp: at(0),
        event_type: LogType::Behavioral,
        event_name: "checkout".to_owned(),
        priority: LogPriority::High,
        user_id: Some("p15".to_owned()),
        session_id: Some("s-1".to_owned()),
        app_version: Some("2.4.1".to_owned()),
        sequence_number: Some(7),
        device_info: report().device_info,
        properties: report().properties,
        personal: None,
    };
    assert_eq!(
        judged,
        Judged {
            record: expected,
            redacted: vec![]
        }
    );

    let least = LogReport {
        timestamp: "2026-09-21T16:13:20.5+02:00".to_owned(),
        event_type: "error".to_owned(),
        event_name: " Out of memory ".to_owned(),
        ..LogReport::default()
    };
    let record = judged_as(&least, &[]).expect("a record").record;
    assert_eq!(
        record.timestamp,
        at(0) + chrono::TimeDelta::milliseconds(500)
    );
    assert_eq!(
        (record.event_type, record.priority),
        (LogType::Error, LogPriority::Normal)
    );
    assert_eq!(record.event_name, "Out of memory");
}

/// J3, J15, J18, J20, J21: text by text, with the path of the one that is wrong.
#[test]
fn a_text_that_is_wrong_is_told_with_its_place() {
    use Code::{BadText, TooLarge, UnknownEventType, Validation};
    type Field = fn(&mut LogReport) -> &mut Option<String>;
    let optional: [(Field, &str, &str, Code); 8] = [
        (|r| &mut r.event_id, "eventId", "", Validation),
        (|r| &mut r.event_id, "eventId", "a\0", BadText),
        (
            |r| &mut r.event_id,
            "eventId",
            &"x".repeat(10_000),
            TooLarge,
        ),
        (|r| &mut r.user_id, "userId", "a\u{202e}b", BadText),
        (
            |r| &mut r.session_id,
            "sessionId",
            &"x".repeat(129),
            TooLarge,
        ),
        (
            |r| &mut r.app_version,
            "appVersion",
            &"1".repeat(65),
            TooLarge,
        ),
        (|r| &mut r.priority, "priority", "High", Validation),
        (|r| &mut r.priority, "priority", "", Validation),
    ];
    for (field, path, text, expected) in optional {
        let actual = code(|r| *field(r) = Some(text.to_owned()));
        assert_eq!(actual, (expected, path.to_owned()));
    }
    let name = |text: &str| code(|r| r.event_name = text.to_owned());
    assert_eq!(name(" "), (Validation, "eventName".to_owned()));
    assert_eq!(name(&"x".repeat(201)), (TooLarge, "eventName".to_owned()));
    for unknown in ["", "Error", "behaviour"] {
        let refusal = refused(|r| r.event_type = unknown.to_owned());
        assert_eq!(
            (refusal.code, refusal.path.join("/")),
            (UnknownEventType, "eventType".into())
        );
        assert_eq!(refusal.details["actual"], unknown);
        assert_eq!(
            refusal.details["accepted"].as_array().map(Vec::len),
            Some(5)
        );
    }
}

#[test]
fn numbers_and_objects_that_are_wrong_are_told_with_their_place() {
    let told = |code: Code, path: &str| (code, path.to_owned());
    let below = code(|r| r.sequence_number = Some(-1));
    assert_eq!(below, told(Code::OutOfRange, "sequenceNumber"));
    let above = code(|r| r.sequence_number = Some(1 << 53));
    assert_eq!(above, told(Code::OutOfRange, "sequenceNumber"));
    let nul = code(|r| r.properties = object(json!({"note": "a\0"})));
    assert_eq!(nul, told(Code::BadText, "properties/note"));
    let many: Value = (0..1_001).map(|n| (n.to_string(), json!(n))).collect();
    let many = code(|r| r.device_info = object(many));
    assert_eq!(many, told(Code::TooLarge, "deviceInfo"));
}

/// J12, J13, J14: exactly on the edge of the window is within it, and both values are told.
#[test]
fn times_lie_within_the_source_s_window() {
    let time = |text: &str| {
        let mut report = report();
        report.timestamp = text.to_owned();
        judged_as(&report, &[])
            .map(|_| ())
            .map_err(|refusal| refusal.code)
    };
    // Now is 2026-09-21T14:13:20Z; seven days behind, five minutes ahead.
    assert_eq!(time("2026-09-14T14:13:20Z"), Ok(()));
    assert_eq!(
        time("2026-09-14T14:13:19.999999Z"),
        Err(Code::TimestampTooOld)
    );
    assert_eq!(time("2026-09-21T14:18:20Z"), Ok(()));
    assert_eq!(
        time("2026-09-21T14:18:20.000001Z"),
        Err(Code::TimestampInFuture)
    );
    assert_eq!(time("1969-12-31T23:59:59Z"), Err(Code::TimestampTooOld));
    assert_eq!(time("10000-01-01T00:00:00Z"), Err(Code::TimestampInFuture));
    for malformed in [
        "",
        "1790000000",
        "2026-09-21T14:13:20",
        "2026-02-30T00:00:00Z",
    ] {
        assert_eq!(time(malformed), Err(Code::BadTimestamp), "{malformed}");
    }
    let refusal = refused(|r| r.timestamp = "2036-09-21T14:13:20Z".to_owned());
    let facts = json!({"timestamp": "2036-09-21T14:13:20Z", "now": "2026-09-21T14:13:20.000Z",
                       "limitSeconds": 300});
    assert_eq!(Value::Object(refusal.details), facts);
}

#[test]
fn a_backfill_may_be_old_but_not_of_the_future() {
    let (limits, fields) = (LogLimits::default(), PersonalFields::default());
    let rules = LogRules {
        backfill: true,
        ..rules(&limits, &fields)
    };
    let time = |text: &str| {
        let timestamp = text.to_owned();
        judge(
            &LogReport {
                timestamp,
                ..report()
            },
            &rules,
        )
        .map_err(|refusal| refusal.code)
    };
    assert!(time("2015-02-22T21:00:00Z").is_ok());
    assert_eq!(time("2026-09-21T14:19:00Z"), Err(Code::TimestampInFuture));
    assert_eq!(time("1960-01-01T00:00:00Z"), Err(Code::TimestampTooOld));
}

/// J22
#[test]
fn a_record_has_a_size() {
    let limits = LogLimits {
        record_bytes_max: 1_024,
        ..LogLimits::default()
    };
    let fields = PersonalFields::default();
    let judge = |properties: usize, name: usize| {
        let report = LogReport {
            timestamp: "2026-09-21T14:13:20Z".to_owned(),
            event_type: "error".to_owned(),
            event_name: "x".repeat(name),
            properties: object(json!({"t": "x".repeat(properties - r#"{"t":""}"#.len())})),
            ..LogReport::default()
        };
        let refusal = judge(&report, &rules(&limits, &fields)).err()?;
        assert_eq!(
            (refusal.code, &refusal.details["limit"]),
            (Code::TooLarge, &json!(1_024))
        );
        Some((refusal.path.join("/"), refusal.details["actual"].as_u64()))
    };
    // Time and type take 25 bytes of it.
    assert_eq!(judge(900, 99), None);
    assert_eq!(judge(900, 100), Some((String::new(), Some(1_025))));
    assert_eq!(
        judge(1_025, 1),
        Some(("properties".to_owned(), Some(1_025)))
    );
}

#[test]
fn personal_fields_are_set_apart() {
    let seal = PersonalRule::Seal;
    let fields = [
        ("userId", seal),
        ("properties.email", seal),
        ("properties.note", seal),
        ("properties.absent", seal),
        ("deviceInfo.ip", seal),
    ];
    let record = judged_as(&report(), &fields).expect("a record").record;
    assert_eq!(
        record.properties,
        object(json!({"total": 12.5, "note": null}))
    );
    assert_eq!(record.device_info, object(json!({"os": "linux"})));
    assert_eq!(
        record.user_id.as_deref(),
        Some("p15"),
        "asked for by its pseudonym"
    );
    let apart = record
        .personal
        .as_ref()
        .and_then(Personal::plain)
        .expect("in the clear");
    let apart: LogPersonal = serde_json::from_str(apart).expect("what was sealed reads");
    let expected = LogPersonal {
        user_id: Some("ann@example.org".to_owned()),
        properties: object(json!({"email": "ann@example.org"})),
        device_info: object(json!({"ip": "203.0.113.7"})),
    };
    assert_eq!(apart, expected);

    let anonymous = LogReport {
        user_id: None,
        ..report()
    };
    let record = judged_as(&anonymous, &[("userId", seal)])
        .expect("a record")
        .record;
    assert_eq!((record.user_id, record.personal), (None, None));
}

#[test]
fn a_source_may_refuse_personal_fields() {
    let refused = |path: &str, report: &LogReport| {
        let refusal = judged_as(report, &[(path, PersonalRule::Refuse)]).err()?;
        assert_eq!(refusal.code, Code::PersonalDataRefused);
        let shown = format!("{refusal} {:?}", refusal.details);
        assert!(
            !shown.contains("ann@") && !shown.contains("203.0"),
            "{shown}"
        );
        Some(refusal.path.join("/"))
    };
    assert_eq!(refused("userId", &report()).as_deref(), Some("userId"));
    assert_eq!(
        refused("properties.email", &report()).as_deref(),
        Some("properties/email")
    );
    assert_eq!(
        refused("deviceInfo.ip", &report()).as_deref(),
        Some("deviceInfo/ip")
    );
    assert_eq!(
        refused("properties.note", &report()),
        None,
        "null says nothing"
    );
    assert_eq!(refused("properties.absent", &report()), None);
    assert_eq!(
        refused(
            "userId",
            &LogReport {
                user_id: None,
                ..report()
            }
        ),
        None
    );
}

/// N7: not even in what is sealed.
#[test]
fn secrets_are_taken_out_and_told() {
    let properties = object(json!({"password": "hunter2", "header": {"cookie": "c=1"}, "n": 1}));
    let leaky = LogReport {
        properties,
        ..report()
    };
    let judged = judged_as(&leaky, &[("properties.header", PersonalRule::Seal)]).expect("a record");
    assert_eq!(
        judged.redacted,
        ["properties.header.cookie", "properties.password"]
    );
    assert_eq!(
        judged.record.properties,
        object(json!({"password": REDACTED, "n": 1}))
    );
    let apart = judged
        .record
        .personal
        .as_ref()
        .and_then(Personal::plain)
        .expect("in the clear");
    assert_eq!(
        apart,
        r#"{"properties":{"header":{"cookie":"[redacted]"}}}"#
    );
}

/// N7: whatever text of a record it is in, and nothing that is told of it.
#[test]
fn no_text_of_a_record_holds_a_secret() {
    let secret = "dbk_live_0123456789";
    let leaky = LogReport {
        event_id: Some(format!("e {secret}")),
        event_name: format!("GET /cb?t={secret}"),
        session_id: Some(secret.to_owned()),
        app_version: Some(format!("1 {secret}")),
        user_id: Some(secret.to_owned()),
        device_info: object(json!({"http.request.header.cookie": ["a=b"], secret: 1})),
        ..report()
    };
    let judged = judged_as(&leaky, &[("userId", PersonalRule::Seal)]).expect("a record");
    let told = [
        "deviceInfo.[redacted]",
        "deviceInfo.http.request.header.cookie",
        "eventName",
        "sessionId",
        "appVersion",
        "eventId",
    ];
    assert_eq!(judged.redacted, told);
    assert_eq!(judged.record.event_name, "GET /cb?t=[redacted]");
    assert_eq!(
        judged.record.event_id.as_deref(),
        Some("[redacted]-p21"),
        "it is one of its own"
    );
    assert!(!format!("{judged:?}").contains(secret));

    let (limits, fields) = (LogLimits::default(), PersonalFields::default());
    let kept = to_keep(&leaky, &rules(&limits, &fields));
    assert!(!format!("{kept:?}").contains(secret), "{kept:?}");
    assert_eq!(
        kept.event_id, judged.record.event_id,
        "recovered, it is the same record"
    );

    type Change = fn(&mut LogReport, String);
    let changes: [Change; 5] = [
        |r, text| r.event_type = text,
        |r, text| r.priority = Some(text),
        |r, text| r.timestamp = text,
        |r, text| r.timestamp = format!("10000-{text}"),
        |r, text| r.properties = object(json!({ text: "\0" })),
    ];
    for change in changes {
        let refusal = refused(|r| change(r, secret.to_owned()));
        let shown = format!("{refusal} {:?} {:?}", refusal.path, refusal.details);
        assert!(!shown.contains("dbk_"), "{shown}");
    }
}

/// The size comes first: what is too large is looked at no closer.
#[test]
fn a_record_that_is_too_large_is_told_its_size() {
    let keys: Value = (0..10_000)
        .map(|n| (format!("k{n:09}"), json!(n)))
        .collect();
    let refusal = refused(|r| r.properties = object(keys));
    assert_eq!(
        (refusal.code, &refusal.details["unit"]),
        (Code::TooLarge, &json!("bytes"))
    );
}

/// A rejected record is looked at by operators, in a table that nobody erases.
#[test]
fn what_is_kept_of_a_rejected_record_tells_nobody_s_secrets() {
    let said = LogReport {
        event_type: "behaviour".to_owned(),
        properties: object(
            json!({"email": "ann@example.org", "token": "t", "total": 1, "note": null}),
        ),
        ..report()
    };
    let fields = [
        "properties.email",
        "properties.note",
        "deviceInfo.ip",
        "userId",
    ];
    let fields = fields.map(|path| (path.to_owned(), PersonalRule::Refuse));
    let (limits, fields) = (LogLimits::default(), PersonalFields(BTreeMap::from(fields)));
    let kept = to_keep(&said, &rules(&limits, &fields));
    let expected = LogReport {
        user_id: Some("p15".to_owned()),
        device_info: object(json!({"os": "linux", "ip": PERSONAL})),
        properties: object(json!({"email": PERSONAL, "token": REDACTED, "total": 1, "note": null})),
        ..said
    };
    assert_eq!(kept, expected);
}

#[test]
fn what_was_kept_is_judged_again_without_what_is_personal() {
    use PersonalRule::{Refuse, Seal};
    let declared = |rules: &[(&str, PersonalRule)]| {
        let rules = rules.iter().map(|(path, rule)| ((*path).to_owned(), *rule));
        PersonalFields(rules.collect())
    };
    let fields = declared(&[
        ("userId", Seal),
        ("properties.email", Seal),
        ("deviceInfo.ip", Refuse),
    ]);
    let limits = LogLimits::default();
    let kept = to_keep(&report(), &rules(&limits, &fields));
    let (again, by) = from_kept(&kept, &fields);
    assert_eq!(
        again.properties,
        object(json!({"total": 12.5, "note": null}))
    );
    assert_eq!(again.device_info["ip"], PERSONAL, "it is refused still");
    assert_eq!(again.user_id.as_deref(), Some("p15"));
    assert!(!by.0.contains_key("userId"), "there is no id to seal");

    let refusal = judge(&again, &rules(&limits, &by)).expect_err("a refusal");
    assert_eq!(refusal.code, Code::PersonalDataRefused);
    // Declared no more: what is not known is not made up.
    let (again, by) = from_kept(&kept, &PersonalFields::default());
    assert_eq!(again.device_info, object(json!({"os": "linux"})));
    assert!(judge(&again, &rules(&limits, &by)).is_ok());
    let (_, by) = from_kept(&kept, &declared(&[("userId", Refuse)]));
    assert!(judge(&again, &rules(&limits, &by)).is_err());
}

/// The n-th record, with or without an id.
fn record(n: i64, event_id: Option<&str>) -> LogRecord {
    LogRecord {
        event_id: event_id.map(str::to_owned),
        timestamp: at(n),
        event_type: LogType::Behavioral,
        event_name: "checkout".to_owned(),
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

fn batch(records: Vec<LogRecord>) -> LogBatchAccepted {
    let source_id = "web-shop".to_owned();
    LogBatchAccepted { source_id, records }
}

const NEW: fn(u32) -> Admission = |index| Admission::Accepted { index };
const AGAIN: fn(usize, bool) -> Admission = |first, differs| Admission::Repeated { first, differs };

fn check(known: &[&str], when: Vec<LogRecord>, then: &[Admission]) {
    let known = known.iter().map(|id| (*id).to_owned()).collect();
    let admitted = admit("web-shop", when.clone(), &known);
    assert_eq!(admitted.outcomes, then, "{when:?}");
    let kept = when.into_iter().zip(then);
    let kept = kept.filter(|(_, then)| matches!(then, Admission::Accepted { .. }));
    let kept: Vec<_> = kept.map(|(record, _)| record).collect();
    assert_eq!(admitted.event, (!kept.is_empty()).then(|| batch(kept)));
}

/// J23
#[test]
fn one_id_is_one_record() {
    let named = |n, id| record(n, Some(id));
    check(
        &[],
        vec![named(0, "a"), named(0, "a"), named(1, "a")],
        &[NEW(0), AGAIN(0, false), AGAIN(0, true)],
    );
    check(
        &["a"],
        vec![named(0, "a"), named(0, "b"), named(0, "a"), named(0, "b")],
        &[Admission::Known, NEW(0), Admission::Known, AGAIN(1, false)],
    );
    check(
        &["a", "b"],
        vec![named(0, "a"), named(1, "b")],
        &[Admission::Known; 2],
    );
    check(&[], vec![named(0, "a"), named(0, "A")], &[NEW(0), NEW(1)]);
}

#[test]
fn records_without_an_id_are_never_taken_for_each_other() {
    check(
        &["a"],
        vec![record(0, None), record(0, None)],
        &[NEW(0), NEW(1)],
    );
}

#[test]
fn a_batch_is_accepted_once() {
    let decide = |state: &LogBatch, records| state.decide(&LogBatchCommand(batch(records)));
    let fresh = LogBatch::default();
    let accepted = decide(&fresh, vec![record(0, Some("a")), record(1, Some("a"))]);
    let accepted = accepted.expect("one record");
    assert_eq!(
        accepted,
        [LogBatchEvent::LogBatchAccepted(batch(vec![record(
            0,
            Some("a")
        )]))]
    );
    let again = given::<LogBatch>(&accepted);
    assert_eq!(decide(&again, vec![record(0, None)]), Ok(vec![]));
    let code = |records| decide(&fresh, records).map_err(|refusal| refusal.code);
    assert_eq!(code(vec![]), Err(Code::Validation));
    assert_eq!(code(vec![record(0, None); 1_001]), Err(Code::TooLarge));
    assert!(code(vec![record(0, None); 1_000]).is_ok());
}

#[test]
fn no_two_ids_of_two_sources_are_taken_for_one() {
    let values: HashSet<String> = [
        ("a", "b/c"),
        ("a/b", "c"),
        ("a\",\"b", "c"),
        ("a", "b\",\"c"),
    ]
    .map(|(source, id)| declared_id(source, id))
    .into();
    assert_eq!(values.len(), 4);
}

#[test]
fn what_is_personal_belongs_to_its_user_or_else_to_its_batch() {
    let personal = |user: Option<&str>| LogRecord {
        user_id: user.map(str::to_owned),
        personal: Some(Personal::Plain("{}".to_owned())),
        ..record(0, None)
    };
    let records = vec![personal(Some("p1")), record(0, None), personal(None)];
    let mut event = LogBatchEvent::LogBatchAccepted(batch(records));
    let fields = LogBatch::personal("b-1", &mut event);
    let subjects: Vec<_> = fields
        .iter()
        .map(|f| (f.subject.as_str(), f.field))
        .collect();
    assert_eq!(
        subjects,
        [("log_user:p1", "record"), ("log_batch:b-1", "record")]
    );
    let unsealed = Event::from(event).payload();
    assert!(
        unsealed.is_err(),
        "nothing personal is written down in the clear"
    );
}

#[test]
fn what_batches_have_in_common_is_stored_once() {
    let common = |n, event_type| LogRecord {
        event_type,
        app_version: Some("2.4.1".to_owned()),
        device_info: object(json!({"os": "linux"})),
        ..record(n, None)
    };
    let mut records: Vec<_> = (0..3).map(|n| common(n, LogType::Telemetry)).collect();
    records.push(LogRecord {
        priority: LogPriority::High,
        ..common(3, LogType::Error)
    });
    records.push(LogRecord {
        app_version: None,
        ..common(4, LogType::Error)
    });
    let stored = serde_json::to_string(&batch(records)).expect("JSON");
    let expected = concat!(
        r#"{"sourceId":"web-shop","timestampUs":[1790000000000000,1790000001000000,"#,
        r#"1790000002000000,1790000003000000,1790000004000000],"#,
        r#""eventType":[[0,"telemetry"],[3,"error"]],"#,
        r#""eventName":["checkout","checkout","checkout","checkout","checkout"],"#,
        r#""priority":[[3,"high"],[4,"normal"]],"appVersion":[[0,"2.4.1"],[4,null]],"#,
        r#""deviceInfo":[[0,{"os":"linux"}]]}"#
    );
    assert_eq!(stored, expected);
}

#[test]
fn a_shape_that_is_not_this_one_is_refused() {
    let good = || {
        json!({"sourceId": "s", "timestampUs": [1, 2], "eventType": [[0, "error"]],
               "eventName": ["a", "b"], "sequenceNumber": [null, 1]})
    };
    let read = |stored: &Value| serde_json::from_str::<LogBatchAccepted>(&stored.to_string());
    assert!(read(&good()).is_ok());
    let bad = [
        ("sourceId", json!(null)),
        ("timestampUs", json!([])),
        ("timestampUs", json!([1])),
        ("timestampUs", json!([1, -1])),
        ("timestampUs", json!([1, 253_402_300_800_000_000_i64])),
        ("eventType", json!([])),
        ("eventType", json!([[1, "error"]])),
        ("eventType", json!([[0, "error"], [2, "error"]])),
        ("eventType", json!([[0, "Error"]])),
        ("eventName", json!(["a"])),
        ("eventName", json!(["a", null])),
        ("eventId", json!(["a"])),
        ("priority", json!([[0, "low"]])),
        ("appVersion", json!([[1, "a"], [0, "b"]])),
        ("sequenceNumber", json!([1, -1])),
        ("sequenceNumber", json!([1, 2, 3])),
        ("deviceInfo", json!([[0, 1]])),
        ("properties", json!([{}])),
        ("properties", json!([{}, null])),
        ("personal", json!([null, "in the clear"])),
        ("unheardOf", json!([1, 2])),
    ];
    for (column, values) in bad {
        let mut stored = good();
        stored[column] = values;
        assert!(read(&stored).is_err(), "{stored}");
    }
    let empty = json!({"sourceId": "s", "timestampUs": [], "eventType": [], "eventName": []});
    assert!(read(&empty).is_err(), "a batch has a record");
}

fn any_record() -> impl Strategy<Value = LogRecord> {
    // Few words, so that ids meet, and made by picking: patterns are slow to draw from.
    let word = || prop::sample::select(&["a", "b", "cc", "\u{1f68c}"][..]).prop_map(str::to_owned);
    let text = || prop::option::of(word());
    let map = || {
        prop_oneof![
            Just(json!({})),
            Just(json!({"os": "linux"})),
            Just(json!({"a": {"b": [1, 2.5, null, "\u{1f68c}\n"]}})),
        ]
        .prop_map(object)
    };
    let types = prop::sample::select(LogType::ALL);
    let priorities = prop::sample::select(LogPriority::ALL);
    let sealed = text().prop_map(|text| text.map(Personal::Sealed));
    (
        (0i64..4_000_000_000_000_000, types, word(), priorities),
        (text(), text(), text(), text()),
        (prop::option::of(0..i64::MAX), map(), map(), sealed),
    )
        .prop_map(|(what, who, more)| LogRecord {
            event_id: who.0,
            timestamp: DateTime::from_timestamp_micros(what.0).expect("a time"),
            event_type: what.1,
            event_name: what.2,
            priority: what.3,
            user_id: who.1,
            session_id: who.2,
            app_version: who.3,
            sequence_number: more.0,
            device_info: more.1,
            properties: more.2,
            personal: more.3,
        })
}

proptest! {
    #[test]
    fn what_is_stored_is_what_was_accepted(
        records in prop::collection::vec(any_record(), 1..40),
    ) {
        let event = batch(records);
        let stored = serde_json::to_string(&event).expect("JSON");
        let read: LogBatchAccepted = serde_json::from_str(&stored).expect("an event");
        prop_assert_eq!(&read, &event);
        prop_assert_eq!(serde_json::to_string(&read).expect("JSON"), stored);
    }

    /// However records are cut into batches, each id is accepted once, and records without one always.
    #[test]
    fn batches_do_not_matter(records in prop::collection::vec(any_record(), 1..60), cut in 1usize..9) {
        let (mut known, mut kept) = (HashSet::new(), Vec::new());
        for records in records.chunks(cut) {
            let admitted = admit("s", records.to_vec(), &known);
            prop_assert_eq!(admitted.outcomes.len(), records.len());
            let new = admitted.event.map(|event| event.records).unwrap_or_default();
            known.extend(new.iter().filter_map(|record| record.event_id.clone()));
            kept.extend(new);
        }
        let mut ids = HashSet::new();
        let mut is_new = |id: &Option<String>| id.clone().is_none_or(|id| ids.insert(id));
        let expected = records.into_iter().filter(|record| is_new(&record.event_id));
        let expected: Vec<LogRecord> = expected.collect();
        prop_assert_eq!(kept, expected);
    }

    /// Whatever is said, judging answers, and what it believes can be judged again to the same.
    #[test]
    fn judging_never_panics(texts in prop::collection::vec("\\PC{0,20}|[0-9TZ:.-]{20}", 7), n in any::<i64>()) {
        let said = LogReport {
            event_id: Some(texts[0].clone()),
            timestamp: texts[1].clone(),
            event_type: texts[2].clone(),
            event_name: texts[3].clone(),
            priority: Some(texts[4].clone()),
            user_id: Some(texts[5].clone()),
            sequence_number: Some(n),
            properties: object(json!({texts[6].clone(): texts})),
            ..report()
        };
        prop_assert!(judged_as(&said, &[]).is_err(), "no such type");
        let event_type = "error".to_owned();
        let said = LogReport { event_type, timestamp: report().timestamp, priority: None, ..said };
        if let Ok(judged) = judged_as(&said, &[]) {
            let again = LogReport { event_name: judged.record.event_name.clone(), ..said };
            prop_assert_eq!(judged_as(&again, &[]), Ok(judged));
        }
    }
}
