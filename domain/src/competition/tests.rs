//! The rules of competitions.

use std::sync::Arc;

use super::*;
use crate::given::{at, check, given, refusal};
use crate::log::Position;
use crate::period::{Calendar, CustomPeriod};
use crate::prize::{Award, PrizePlan, PrizeRule, PrizeTies};
use crate::score::{Attempt, Operator, Score, Sort, Tally};
use crate::standing::{Contender, Standing, TiePolicy, canonical_text, rank};
use crate::values::parse_timestamp;
use crate::zone::Zone;

const HASH: &str = "0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b";

fn time(text: &str) -> DateTime<Utc> {
    parse_timestamp(text).expect("a time")
}

fn units(units: i64) -> Score {
    Score::of_units(units, "score").expect("a score")
}

/// Three days in Berlin, the first of which has 25 hours; scores are waited for for an hour.
fn rules() -> CompetitionRules {
    CompetitionRules {
        name: "Autumn".to_owned(),
        metric: Metric::Submitted,
        unit: Some("points".to_owned()),
        decimals: 1,
        operator: Operator::Sum,
        sort: Sort::Descending,
        ties: TiePolicy::Competition,
        periods: Calendar::Daily,
        zone: Zone::of_name("Europe/Berlin").expect("a zone"),
        starts_at: time("2026-10-24T22:00:00Z"),
        ends_at: Some(time("2026-10-27T23:00:00Z")),
        close_delay_seconds: 3_600,
        join: JoinRule::Open,
        counts_from: CountsFrom::Start,
        consent_required: false,
        size_max: None,
        attempts_max: None,
        start_score: None,
        guards: Guards::default(),
        sources: Vec::new(),
    }
}

fn prizes() -> PrizePlan {
    let fixed = |place, amount| PrizeRule::Fixed { place, amount };
    PrizePlan {
        currency: "EUR".to_owned(),
        decimals: 2,
        pool: 100,
        ties: PrizeTies::Split,
        rules: vec![fixed(1, 60), fixed(2, 40)],
    }
}

fn created(rules: CompetitionRules) -> CompetitionEvent {
    let rules = Box::new(rules);
    CompetitionEvent::CompetitionCreated(CompetitionCreated { rules })
}

fn opened() -> CompetitionEvent {
    let at = time("2026-10-20T00:00:00Z");
    CompetitionEvent::CompetitionOpened(CompetitionOpened { at })
}

fn sealed(period: &str, start: &str, end: &str) -> CompetitionEvent {
    CompetitionEvent::PeriodSealed(PeriodSealed {
        period: period.to_owned(),
        start: time(start),
        end: time(end),
    })
}

