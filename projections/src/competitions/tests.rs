//! The fold of competitions: order is no matter, and nobody's words are in the clear.

use domain::competition::{
    CompetitionCancelled, CompetitionCreated, CompetitionCutShort, CompetitionEnded,
    CompetitionEvent, CompetitionInvited, CompetitionOpened, CompetitionRevised, CountsFrom,
    GuardRule, Guards, JoinRule, Metric, PeriodSealed, PrizesAwarded, PrizesDefined,
};
use domain::entry::{
    DisputeOpened, DisputeResolved, EntryEvent, EntryExcluded, EntryJoined, EntryLeft,
    EntryReinstated, ScoreAccepted, ScoreDismissed, ScoreReleased, Submission,
};
use domain::period::Calendar;
use domain::prize::Award;
use domain::score::{Attempt, Operator, Score, Sort};
use domain::standing::TiePolicy;
use domain::{Personal, Position, Zone};
use proptest::prelude::*;

use super::*;
use crate::testing::{at, check_order_is_no_matter, deal, recorded};

fn rules(n: i64) -> Box<CompetitionRules> {
    Box::new(CompetitionRules {
        name: format!("competition {n}"),
        metric: Metric::Submitted,
        unit: None,
        decimals: 0,
        operator: Operator::Best,
        sort: Sort::Descending,
        ties: TiePolicy::Competition,
        periods: Calendar::Daily,
        zone: Zone::of_name("UTC").expect("a zone"),
        starts_at: at(0),
        ends_at: None,
        close_delay_seconds: 0,
        join: JoinRule::Open,
        counts_from: CountsFrom::Start,
        consent_required: false,
        size_max: None,
        attempts_max: None,
        start_score: None,
        guards: Guards::default(),
        sources: Vec::new(),
    })
}

fn period(n: i64) -> String {
    format!("p{}", n % 2)
}

fn said(n: i64) -> Personal {
    Personal::Sealed(format!("sealed {n}"))
}

fn submission(n: i64) -> Submission {
    Submission {
        id: None,
        score: Score::of_units(n, "score").expect("a score"),
        sub_score: Score::ZERO,
        achieved_at: at(n),
        source: None,
        manual: false,
    }
}

fn tally(n: i64) -> Tally {
    Tally::from(Attempt {
        score: Score::of_units(n, "score").expect("a score"),
        sub_score: Score::ZERO,
        achieved_at: at(n),
        number: 1,
    })
}

/// How many kinds of events there are of competitions, and of entries.
const COMPETITION_KINDS: u32 = 12;
const ENTRY_KINDS: u32 = 10;

fn about_a_competition(kind: u32, n: i64) -> CompetitionEvent {
    let reason = Some(format!("reason {n}"));
    match kind {
        0 => CompetitionEvent::CompetitionCreated(CompetitionCreated { rules: rules(n) }),
        1 => CompetitionEvent::CompetitionRevised(CompetitionRevised { rules: rules(n) }),
        2 => CompetitionEvent::PrizesDefined(PrizesDefined { prizes: None }),
        3 => CompetitionEvent::CompetitionInvited(CompetitionInvited {
            users: BTreeSet::from([format!("user{n}")]),
            groups: BTreeSet::new(),
        }),
        4 => CompetitionEvent::CompetitionOpened(CompetitionOpened { at: at(n) }),
        5 => CompetitionEvent::CompetitionCutShort(CompetitionCutShort { at: at(n), reason }),
        6 => CompetitionEvent::CompetitionCancelled(CompetitionCancelled { reason }),
        7 => CompetitionEvent::PeriodSealed(PeriodSealed {
            period: period(n),
            start: at(n),
            end: at(n + 1),
        }),
        8 => CompetitionEvent::PeriodClosed(PeriodClosed {
            period: period(n),
            as_of: Position(n),
            entries: 3,
            standings_hash: format!("{n}"),
            top: vec![],
        }),
        9 => CompetitionEvent::PrizesCalculated(PrizesCalculated {
            period: period(n),
            currency: "EUR".to_owned(),
            decimals: 2,
            pool: n,
            total: n,
            winners: 1,
        }),
        10 => CompetitionEvent::PrizesAwarded(PrizesAwarded {
            period: period(n),
            awards: vec![Award {
                user: format!("user{}", n % 3),
                rank: 1,
                amount: n,
            }],
        }),
        _ => CompetitionEvent::CompetitionEnded(CompetitionEnded {}),
    }
}

