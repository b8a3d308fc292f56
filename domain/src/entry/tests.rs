//! The rules of entries.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::competition::{
    CompetitionRules, CompetitionStatus, CountsFrom, GuardRule, Guards, JoinRule, Metric, Terms,
};
use crate::given::{at, check, check_shape, given};
use crate::period::Calendar;
use crate::personal::Personal;
use crate::refusal::Code;
use crate::score::{Operator, Score, Sort};
use crate::standing::TiePolicy;
use crate::zone::Zone;

const DAY: i64 = 86_400;

fn units(units: i64) -> Score {
    Score::of_units(units, "score").expect("a score")
}

/// The seconds from [`at`]'s zero to the first midnight after it.
fn midnight() -> i64 {
    DAY - at(0).timestamp() % DAY
}

/// Days in UTC from [`at`]'s zero on, for three days; scores are waited for for an hour.
fn rules() -> CompetitionRules {
    CompetitionRules {
        name: "Autumn".to_owned(),
        metric: Metric::Submitted,
        unit: None,
        decimals: 0,
        operator: Operator::Sum,
        sort: Sort::Descending,
        ties: TiePolicy::Competition,
        periods: Calendar::Daily,
        zone: Zone::of_name("UTC").expect("a zone"),
        starts_at: at(0),
        ends_at: Some(at(3 * DAY)),
        close_delay_seconds: 3_600,
        join: JoinRule::Open,
        counts_from: CountsFrom::Joining,
        consent_required: false,
        size_max: None,
        attempts_max: None,
        start_score: None,
        guards: Guards::default(),
        sources: Vec::new(),
    }
}

fn terms(rules: CompetitionRules) -> Box<Terms> {
    Box::new(Terms {
        status: Some(CompetitionStatus::Open),
        ends_at: rules.ends_at,
        rules: Some(Box::new(rules)),
        sealed_until: None,
        invited: false,
    })
}

fn joined(place: Option<u32>) -> EntryEvent {
    EntryEvent::EntryJoined(EntryJoined {
        competition: "autumn".to_owned(),
        user: "ada".to_owned(),
        consent: false,
        groups: BTreeSet::new(),
        place,
        at: at(0),
    })
}

fn join(terms: Box<Terms>) -> Join {
    Join {
        competition: "autumn".to_owned(),
        user: "ada".to_owned(),
        consent: false,
        groups: BTreeSet::new(),
        place: None,
        terms,
        now: at(0),
    }
}

fn submission(id: &str, score: i64, seconds: i64) -> Submission {
    Submission {
        id: Some(id.to_owned()),
        score: units(score),
        sub_score: Score::ZERO,
        achieved_at: at(seconds),
        source: None,
        manual: false,
    }
}

fn hand_in(submission: Submission, terms: Box<Terms>, now: i64) -> EntryCommand {
    EntryCommand::SubmitScore {
        submission,
        terms,
        now: at(now),
    }
}

/// Handed in the moment it was achieved, under the rules of [`rules`].
fn at_once(submission: Submission) -> EntryCommand {
    let now = (submission.achieved_at - at(0)).num_seconds();
    hand_in(submission, terms(rules()), now)
}

fn day(seconds: i64) -> String {
    at(seconds).date_naive().to_string()
}

/// Accepted under this number; what counts comes to so much.
fn accepted(submission: Submission, attempt: u32, sum: i64) -> EntryEvent {
    let achieved_at = submission.achieved_at;
    EntryEvent::ScoreAccepted(ScoreAccepted {
        period: achieved_at.date_naive().to_string(),
        attempt,
        tally: Tally {
            score: units(sum),
            sub_score: Score::ZERO,
            achieved_at,
            number: attempt,
            attempts: attempt,
        },
        submission,
    })
}

fn plain(text: &str) -> Personal {
    Personal::Plain(text.to_owned())
}

fn excluded() -> EntryEvent {
    EntryEvent::EntryExcluded(EntryExcluded {
        by: "grace".to_owned(),
        reason: plain("Two accounts"),
    })
}

fn reinstated(reason: &str) -> EntryEvent {
    EntryEvent::EntryReinstated(EntryReinstated {
        by: "grace".to_owned(),
        reason: plain(reason),
    })
}

fn left(seconds: i64) -> EntryEvent {
    EntryEvent::EntryLeft(EntryLeft { at: at(seconds) })
}