fn first_sealed() -> CompetitionEvent {
    sealed("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
}

fn closed(period: &str, standings: &[Standing]) -> CompetitionEvent {
    CompetitionEvent::PeriodClosed(PeriodClosed {
        period: period.to_owned(),
        as_of: Position(9),
        entries: standings.len() as u64,
        standings_hash: HASH.to_owned(),
        top: standings.to_vec(),
    })
}

fn seal(period: &str, now: &str) -> CompetitionCommand {
    CompetitionCommand::SealPeriod {
        period: period.to_owned(),
        now: time(now),
    }
}

fn close(period: &str, standings: &[Standing]) -> CompetitionCommand {
    CompetitionCommand::ClosePeriod {
        period: period.to_owned(),
        sealed_at: Position(9),
        as_of: Position(9),
        standings: Arc::from(standings),
        standings_hash: HASH.to_owned(),
    }
}

fn cut(now: &str) -> CompetitionCommand {
    CompetitionCommand::CutShort {
        reason: None,
        now: time(now),
    }
}

fn was_cut(now: &str) -> CompetitionEvent {
    CompetitionEvent::CompetitionCutShort(CompetitionCutShort {
        at: time(now),
        reason: None,
    })
}

fn ended() -> CompetitionEvent {
    CompetitionEvent::CompetitionEnded(CompetitionEnded {})
}

fn board(scores: &[(&str, i64)]) -> Vec<Standing> {
    let contenders = scores
        .iter()
        .zip(0..)
        .map(|((user, score), second)| Contender {
            user: (*user).to_owned(),
            score: units(*score),
            sub_score: Score::ZERO,
            achieved_at: at(second),
        });
    rank(
        contenders.collect(),
        Sort::Descending,
        TiePolicy::Competition,
    )
}

fn create(rules: CompetitionRules) -> CompetitionCommand {
    let rules = Box::new(rules);
    CompetitionCommand::Create { rules }
}

fn revise(rules: CompetitionRules) -> CompetitionCommand {
    let rules = Box::new(rules);
    CompetitionCommand::Revise { rules }
}

fn define(prizes: Option<PrizePlan>) -> CompetitionCommand {
    CompetitionCommand::DefinePrizes { prizes }
}

fn open(now: &str) -> CompetitionCommand {
    CompetitionCommand::Open { now: time(now) }
}

#[test]
fn rules_can_change_until_it_is_opened() {
    let other = CompetitionRules {
        sort: Sort::Ascending,
        ..rules()
    };
    let draft = [created(rules())];
    check::<Competition>(&[], create(rules()), Ok(&draft));
    check::<Competition>(&draft, create(rules()), Err(Code::AlreadyExists));
    check::<Competition>(&draft, revise(rules()), Ok(&[]));
    let rules_box = Box::new(other.clone());
    let revised = CompetitionEvent::CompetitionRevised(CompetitionRevised { rules: rules_box });
    check::<Competition>(&draft, revise(other.clone()), Ok(&[revised]));
    let defined = PrizesDefined {
        prizes: Some(prizes()),
    };
    let defined = CompetitionEvent::PrizesDefined(defined);
    check::<Competition>(
        &draft,
        define(Some(prizes())),
        Ok(std::slice::from_ref(&defined)),
    );
    check::<Competition>(&draft, define(None), Ok(&[]));
    let again = [created(rules()), defined];
    check::<Competition>(&again, define(Some(prizes())), Ok(&[]));
    let greedy = PrizePlan {
        pool: 99,
        ..prizes()
    };
    check::<Competition>(&draft, define(Some(greedy)), Err(Code::PrizesExceedPool));

    let open_one = [created(rules()), opened()];
    check::<Competition>(&draft, open("2026-10-20T00:00:00Z"), Ok(&[opened()]));
    for frozen in [revise(other), define(Some(prizes()))] {
        check::<Competition>(&open_one, frozen.clone(), Err(Code::RulesFrozen));
        check::<Competition>(&[], frozen, Err(Code::NotFound));
    }
    check::<Competition>(
        &open_one,
        open("2026-10-20T00:00:00Z"),
        Err(Code::IllegalTransition),
    );
    check::<Competition>(
        &draft,
        open("2026-10-27T23:00:00Z"),
        Err(Code::OutsideWindow),
    );
}

fn refused(change: impl FnOnce(&mut CompetitionRules)) -> (Code, String) {
    let mut rules = rules();
    change(&mut rules);
    let refusal = refusal::<Competition>(&[], &create(rules));
    (refusal.code, refusal.path.join("."))
}

#[test]
fn rules_fit_together() {
    let validation = |path: &str| (Code::Validation, path.to_owned());
    let range = |path: &str| (Code::OutOfRange, path.to_owned());
    let operator = |path: &str| (Code::InvalidOperator, path.to_owned());
    assert_eq!(refused(|r| r.name = " ".to_owned()), validation("name"));
    assert_eq!(
        refused(|r| r.metric = Metric::Custom(String::new())),
        validation("metric")
    );
    assert_eq!(refused(|r| r.decimals = 7), range("decimals"));
    assert_eq!(
        refused(|r| r.metric = Metric::Steps),
        validation("decimals")
    );
    assert_eq!(
        refused(|r| r.metric = Metric::Distance),
        validation("decimals")
    );
    assert_eq!(
        refused(|r| r.close_delay_seconds = 2_592_001),
        range("closeDelaySeconds")
    );
    assert_eq!(refused(|r| r.size_max = Some(0)), range("sizeMax"));
    assert_eq!(
        refused(|r| r.attempts_max = Some(10_001)),
        range("attemptsMax")
    );
    assert_eq!(
        refused(|r| r.operator = Operator::Decrement),
        operator("startScore")
    );
    assert_eq!(
        refused(|r| r.start_score = Some(units(9))),
        operator("startScore")
    );
    let taken_from_steps = |r: &mut CompetitionRules| {
        (r.metric, r.decimals) = (Metric::Steps, 0);
        (r.operator, r.start_score) = (Operator::Decrement, Some(units(9)));
    };
    assert_eq!(refused(taken_from_steps), operator("operator"));
    let tried_steps = |r: &mut CompetitionRules| {
        (r.metric, r.decimals, r.attempts_max) = (Metric::Steps, 0, Some(3));
    };
    assert_eq!(refused(tried_steps), validation("attemptsMax"));
    let travel = (Code::TimeTravel, "endsAt".to_owned());
    assert_eq!(refused(|r| r.ends_at = Some(r.starts_at)), travel);
    let outside = |r: &mut CompetitionRules| {
        r.periods = Calendar::Custom(vec![CustomPeriod {
            key: "early".to_owned(),
            start: r.starts_at - chrono::TimeDelta::days(2),
            end: r.starts_at,
        }]);
    };
    assert_eq!(refused(outside), validation("periods"));
    let twice = |r: &mut CompetitionRules| r.sources = vec!["watch".to_owned(); 2];
    assert_eq!(refused(twice), validation("sources"));
}

#[test]
fn a_board_is_made_of_what_users_have_come_to() {
    let tally = |score: i64, second: i64| {
        Tally::from(Attempt {
            score: units(score),
            sub_score: Score::ZERO,
            achieved_at: at(second),
            number: 1,
        })
    };
    let told = || {
        [
            ("ada", tally(9, 0)),
            ("bob", tally(5, 2)),
            ("cat", tally(5, 1)),
        ]
    };
    let told = || told().map(|(user, tally)| (user.to_owned(), tally));
    assert_eq!(rules().board(told())[0].user, "ada");
    let from_eight = CompetitionRules {
        operator: Operator::Decrement,
        start_score: Some(units(8)),
        ..rules()
    };
    let left = from_eight.board(told()).into_iter();
    let left: Vec<_> = left.map(|s| (s.rank, s.user, s.score)).collect();
    assert_eq!(
        left,
        [
            (1, "cat".to_owned(), units(3)),
            (1, "bob".to_owned(), units(3))
        ]
    );
}

#[test]
fn invitations_add_up() {
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|n| (*n).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let invite = |users: &[&str], groups: &[&str]| CompetitionCommand::Invite {
        users: set(users),
        groups: set(groups),
    };
    let invited = |users: &[&str], groups: &[&str]| {
        CompetitionEvent::CompetitionInvited(CompetitionInvited {
            users: set(users),
            groups: set(groups),
        })
    };
    let events = [created(rules()), invited(&["ada"], &["web"])];
    check::<Competition>(&events, invite(&["ada"], &["web"]), Ok(&[]));
    check::<Competition>(
        &events,
        invite(&["ada", "bob"], &[]),
        Ok(&[invited(&["bob"], &[])]),
    );
    check::<Competition>(&events, invite(&["a/b"], &[]), Err(Code::Validation));
    let state = given::<Competition>(&events);
    let is_invited = |user: &str, groups: &[&str]| state.terms(user, &set(groups)).invited;
    assert!(is_invited("ada", &[]) && is_invited("bob", &["web"]));
    assert!(!is_invited("bob", &["ops"]));
    let many: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    check::<Competition>(&events, invite(&many, &[]), Err(Code::TooLarge));
}

#[test]
fn a_period_is_sealed_once_late_scores_are_over() {
    let events = [created(rules()), opened()];
    let first = first_sealed();
    // The day has 25 hours, and then an hour is waited.
    check::<Competition>(
        &events,
        seal("2026-10-25", "2026-10-25T23:59:59.999999Z"),
        Err(Code::PeriodOpen),
    );
    let due = "2026-10-26T00:00:00Z";
    check::<Competition>(
        &events,
        seal("2026-10-25", due),
        Ok(std::slice::from_ref(&first)),
    );
    check::<Competition>(&events, seal("2026-10-26", due), Err(Code::PeriodOpen));
    check::<Competition>(&events, seal("2026-10-28", due), Err(Code::NotFound));
    check::<Competition>(
        &events[..1],
        seal("2026-10-25", due),
        Err(Code::IllegalTransition),
    );
    let next = given::<Competition>(&events).next_to_seal();
    assert_eq!(next.map(|period| period.key).as_deref(), Some("2026-10-25"));

    let closing = [created(rules()), opened(), first];
    check::<Competition>(&closing, seal("2026-10-25", due), Ok(&[]));
    let later = "2026-10-27T12:00:00Z";
    let refusal = refusal::<Competition>(&closing, &seal("2026-10-26", later));
    assert_eq!(
        (refusal.code, &refusal.details["period"]),
        (Code::PeriodOpen, &"2026-10-25".into())
    );
    assert_eq!(given::<Competition>(&closing).next_to_seal(), None);
}

#[test]
fn a_sealed_period_is_closed_and_its_prizes_are_awarded() {
    let defined = PrizesDefined {
        prizes: Some(prizes()),
    };
    let mut events = vec![
        created(rules()),
        CompetitionEvent::PrizesDefined(defined),
        opened(),
    ];
    let standings = board(&[("ada", 9), ("bob", 5), ("cat", 5)]);
    check::<Competition>(
        &events,
        close("2026-10-25", &standings),
        Err(Code::PeriodOpen),
    );
    events.push(first_sealed());
    let award = |user: &str, rank, amount| Award {
        user: user.to_owned(),
        rank,
        amount,
    };
    let first = closed("2026-10-25", &standings);
    let calculated = CompetitionEvent::PrizesCalculated(PrizesCalculated {
        period: "2026-10-25".to_owned(),
        currency: "EUR".to_owned(),
        decimals: 2,
        pool: 100,
        total: 100,
        winners: 3,
    });
    let awards = vec![
        award("ada", 1, 60),
        award("bob", 2, 20),
        award("cat", 2, 20),
    ];
    let awarded = CompetitionEvent::PrizesAwarded(PrizesAwarded {
        period: "2026-10-25".to_owned(),
        awards,
    });
    let then = [first.clone(), calculated, awarded];
    check::<Competition>(&events, close("2026-10-25", &standings), Ok(&then));
    events.push(first);
    check::<Competition>(
        &events,
        close("2026-10-25", &standings),
        Err(Code::PeriodClosed),
    );
    check::<Competition>(
        &events,
        close("2026-10-26", &standings),
        Err(Code::PeriodOpen),
    );
}

#[test]
fn a_board_that_was_read_before_the_seal_is_not_frozen() {
    let events = [created(rules()), opened(), first_sealed()];
    let read_to = |position: i64| CompetitionCommand::ClosePeriod {
        period: "2026-10-25".to_owned(),
        sealed_at: Position(9),
        as_of: Position(position),
        standings: Arc::from([]),
        standings_hash: HASH.to_owned(),
    };
    let refusal = refusal::<Competition>(&events, &read_to(8));
    assert_eq!(
        (refusal.code, &*refusal.path),
        (Code::StandingsDiffer, &["asOf".to_owned()][..])
    );
    assert_eq!(refusal.details["sealedAt"], "9");
    for position in [9, 10] {
        let decided = given::<Competition>(&events).decide(&read_to(position));
        let decided = decided.expect("closed");
        let CompetitionEvent::PeriodClosed(frozen) = &decided[0] else {
            panic!("{decided:?}");
        };
        assert_eq!(frozen.as_of, Position(position));
    }
}

#[test]
fn what_is_due_is_one_period_after_the_other() {
    let due = |events: &[CompetitionEvent], now: &str| given::<Competition>(events).due(time(now));
    let mut events = vec![created(rules())];
    let late = "2026-11-30T00:00:00Z";
    assert_eq!(due(&events, late), None, "nobody could join");
    events.push(opened());
    // The day has 25 hours, and then an hour is waited.
    assert_eq!(due(&events, "2026-10-25T23:59:59.999999Z"), None);
    let first = Some("2026-10-25".to_owned());
    assert_eq!(due(&events, "2026-10-26T00:00:00Z"), first);
    events.push(first_sealed());
    assert_eq!(due(&events, "2026-10-26T00:00:00Z"), first, "half done");
    events.push(closed("2026-10-25", &[]));
    assert_eq!(due(&events, "2026-10-26T23:59:59Z"), None);
    assert_eq!(due(&events, late), Some("2026-10-26".to_owned()));
    let called_off = CompetitionCancelled { reason: None };
    events.push(CompetitionEvent::CompetitionCancelled(called_off));
    assert_eq!(due(&events, late), None);
    let endless = CompetitionRules {
        periods: Calendar::AllTime,
        ends_at: None,
        ..rules()
    };
    assert_eq!(due(&[created(endless), opened()], late), None);
}

#[test]
fn only_a_board_by_the_rules_is_frozen() {
    let events = [created(rules()), opened(), first_sealed()];
    let mut standings = board(&[("ada", 9), ("bob", 5)]);
    standings[1].rank = 3;
    check::<Competition>(
        &events,
        close("2026-10-25", &standings),
        Err(Code::StandingsDiffer),
    );
    let mut command = close("2026-10-25", &board(&[]));
    if let CompetitionCommand::ClosePeriod { standings_hash, .. } = &mut command {
        standings_hash.push('0');
    }
    check::<Competition>(&events, command, Err(Code::Validation));
}

#[test]
fn a_large_board_is_behind_its_hash_and_many_awards_are_packed() {
    let everybody = PrizePlan {
        pool: 1_200,
        rules: vec![PrizeRule::TopPercent {
            top_ppm: 1_000_000,
            share_ppm: 1_000_000,
        }],
        ..prizes()
    };
    let defined = PrizesDefined {
        prizes: Some(everybody),
    };
    let events = [
        created(rules()),
        CompetitionEvent::PrizesDefined(defined),
        opened(),
        first_sealed(),
    ];
    let names: Vec<String> = (0..1_200).map(|n| format!("u{n}")).collect();
    let scores: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 5)).collect();
    let standings = board(&scores);
    let decided = given::<Competition>(&events).decide(&close("2026-10-25", &standings));
    let decided = decided.expect("closed");
    let CompetitionEvent::PeriodClosed(frozen) = &decided[0] else {
        panic!("{decided:?}");
    };
    assert_eq!(
        (frozen.entries, frozen.top.len()),
        (1_200, FROZEN_STANDINGS_MAX)
    );
    let packed = decided.iter().filter_map(|event| match event {
        CompetitionEvent::PrizesAwarded(e) => Some(e.awards.len()),
        _ => None,
    });
    assert_eq!(packed.collect::<Vec<_>>(), [500, 500, 200]);
    let text = canonical_text("autumn", "2026-10-25", Position(9), &standings);
    assert_eq!(text.lines().count(), 5 + 1_200);
}

