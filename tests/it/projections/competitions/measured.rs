//! Boards of activities, and activities themselves.

use std::collections::BTreeSet;

use chrono::{NaiveDate, TimeDelta};
use domain::activity::{Activity, ActivityFlag, ActivityRef, ActivityRules, Measures, tallies};
use domain::activity_log::{ActivitiesSynced, ActivityLogEvent, RecordedActivity};
use domain::competition::{CompetitionRules, CountsFrom, Guards, Metric};
use domain::period::Calendar;
use domain::score::Operator;
use domain::{Event, Position, Zone};
use projections::activities::{self, ActivityCursor, DayTotal};
use projections::competitions::{self, Among, Board};

use super::{created, excluded, joined, opened, rules, second, short};
use crate::projections::scene::{after, snapshot};
use crate::support::Dice;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Steps between two seconds of May 2016, as a source tells of them.
pub fn walk(source: &str, id: &str, from: i64, to: i64, steps: i64) -> RecordedActivity {
    RecordedActivity {
        activity: Activity {
            source: source.to_owned(),
            external_id: id.to_owned(),
            device: None,
            kind: "walking".to_owned(),
            start: second(from),
            end: second(to),
            offset_minutes: None,
            manual: false,
            measures: Measures {
                steps: Some(steps),
                ..Measures::default()
            },
        },
        revision: 1,
        flags: BTreeSet::new(),
    }
}

/// A sync of a user.
pub fn synced(
    user: &str,
    recorded: Vec<RecordedActivity>,
    amended: Vec<RecordedActivity>,
    removed: Vec<ActivityRef>,
) -> (String, Event) {
    let synced = ActivitiesSynced {
        user: user.to_owned(),
        rules: ActivityRules::default(),
        recorded,
        amended,
        removed,
    };
    let event = ActivityLogEvent::ActivitiesSynced(synced);
    (format!("{user}/2016-05"), event.into())
}

fn named(source: &str, id: &str) -> ActivityRef {
    ActivityRef {
        source: source.to_owned(),
        external_id: id.to_owned(),
    }
}

fn steps() -> CompetitionRules {
    CompetitionRules {
        metric: Metric::Steps,
        operator: Operator::Sum,
        periods: Calendar::Daily,
        sources: vec!["watch".to_owned()],
        ..rules()
    }
}

fn day(key: &str) -> Board {
    Board {
        period: key.to_owned(),
        among: Among::Everybody,
        as_of: None,
    }
}

/// A phone and a watch tell of one walk; somebody joins late, somebody is excluded.
fn a_morning() -> Vec<(String, Event)> {
    let mut flagged = walk("watch", "w9", 9 * HOUR, 10 * HOUR, 99_000);
    flagged.flags = BTreeSet::from([ActivityFlag::StepsPerMinute]);
    let guarded = CompetitionRules {
        guards: Guards {
            flagged_refused: true,
            ..Guards::default()
        },
        counts_from: CountsFrom::Joining,
        ..steps()
    };
    vec![
        created("c", guarded),
        opened("c"),
        joined("c", "ada", &["east"], second(0)),
        joined("c", "bob", &[], second(HOUR)),
        joined("c", "cat", &[], second(0)),
        synced(
            "ada",
            vec![
                walk("phone", "p1", 0, HOUR, 5_000),
                walk("watch", "w1", 60, HOUR, 4_000),
                flagged,
            ],
            vec![],
            vec![],
        ),
        // What he did before he joined does not count.
        synced(
            "bob",
            vec![
                walk("watch", "w1", 60, HOUR, 9_000),
                walk("watch", "w2", HOUR, 2 * HOUR, 3_000),
            ],
            vec![],
            vec![],
        ),
        synced("cat", vec![walk("watch", "w1", 0, 60, 100)], vec![], vec![]),
        synced("dan", vec![walk("watch", "w1", 0, 60, 100)], vec![], vec![]),
        excluded("c", "cat"),
        synced(
            "bob",
            vec![],
            vec![walk("watch", "w2", HOUR, 2 * HOUR, 4_500)],
            vec![],
        ),
        synced("ada", vec![], vec![], vec![named("watch", "w1")]),
    ]
}

#[tokio::test]
async fn one_walk_of_two_devices_is_on_the_board_once() {
    let db = after(a_morning(), 3).await;
    let mut snap = snapshot(&db).await;
    let row = competitions::competition(&mut snap, "c").await.unwrap();
    let row = row.unwrap();
    let ask = async |snap: &mut _, board: &Board| {
        let page = competitions::page(snap, &row, board, 0, 9).await.unwrap();
        short(&page.items)
    };
    let board = day("2016-05-01");
    assert_eq!(ask(&mut snap, &board).await, ["1 ada 5000", "2 bob 4500"]);
    let at = |position: i64| Board {
        as_of: Some(Position(position)),
        ..board.clone()
    };
    assert_eq!(ask(&mut snap, &at(5)).await, [""; 0]);
    let then = ["1 ada 4000", "2 bob 3000", "3 cat 100"];
    assert_eq!(ask(&mut snap, &at(9)).await, then);
    assert_eq!(ask(&mut snap, &at(11)).await, ["1 bob 4500", "2 ada 4000"]);
    let east = Board {
        among: Among::Group("east".to_owned()),
        ..board.clone()
    };
    assert_eq!(ask(&mut snap, &east).await, ["1 ada 5000"]);
    assert_eq!(ask(&mut snap, &day("2016-05-02")).await, [""; 0]);
    assert_eq!(ask(&mut snap, &day("no day")).await, [""; 0]);
    let bob = competitions::around(&mut snap, &row, &board, "bob", 0).await;
    assert_eq!(short(&bob.unwrap()), ["2 bob 4500"]);
    let size = competitions::size(&mut snap, &row, &board).await;
    assert_eq!(size.unwrap(), 2);
}