#[test]
fn who_may_joins_once() {
    let by_rules = |rules| EntryCommand::Join(join(terms(rules)));
    check::<Entry>(&[], by_rules(rules()), Ok(&[joined(None)]));
    check::<Entry>(&[joined(None)], by_rules(rules()), Ok(&[]));
    check::<Entry>(
        &[joined(None), excluded()],
        by_rules(rules()),
        Err(Code::Excluded),
    );
    check::<Entry>(
        &[joined(None), left(5)],
        by_rules(rules()),
        Ok(&[joined(None)]),
    );
    let unknown = Terms {
        status: None,
        rules: None,
        ..*terms(rules())
    };
    check::<Entry>(
        &[],
        EntryCommand::Join(join(Box::new(unknown))),
        Err(Code::NotFound),
    );
    for status in [
        CompetitionStatus::Draft,
        CompetitionStatus::Ended,
        CompetitionStatus::Cancelled,
    ] {
        let closed = Terms {
            status: Some(status),
            ..*terms(rules())
        };
        check::<Entry>(
            &[],
            EntryCommand::Join(join(Box::new(closed))),
            Err(Code::OutsideWindow),
        );
    }
    let late = Join {
        now: at(3 * DAY),
        ..join(terms(rules()))
    };
    check::<Entry>(&[], EntryCommand::Join(late), Err(Code::OutsideWindow));
    let slash = Join {
        user: "a/b".to_owned(),
        ..join(terms(rules()))
    };
    check::<Entry>(&[], EntryCommand::Join(slash), Err(Code::Validation));
}

#[test]
fn some_are_invited_and_some_have_to_agree() {
    let invited = CompetitionRules {
        join: JoinRule::Invited,
        ..rules()
    };
    let mut terms_of = terms(invited);
    check::<Entry>(
        &[],
        EntryCommand::Join(join(terms_of.clone())),
        Err(Code::NotInvited),
    );
    terms_of.invited = true;
    check::<Entry>(&[], EntryCommand::Join(join(terms_of)), Ok(&[joined(None)]));
    let asked = CompetitionRules {
        consent_required: true,
        ..rules()
    };
    let mut asked = join(terms(asked));
    check::<Entry>(
        &[],
        EntryCommand::Join(asked.clone()),
        Err(Code::ConsentRequired),
    );
    asked.consent = true;
    assert!(
        given::<Entry>(&[])
            .decide(&EntryCommand::Join(asked))
            .is_ok()
    );
}

#[test]
fn a_competition_of_a_size_has_numbered_places() {
    let small = CompetitionRules {
        size_max: Some(2),
        ..rules()
    };
    let on = |place| {
        EntryCommand::Join(Join {
            place,
            ..join(terms(small.clone()))
        })
    };
    check::<Entry>(&[], on(Some(2)), Ok(&[joined(Some(2))]));
    for full in [None, Some(0), Some(3)] {
        check::<Entry>(&[], on(full), Err(Code::MaxSizeReached));
    }
    let mut entry = Entry::default();
    assert_eq!(entry.claims(&joined(Some(2))), [place_claim("autumn", 2)]);
    assert_eq!(entry.claims(&joined(None)), []);
    entry.apply(&joined(Some(2)));
    let freed = ClaimChange {
        release: true,
        ..place_claim("autumn", 2)
    };
    assert_eq!(entry.claims(&left(5)), [freed]);
    entry.apply(&left(5));
    assert_eq!(entry.claims(&left(6)), []);
    check::<Entry>(
        &[joined(None), left(5)],
        EntryCommand::Leave { now: at(6) },
        Ok(&[]),
    );
    check::<Entry>(
        &[joined(None)],
        EntryCommand::Leave { now: at(5) },
        Ok(&[left(5)]),
    );
}

/// D17
#[test]
fn a_score_handed_in_twice_counts_once() {
    let events = [joined(None), accepted(submission("a", 5, 10), 1, 5)];
    check::<Entry>(
        &events[..1],
        at_once(submission("a", 5, 10)),
        Ok(&events[1..]),
    );
    check::<Entry>(&events, at_once(submission("a", 5, 10)), Ok(&[]));
    check::<Entry>(
        &events,
        at_once(submission("a", 6, 10)),
        Err(Code::DuplicateDiffers),
    );
    // The same name in another period is no other score.
    let next_day = submission("a", 5, midnight() + 10);
    check::<Entry>(&events, at_once(next_day), Err(Code::DuplicateDiffers));
    let second = accepted(submission("b", 4, 20), 2, 9);
    check::<Entry>(&events, at_once(submission("b", 4, 20)), Ok(&[second]));
    // What is handed in again late was accepted in time.
    let late = hand_in(submission("a", 5, 10), terms(rules()), 3 * DAY + 7_200);
    check::<Entry>(&events, late, Ok(&[]));
}

