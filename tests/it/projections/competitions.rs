//! Competitions: lists, entries, what waits for a moderator, periods and prizes.

mod boards;
pub mod measured;
mod ranked;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use domain::competition::{
    CompetitionCancelled, CompetitionCreated, CompetitionCutShort, CompetitionEnded,
    CompetitionEvent, CompetitionInvited, CompetitionOpened, CompetitionRules, CompetitionStatus,
    CountsFrom, GuardRule, Guards, JoinRule, Metric, PeriodClosed, PeriodSealed, PrizesAwarded,
    PrizesCalculated, PrizesDefined,
};
use domain::entry::{
    DisputeOpened, DisputeOutcome, DisputeResolved, EntryEvent, EntryExcluded, EntryJoined,
    EntryLeft, EntryReinstated, ScoreAccepted, ScoreDismissed, ScoreHeld, ScoreReleased,
    Submission,
};
use domain::period::Calendar;
use domain::prize::{Award, PrizePlan, PrizeRule, PrizeTies};
use domain::score::{Attempt, Operator, Score, Sort, Tally};
use domain::standing::{Standing, TiePolicy};
use domain::{Event, Personal, Position, Zone};
use projections::competitions::{self as read, Among, AwardCursor, Board};

use super::scene::{after, at, snapshot};

/// A competition of the highest score, from the first of May 2016, all of it one period.
pub fn rules() -> CompetitionRules {
    CompetitionRules {
        name: "Spring".to_owned(),
        metric: Metric::Submitted,
        unit: None,
        decimals: 0,
        operator: Operator::Best,
        sort: Sort::Descending,
        ties: TiePolicy::Competition,
        periods: Calendar::AllTime,
        zone: Zone::of_name("UTC").unwrap(),
        starts_at: at("2016-05-01T00:00:00Z"),
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
    }
}

/// Something that happened to a competition.
pub fn told(competition: &str, event: CompetitionEvent) -> (String, Event) {
    (competition.to_owned(), event.into())
}

/// Something that happened to an entry.
pub fn of(competition: &str, user: &str, event: EntryEvent) -> (String, Event) {
    (format!("{competition}/{user}"), event.into())
}

pub fn created(competition: &str, rules: CompetitionRules) -> (String, Event) {
    let rules = Box::new(rules);
    let created = CompetitionCreated { rules };
    told(competition, CompetitionEvent::CompetitionCreated(created))
}

pub fn opened(competition: &str) -> (String, Event) {
    let opened = CompetitionOpened {
        at: at("2016-05-01T00:00:00Z"),
    };
    told(competition, CompetitionEvent::CompetitionOpened(opened))
}

pub fn joined(
    competition: &str,
    user: &str,
    groups: &[&str],
    at: DateTime<Utc>,
) -> (String, Event) {
    let joined = EntryJoined {
        competition: competition.to_owned(),
        user: user.to_owned(),
        consent: true,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        place: None,
        at,
    };
    of(competition, user, EntryEvent::EntryJoined(joined))
}

pub fn left(competition: &str, user: &str) -> (String, Event) {
    let left = EntryLeft {
        at: at("2016-05-09T00:00:00Z"),
    };
    of(competition, user, EntryEvent::EntryLeft(left))
}

fn sealed(text: &str) -> Personal {
    Personal::Sealed(text.to_owned())
}

pub fn excluded(competition: &str, user: &str) -> (String, Event) {
    let excluded = EntryExcluded {
        by: "mod".to_owned(),
        reason: sealed("excluded"),
    };
    of(competition, user, EntryEvent::EntryExcluded(excluded))
}

pub fn reinstated(competition: &str, user: &str) -> (String, Event) {
    let reinstated = EntryReinstated {
        by: "mod".to_owned(),
        reason: sealed("reinstated"),
    };
    of(competition, user, EntryEvent::EntryReinstated(reinstated))
}

pub fn units(units: i64) -> Score {
    Score::of_units(units, "score").unwrap()
}

/// So many seconds after the first of May 2016.
pub fn second(seconds: i64) -> DateTime<Utc> {
    at("2016-05-01T00:00:00Z") + TimeDelta::seconds(seconds)
}

pub fn tally(score: i64, sub_score: i64, seconds: i64, number: u32) -> Tally {
    Tally::from(Attempt {
        score: units(score),
        sub_score: units(sub_score),
        achieved_at: second(seconds),
        number,
    })
}

