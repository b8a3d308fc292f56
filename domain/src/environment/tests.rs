//! The rules of environments and of their freeze calendars.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, TimeDelta};
use proptest::prelude::*;

use super::*;
use crate::approval::ApprovalRule;
use crate::given::{at, check, check_shape, given, refusal};
use crate::zone::Zone;

const HOUR: i64 = 3_600;

fn define(tier: Tier) -> EnvironmentCommand {
    EnvironmentCommand::Define {
        project: "publishing".to_owned(),
        name: "production".to_owned(),
        tier,
    }
}

fn defined(tier: Tier) -> EnvironmentEvent {
    EnvironmentEvent::EnvironmentDefined(EnvironmentDefined {
        project: "publishing".to_owned(),
        name: "production".to_owned(),
        tier,
    })
}

fn freeze(id: &str, from: i64, until: Option<i64>) -> Freeze {
    Freeze {
        id: id.to_owned(),
        from: at(from),
        until: until.map(at),
        reason: "Polls are open".to_owned(),
        weekly: Vec::new(),
    }
}

fn put(freeze: Freeze, now: i64) -> EnvironmentCommand {
    EnvironmentCommand::Freeze {
        freeze,
        now: at(now),
    }
}

fn frozen(freeze: Freeze, now: i64) -> EnvironmentEvent {
    EnvironmentEvent::EnvironmentFrozen(EnvironmentFrozen {
        freeze,
        at: at(now),
    })
}

fn lift(freeze_id: &str) -> EnvironmentCommand {
    EnvironmentCommand::Unfreeze {
        freeze_id: freeze_id.to_owned(),
        reason: None,
    }
}

fn lifted(freeze_id: &str) -> EnvironmentEvent {
    EnvironmentEvent::EnvironmentUnfrozen(EnvironmentUnfrozen {
        freeze_id: freeze_id.to_owned(),
        reason: None,
    })
}

fn policy(required: u16) -> ApprovalPolicy {
    ApprovalPolicy {
        rules: vec![ApprovalRule {
            group: "web".to_owned(),
            members: ["ada", "grace"].map(str::to_owned).into(),
            required,
        }],
        ..ApprovalPolicy::default()
    }
}

fn set(policy: ApprovalPolicy) -> EnvironmentCommand {
    EnvironmentCommand::SetApprovalPolicy { policy }
}

#[test]
fn an_environment_is_for_something_and_may_be_for_something_else() {
    let production = [defined(Tier::Production)];
    check::<Environment>(&[], define(Tier::Production), Ok(&production));
    check::<Environment>(&production, define(Tier::Production), Ok(&[]));
    let staging = [defined(Tier::Staging)];
    check::<Environment>(&production, define(Tier::Staging), Ok(&staging));
    let nameless = EnvironmentCommand::Define {
        project: "publishing".to_owned(),
        name: String::new(),
        tier: Tier::Other,
    };
    check::<Environment>(&[], nameless, Err(Code::Validation));
}

#[test]
fn nothing_is_said_of_an_environment_nobody_defined() {
    for command in [set(policy(1)), put(freeze("f", 0, None), 0), lift("f")] {
        check::<Environment>(&[], command, Err(Code::NotFound));
    }
}

#[test]
fn a_policy_replaces_the_one_before() {
    let known = [defined(Tier::Production)];
    let one = EnvironmentEvent::ApprovalPolicySet(ApprovalPolicySet { policy: policy(1) });
    check::<Environment>(&known, set(policy(1)), Ok(std::slice::from_ref(&one)));
    check::<Environment>(&known, set(policy(3)), Err(Code::QuorumImpossible));
    check::<Environment>(&known, set(ApprovalPolicy::default()), Ok(&[]));
    let ruled = [defined(Tier::Production), one];
    check::<Environment>(&ruled, set(policy(1)), Ok(&[]));
    assert_eq!(given::<Environment>(&ruled).policy, policy(1));
    assert_eq!(
        given::<Environment>(&known).policy,
        ApprovalPolicy::default()
    );
    let two = EnvironmentEvent::ApprovalPolicySet(ApprovalPolicySet { policy: policy(2) });
    check::<Environment>(&ruled, set(policy(2)), Ok(&[two]));
}