#[test]
fn a_score_without_a_name_is_known_by_its_moment() {
    let nameless = |score, seconds| Submission {
        id: None,
        ..submission("", score, seconds)
    };
    let events = [joined(None), accepted(nameless(5, 10), 1, 5)];
    check::<Entry>(&events, at_once(nameless(5, 10)), Ok(&[]));
    check::<Entry>(
        &events,
        at_once(nameless(6, 10)),
        Err(Code::DuplicateDiffers),
    );
    check::<Entry>(
        &events,
        at_once(nameless(5, 11)),
        Ok(&[accepted(nameless(5, 11), 2, 10)]),
    );
}

#[test]
fn only_who_takes_part_scores() {
    let score = || at_once(submission("a", 5, 10));
    check::<Entry>(&[], score(), Err(Code::JoinRequired));
    check::<Entry>(&[joined(None), left(5)], score(), Err(Code::JoinRequired));
    check::<Entry>(&[joined(None), excluded()], score(), Err(Code::Excluded));
    let late = EntryEvent::EntryJoined(EntryJoined {
        at: at(11),
        ..match joined(None) {
            EntryEvent::EntryJoined(e) => e,
            other => panic!("{other:?}"),
        }
    });
    check::<Entry>(
        std::slice::from_ref(&late),
        score(),
        Err(Code::JoinRequired),
    );
    let steps = CompetitionRules {
        metric: Metric::Steps,
        ..rules()
    };
    let handed_in = hand_in(submission("a", 5, 10), terms(steps), 10);
    check::<Entry>(&[joined(None)], handed_in, Err(Code::AuthoritativeOnly));
}

#[test]
fn a_score_belongs_to_one_period_and_that_takes_it_or_does_not() {
    let events = [joined(None)];
    let submit = |achieved, now| hand_in(submission("a", 5, achieved), terms(rules()), now);
    let last = midnight() - 1;
    let then = |achieved| vec![accepted(submission("a", 5, achieved), 1, 5)];
    // Late, but within the delay: it counts where it was achieved.
    check::<Entry>(&events, submit(last, midnight() + 3_599), Ok(&then(last)));
    check::<Entry>(
        &events,
        submit(last, midnight() + 3_600),
        Err(Code::PeriodClosed),
    );
    check::<Entry>(
        &events,
        submit(midnight(), midnight() + 3_600),
        Ok(&then(midnight())),
    );
    assert_ne!(day(last), day(midnight()));
    // The competition sealed the first day.
    let mut sealed = terms(rules());
    sealed.sealed_until = Some(at(midnight()));
    let submit_to = |achieved| hand_in(submission("a", 5, achieved), sealed.clone(), achieved + 1);
    check::<Entry>(&events, submit_to(last), Err(Code::PeriodClosed));
    check::<Entry>(&events, submit_to(midnight()), Ok(&then(midnight())));
    // Before the first period, behind the last one, and in the future.
    check::<Entry>(&events, submit(3 * DAY, 3 * DAY), Err(Code::OutsideWindow));
    check::<Entry>(&events, submit(311, 10), Err(Code::TimeInFuture));
    check::<Entry>(&events, submit(310, 10), Ok(&then(310)));
    let mut cancelled = terms(rules());
    cancelled.status = Some(CompetitionStatus::Cancelled);
    check::<Entry>(
        &events,
        hand_in(submission("a", 5, 9), cancelled, 9),
        Err(Code::OutsideWindow),
    );
}

