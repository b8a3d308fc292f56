//! The rules of sources of log records.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::given::{check, check_shape, given, refusal};

fn registered() -> LogSourceEvent {
    LogSourceEvent::LogSourceRegistered(LogSourceRegistered {
        limits: LogLimits::default(),
        retention: LogRetention::default(),
        personal_fields: PersonalFields::default(),
        on_first_batch: true,
    })
}

fn register() -> LogSourceCommand {
    LogSourceCommand::Register {
        limits: LogLimits::default(),
        retention: LogRetention::default(),
        personal_fields: PersonalFields::default(),
        on_first_batch: true,
    }
}

fn set_limits(limits: LogLimits) -> LogSourceCommand {
    LogSourceCommand::SetLimits { limits }
}

fn set_retention(retention: LogRetention) -> LogSourceCommand {
    LogSourceCommand::SetRetention { retention }
}

fn retained(retention: LogRetention) -> LogSourceEvent {
    LogSourceEvent::LogRetentionSet(LogRetentionSet { retention })
}

fn fields(paths: &[&str]) -> PersonalFields {
    let sealed = paths.iter().map(|p| ((*p).to_owned(), PersonalRule::Seal));
    PersonalFields(sealed.collect())
}

fn set_fields(paths: &[&str]) -> LogSourceCommand {
    LogSourceCommand::SetPersonalFields {
        personal_fields: fields(paths),
    }
}

fn pause(reason: &str) -> LogSourceCommand {
    LogSourceCommand::Pause {
        reason: reason.to_owned(),
    }
}

fn paused(reason: &str) -> LogSourceEvent {
    LogSourceEvent::LogSourcePaused(LogSourcePaused {
        reason: reason.to_owned(),
    })
}

fn resumed() -> LogSourceEvent {
    LogSourceEvent::LogSourceResumed(LogSourceResumed {})
}

/// Code and path of the refusal.
fn refused(events: &[LogSourceEvent], when: &LogSourceCommand) -> (Code, String) {
    let refusal = refusal::<LogSource>(events, when);
    assert!(refusal.message.chars().count() <= 200, "{refusal}");
    (refusal.code, refusal.path.join("/"))
}

#[test]
fn a_source_is_registered_once() {
    check::<LogSource>(&[], register(), Ok(&[registered()]));
    check::<LogSource>(&[registered()], register(), Err(Code::AlreadyExists));
    let others = [
        set_limits(LogLimits::default()),
        set_retention(LogRetention::default()),
        set_fields(&[]),
        pause("why"),
        LogSourceCommand::Resume,
    ];
    for when in others {
        check::<LogSource>(&[], when, Err(Code::NotFound));
    }
}

#[test]
fn what_is_so_already_is_no_event() {
    let given = [registered()];
    check::<LogSource>(&given, set_limits(LogLimits::default()), Ok(&[]));
    check::<LogSource>(&given, set_retention(LogRetention::default()), Ok(&[]));
    check::<LogSource>(&given, set_fields(&[]), Ok(&[]));
    check::<LogSource>(&given, LogSourceCommand::Resume, Ok(&[]));
    let given = [registered(), paused("It floods")];
    check::<LogSource>(&given, pause("Another reason"), Ok(&[]));
}

#[test]
fn a_source_takes_records_while_it_is_not_paused() {
    let code = |events: &[LogSourceEvent]| {
        let taken = given::<LogSource>(events).must_take_records();
        taken.map_err(|refusal| (refusal.code, refusal.details.get("reason").cloned()))
    };
    assert_eq!(code(&[]), Err((Code::LogSourceUnknown, None)));
    assert_eq!(code(&[registered()]), Ok(()));
    check::<LogSource>(
        &[registered()],
        pause(" It floods "),
        Ok(&[paused("It floods")]),
    );
    check::<LogSource>(&[registered()], pause(" "), Err(Code::Validation));
    let given = [registered(), paused("It floods")];
    let because = Some(json!("It floods"));
    assert_eq!(code(&given), Err((Code::StreamPaused, because)));
    check::<LogSource>(&given, LogSourceCommand::Resume, Ok(&[resumed()]));
    assert_eq!(
        code(&[registered(), paused("It floods"), resumed()]),
        Ok(())
    );
}