#[test]
fn a_freeze_is_put_in_once_and_lifted() {
    let known = [defined(Tier::Production)];
    let polls = freeze("polls", 10, Some(20));
    let cold = [known[0].clone(), frozen(polls.clone(), 0)];
    check::<Environment>(&known, put(polls.clone(), 0), Ok(&cold[1..]));
    check::<Environment>(&cold, put(polls.clone(), 5), Ok(&[]));
    let other = freeze("polls", 10, None);
    check::<Environment>(&cold, put(other.clone(), 5), Err(Code::AlreadyExists));
    check::<Environment>(&cold, put(other.clone(), 20), Ok(&[frozen(other, 20)]));
    check::<Environment>(&cold, lift("polls"), Ok(&[lifted("polls")]));
    check::<Environment>(&cold, lift("holidays"), Err(Code::NotFound));
    let warm = [cold[0].clone(), cold[1].clone(), lifted("polls")];
    check::<Environment>(&warm, lift("polls"), Err(Code::NotFound));
    assert_eq!(given::<Environment>(&warm).frozen_at(at(15)), None);
}

#[test]
fn what_a_freeze_may_not_be() {
    let known = [defined(Tier::Production)];
    let window = |day, start_minute, minutes, utc_offset_minutes| WeeklyWindow {
        day,
        start_minute,
        minutes,
        utc_offset_minutes,
        zone: None,
    };
    let weekly = |windows: &[WeeklyWindow]| Freeze {
        weekly: windows.to_vec(),
        ..freeze("f", 0, None)
    };
    let good = window(Weekday::Sunday, 1_439, 10_080, -1_080);
    let mut silent = freeze("f", 0, None);
    silent.reason = String::new();
    for (freeze, code, path) in [
        (freeze("", 0, None), Code::Validation, "freezeId"),
        (silent, Code::Validation, "reason"),
        (freeze("f", 20, Some(20)), Code::TimeTravel, "until"),
        (freeze("f", 20, Some(19)), Code::TimeTravel, "until"),
        (freeze("f", -20, Some(0)), Code::Validation, "until"),
        (
            freeze("f", -1_790_000_001, None),
            Code::BadTimestamp,
            "from",
        ),
        (weekly(&[good; 15]), Code::TooLarge, "weekly"),
        (
            weekly(&[good, window(Weekday::Monday, 1_440, 1, 0)]),
            Code::OutOfRange,
            "weekly.1.startMinute",
        ),
        (
            weekly(&[window(Weekday::Monday, 0, 0, 0)]),
            Code::OutOfRange,
            "weekly.0.minutes",
        ),
        (
            weekly(&[window(Weekday::Monday, 0, 10_081, 0)]),
            Code::OutOfRange,
            "weekly.0.minutes",
        ),
        (
            weekly(&[window(Weekday::Monday, 0, 1, 1_081)]),
            Code::OutOfRange,
            "weekly.0.utcOffsetMinutes",
        ),
    ] {
        let refusal = refusal::<Environment>(&known, &put(freeze, 0));
        assert_eq!(
            (refusal.code, refusal.path.join(".")),
            (code, path.to_owned())
        );
    }
    assert!(
        given::<Environment>(&known)
            .decide(&put(weekly(&[good; 14]), 0))
            .is_ok()
    );
}

#[test]
fn freezes_that_are_over_make_room() {
    let mut state = given::<Environment>(&[defined(Tier::Production)]);
    let mut say = |command: EnvironmentCommand| {
        let events = state.decide(&command).map_err(|refusal| refusal.code)?;
        events.iter().for_each(|event| state.apply(event));
        Ok(state.freezes.len())
    };
    for n in 0..100 {
        let freeze = freeze(&n.to_string(), 0, Some(100 + n));
        assert!(say(put(freeze, 0)).is_ok());
    }
    assert_eq!(say(put(freeze("more", 0, None), 99)), Err(Code::TooLarge));
    assert_eq!(say(put(freeze("more", 0, None), 100)), Ok(100));
    assert_eq!(say(put(freeze("last", 0, None), 1_000)), Ok(2));
}