proptest! {
    /// Whenever a score comes and however far the competition has closed by then: it is in the one
    /// period it was achieved in while that takes scores, and in none otherwise.
    #[test]
    fn a_score_is_in_one_period_or_in_none(
        achieved in 0i64..4 * DAY,
        late in 0i64..2 * DAY,
        sealed_days in 0usize..4,
    ) {
        let mut terms = terms(rules());
        let frame = rules();
        let frame = frame.frame(terms.ends_at);
        for _ in 0..sealed_days {
            let from = terms.sealed_until.unwrap_or(at(0));
            let next = frame.first_ending_after(from).and_then(|period| period.end);
            terms.sealed_until = next.or(terms.sealed_until);
        }
        let (sealed, now) = (terms.sealed_until, at(achieved + late));
        let entry = given::<Entry>(&[joined(None)]);
        let decided = entry.decide(&hand_in(submission("a", 5, achieved), terms, achieved + late));
        let open = frame.period_of(at(achieved)).filter(|period| {
            let until = period.end.expect("a day ends") + TimeDelta::hours(1);
            now < until && sealed.is_none_or(|sealed| sealed <= period.start)
        });
        match (decided.as_deref(), open) {
            (Ok([EntryEvent::ScoreAccepted(e)]), Some(period)) => {
                prop_assert_eq!(&e.period, &period.key);
            }
            (Err(refusal), None) => {
                let inside = frame.period_of(at(achieved)).is_some();
                let code = if inside { Code::PeriodClosed } else { Code::OutsideWindow };
                prop_assert_eq!(refusal.code, code);
            }
            (decided, open) => prop_assert!(false, "{decided:?} {open:?}"),
        }
    }
}

#[test]
fn attempts_are_counted_each_period() {
    let twice = CompetitionRules {
        attempts_max: Some(2),
        ..rules()
    };
    let submit = |id: &str, at: i64| hand_in(submission(id, 1, at), terms(twice.clone()), at);
    let events = [
        joined(None),
        accepted(submission("a", 1, 10), 1, 1),
        accepted(submission("b", 1, 11), 2, 2),
    ];
    check::<Entry>(&events, submit("c", 12), Err(Code::MaxAttemptsReached));
    check::<Entry>(&events, submit("a", 10), Ok(&[]));
    let next = midnight();
    check::<Entry>(
        &events,
        submit("c", next),
        Ok(&[accepted(submission("c", 1, next), 1, 1)]),
    );
}

/// J9
#[test]
fn what_scores_come_to_is_exact_or_refused() {
    let most = submission("a", i64::MAX, 10);
    let events = [joined(None), accepted(most, 1, i64::MAX)];
    check::<Entry>(
        &events,
        at_once(submission("b", 1, 11)),
        Err(Code::OutOfRange),
    );
    let from_ten = CompetitionRules {
        operator: Operator::Decrement,
        start_score: Some(units(10)),
        ..rules()
    };
    let take = |score| hand_in(submission("b", score, 11), terms(from_ten.clone()), 11);
    let events = [joined(None), accepted(submission("a", 4, 10), 1, 4)];
    check::<Entry>(
        &events,
        take(6),
        Ok(&[accepted(submission("b", 6, 11), 2, 10)]),
    );
    check::<Entry>(&events, take(7), Err(Code::OutOfRange));
}

fn held(submission: Submission, rule: GuardRule, reason: &str) -> EntryEvent {
    EntryEvent::ScoreHeld(ScoreHeld {
        period: day(0),
        attempt: 1,
        submission,
        rule,
        reason: reason.to_owned(),
    })
}

fn guarded(guards: Guards) -> Box<Terms> {
    terms(CompetitionRules { guards, ..rules() })
}

#[test]
fn a_score_that_is_not_plausible_waits() {
    let guards = Guards {
        score_max: Some(units(100)),
        per_minute_max: Some(units(10)),
        manual_refused: true,
        ..Guards::default()
    };
    let events = [joined(None)];
    let submit = |s: Submission| hand_in(s, guarded(guards), 600);
    let too_high = submission("a", 101, 600);
    let reason = "101 is above 100";
    let then = [held(too_high.clone(), GuardRule::ScoreMax, reason)];
    check::<Entry>(&events, submit(too_high), Ok(&then));
    let by_hand = Submission {
        manual: true,
        ..submission("a", 1, 600)
    };
    let then = [held(by_hand.clone(), GuardRule::Manual, "entered by hand")];
    check::<Entry>(&events, submit(by_hand), Ok(&then));
    // Ten minutes since joining allow a hundred; half a minute counts as a whole one.
    let in_time = submission("a", 100, 600);
    check::<Entry>(
        &events,
        submit(in_time.clone()),
        Ok(&[accepted(in_time, 1, 100)]),
    );
    let too_fast = submission("a", 100, 599);
    let reason = "100 in 599 seconds is above 10 a minute";
    let then = [held(too_fast.clone(), GuardRule::PerMinuteMax, reason)];
    check::<Entry>(&events, submit(too_fast), Ok(&then));
    let early = submission("a", 10, 30);
    check::<Entry>(
        &events,
        submit(early.clone()),
        Ok(&[accepted(early, 1, 10)]),
    );
}