pub fn accepted(competition: &str, user: &str, period: &str, tally: Tally) -> (String, Event) {
    let accepted = ScoreAccepted {
        submission: submission(tally.score.units(), tally.achieved_at),
        period: period.to_owned(),
        attempt: tally.number,
        tally,
    };
    of(competition, user, EntryEvent::ScoreAccepted(accepted))
}

fn submission(score: i64, achieved_at: DateTime<Utc>) -> Submission {
    Submission {
        id: None,
        score: units(score),
        sub_score: Score::ZERO,
        achieved_at,
        source: None,
        manual: false,
    }
}

pub fn held(competition: &str, user: &str, attempt: u32) -> (String, Event) {
    let held = ScoreHeld {
        submission: submission(500, second(9)),
        period: "all".to_owned(),
        attempt,
        rule: GuardRule::ScoreMax,
        reason: "500 is above 100".to_owned(),
    };
    of(competition, user, EntryEvent::ScoreHeld(held))
}

/// The board of everybody for all time, as it is.
pub fn all_time() -> Board {
    Board {
        period: "all".to_owned(),
        among: Among::Everybody,
        as_of: None,
    }
}

/// Each line as `rank user score`.
pub fn short(lines: &[Standing]) -> Vec<String> {
    let short = |line: &Standing| format!("{} {} {}", line.rank, line.user, line.score.units());
    lines.iter().map(short).collect()
}

fn prizes() -> PrizePlan {
    PrizePlan {
        currency: "EUR".to_owned(),
        decimals: 2,
        pool: 100,
        ties: PrizeTies::Split,
        rules: vec![PrizeRule::Fixed {
            place: 1,
            amount: 60,
        }],
    }
}

#[tokio::test]
async fn competitions_are_listed_by_id_and_status() {
    let invited = CompetitionInvited {
        users: BTreeSet::from(["ada".to_owned()]),
        groups: BTreeSet::from(["east".to_owned(), "west".to_owned()]),
    };
    let cut = CompetitionCutShort {
        at: second(90),
        reason: Some("rain".to_owned()),
    };
    let db = after(
        vec![
            created("a", rules()),
            created("b", rules()),
            created("c", rules()),
            told(
                "b",
                CompetitionEvent::PrizesDefined(PrizesDefined {
                    prizes: Some(prizes()),
                }),
            ),
            told("b", CompetitionEvent::CompetitionInvited(invited)),
            opened("b"),
            opened("c"),
            joined("b", "ada", &[], second(1)),
            joined("b", "bob", &[], second(2)),
            excluded("b", "bob"),
            joined("b", "cat", &[], second(3)),
            left("b", "cat"),
            told("b", CompetitionEvent::CompetitionCutShort(cut)),
            told(
                "c",
                CompetitionEvent::CompetitionCancelled(CompetitionCancelled { reason: None }),
            ),
        ],
        3,
    )
    .await;
    let mut snap = snapshot(&db).await;
    for (status, after, expect, more) in [
        (None, None, "ab", true),
        (None, Some("b"), "c", false),
        (Some(CompetitionStatus::Draft), None, "a", false),
        (Some(CompetitionStatus::Open), None, "b", false),
        (Some(CompetitionStatus::Cancelled), None, "c", false),
        (Some(CompetitionStatus::Ended), None, "", false),
    ] {
        let page = read::competitions(&mut snap, status, after, 2).await;
        let page = page.unwrap();
        let ids: String = page.items.iter().map(|row| row.id.as_str()).collect();
        assert_eq!((ids.as_str(), page.has_next), (expect, more), "{status:?}");
        assert_eq!(page.as_of, Position(14));
    }
    let row = read::competition(&mut snap, "b").await.unwrap();
    let row = row.unwrap();
    assert_eq!((row.entries, row.excluded, row.invited), (2, 1, 3));
    assert_eq!(
        (row.rules.clone(), row.prizes.clone()),
        (rules(), Some(prizes()))
    );
    assert_eq!(row.ends_at(None), Some(second(90)));
    assert_eq!(row.ends_at(Some(Position(12))), None, "not known then");
    assert_eq!(row.reason.as_deref(), Some("rain"));
    assert_eq!(row.position, Position(13));
    assert_eq!(read::competition(&mut snap, "x").await.unwrap(), None);
}

