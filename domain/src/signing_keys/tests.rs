//! The rules of signing keys.

use proptest::prelude::*;

use super::*;
use crate::given::{at, check, check_shape, given, refusal};

/// A public part for each key id.
fn public(kid: &str) -> String {
    format!("{kid:_<42}A")
}

fn published(kid: &str, seconds: i64) -> SigningKeysEvent {
    SigningKeysEvent::KeyPublished(KeyPublished {
        kid: kid.to_owned(),
        public: public(kid),
        at: at(seconds),
    })
}

fn activated(kid: &str, seconds: i64) -> SigningKeysEvent {
    SigningKeysEvent::KeyActivated(KeyActivated {
        kid: kid.to_owned(),
        at: at(seconds),
    })
}

fn retired(kid: &str, seconds: i64, until: i64) -> SigningKeysEvent {
    SigningKeysEvent::KeyRetired(KeyRetired {
        kid: kid.to_owned(),
        at: at(seconds),
        until: at(until),
    })
}

fn compromised(kid: &str, seconds: i64) -> SigningKeysEvent {
    SigningKeysEvent::KeyCompromised(KeyCompromised {
        kid: kid.to_owned(),
        at: at(seconds),
    })
}

fn publish(kid: &str, seconds: i64) -> SigningKeysCommand {
    SigningKeysCommand::Publish {
        kid: kid.to_owned(),
        public: public(kid),
        now: at(seconds),
    }
}

/// Published for 60 seconds before; tokens live 900.
fn activate(kid: &str, seconds: i64) -> SigningKeysCommand {
    SigningKeysCommand::Activate {
        kid: kid.to_owned(),
        now: at(seconds),
        published_for_s: 60,
        token_life_s: 900,
    }
}

fn retire(kid: &str, seconds: i64, until: i64) -> SigningKeysCommand {
    SigningKeysCommand::Retire {
        kid: kid.to_owned(),
        now: at(seconds),
        until: at(until),
    }
}

fn compromise(kid: &str, seconds: i64) -> SigningKeysCommand {
    SigningKeysCommand::Compromise {
        kid: kid.to_owned(),
        now: at(seconds),
    }
}

/// `a` has signed from the beginning and `b` since 100.
fn rotated() -> Vec<SigningKeysEvent> {
    vec![
        published("a", 0),
        activated("a", 0),
        published("b", 40),
        retired("a", 100, 1_000),
        activated("b", 100),
    ]
}

fn jwks(events: &[SigningKeysEvent], seconds: i64) -> String {
    let keys = given::<SigningKeys>(events);
    let kids: Vec<_> = keys.published(at(seconds)).map(|k| &k.kid[..]).collect();
    kids.join(" ")
}

#[test]
fn a_key_is_published_once() {
    let known = [published("a", 0)];
    check::<SigningKeys>(&[], publish("a", 0), Ok(&known));
    check::<SigningKeys>(&known, publish("a", 1), Err(Code::AlreadyExists));
    let under_another_name = SigningKeysCommand::Publish {
        kid: "b".to_owned(),
        public: public("a"),
        now: at(1),
    };
    check::<SigningKeys>(&known, under_another_name, Err(Code::AlreadyExists));
}

#[test]
fn a_key_has_an_id_and_32_bytes() {
    let with = |kid: &str, public: &str| SigningKeysCommand::Publish {
        kid: kid.to_owned(),
        public: public.to_owned(),
        now: at(0),
    };
    // RFC 8037, appendix A.2
    let known = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    for kid in ["a", "2026-11_Z", &"x".repeat(64)] {
        let decided = SigningKeys::default().decide(&with(kid, known));
        assert!(decided.is_ok(), "{kid}: {decided:?}");
    }
    for kid in ["", "a b", "../a", "a\0", "\u{e9}", "a=", &"x".repeat(65)] {
        let refusal = refusal::<SigningKeys>(&[], &with(kid, known));
        assert_eq!(
            (refusal.code, &refusal.path[0][..]),
            (Code::Validation, "kid")
        );
    }
    let padded = format!("{known}=");
    let loose = known.replace("URo", "URp");
    let standard = known.replace('_', "/");
    for public in [
        "",
        &known[1..],
        &padded,
        &loose,
        &standard,
        &known.repeat(2),
    ] {
        let refusal = refusal::<SigningKeys>(&[], &with("a", public));
        assert_eq!(
            (refusal.code, &refusal.path[0][..]),
            (Code::Validation, "public")
        );
    }
}