/// Days on end, so that chains of what overlaps reach across many periods.
#[tokio::test]
async fn a_periods_board_is_what_all_activities_make_of_it() {
    let mut dice = Dice::from_env("measured boards");
    let users = ["ada", "bob", "cat"];
    let mut events = vec![created("c", steps()), opened("c")];
    let mut told: Vec<Vec<RecordedActivity>> = Vec::new();
    for user in users {
        events.push(joined("c", user, &[], second(0)));
        let mut of_user = Vec::new();
        for n in 0..80 {
            let from = dice.below(40 * DAY as u64) as i64;
            let lasts = match dice.below(4) {
                0 => dice.below(5 * DAY as u64) as i64,
                _ => dice.below(6 * HOUR as u64) as i64,
            };
            let source = ["watch", "phone", "ring"][dice.below(3) as usize];
            let steps = dice.below(1_000) as i64;
            of_user.push(walk(source, &format!("a{n}"), from, from + lasts, steps));
        }
        events.push(synced(user, of_user.clone(), vec![], vec![]));
        told.push(of_user);
    }
    let db = after(events, 99).await;
    let mut snap = snapshot(&db).await;
    let row = competitions::competition(&mut snap, "c").await.unwrap();
    let row = row.unwrap();
    let rules = steps();
    for n in 0..40 {
        let date = (second(0) + TimeDelta::days(n)).date_naive();
        let key = date.format("%Y-%m-%d").to_string();
        let come_to = users.into_iter().zip(&told).filter_map(|(user, told)| {
            let told = told.iter().map(|recorded| (&recorded.activity, false));
            let mut periods = tallies(told, &rules, second(0), None);
            Some((user.to_owned(), periods.remove(&key)?))
        });
        let expect = rules.board(come_to);
        let board = competitions::everybody(&mut snap, &row, &day(&key)).await;
        assert_eq!(board.unwrap(), expect, "{key}");
    }
}

#[tokio::test]
async fn activities_are_told_by_time_and_come_to_something_each_day() {
    let db = after(
        vec![
            synced(
                "ada",
                vec![
                    walk("watch", "w1", HOUR, 2 * HOUR, 1_000),
                    walk("phone", "p1", HOUR, 2 * HOUR, 1_500),
                    walk("watch", "w2", 3 * HOUR, 4 * HOUR, 200),
                    walk("watch", "w3", DAY + HOUR, DAY + 2 * HOUR, 30),
                ],
                vec![],
                vec![],
            ),
            synced(
                "ada",
                vec![],
                vec![walk("watch", "w2", DAY, DAY + 60, 7)],
                vec![named("phone", "gone")],
            ),
            synced("bob", vec![walk("watch", "w1", 0, 60, 1)], vec![], vec![]),
        ],
        1,
    )
    .await;
    let mut snap = snapshot(&db).await;
    let span = (second(0), second(9 * DAY));
    let ids = |items: &[activities::ActivityRow]| -> Vec<String> {
        let ids = items.iter().map(|row| row.activity.external_id.clone());
        ids.collect()
    };
    let page = activities::activities(&mut snap, "ada", span, None, 2).await;
    let page = page.unwrap();
    assert_eq!(
        (ids(&page.items), page.has_next),
        (vec!["p1".into(), "w1".into()], true)
    );
    let last = ActivityCursor {
        start: second(HOUR),
        named: named("watch", "w1"),
    };
    let page = activities::activities(&mut snap, "ada", span, Some(&last), 2).await;
    assert_eq!(ids(&page.unwrap().items), ["w2", "w3"]);
    let one = activities::activity(&mut snap, "ada", &named("watch", "w2")).await;
    assert_eq!(one.unwrap().unwrap().position, Position(2));
    let gone = activities::activity(&mut snap, "ada", &named("phone", "gone")).await;
    assert_eq!(gone.unwrap(), None);
    let what = (&Metric::Steps, &["watch".to_owned()][..]);
    let zone = Zone::of_name("UTC").unwrap();
    let days = activities::day_totals(&mut snap, "ada", span, what, zone).await;
    let total = |day, units, activities| DayTotal {
        day: NaiveDate::from_ymd_opt(2016, 5, day).unwrap(),
        units,
        activities,
    };
    assert_eq!(days.unwrap(), [total(1, 1_000, 1), total(2, 37, 2)]);
}