#[tokio::test]
async fn an_entry_tells_whether_it_is_on_boards_and_why_not() {
    let db = after(
        vec![
            created("c", rules()),
            opened("c"),
            joined("c", "ada", &["east"], second(1)),
            accepted("c", "ada", "all", tally(5, 0, 9, 1)),
            joined("c", "bob", &[], second(2)),
            excluded("c", "ada"),
            joined("d", "ada", &[], second(3)),
            left("c", "bob"),
        ],
        1,
    )
    .await;
    let mut snap = snapshot(&db).await;
    let ada = read::entry(&mut snap, "c", "ada").await.unwrap();
    let ada = ada.unwrap();
    assert!(!ada.ranks());
    let exclusion = ada.exclusion.unwrap();
    assert_eq!(
        (exclusion.by.as_str(), exclusion.position),
        ("mod", Position(6))
    );
    assert_eq!(exclusion.reason.unwrap().text, "excluded");
    assert_eq!(ada.groups, BTreeSet::from(["east".to_owned()]));
    let bob = read::entry(&mut snap, "c", "bob").await.unwrap();
    let bob = bob.unwrap();
    assert_eq!((bob.joined_at, bob.left_at.is_some()), (None, true));
    let all = read::entries(&mut snap, "c", None, 1).await.unwrap();
    assert!(all.has_next && all.items[0].user == "ada");
    let next = read::entries(&mut snap, "c", Some("ada"), 1).await;
    assert_eq!(next.unwrap().items, [bob]);
    let hers = read::entries_of_user(&mut snap, "ada", None, 9).await;
    let hers = hers.unwrap().items;
    assert_eq!(hers.len(), 2);
    let played = read::played(&mut snap, "c", "ada", None, 9).await;
    let played = played.unwrap().items;
    assert_eq!((played[0].score, played[0].attempts), (units(5), 1));
}

fn disputed(user: &str) -> (String, Event) {
    let opened = DisputeOpened {
        statement: sealed(&format!("{user} disagrees")),
    };
    of("c", user, EntryEvent::DisputeOpened(opened))
}

/// A score of each that is decided on, and a dispute.
fn decided() -> [(String, Event); 4] {
    let by = || "mod".to_owned();
    let released = EntryEvent::ScoreReleased(ScoreReleased {
        period: "all".to_owned(),
        attempt: 2,
        tally: tally(500, 0, 9, 2),
        by: by(),
        reason: None,
    });
    let dismissed = EntryEvent::ScoreDismissed(ScoreDismissed {
        period: "all".to_owned(),
        attempt: 1,
        by: by(),
        reason: sealed("no"),
    });
    let resolved = EntryEvent::DisputeResolved(DisputeResolved {
        outcome: DisputeOutcome::Overturned,
        by: by(),
        reason: sealed("right"),
    });
    [
        of("c", "ada", released),
        of("c", "bob", dismissed),
        of("c", "bob", resolved),
        reinstated("c", "bob"),
    ]
}

/// Scores that wait, disputes that are open, and the board.
async fn waiting(events: Vec<(String, Event)>) -> [Vec<String>; 3] {
    let db = after(events, 2).await;
    let mut snap = snapshot(&db).await;
    let held = read::held_scores(&mut snap, Some("c"), None, 9).await;
    let held = held.unwrap().items.into_iter().map(|row| {
        let score = row.submission.score.units();
        format!("{} {} {score}", row.user, row.attempt)
    });
    let open = read::open_disputes(&mut snap, None, None, 9).await;
    let open = open.unwrap().items.into_iter();
    let open = open.map(|row| format!("{} {}", row.statement.unwrap().text, row.excluded));
    let row = read::competition(&mut snap, "c").await.unwrap();
    let board = read::page(&mut snap, &row.unwrap(), &all_time(), 0, 9).await;
    [held.collect(), open.collect(), short(&board.unwrap().items)]
}

