//! The rules of sessions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::event::Event;
use crate::given::{at, check, check_shape, given};

const POLICY: SessionPolicy = SessionPolicy {
    sliding_s: 100,
    absolute_s: 250,
    grace_s: 10,
};
const EPOCH: u64 = 3;

fn started() -> SessionEvent {
    SessionEvent::SessionStarted(SessionStarted {
        user_id: "ada".to_owned(),
        policy: POLICY,
        ip: None,
        user_agent: None,
        epoch: EPOCH,
        at: at(0),
    })
}

fn refreshed(number: u64, seconds: i64) -> SessionEvent {
    let at = at(seconds);
    SessionEvent::SessionRefreshed(SessionRefreshed { number, at })
}

fn reuse(presented: u64, current: u64, seconds: i64) -> SessionEvent {
    SessionEvent::ReuseDetected(ReuseDetected {
        presented,
        current,
        at: at(seconds),
    })
}

fn ended(seconds: i64) -> SessionEvent {
    SessionEvent::SessionRevoked(SessionRevoked {
        reason: RevokeReason::SignedOut,
        at: at(seconds),
    })
}

fn start(client: ClientInfo) -> SessionCommand {
    SessionCommand::Start {
        user_id: "ada".to_owned(),
        policy: POLICY,
        client,
        user: UserStanding::Active,
        epoch: EPOCH,
        now: at(0),
    }
}

fn refresh(presented: u64, seconds: i64) -> SessionCommand {
    SessionCommand::Refresh {
        presented,
        now: at(seconds),
        user: UserStanding::Active,
        epoch_now: EPOCH,
    }
}

fn revoke(seconds: i64) -> SessionCommand {
    SessionCommand::Revoke {
        reason: RevokeReason::SignedOut,
        now: at(seconds),
    }
}

#[test]
fn a_session_begins_once() {
    let nobody = ClientInfo::default();
    check::<Session>(&[], start(nobody.clone()), Ok(&[started()]));
    let twice = Err(Code::AlreadyExists);
    check::<Session>(&[started()], start(nobody.clone()), twice);
    check::<Session>(&[started(), ended(1)], start(nobody), twice);
    assert_eq!(given::<Session>(&[started()]).current, 1);
}

#[test]
fn a_client_is_kept_as_far_as_it_is_printable() {
    let decided = |ip: &str, user_agent: &str| {
        let client = ClientInfo {
            ip: Some(ip.to_owned()),
            user_agent: Some(user_agent.to_owned()),
        };
        let events = Session::default().decide(&start(client)).expect("accepted");
        match &events[..] {
            [SessionEvent::SessionStarted(e)] => (e.ip.clone(), e.user_agent.clone()),
            other => panic!("{other:?}"),
        }
    };
    let (ip, agent) = decided("192.0.2.7", " curl/8\0\r\n\u{1b}[31m ");
    assert_eq!(ip, Some(Personal::Plain("192.0.2.7".to_owned())));
    assert_eq!(agent, Some(Personal::Plain("curl/8[31m".to_owned())));
    let (ip, agent) = decided(&"1".repeat(1_000), &"\u{e9}".repeat(201));
    assert_eq!(ip, Some(Personal::Plain("1".repeat(64))));
    assert_eq!(agent, Some(Personal::Plain("\u{e9}".repeat(200))));
    assert_eq!(decided(" ", "\0"), (None, None));
}

#[test]
fn the_current_token_is_exchanged_for_the_next() {
    let mut events = vec![started()];
    for number in 2..6 {
        let seconds = 10 * i64::try_from(number).expect("small");
        check::<Session>(
            &events,
            refresh(number - 1, seconds),
            Ok(&[refreshed(number, seconds)]),
        );
        events.push(refreshed(number, seconds));
    }
}

/// K2
#[test]
fn a_lost_answer_is_given_again_within_the_grace() {
    let events = [started(), refreshed(2, 20), refreshed(3, 50)];
    for seconds in [50, 55, 60] {
        check::<Session>(&events, refresh(2, seconds), Ok(&[]));
    }
    let session = given::<Session>(&events);
    assert_eq!(session.successor_of(2), Ok(3), "the same successor");
    check::<Session>(&events[..1], refresh(0, 1), Err(Code::InvalidToken));
}

