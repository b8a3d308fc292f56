//! What counts of what sources tell.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::competition::{CompetitionRules, CountsFrom, Guards, JoinRule};
use crate::given::at;
use crate::period::Calendar;
use crate::score::{Operator, Sort};
use crate::standing::TiePolicy;
use crate::zone::Zone;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Steps from one second after [`at`]'s zero to another.
fn walk(source: &str, id: &str, from: i64, to: i64, steps: i64) -> Activity {
    Activity {
        source: source.to_owned(),
        external_id: id.to_owned(),
        device: None,
        kind: "walking".to_owned(),
        start: at(from),
        end: at(to),
        offset_minutes: None,
        manual: false,
        measures: Measures {
            steps: Some(steps),
            ..Measures::default()
        },
    }
}

fn sources(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn counted(activities: &[Activity], order: &[&str]) -> (Vec<String>, Vec<(String, String)>) {
    let counted = count_once(activities, &sources(order), &Metric::Steps);
    let id = |activity: &Activity| activity.external_id.clone();
    let counts = counted.counts.into_iter().map(id).collect();
    let shadows = counted.shadows.iter();
    let shadows = shadows.map(|shadow| (id(shadow.activity), id(shadow.of)));
    (counts, shadows.collect())
}

fn check(activities: &[Activity], order: &[&str], counts: &[&str], shadows: &[(&str, &str)]) {
    let expect = (
        sources(counts),
        shadows
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect(),
    );
    assert_eq!(counted(activities, order), expect);
}

#[test]
fn one_walk_of_two_devices_counts_once() {
    let told = [
        walk("phone", "p1", 0, 1_800, 2_000),
        walk("watch", "w1", 60, 1_700, 1_900),
        walk("phone", "p2", 1_800, 3_600, 500),
    ];
    check(&told, &["watch", "phone"], &["w1", "p2"], &[("p1", "w1")]);
    check(&told, &["phone"], &["p1", "p2"], &[("w1", "p1")]);
    // Without an order the longer one is believed.
    check(&told, &[], &["p1", "p2"], &[("w1", "p1")]);
}

#[test]
fn what_only_touches_does_not_overlap() {
    let told = [
        walk("watch", "a", 0, 100, 1),
        walk("phone", "b", 100, 200, 1),
        walk("phone", "c", 200, 200, 1),
        walk("watch", "d", 200, 200, 1),
    ];
    check(&told, &["watch"], &["a", "b", "d"], &[("c", "d")]);
}

#[test]
fn who_measured_nothing_shadows_nothing() {
    let mut drawer = walk("watch", "w", 0, DAY, 0);
    let phone = walk("phone", "p", HOUR, 2 * HOUR, 5_000);
    check(
        &[drawer.clone(), phone.clone()],
        &["watch"],
        &["p"],
        &[("w", "p")],
    );
    check(std::slice::from_ref(&drawer), &["watch"], &["w"], &[]);
    drawer.measures = Measures {
        calories_kcal: Some(2_000),
        ..Measures::default()
    };
    check(&[drawer, phone], &["watch"], &["p"], &[]);
}

#[test]
fn of_one_source_the_longer_counts_then_the_earlier() {
    let told = [
        walk("watch", "short", 50, 100, 1),
        walk("watch", "long", 0, 90, 1),
        walk("watch", "late", 100, 200, 1),
        walk("watch", "same", 100, 200, 2),
    ];
    let shadows = [("same", "late"), ("short", "long")];
    check(&told, &["watch"], &["long", "late"], &shadows);
}

fn any_walks() -> impl Strategy<Value = Vec<Activity>> {
    let one = (0usize..4, 0i64..50, 0i64..12, 0i64..4);
    prop::collection::vec(one, 0..24).prop_map(|told| {
        let named = told.into_iter().enumerate();
        named
            .map(|(n, (source, from, length, steps))| {
                let source = ["watch", "phone", "app", "scale"][source];
                walk(source, &format!("a{n}"), from, from + length, steps)
            })
            .collect()
    })
}

proptest! {
    /// In whatever order they come: none that counts overlaps another, and each that does not
    /// overlaps one that counts and is believed no less.
    #[test]
    fn each_moment_counts_once(
        (told, shuffled) in any_walks()
            .prop_flat_map(|told| (Just(told.clone()), Just(told).prop_shuffle())),
    ) {
        let order = sources(&["watch", "phone"]);
        prop_assert_eq!(counted(&told, &["watch", "phone"]), counted(&shuffled, &["watch", "phone"]));
        let counted = count_once(&told, &order, &Metric::Steps);
        prop_assert_eq!(counted.counts.len() + counted.shadows.len(), told.len());
        for pair in counted.counts.windows(2) {
            prop_assert!(pair[0].end <= pair[1].start && pair[0].start < pair[1].start);
        }
        let rank = |activity: &Activity| {
            order.iter().position(|source| *source == activity.source).unwrap_or(order.len())
        };
        for shadow in &counted.shadows {
            let (lost, of) = (shadow.activity, shadow.of);
            prop_assert!(lost.measures.steps == Some(0) || of.measures.steps != Some(0));
            prop_assert!(counted.counts.contains(&of));
            prop_assert!(lost.start < of.end.max(of.start + TimeDelta::microseconds(1)));
            let best = counted.counts.iter().filter(|other| {
                other.start < lost.end.max(lost.start + TimeDelta::microseconds(1))
                    && lost.start < other.end.max(other.start + TimeDelta::microseconds(1))
            });
            let best = best.map(|other| rank(other)).min();
            prop_assert!(lost.measures.steps == Some(0) || best <= Some(rank(lost)));
        }
    }
}

fn flags(kind: &str, seconds: i64, measures: Measures) -> Vec<ActivityFlag> {
    let activity = Activity {
        kind: kind.to_owned(),
        measures,
        ..walk("watch", "a", 0, seconds, 0)
    };
    ActivityRules::default()
        .flags(&activity)
        .into_iter()
        .collect()
}

#[test]
fn what_no_body_can_do_is_flagged() {
    let steps = |steps| Measures {
        steps: Some(steps),
        ..Measures::default()
    };
    assert_eq!(flags("walking", 600, steps(4_000)), []);
    assert_eq!(
        flags("walking", 600, steps(4_001)),
        [ActivityFlag::StepsPerMinute]
    );
    // A moment is a minute.
    assert_eq!(flags("walking", 0, steps(400)), []);
    assert_eq!(
        flags("walking", 0, steps(i64::MAX)),
        [ActivityFlag::StepsPerMinute]
    );
    let metres = |metres: i64| Measures {
        distance_mm: Some(metres * 1_000),
        ..Measures::default()
    };
    assert_eq!(flags("walking", 100, metres(500)), []);
    assert_eq!(flags("walking", 100, metres(501)), [ActivityFlag::Speed]);
    assert_eq!(flags("running", 100, metres(501)), []);
    assert_eq!(flags("flying", 100, metres(20_000)), []);
    let much = Measures {
        calories_kcal: Some(41),
        active_minutes: Some(2),
        ..Measures::default()
    };
    let expect = [ActivityFlag::CaloriesPerMinute, ActivityFlag::ActiveMinutes];
    assert_eq!(flags("yoga", 60, much), expect);
    let rounded = Measures {
        active_minutes: Some(2),
        ..Measures::default()
    };
    assert_eq!(flags("yoga", 61, rounded), []);
}

#[test]
fn an_activity_is_checked_field_by_field() {
    let refused = |change: fn(&mut Activity)| {
        let mut activity = walk("watch", "a", 0, 60, 5);
        change(&mut activity);
        let refusal = activity.checked(at(60)).expect_err("refused");
        (refusal.code, refusal.path.join("."))
    };
    assert!(walk("watch", "a", 0, 360, 5).checked(at(60)).is_ok());
    let with = |code, path: &str| (code, path.to_owned());
    let future = with(Code::ActivityInFuture, "end");
    assert_eq!(refused(|a| a.end = at(361)), future);
    assert_eq!(refused(|a| a.end = at(-1)), with(Code::TimeTravel, "end"));
    assert_eq!(
        refused(|a| a.start = at(60 - 7 * DAY - 1)),
        with(Code::OutOfRange, "end")
    );
    assert_eq!(
        refused(|a| a.source.clear()),
        with(Code::Validation, "source")
    );
    assert_eq!(
        refused(|a| a.external_id = "a\0".to_owned()),
        with(Code::BadText, "externalId")
    );
    assert_eq!(
        refused(|a| a.kind = " ".to_owned()),
        with(Code::Validation, "kind")
    );
    assert_eq!(
        refused(|a| a.offset_minutes = Some(1_440)),
        with(Code::OutOfRange, "offsetMinutes")
    );
    let steps = with(Code::OutOfRange, "measures.steps");
    assert_eq!(refused(|a| a.measures.steps = Some(-1)), steps);
    assert_eq!(refused(|a| a.measures.steps = Some(MEASURE_MAX + 1)), steps);
    assert_eq!(
        refused(|a| a.measures.steps = None),
        with(Code::Validation, "measures")
    );
    let floors = |a: &mut Activity| {
        a.measures.custom.insert("floors".to_owned(), i64::MIN);
    };
    assert_eq!(
        refused(floors),
        with(Code::OutOfRange, "measures.custom.floors")
    );
    let many = |a: &mut Activity| {
        a.measures.custom = (0..11).map(|n| (n.to_string(), 1)).collect();
    };
    assert_eq!(refused(many), with(Code::TooLarge, "measures.custom"));
}

#[test]
fn every_field_counts_for_what_is_the_same() {
    let change: [fn(&mut Activity); 12] = [
        |_| (),
        |a| a.source.push('x'),
        |a| a.external_id.push('x'),
        |a| a.device = Some(String::new()),
        |a| a.kind.push('x'),
        |a| a.start -= TimeDelta::microseconds(1),
        |a| a.end += TimeDelta::microseconds(1),
        |a| a.offset_minutes = Some(0),
        |a| a.manual = true,
        |a| a.measures.steps = Some(6),
        |a| a.measures.calories_kcal = Some(0),
        |a| a.measures.custom = [("steps".to_owned(), 5)].into(),
    ];
    let digests = change.map(|change| {
        let mut changed = walk("watch", "a", 0, 60, 5);
        change(&mut changed);
        changed.digest()
    });
    assert_eq!(BTreeSet::from(digests).len(), change.len());
    // A change of the digest would amend what is synced again: it is nailed down.
    assert_eq!(format!("{:016x}", digests[0]), "139f74487b178c29");
}

/// Days in Berlin, of steps.
fn rules() -> CompetitionRules {
    CompetitionRules {
        name: "Steps".to_owned(),
        metric: Metric::Steps,
        unit: None,
        decimals: 0,
        operator: Operator::Sum,
        sort: Sort::Descending,
        ties: TiePolicy::Competition,
        periods: Calendar::Daily,
        zone: Zone::of_name("Europe/Berlin").expect("a zone"),
        starts_at: at(0),
        ends_at: None,
        close_delay_seconds: 0,
        join: JoinRule::Open,
        counts_from: CountsFrom::Joining,
        consent_required: false,
        size_max: None,
        attempts_max: None,
        start_score: None,
        guards: Guards::default(),
        sources: sources(&["watch"]),
    }
}

fn scores(
    told: &[(Activity, bool)],
    rules: &CompetitionRules,
    since: i64,
) -> Vec<(String, i64, i64)> {
    let told = told.iter().map(|(activity, flagged)| (activity, *flagged));
    let tallies = tallies(told, rules, at(since), None).into_iter();
    let seconds = |tally: &crate::score::Tally| (tally.achieved_at - at(0)).num_seconds();
    tallies
        .map(|(key, tally)| (key, tally.score.units(), seconds(&tally)))
        .collect()
}

/// [`at`]'s zero is 16:13:20 in Berlin on 21 September 2026.
#[test]
fn activities_score_in_the_period_they_began_in() {
    let (first, next) = ("2026-09-21".to_owned(), "2026-09-22".to_owned());
    let told = [
        (walk("watch", "before", -10, 20, 7), false),
        (walk("watch", "a", 100, 200, 1_000), false),
        (walk("phone", "b", 150, 300, 900), false),
        (walk("watch", "across", 27_990, 28_400, 300), false),
        (walk("watch", "c", 30_000, 30_100, 50), false),
    ];
    // Midnight is at 28,000.
    let expect = [(first.clone(), 1_300, 28_400), (next.clone(), 50, 30_100)];
    assert_eq!(scores(&told, &rules(), -100), expect);
    assert_eq!(
        scores(&told, &rules(), 101),
        [(first.clone(), 1_200, 28_400), (next.clone(), 50, 30_100)]
    );
    let best = CompetitionRules {
        operator: Operator::Best,
        ..rules()
    };
    assert_eq!(
        scores(&told, &best, 0),
        [(first.clone(), 1_000, 200), (next.clone(), 50, 30_100)]
    );
    let latest = CompetitionRules {
        operator: Operator::Set,
        ..rules()
    };
    assert_eq!(
        scores(&told, &latest, 0),
        [(first, 300, 28_400), (next, 50, 30_100)]
    );
}

#[test]
fn what_is_not_believed_neither_counts_nor_shadows() {
    let by_hand = Activity {
        manual: true,
        ..walk("watch", "hand", 0, 1_000, 9_000)
    };
    let told = [
        (by_hand, false),
        (walk("watch", "fast", 2_000, 3_000, 8_000), true),
        (walk("phone", "a", 100, 200, 10), false),
        (walk("phone", "b", 2_100, 2_200, 20), false),
    ];
    let sum = |guards| {
        let rules = CompetitionRules { guards, ..rules() };
        scores(&told, &rules, 0)[0].1
    };
    assert_eq!(sum(Guards::default()), 17_000);
    let strict = Guards {
        manual_refused: true,
        flagged_refused: true,
        ..Guards::default()
    };
    assert_eq!(sum(strict), 30);
}

#[test]
fn the_longest_run_of_days_is_found() {
    let run = |days: &[&str]| {
        let days = days.iter().map(|day| day.parse().expect("a day")).collect();
        longest_run(&days).map(|run| (run.first.to_string(), run.days))
    };
    assert_eq!(run(&[]), None);
    let days = [
        "2016-02-28",
        "2016-02-29",
        "2016-03-02",
        "2016-03-03",
        "2016-03-05",
    ];
    assert_eq!(run(&days), Some(("2016-02-28".to_owned(), 2)));
    assert_eq!(run(&days[2..]), Some(("2016-03-02".to_owned(), 2)));
    assert_eq!(run(&days[4..]), Some(("2016-03-05".to_owned(), 1)));
}