#[test]
fn it_ends_with_its_last_period() {
    let mut events = vec![created(rules()), opened()];
    let days = [
        ("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("2026-10-26", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"),
        ("2026-10-27", "2026-10-26T23:00:00Z", "2026-10-27T23:00:00Z"),
    ];
    let late = "2026-10-28T00:00:00Z";
    for (index, (key, start, end)) in days.into_iter().enumerate() {
        check::<Competition>(&events, seal(key, late), Ok(&[sealed(key, start, end)]));
        events.push(sealed(key, start, end));
        let mut then = vec![closed(key, &[])];
        then.extend((index == 2).then(ended));
        check::<Competition>(&events, close(key, &[]), Ok(&then));
        events.extend(then);
    }
    assert_eq!(
        given::<Competition>(&events).status,
        Some(CompetitionStatus::Ended)
    );
    let cancel = CompetitionCommand::Cancel { reason: None };
    check::<Competition>(&events, cancel, Err(Code::IllegalTransition));
    check::<Competition>(&events, close("2026-10-27", &[]), Err(Code::PeriodClosed));
}

#[test]
fn one_that_is_cut_short_ends_with_the_period_it_is_in() {
    let mut events = vec![created(rules()), opened(), first_sealed()];
    events.push(closed("2026-10-25", &[]));
    let noon = "2026-10-26T12:00:00Z";
    check::<Competition>(&events, cut(noon), Ok(&[was_cut(noon)]));
    check::<Competition>(
        &events[..2],
        cut("2026-10-24T22:00:00Z"),
        Err(Code::OutsideWindow),
    );
    check::<Competition>(
        &events,
        cut("2026-10-27T23:00:00Z"),
        Err(Code::OutsideWindow),
    );
    events.push(was_cut(noon));
    let last = sealed("2026-10-26", "2026-10-25T23:00:00Z", noon);
    check::<Competition>(
        &events,
        seal("2026-10-26", "2026-10-26T12:59:59Z"),
        Err(Code::PeriodOpen),
    );
    let due = "2026-10-26T13:00:00Z";
    check::<Competition>(
        &events,
        seal("2026-10-26", due),
        Ok(std::slice::from_ref(&last)),
    );
    check::<Competition>(&events, seal("2026-10-27", due), Err(Code::NotFound));
    events.push(last);
    check::<Competition>(
        &events,
        close("2026-10-26", &[]),
        Ok(&[closed("2026-10-26", &[]), ended()]),
    );
}