/// K1
#[test]
fn an_old_token_ends_the_family() {
    let events = [started(), refreshed(2, 20), refreshed(3, 50)];
    check::<Session>(&events, refresh(2, 61), Ok(&[reuse(2, 3, 61)]));
    check::<Session>(&events, refresh(1, 51), Ok(&[reuse(1, 3, 51)]));

    let mut over = events.to_vec();
    over.push(reuse(1, 3, 51));
    for presented in 1..=4 {
        check::<Session>(&over, refresh(presented, 52), Err(Code::SessionRevoked));
        let told = given::<Session>(&over).successor_of(presented);
        assert_eq!(told.map_err(|r| r.code), Err(Code::RefreshReused));
    }
    check::<Session>(&over, revoke(53), Ok(&[]));
}

#[test]
fn a_token_that_was_never_given_is_invalid() {
    let events = [started(), refreshed(2, 20)];
    for presented in [0, 3, u64::MAX] {
        check::<Session>(&events, refresh(presented, 21), Err(Code::InvalidToken));
        let told = given::<Session>(&events).successor_of(presented);
        assert_eq!(told.map_err(|r| r.code), Err(Code::InvalidToken));
    }
    check::<Session>(&[], refresh(1, 0), Err(Code::InvalidToken));
}

/// K4
#[test]
fn a_session_slides_but_not_for_ever() {
    let expired = || Err(Code::TokenExpired);
    check::<Session>(&[started()], refresh(1, 99), Ok(&[refreshed(2, 99)]));
    check::<Session>(&[started()], refresh(1, 100), expired());
    let used = [started(), refreshed(2, 90), refreshed(3, 180)];
    check::<Session>(&used, refresh(3, 249), Ok(&[refreshed(4, 249)]));
    check::<Session>(&used, refresh(3, 250), expired());
    check::<Session>(&used, refresh(1, 250), expired());
    let ends_at = |events: &[SessionEvent]| given::<Session>(events).ends_at();
    assert_eq!(ends_at(&[]), None);
    assert_eq!(ends_at(&used[..1]), Some(at(100)));
    assert_eq!(ends_at(&used[..2]), Some(at(190)));
    assert_eq!(ends_at(&used), Some(at(250)));
}

/// T22
#[test]
fn a_clock_that_is_set_back_revives_nothing() {
    let used = [started(), refreshed(2, 90)];
    check::<Session>(&used, refresh(2, -3_600), Ok(&[refreshed(3, 90)]));
    check::<Session>(&used, refresh(1, -3_600), Ok(&[]));
    let used = [started(), refreshed(2, 90), refreshed(3, 95)];
    check::<Session>(&used, refresh(1, -3_600), Ok(&[reuse(1, 3, 95)]));
}

/// K4, K5, T15
#[test]
fn nobody_refreshes_who_may_not_sign_in() {
    let with = |user, epoch_now| SessionCommand::Refresh {
        presented: 1,
        now: at(1),
        user,
        epoch_now,
    };
    for (user, epoch) in [
        (UserStanding::Missing, EPOCH),
        (UserStanding::Deactivated, EPOCH),
        (UserStanding::Erased, EPOCH),
        (UserStanding::Active, EPOCH + 1),
        (UserStanding::Active, EPOCH - 1),
    ] {
        let over = Err(Code::SessionRevoked);
        check::<Session>(&[started()], with(user, epoch), over);
    }
    let over = [started(), ended(1)];
    check::<Session>(&over, refresh(1, 2), Err(Code::SessionRevoked));
    let told = given::<Session>(&over).successor_of(1);
    assert_eq!(told.map_err(|r| r.code), Err(Code::SessionRevoked));
}

#[test]
fn a_session_is_ended_once() {
    check::<Session>(&[started()], revoke(1), Ok(&[ended(1)]));
    check::<Session>(&[started(), ended(1)], revoke(2), Ok(&[]));
    check::<Session>(&[], revoke(1), Err(Code::NotFound));
}