#[test]
fn the_first_key_signs_at_once_and_the_next_when_others_know_it() {
    let first = [published("a", 0), activated("a", 0)];
    check::<SigningKeys>(&first[..1], activate("a", 0), Ok(&first[1..]));
    check::<SigningKeys>(&first, activate("a", 5), Ok(&[]));
    check::<SigningKeys>(&first, activate("b", 5), Err(Code::NotFound));

    let waiting = &rotated()[..3];
    check::<SigningKeys>(waiting, activate("b", 100), Ok(&rotated()[3..]));
    check::<SigningKeys>(waiting, activate("b", 99), Err(Code::KeyTooFresh));
    for (seconds, left) in [(99, 1), (40, 60), (41, 59)] {
        let refusal = refusal::<SigningKeys>(waiting, &activate("b", seconds));
        assert_eq!(refusal.details["secondsLeft"], left);
    }
    let mut almost = activate("b", 99);
    if let SigningKeysCommand::Activate { now, .. } = &mut almost {
        *now += TimeDelta::milliseconds(1);
    }
    let refusal = refusal::<SigningKeys>(waiting, &almost);
    assert_eq!(refusal.details["secondsLeft"], 1, "rounded up");
}

/// T8
#[test]
fn a_retired_key_verifies_until_its_last_token_has_run_out() {
    let keys = given::<SigningKeys>(&rotated());
    let verifies = |kid, seconds| keys.verifier(kid, at(seconds)).is_some();
    assert_eq!(keys.active().map(|k| &k.kid[..]), Some("b"));
    assert!(verifies("a", 999) && !verifies("a", 1_000));
    assert!(verifies("b", 1_000) && !verifies("c", 0));
    assert_eq!(jwks(&rotated(), 999), "a b");
    assert_eq!(jwks(&rotated(), 1_000), "b");

    let waiting = given::<SigningKeys>(&rotated()[..3]);
    assert!(waiting.verifier("b", at(50)).is_none(), "it signed nothing");
    assert_eq!(jwks(&rotated()[..3], 50), "a b");
}

#[test]
fn what_is_spent_never_signs_again() {
    check::<SigningKeys>(&rotated(), activate("a", 200), Err(Code::KeySpent));
    let mut events = rotated();
    events.push(compromised("a", 200));
    check::<SigningKeys>(&events, activate("a", 300), Err(Code::KeySpent));
    check::<SigningKeys>(&events, retire("a", 300, 400), Err(Code::KeySpent));
}

#[test]
fn a_key_that_waits_can_be_retired_but_not_the_one_that_signs() {
    let waiting = &rotated()[..3];
    check::<SigningKeys>(waiting, retire("b", 50, 70), Ok(&[retired("b", 50, 70)]));
    check::<SigningKeys>(waiting, retire("b", 50, 20), Ok(&[retired("b", 50, 50)]));
    check::<SigningKeys>(waiting, retire("a", 50, 70), Err(Code::KeyActive));
    check::<SigningKeys>(&rotated(), retire("a", 200, 300), Ok(&[]));
    check::<SigningKeys>(waiting, retire("c", 50, 70), Err(Code::NotFound));
}