fn about_an_entry(kind: u32, n: i64) -> EntryEvent {
    let by = format!("mod{n}");
    let (period, attempt) = (period(n), u32::try_from(n % 3 + 1).expect("a small number"));
    match kind {
        0 => EntryEvent::EntryJoined(EntryJoined {
            competition: "c0".to_owned(),
            user: "u0".to_owned(),
            consent: n % 2 == 0,
            groups: BTreeSet::from([format!("group{n}")]),
            place: None,
            at: at(n),
        }),
        1 => EntryEvent::EntryLeft(EntryLeft { at: at(n) }),
        2 => EntryEvent::ScoreAccepted(ScoreAccepted {
            submission: submission(n),
            period,
            attempt,
            tally: tally(n),
        }),
        3 => EntryEvent::ScoreHeld(ScoreHeld {
            submission: submission(n),
            period,
            attempt,
            rule: GuardRule::ScoreMax,
            reason: format!("{n}"),
        }),
        4 => EntryEvent::ScoreReleased(ScoreReleased {
            period,
            attempt,
            tally: tally(n),
            by,
            reason: None,
        }),
        5 => EntryEvent::ScoreDismissed(ScoreDismissed {
            period,
            attempt,
            by,
            reason: said(n),
        }),
        6 => EntryEvent::EntryExcluded(EntryExcluded {
            by,
            reason: said(n),
        }),
        7 => EntryEvent::EntryReinstated(EntryReinstated {
            by,
            reason: said(n),
        }),
        8 => EntryEvent::DisputeOpened(DisputeOpened { statement: said(n) }),
        _ => EntryEvent::DisputeResolved(DisputeResolved {
            outcome: DisputeOutcome::Upheld,
            by,
            reason: said(n),
        }),
    }
}

fn event(kind: u32, n: i64) -> Event {
    match kind.checked_sub(COMPETITION_KINDS) {
        None => about_a_competition(kind, n).into(),
        Some(kind) => about_an_entry(kind, n).into(),
    }
}

#[test]
fn every_kind_of_event_is_among_them() {
    let ours = |event_type: &&str| {
        let (family, _) = event_type
            .split_once('.')
            .expect("family and what happened");
        Competitions::AGGREGATES.contains(&family)
    };
    let vocabulary = domain::event::VOCABULARY.iter();
    let vocabulary = vocabulary.map(|(event_type, _)| *event_type);
    let expect: BTreeSet<&str> = vocabulary.filter(ours).collect();
    let told = (0..COMPETITION_KINDS + ENTRY_KINDS).map(|kind| event(kind, 1).event_type());
    assert_eq!(told.collect::<BTreeSet<_>>(), expect);
}

proptest! {
    #[test]
    fn order_is_no_matter(
        told in proptest::collection::vec((0..2_u32, 0..COMPETITION_KINDS + ENTRY_KINDS), 0..40),
        deal in deal(),
    ) {
        let events: Vec<_> = (1..)
            .zip(told)
            .map(|(n, (id, kind))| {
                let of_entry = kind >= COMPETITION_KINDS;
                let id = if of_entry { format!("c{id}/u{}", n % 2) } else { format!("c{id}") };
                recorded(n, &id, event(kind, n))
            })
            .collect();
        check_order_is_no_matter::<Competitions, _>(&events, &deal, |delta| delta);
    }
}

#[test]
fn words_in_the_clear_stop_the_fold() {
    let plain = Personal::Plain("Ada cheats".to_owned());
    let opened = EntryEvent::DisputeOpened(DisputeOpened { statement: plain });
    let poison = Competitions::fold(&mut Delta::default(), &recorded(1, "c/u", opened));
    let poison = poison.expect_err("a plain value is poison");
    assert!(!poison.0.contains("Ada"), "{poison}");
}

#[test]
fn an_entry_is_known_by_competition_and_user() {
    let joined = about_an_entry(0, 1);
    let mut delta = Delta::default();
    Competitions::fold(&mut delta, &recorded(1, "steps/ada", joined.clone()))
        .expect("a well-formed event");
    let key = ("steps".to_owned(), "ada".to_owned());
    assert!(delta.entries.contains_key(&key));
    assert_eq!(delta.competitions["steps"].entries, 1);
    let poison = Competitions::fold(&mut delta, &recorded(2, "steps", joined));
    assert!(poison.is_err(), "a key without a slash is poison");
}