#[test]
fn one_that_is_cut_short_between_two_periods_ends_at_once() {
    let listed = |key: &str, start: &str, end: &str| CustomPeriod {
        key: key.to_owned(),
        start: time(start),
        end: time(end),
    };
    let list = vec![
        listed("one", "2026-10-24T22:00:00Z", "2026-10-24T23:00:00Z"),
        listed("two", "2026-10-26T22:00:00Z", "2026-10-26T23:00:00Z"),
    ];
    let listed = CompetitionRules {
        periods: Calendar::Custom(list),
        ..rules()
    };
    let mut events = vec![created(listed), opened()];
    let between = "2026-10-25T12:00:00Z";
    check::<Competition>(&events, cut(between), Ok(&[was_cut(between)]));
    events.push(sealed(
        "one",
        "2026-10-24T22:00:00Z",
        "2026-10-24T23:00:00Z",
    ));
    events.push(closed("one", &[]));
    check::<Competition>(&events, cut(between), Ok(&[was_cut(between), ended()]));
}

#[test]
fn what_is_called_off_is_over() {
    let cancel = CompetitionCommand::Cancel {
        reason: Some(" No sponsor ".to_owned()),
    };
    let cancelled = CompetitionEvent::CompetitionCancelled(CompetitionCancelled {
        reason: Some("No sponsor".to_owned()),
    });
    let mut events = vec![created(rules()), opened(), first_sealed()];
    check::<Competition>(&events, cancel, Ok(std::slice::from_ref(&cancelled)));
    events.push(cancelled);
    check::<Competition>(
        &events,
        close("2026-10-25", &[]),
        Err(Code::IllegalTransition),
    );
    check::<Competition>(
        &events,
        seal("2026-10-26", "2026-10-28T00:00:00Z"),
        Err(Code::IllegalTransition),
    );
    assert_eq!(given::<Competition>(&events).next_to_seal(), None);
}