#[test]
fn of_several_freezes_the_one_that_ends_last_is_told() {
    let state = given::<Environment>(&[
        defined(Tier::Production),
        frozen(freeze("short", 0, Some(10)), 0),
        frozen(freeze("long", 5, Some(20)), 0),
        frozen(freeze("open", 30, None), 0),
        frozen(freeze("closed", 30, Some(40)), 0),
    ]);
    let told = |seconds| {
        let frozen = state.frozen_at(at(seconds))?;
        Some((frozen.freeze_id, frozen.until))
    };
    let until = |id: &str, end: Option<i64>| Some((id.to_owned(), end.map(at)));
    assert_eq!(told(-1), None);
    assert_eq!(told(0), until("short", Some(10)));
    assert_eq!(told(9), until("long", Some(20)));
    assert_eq!(told(19), until("long", Some(20)));
    assert_eq!(told(20), None, "half-open");
    assert_eq!(told(30), until("open", None));
}

/// Friday 16:00 to Monday 8:00 by a clock an hour ahead of UTC, from one day to another.
#[test]
fn the_same_hours_of_each_week() {
    let time = |text: &str| crate::values::parse_timestamp(text).expect("a time");
    let weekend = Freeze {
        id: "weekends".to_owned(),
        from: time("2026-11-01T00:00:00Z"),
        until: Some(time("2026-11-29T12:00:00Z")),
        reason: "Nobody is there".to_owned(),
        weekly: vec![WeeklyWindow {
            day: Weekday::Friday,
            start_minute: 16 * 60,
            minutes: 64 * 60,
            utc_offset_minutes: 60,
            zone: None,
        }],
    };
    let state = given::<Environment>(&[
        defined(Tier::Production),
        EnvironmentEvent::EnvironmentFrozen(EnvironmentFrozen {
            freeze: weekend,
            at: time("2026-10-30T00:00:00Z"),
        }),
    ]);
    let until = |text: &str| state.frozen_at(time(text)).map(|frozen| frozen.until);
    let monday = Some(Some(time("2026-11-23T07:00:00Z")));
    assert_eq!(until("2026-10-31T12:00:00Z"), None, "not yet from then on");
    assert_eq!(until("2026-11-20T14:59:59.999Z"), None);
    assert_eq!(until("2026-11-20T15:00:00Z"), monday);
    assert_eq!(until("2026-11-23T06:59:59.999Z"), monday);
    assert_eq!(until("2026-11-23T07:00:00Z"), None);
    let end = Some(Some(time("2026-11-29T12:00:00Z")));
    assert_eq!(
        until("2026-11-29T11:00:00Z"),
        end,
        "the freeze ends before the weekend"
    );
    assert_eq!(until("2026-11-29T12:00:00Z"), None);
}

/// A window of London's Sundays, from midnight.
fn london(minutes: u32) -> Environment {
    let window = WeeklyWindow {
        day: Weekday::Sunday,
        start_minute: 0,
        minutes,
        utc_offset_minutes: 0,
        zone: Zone::of_name("Europe/London"),
    };
    let sundays = Freeze {
        from: DateTime::UNIX_EPOCH,
        weekly: vec![window],
        ..freeze("sundays", 0, None)
    };
    given::<Environment>(&[defined(Tier::Production), frozen(sundays, 0)])
}