#[test]
fn nothing_a_compromised_key_signed_counts() {
    let mut events = rotated();
    check::<SigningKeys>(&events, compromise("b", 110), Ok(&[compromised("b", 110)]));
    check::<SigningKeys>(&events, compromise("a", 110), Ok(&[compromised("a", 110)]));
    check::<SigningKeys>(&events, compromise("c", 110), Err(Code::NotFound));
    events.push(compromised("b", 110));
    check::<SigningKeys>(&events, compromise("b", 120), Ok(&[]));

    let keys = given::<SigningKeys>(&events);
    assert_eq!(keys.active(), None);
    assert!(keys.verifier("b", at(111)).is_none());
    assert_eq!(jwks(&events, 111), "a");
    check::<SigningKeys>(&events, publish("b", 111), Err(Code::AlreadyExists));

    // The next one need not wait: nothing signs meanwhile.
    events.push(published("c", 112));
    check::<SigningKeys>(&events, activate("c", 112), Ok(&[activated("c", 112)]));
}

#[test]
fn the_oldest_keys_are_forgotten_but_not_the_one_that_signs() {
    let mut events = vec![published("a", 0), activated("a", 0)];
    let names: Vec<String> = (0..KEYS_MAX).map(|n| format!("k{n}")).collect();
    events.extend(names.iter().map(|kid| published(kid, 1)));
    let keys = given::<SigningKeys>(&events);
    let expected = ["a"]
        .into_iter()
        .chain(names[1..].iter().map(String::as_str));
    assert!(keys.keys.iter().map(|k| &k.kid[..]).eq(expected));
}

#[test]
fn a_state_is_written_as_it_always_was() {
    let events = [
        published("a", 0),
        activated("a", 0),
        retired("a", 5, 9),
        published("b", 1),
    ];
    check_shape(
        &given::<SigningKeys>(&events),
        &format!(
            r#"{{"keys":[{{"kid":"a","public":"{}","publishedAt":"2026-09-21T14:13:20Z","standing":{{"retired":{{"at":"2026-09-21T14:13:25Z","until":"2026-09-21T14:13:29Z"}}}}}},{{"kid":"b","public":"{}","publishedAt":"2026-09-21T14:13:21Z","standing":"published"}}]}}"#,
            public("a"),
            public("b")
        ),
    );
}

fn any_command() -> impl Strategy<Value = (i64, SigningKeysCommand)> {
    let kid = || (0..6u8).prop_map(|n| format!("k{n}"));
    let command = prop_oneof![
        3 => kid().prop_map(|kid| publish(&kid, 0)),
        4 => kid().prop_map(|kid| activate(&kid, 0)),
        1 => kid().prop_map(|kid| retire(&kid, 0, 500)),
        1 => kid().prop_map(|kid| compromise(&kid, 0)),
    ];
    (0..60i64, command)
}

fn set_time(command: &mut SigningKeysCommand, time: DateTime<Utc>) {
    match command {
        SigningKeysCommand::Publish { now, .. }
        | SigningKeysCommand::Activate { now, .. }
        | SigningKeysCommand::Retire { now, .. }
        | SigningKeysCommand::Compromise { now, .. } => *now = time,
    }
}

proptest! {
    /// Whatever is asked in whatever order: one key signs at most, it is among those others are
    /// told of, and once one signs only a compromise leaves none.
    #[test]
    fn one_key_signs(commands in prop::collection::vec(any_command(), 0..60)) {
        let (mut keys, mut seconds) = (SigningKeys::default(), 0);
        for (wait, mut command) in commands {
            seconds += wait;
            set_time(&mut command, at(seconds));
            let signed = keys.active().is_some();
            let Ok(events) = keys.decide(&command) else { continue };
            events.iter().for_each(|event| keys.apply(event));
            let active = |k: &&SigningKey| matches!(k.standing, KeyStanding::Active { .. });
            prop_assert!(keys.keys.iter().filter(active).count() <= 1);
            let compromise = matches!(command, SigningKeysCommand::Compromise { .. });
            prop_assert!(keys.active().is_some() || !signed || compromise);
            if let Some(active) = keys.active() {
                prop_assert!(keys.published(at(seconds)).any(|k| k == active));
            }
        }
    }
}