#[test]
fn its_state_is_written_down_and_read_again() {
    let defined = PrizesDefined {
        prizes: Some(prizes()),
    };
    let state = given::<Competition>(&[
        created(rules()),
        CompetitionEvent::PrizesDefined(defined),
        opened(),
        first_sealed(),
    ]);
    let shape = Competition::SHAPE.expect("a shape");
    let text = (shape.write)(&state);
    assert_eq!((shape.read)(&text).as_ref(), Some(&state));
    let expect = r#"{"status":"open","rules":{"name":"Autumn","metric":"submitted","unit":"points","decimals":1,"operator":"sum","sort":"descending","ties":"competition","periods":"daily","zone":"Europe/Berlin","startsAt":"2026-10-24T22:00:00Z","endsAt":"2026-10-27T23:00:00Z","closeDelaySeconds":3600,"join":"open","countsFrom":"start","consentRequired":false,"guards":{"manualRefused":false,"flaggedRefused":false}},"prizes":{"currency":"EUR","decimals":2,"pool":100,"ties":"split","rules":[{"type":"fixed","place":1,"amount":60},{"type":"fixed","place":2,"amount":40}]},"users":[],"groups":[],"cutAt":null,"sealedUntil":"2026-10-25T23:00:00Z","closing":"2026-10-25"}"#;
    crate::given::check_shape(&state, expect);
}