/// What is added up has to be possible in whatever order it is handed in.
#[test]
fn scores_that_are_added_up_wait_however_they_are_dated() {
    let sums = |per_minute| {
        let guards = Guards {
            per_minute_max: Some(units(per_minute)),
            ..Guards::default()
        };
        terms(CompetitionRules {
            operator: Operator::Sum,
            guards,
            ..rules()
        })
    };
    let waits = |known: &[EntryEvent], score: Submission| {
        let told = given::<Entry>(known).decide(&hand_in(score, sums(10), 600));
        matches!(told.unwrap()[..], [EntryEvent::ScoreHeld(_)])
    };
    // Ten minutes allow a hundred, one minute ten.
    let last = accepted(submission("a", 90, 600), 1, 90);
    let known = [joined(None), last];
    for (score, at, expect) in [
        (90, 599, true), // dated before it: together they are too many
        (11, 540, true),
        (10, 540, false),
        (10, 1, false),
        (11, 600, true), // of the very same moment
        (10, 600, false),
    ] {
        assert_eq!(
            waits(&known, submission("b", score, at)),
            expect,
            "{score} at {at}"
        );
    }
    // Many of one minute are one.
    let mut known = vec![joined(None), accepted(submission("a", 5, 60), 1, 5)];
    known.push(accepted(submission("b", 5, 61), 2, 10));
    assert!(waits(&known, submission("c", 5, 62)));
    assert!(!waits(&known, submission("c", 5, 121)));
}

fn release(terms: Box<Terms>) -> EntryCommand {
    EntryCommand::ReleaseScore {
        period: day(0),
        attempt: 1,
        by: "grace".to_owned(),
        reason: None,
        terms,
    }
}

fn dismiss() -> EntryCommand {
    EntryCommand::DismissScore {
        period: day(0),
        attempt: 1,
        by: "grace".to_owned(),
        reason: "Not seen".to_owned(),
    }
}

#[test]
fn a_score_that_waits_is_released_or_dismissed() {
    let waiting = held(submission("a", 5, 10), GuardRule::Manual, "entered by hand");
    let mut events = vec![
        joined(None),
        waiting,
        accepted(submission("b", 4, 20), 2, 4),
    ];
    let released = EntryEvent::ScoreReleased(ScoreReleased {
        period: day(0),
        attempt: 1,
        tally: Tally {
            score: units(9),
            sub_score: Score::ZERO,
            achieved_at: at(20),
            number: 2,
            attempts: 3,
        },
        by: "grace".to_owned(),
        reason: None,
    });
    check::<Entry>(
        &events,
        release(terms(rules())),
        Ok(std::slice::from_ref(&released)),
    );
    let mut sealed = terms(rules());
    sealed.sealed_until = Some(at(midnight()));
    check::<Entry>(&events, release(sealed), Err(Code::PeriodClosed));
    let dismissed = EntryEvent::ScoreDismissed(ScoreDismissed {
        period: day(0),
        attempt: 1,
        by: "grace".to_owned(),
        reason: plain("Not seen"),
    });
    check::<Entry>(&events, dismiss(), Ok(std::slice::from_ref(&dismissed)));
    // Dismissed or not, it was an attempt, and is known.
    events.push(dismissed);
    check::<Entry>(&events, dismiss(), Err(Code::NotFound));
    check::<Entry>(&events, at_once(submission("a", 5, 10)), Ok(&[]));
    events.pop();
    events.push(released);
    check::<Entry>(&events, release(terms(rules())), Err(Code::NotFound));
    let tally = given::<Entry>(&events).periods[&day(0)].tally;
    assert_eq!(tally.map(|tally| tally.score), Some(units(9)));
}

#[test]
fn no_more_wait_than_somebody_can_look_at() {
    let guards = Guards {
        manual_refused: true,
        ..Guards::default()
    };
    let by_hand = |n: u32| Submission {
        manual: true,
        ..submission(&n.to_string(), 1, 10)
    };
    let waiting = (1..=100).map(|attempt| {
        EntryEvent::ScoreHeld(ScoreHeld {
            submission: by_hand(attempt),
            period: day(0),
            attempt,
            rule: GuardRule::Manual,
            reason: "entered by hand".to_owned(),
        })
    });
    let events: Vec<_> = std::iter::once(joined(None)).chain(waiting).collect();
    let submit = hand_in(by_hand(101), guarded(guards), 10);
    check::<Entry>(&events, submit, Err(Code::TooLarge));
}