#[test]
fn limits_lie_within_bounds() {
    let usual = LogLimits::default();
    let bad = [
        (
            "recordBytesMax",
            LogLimits {
                record_bytes_max: 1_023,
                ..usual
            },
        ),
        (
            "recordBytesMax",
            LogLimits {
                record_bytes_max: 262_145,
                ..usual
            },
        ),
        (
            "recordsPerMinuteMax",
            LogLimits {
                records_per_minute_max: Some(0),
                ..usual
            },
        ),
        (
            "recordsPerMinuteMax",
            LogLimits {
                records_per_minute_max: Some(100_000_001),
                ..usual
            },
        ),
        (
            "ageSecondsMax",
            LogLimits {
                age_seconds_max: 59,
                ..usual
            },
        ),
        (
            "ageSecondsMax",
            LogLimits {
                age_seconds_max: 315_360_001,
                ..usual
            },
        ),
        (
            "aheadSecondsMax",
            LogLimits {
                ahead_seconds_max: 86_401,
                ..usual
            },
        ),
    ];
    for (field, limits) in bad {
        let expected = (Code::OutOfRange, format!("limits/{field}"));
        assert_eq!(refused(&[registered()], &set_limits(limits)), expected);
    }
    let narrow = LogLimits {
        record_bytes_max: 1_024,
        records_per_minute_max: Some(1),
        age_seconds_max: 60,
        ahead_seconds_max: 0,
    };
    let set = LogSourceEvent::LogLimitsSet(LogLimitsSet { limits: narrow });
    check::<LogSource>(
        &[registered()],
        set_limits(narrow),
        Ok(std::slice::from_ref(&set)),
    );
    assert_eq!(given::<LogSource>(&[registered(), set]).limits, narrow);
}

#[test]
fn retention_is_in_days_and_a_type_may_have_its_own() {
    let retention = LogRetention {
        days: Some(30),
        days_by_type: BTreeMap::from([(LogType::Error, 365)]),
        id_days: None,
    };
    check::<LogSource>(
        &[registered()],
        set_retention(retention.clone()),
        Ok(&[retained(retention.clone())]),
    );
    assert_eq!(retention.days_of(LogType::Error), Some(365));
    assert_eq!(retention.days_of(LogType::Telemetry), Some(30));
    assert_eq!(LogRetention::default().days_of(LogType::Error), None);
    let bad = [
        (
            "days",
            LogRetention {
                days: Some(0),
                ..LogRetention::default()
            },
        ),
        (
            "days",
            LogRetention {
                days: Some(36_501),
                ..LogRetention::default()
            },
        ),
        (
            "idDays",
            LogRetention {
                id_days: Some(0),
                ..LogRetention::default()
            },
        ),
        (
            "daysByType/error",
            LogRetention {
                days_by_type: BTreeMap::from([(LogType::Error, 0)]),
                ..retention
            },
        ),
    ];
    for (field, retention) in bad {
        let expected = (Code::OutOfRange, format!("retention/{field}"));
        assert_eq!(
            refused(&[registered()], &set_retention(retention)),
            expected
        );
    }
}

/// Else a record that is sent again within the window would be accepted a second time.
#[test]
fn ids_are_remembered_for_as_long_as_their_records_are_accepted() {
    let remember = |days| LogRetention {
        id_days: Some(days),
        ..LogRetention::default()
    };
    // Seven days behind and five minutes ahead.
    let too_short = (Code::OutOfRange, "retention/idDays".to_owned());
    assert_eq!(
        refused(&[registered()], &set_retention(remember(7))),
        too_short
    );
    let eight = retained(remember(8));
    check::<LogSource>(
        &[registered()],
        set_retention(remember(8)),
        Ok(std::slice::from_ref(&eight)),
    );
    let wider = |age_seconds_max| LogLimits {
        age_seconds_max,
        ..LogLimits::default()
    };
    let given = [registered(), eight];
    let refusal = refusal::<LogSource>(&given, &set_limits(wider(8 * 86_400 - 299)));
    assert_eq!(refusal.path, ["limits", "ageSecondsMax"]);
    assert_eq!(
        (
            &refusal.details["idDays"],
            &refusal.details["ageSecondsMax"]
        ),
        (&json!(8), &json!(8 * 86_400 - 299))
    );
    let decided =
        crate::given::given::<LogSource>(&given).decide(&set_limits(wider(8 * 86_400 - 300)));
    assert!(decided.is_ok(), "exactly eight days in all");
    let born_so = LogSourceCommand::Register {
        limits: LogLimits::default(),
        retention: remember(7),
        personal_fields: PersonalFields::default(),
        on_first_batch: false,
    };
    assert_eq!(refused(&[], &born_so), too_short);
}