/// A window stays at the hours that people there see, whatever is done to their clocks.
#[test]
fn a_window_goes_by_the_clocks_of_its_zone() {
    let time = |text: &str| crate::values::parse_timestamp(text).expect("a time");
    let check = |minutes: u32, now: &str, expect: Option<&str>| {
        let told = london(minutes).frozen_at(time(now));
        let until = told.map(|frozen| frozen.until.expect("a window ends"));
        assert_eq!(until, expect.map(time), "{minutes} minutes at {now}");
    };
    // In winter as by UTC, in summer an hour before.
    check(120, "2026-01-04T00:00:00Z", Some("2026-01-04T02:00:00Z"));
    check(120, "2026-07-04T23:00:00Z", Some("2026-07-05T01:00:00Z"));
    check(120, "2026-07-05T01:00:00Z", None);
    // 1:00 to 2:00 does not come: three hours by the clock are two, and half past one is one.
    check(180, "2026-03-29T00:30:00Z", Some("2026-03-29T02:00:00Z"));
    check(90, "2026-03-29T00:30:00Z", Some("2026-03-29T01:00:00Z"));
    check(90, "2026-03-29T01:00:00Z", None);
    // 1:00 to 2:00 comes twice, and so does what is frozen of it.
    check(90, "2026-10-24T23:10:00Z", Some("2026-10-25T00:30:00Z"));
    check(90, "2026-10-25T00:45:00Z", None);
    check(90, "2026-10-25T01:10:00Z", Some("2026-10-25T01:30:00Z"));
    check(90, "2026-10-25T01:30:00Z", None);
}

#[test]
fn no_two_environments_have_one_key() {
    let names = ["a", "b", "a/b", "a%2Fb", "a%", "/", "%2F", "a-b", ""];
    let mut seen = BTreeMap::new();
    for project in names {
        for name in names {
            let key = environment_id(project, name);
            assert_eq!(seen.insert(key, (project, name)), None);
        }
    }
    assert_eq!(
        environment_id("alphagov/frontend", "review/7"),
        "alphagov%2Ffrontend/review/7"
    );
}

proptest! {
    /// A minute is frozen if, and only if, walking back from it minute by minute meets the beginning
    /// of a window before its length is used up.
    #[test]
    fn a_weekly_window_is_what_walking_back_finds(
        day in 0u32..7, start in 0u32..1_440, minutes in 1u32..10_081, offset in -1_080i32..1_081,
        seconds in 0i64..14 * 24 * HOUR,
    ) {
        let window = WeeklyWindow {
            day: Weekday::ALL[day as usize],
            start_minute: start,
            minutes,
            utc_offset_minutes: offset,
            zone: None,
        };
        let freeze = Freeze {
            weekly: vec![window],
            ..freeze("f", 0, None)
        };
        let state = given::<Environment>(&[defined(Tier::Other), frozen(freeze, 0)]);
        let now = at(seconds);
        let begins = |time: DateTime<Utc>| {
            let local = time + TimeDelta::minutes(offset.into());
            let minute = local.time().signed_duration_since(chrono::NaiveTime::MIN).num_minutes();
            local.weekday().num_days_from_monday() == day && minute == i64::from(start)
        };
        let minute = DateTime::from_timestamp(now.timestamp() / 60 * 60, 0).expect("a time");
        let found = (0..i64::from(minutes)).find(|back| begins(minute - TimeDelta::minutes(*back)));
        let end = found.map(|back| minute + TimeDelta::minutes(i64::from(minutes) - back));
        let told = state.frozen_at(now).map(|frozen| frozen.until.expect("a window ends"));
        prop_assert_eq!(told, end);
    }
}

#[test]
fn a_state_is_written_as_it_always_was() {
    let state = given::<Environment>(&[
        defined(Tier::Production),
        frozen(freeze("polls", 0, Some(10)), 0),
    ]);
    let text = concat!(
        r#"{"tier":"production","policy":{"rules":[],"preventSelfReview":false,"#,
        r#""waitMinutes":0,"expiryDays":30},"freezes":[{"id":"polls","#,
        r#""from":"2026-09-21T14:13:20Z","until":"2026-09-21T14:13:30Z","#,
        r#""reason":"Polls are open"}]}"#,
    );
    check_shape(&state, text);
    assert!(state.weight_bytes() > Environment::default().weight_bytes());
    let told: BTreeSet<_> = state.freezes.iter().map(|freeze| &freeze.id).collect();
    assert_eq!(told.len(), 1);
}