#[tokio::test]
async fn what_waits_longest_comes_first_and_goes_once_somebody_decides() {
    let mut events = vec![
        created("c", rules()),
        joined("c", "ada", &[], second(1)),
        joined("c", "bob", &[], second(1)),
        held("c", "bob", 1),
        held("c", "ada", 1),
        held("c", "ada", 2),
        excluded("c", "bob"),
        disputed("bob"),
        disputed("ada"),
    ];
    let [held, open, board] = waiting(events.clone()).await;
    assert_eq!(held, ["bob 1 500", "ada 1 500", "ada 2 500"]);
    assert_eq!(open, ["bob disagrees true", "ada disagrees false"]);
    assert_eq!(board, [""; 0]);
    events.extend(decided());
    let [held, open, board] = waiting(events).await;
    assert_eq!(held, ["ada 1 500"]);
    assert_eq!(open, ["ada disagrees false"]);
    assert_eq!(board, ["1 ada 500"]);
}

fn award(user: &str, rank: u64, amount: i64) -> Award {
    Award {
        user: user.to_owned(),
        rank,
        amount,
    }
}

fn first_of_may() -> PeriodClosed {
    PeriodClosed {
        period: "2016-05-01".to_owned(),
        as_of: Position(2),
        entries: 3,
        standings_hash: "0".repeat(64),
        top: vec![Standing {
            rank: 1,
            user: "ada".to_owned(),
            score: units(7),
            sub_score: Score::ZERO,
            achieved_at: second(5),
        }],
    }
}

fn worth_90() -> PrizesCalculated {
    PrizesCalculated {
        period: "2016-05-01".to_owned(),
        currency: "EUR".to_owned(),
        decimals: 2,
        pool: 100,
        total: 90,
        winners: 3,
    }
}

/// Two days, the first of them closed with prizes.
fn two_days() -> Vec<(String, Event)> {
    let day = |period: &str, from: i64| {
        CompetitionEvent::PeriodSealed(PeriodSealed {
            period: period.to_owned(),
            start: second(from),
            end: second(from + 86_400),
        })
    };
    let awarded = |awards: Vec<Award>| {
        CompetitionEvent::PrizesAwarded(PrizesAwarded {
            period: "2016-05-01".to_owned(),
            awards,
        })
    };
    vec![
        created("c", rules()),
        told("c", day("2016-05-01", 0)),
        told("c", CompetitionEvent::PeriodClosed(first_of_may())),
        told("c", CompetitionEvent::PrizesCalculated(worth_90())),
        told("c", awarded(vec![award("ada", 1, 50), award("cat", 2, 20)])),
        told("c", awarded(vec![award("bob", 2, 20)])),
        told("c", day("2016-05-02", 86_400)),
        told("c", CompetitionEvent::CompetitionEnded(CompetitionEnded {})),
    ]
}

#[tokio::test]
async fn a_closed_period_keeps_its_board_and_who_got_what() {
    let db = after(two_days(), 2).await;
    let mut snap = snapshot(&db).await;
    let page = read::periods(&mut snap, "c", None, 1).await.unwrap();
    assert!(page.has_next);
    assert_eq!(page.items[0].period, "2016-05-02");
    assert_eq!(
        (&page.items[0].closed, &page.items[0].prizes),
        (&None, &None)
    );
    let before = page.items[0].sealed_position;
    let page = read::periods(&mut snap, "c", Some(before), 9).await;
    let row = page.unwrap().items.pop().unwrap();
    let same = read::period(&mut snap, "c", "2016-05-01").await;
    assert_eq!(same.unwrap().as_ref(), Some(&row));
    assert_eq!(row.prizes, Some(worth_90()));
    let (frozen, told) = (row.closed.unwrap(), first_of_may());
    assert_eq!(frozen.top, told.top);
    assert_eq!(frozen.standings_hash, told.standings_hash);
    assert_eq!((frozen.as_of, frozen.entries), (told.as_of, told.entries));
    let page = read::awards(&mut snap, "c", "2016-05-01", None, 2).await;
    let awards = page.unwrap().items.into_iter().map(|row| row.award);
    let expect = [award("ada", 1, 50), award("bob", 2, 20)];
    assert_eq!(awards.collect::<Vec<_>>(), expect);
    let cursor = AwardCursor {
        rank: 2,
        user: "bob".to_owned(),
    };
    let rest = read::awards(&mut snap, "c", "2016-05-01", Some(&cursor), 2).await;
    assert_eq!(rest.unwrap().items[0].award, award("cat", 2, 20));
    let hers = read::awards_of_user(&mut snap, "ada", None, 9).await;
    assert_eq!(hers.unwrap().items.len(), 1);
    let row = read::competition(&mut snap, "c").await.unwrap();
    assert_eq!(row.unwrap().status, CompetitionStatus::Ended);
}