#[test]
fn personal_fields_are_paths_into_a_record() {
    let good = [
        "userId",
        "properties.e.mail",
        "properties.client address",
        "deviceInfo.ip",
    ];
    let set = LogSourceEvent::PersonalFieldsSet(PersonalFieldsSet {
        personal_fields: fields(&good),
    });
    check::<LogSource>(
        &[registered()],
        set_fields(&good),
        Ok(std::slice::from_ref(&set)),
    );
    let folded = given::<LogSource>(&[registered(), set]);
    let paths: Vec<_> = folded
        .personal_fields
        .iter()
        .map(|(path, _)| path)
        .collect();
    let expected = [
        PersonalPath::Device("ip"),
        PersonalPath::Property("client address"),
        PersonalPath::Property("e.mail"),
        PersonalPath::UserId,
    ];
    assert_eq!(paths, expected);

    let long = format!("properties.{}", "x".repeat(10_000));
    let bad = [
        ("", Code::Validation),
        ("user_id", Code::Validation),
        ("sessionId", Code::Validation),
        ("properties", Code::Validation),
        ("properties.", Code::Validation),
        ("deviceInfo. ip", Code::Validation),
        ("properties.a\u{200b}", Code::BadText),
        (&long, Code::TooLarge),
    ];
    for (path, code) in bad {
        let (refused, at) = refused(&[registered()], &set_fields(&[path]));
        assert_eq!(refused, code, "{path}");
        assert!(at.starts_with("personalFields/") && at.len() < 100, "{at}");
    }
    let many: Vec<String> = (0..=PERSONAL_FIELDS_MAX)
        .map(|n| format!("properties.{n}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(
        refused(&[registered()], &set_fields(&many)).0,
        Code::TooLarge
    );
    let most = set_fields(&many[1..]);
    assert_eq!(
        given::<LogSource>(&[registered()])
            .decide(&most)
            .map(|e| e.len()),
        Ok(1)
    );
}

#[test]
fn the_shape_of_the_state_is_written_down() {
    let events = [
        registered(),
        retained(LogRetention {
            days: Some(30),
            ..LogRetention::default()
        }),
        paused("It floods"),
    ];
    check_shape(
        &given::<LogSource>(&events),
        concat!(
            r#"{"registered":true,"limits":{"recordBytesMax":65536,"ageSecondsMax":604800,"#,
            r#""aheadSecondsMax":300},"retention":{"days":30},"personalFields":{},"#,
            r#""paused":"It floods"}"#
        ),
    );
}

proptest! {
    /// Whatever is set in whatever order, no id is forgotten while its record can be accepted.
    #[test]
    fn no_history_forgets_too_early(
        asked in prop::collection::vec((0u32..400, 0u32..40_000_000, any::<bool>()), 0..30),
    ) {
        let mut source = given::<LogSource>(&[registered()]);
        for (days, age_seconds_max, limits) in asked {
            let command = match limits {
                true => set_limits(LogLimits { age_seconds_max, ..LogLimits::default() }),
                false => set_retention(LogRetention {
                    id_days: (days > 0).then_some(days),
                    ..LogRetention::default()
                }),
            };
            for event in source.decide(&command).unwrap_or_default() {
                source.apply(&event);
            }
            let window = source.limits.age_seconds_max + source.limits.ahead_seconds_max;
            let days = source.retention.id_days;
            prop_assert!(days.is_none_or(|days| days * 86_400 >= window));
        }
    }
}