#[test]
fn the_address_is_sealed_for_the_user() {
    let client = ClientInfo {
        ip: Some("192.0.2.7".to_owned()),
        user_agent: None,
    };
    assert!(!format!("{client:?}").contains("192.0.2.7"));
    let decided = Session::default().decide(&start(client));
    let mut event = decided.expect("accepted").remove(0);
    assert!(Event::from(event.clone()).payload().is_err());
    for field in Session::personal("s-1", &mut event) {
        assert_eq!((field.subject.as_str(), field.field), ("ada", "ip"));
        *field.value = Personal::Sealed("AQ".to_owned());
    }
    let payload = Event::from(event).payload().expect("sealed");
    assert!(payload.contains(r#""ip":{"sealed":"AQ"}"#), "{payload}");
    assert!(Session::personal("s-1", &mut refreshed(2, 1)).is_empty());
}

#[test]
fn a_state_is_written_as_it_always_was() {
    let session = given::<Session>(&[started(), refreshed(2, 20), reuse(1, 2, 40)]);
    check_shape(
        &session,
        r#"{"userId":"ada","policy":{"slidingS":100,"absoluteS":250,"graceS":10},"epoch":3,"used":{"firstAt":"2026-09-21T14:13:20Z","lastAt":"2026-09-21T14:13:40Z"},"current":2,"ended":"reused"}"#,
    );
}

#[test]
fn a_fingerprint_holds_what_was_asked() {
    let text = |command: &SessionCommand| serde_json::to_string(command).expect("a command");
    assert_eq!(text(&refresh(1, 5)), r#"{"type":"refresh","presented":1}"#);
    assert_eq!(
        text(&revoke(5)),
        r#"{"type":"revoke","reason":"signed_out"}"#
    );
    assert_eq!(
        text(&start(ClientInfo::default())),
        r#"{"type":"start","userId":"ada"}"#
    );
}

/// One client's step: it decides on what it has seen last, which others may have left behind.
#[derive(Clone, Debug)]
enum Step {
    Look(usize),
    Refresh(usize, u64),
    Revoke(usize),
    Wait(i64),
}

const CLIENTS: usize = 4;

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CLIENTS).prop_map(Step::Look),
        12 => (0..CLIENTS, 0..4u64).prop_map(|(client, back)| Step::Refresh(client, back)),
        1 => (0..CLIENTS).prop_map(Step::Revoke),
        4 => (0..15i64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// However clients interleave, a number has one successor, that one is given by one event, and
    /// nothing is given after the end.
    #[test]
    fn a_number_has_one_successor(steps in prop::collection::vec(any_step(), 0..120)) {
        let mut log = vec![started()];
        let mut seen = [1usize; CLIENTS];
        let mut given_for: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            let (client, command, presented) = match step {
                Step::Look(client) => {
                    seen[client] = log.len();
                    continue;
                }
                Step::Wait(seconds) => {
                    now += seconds;
                    continue;
                }
                Step::Refresh(client, back) => {
                    let current = given::<Session>(&log[..seen[client]]).current;
                    let presented = (current + 1).saturating_sub(back);
                    (client, refresh(presented, now), Some(presented))
                }
                Step::Revoke(client) => (client, revoke(now), None),
            };
            let Ok(events) = given::<Session>(&log[..seen[client]]).decide(&command) else {
                continue;
            };
            // What was decided on a state that others have moved on is not appended, as the
            // stream's version guards; nor is anything told that rests on it.
            if seen[client] != log.len() {
                continue;
            }
            let over = given::<Session>(&log).ended.is_some();
            prop_assert!(!over || events.is_empty(), "{:?} after the end", events);
            log.extend(events);
            seen[client] = log.len();
            let Some(presented) = presented else { continue };
            if let Ok(number) = given::<Session>(&log).successor_of(presented) {
                prop_assert!(!over);
                given_for.entry(presented).or_default().insert(number);
            }
        }
        for (presented, numbers) in given_for {
            prop_assert_eq!(numbers, BTreeSet::from([presented + 1]));
        }
        let numbers: Vec<u64> = log
            .iter()
            .filter_map(|event| match event {
                SessionEvent::SessionRefreshed(e) => Some(e.number),
                _ => None,
            })
            .collect();
        let expected: Vec<u64> = (2..).take(numbers.len()).collect();
        prop_assert_eq!(numbers, expected, "each number is given by one event, in order");
        let ends = log.iter().filter(|event| {
            matches!(event, SessionEvent::ReuseDetected(_) | SessionEvent::SessionRevoked(_))
        });
        prop_assert!(ends.count() <= 1);
    }
}