#[test]
fn who_is_excluded_can_say_so_and_be_put_back() {
    let exclude = || EntryCommand::Exclude {
        by: "grace".to_owned(),
        reason: "Two accounts".to_owned(),
    };
    let dispute = || EntryCommand::OpenDispute {
        statement: "My brother".to_owned(),
    };
    let resolve = |outcome| EntryCommand::ResolveDispute {
        outcome,
        by: "grace".to_owned(),
        reason: "He is".to_owned(),
    };
    let mut events = vec![joined(None)];
    check::<Entry>(&[], exclude(), Err(Code::NotFound));
    check::<Entry>(&events, exclude(), Ok(&[excluded()]));
    check::<Entry>(
        &events,
        resolve(DisputeOutcome::Upheld),
        Err(Code::IllegalTransition),
    );
    events.push(excluded());
    check::<Entry>(&events, exclude(), Ok(&[]));
    assert!(!given::<Entry>(&events).ranks());
    let opened = EntryEvent::DisputeOpened(DisputeOpened {
        statement: plain("My brother"),
    });
    check::<Entry>(&events, dispute(), Ok(std::slice::from_ref(&opened)));
    events.push(opened);
    check::<Entry>(&events, dispute(), Err(Code::IllegalTransition));
    let resolved = |outcome| {
        EntryEvent::DisputeResolved(DisputeResolved {
            outcome,
            by: "grace".to_owned(),
            reason: plain("He is"),
        })
    };
    let upheld = DisputeOutcome::Upheld;
    check::<Entry>(&events, resolve(upheld), Ok(&[resolved(upheld)]));
    let overturned = DisputeOutcome::Overturned;
    let then = [resolved(overturned), reinstated("He is")];
    check::<Entry>(&events, resolve(overturned), Ok(&then));
    events.extend(then);
    assert!(given::<Entry>(&events).ranks());
    let reinstate = EntryCommand::Reinstate {
        by: "grace".to_owned(),
        reason: "He is".to_owned(),
    };
    check::<Entry>(&events, reinstate.clone(), Ok(&[]));
    check::<Entry>(&events[..2], reinstate, Ok(&[reinstated("He is")]));
}

#[test]
fn what_is_said_of_somebody_is_sealed_with_their_key() {
    let opened = EntryEvent::DisputeOpened(DisputeOpened {
        statement: plain("My brother"),
    });
    for (mut event, field) in [
        (excluded(), "reason"),
        (reinstated("No"), "reason"),
        (opened, "statement"),
    ] {
        let fields = Entry::personal(&entry_id("autumn", "ada"), &mut event);
        let named: Vec<_> = fields
            .iter()
            .map(|f| (f.subject.as_str(), f.field))
            .collect();
        assert_eq!(named, [("ada", field)]);
    }
    assert!(Entry::personal("autumn/ada", &mut joined(None)).is_empty());
}

#[test]
fn periods_of_long_ago_are_forgotten() {
    let mut entry = given::<Entry>(&[joined(None)]);
    for n in 0..1_000 {
        let score = Submission {
            achieved_at: at(0) + TimeDelta::days(n),
            ..submission(&n.to_string(), 1, 0)
        };
        entry.apply(&accepted(score, 1, 1));
    }
    assert_eq!(entry.periods.len(), PERIODS_KEPT);
    let last = (at(0) + TimeDelta::days(999)).date_naive().to_string();
    assert!(entry.periods.contains_key(&last));
    assert!(entry.weight_bytes() > PERIODS_KEPT * 100);
}

#[test]
fn its_state_is_written_down_and_read_again() {
    let waiting = held(submission("a", 5, 10), GuardRule::Manual, "entered by hand");
    let state = given::<Entry>(&[
        joined(Some(3)),
        waiting,
        accepted(submission("b", 4, 20), 2, 4),
    ]);
    let expect = r#"{"competition":"autumn","user":"ada","joinedAt":"2026-09-21T14:13:20Z","groups":[],"place":3,"excluded":false,"disputed":false,"periods":{"2026-09-21":{"tally":{"score":4,"subScore":0,"achievedAt":"2026-09-21T14:13:40Z","number":2,"attempts":2},"submissions":{"id:a":{"id":"a","score":5,"achievedAt":"2026-09-21T14:13:30Z","manual":false},"id:b":{"id":"b","score":4,"achievedAt":"2026-09-21T14:13:40Z","manual":false}},"held":{"1":{"score":5,"achievedAt":"2026-09-21T14:13:30Z","number":1}}}}}"#;
    check_shape(&state, expect);
}
