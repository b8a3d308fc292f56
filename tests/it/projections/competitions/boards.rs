//! Boards: the database, the board in memory and the definition say the same.

use std::collections::{BTreeMap, BTreeSet};

use domain::board::Board as Kept;
use domain::competition::CompetitionRules;
use domain::score::{Operator, Score, Sort, Tally};
use domain::standing::{Contender, Standing, TiePolicy};
use domain::{Event, Position};
use projections::Snapshot;
use projections::competitions::{self, Among, Board, CompetitionRow};

use super::{
    accepted, all_time, created, excluded, joined, left, opened, reinstated, rules, second, short,
    tally, units,
};
use crate::projections::scene::{after, snapshot};
use crate::support::Dice;
use crate::support::TestDb;

/// What a test knows of somebody.
#[derive(Clone, Debug, Default)]
pub struct Person {
    member: bool,
    excluded: bool,
    groups: BTreeSet<String>,
    tally: Option<Tally>,
    attempts: u32,
}

/// People by id.
pub type People = BTreeMap<String, Person>;

impl Person {
    fn ranks(&self) -> bool {
        self.member && !self.excluded
    }
}

const USERS: u64 = 9;
const GROUPS: [&str; 2] = ["east", "west"];

/// One thing that happens to somebody, as the log tells it.
fn happens(
    dice: &mut Dice,
    id: &str,
    rules: &CompetitionRules,
    people: &mut People,
) -> Option<(String, Event)> {
    let user = format!("u{}", dice.below(USERS));
    let person = people.entry(user.clone()).or_default();
    if !person.member {
        let groups: Vec<&str> = GROUPS.into_iter().filter(|_| dice.below(2) == 0).collect();
        person.member = true;
        person.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        return Some(joined(id, &user, &groups, second(0)));
    }
    match dice.below(12) {
        0 => {
            person.member = false;
            Some(left(id, &user))
        }
        1 if person.excluded => {
            person.excluded = false;
            Some(reinstated(id, &user))
        }
        1 => {
            person.excluded = true;
            Some(excluded(id, &user))
        }
        // Few scores and few moments, so that many tie; a late one may be older than the last.
        _ => {
            person.attempts += 1;
            let (score, sub_score) = (dice.below(4) as i64, dice.below(2) as i64);
            let one = tally(score, sub_score, dice.below(3) as i64, person.attempts);
            let told = match person.tally {
                None => Some(one),
                Some(tally) => tally.merge(one, rules.operator, rules.sort),
            };
            let start = rules.start_score.unwrap_or_default();
            let told = told.filter(|t| t.standing(rules.operator, start).is_some())?;
            person.tally = Some(told);
            Some(accepted(id, &user, "all", told))
        }
    }
}

/// The board by its definition.
fn defined(rules: &CompetitionRules, people: &People, among: &Among) -> Vec<Standing> {
    let asked = people.iter().filter(|(user, person)| {
        person.ranks()
            && match among {
                Among::Everybody => true,
                Among::Group(group) => person.groups.contains(group),
                Among::Users(users) => users.contains(user),
            }
    });
    rules.board(asked.filter_map(|(user, person)| Some((user.clone(), person.tally?))))
}

/// The same by the board in memory, put together in the order of ids.
fn kept(rules: &CompetitionRules, people: &People) -> Vec<Standing> {
    let mut board = Kept::new(rules.sort, rules.ties);
    let start = rules.start_score.unwrap_or_default();
    for (user, person) in people.iter().filter(|(_, person)| person.ranks()) {
        let Some(tally) = person.tally else { continue };
        let score = tally.standing(rules.operator, start).unwrap();
        board.set(&Contender {
            user: user.clone(),
            score,
            sub_score: tally.sub_score,
            achieved_at: tally.achieved_at,
        });
    }
    board.page(0, usize::MAX)
}

pub async fn row(snap: &mut Snapshot, id: &str) -> CompetitionRow {
    let row = competitions::competition(snap, id).await.unwrap();
    row.unwrap()
}

/// Asks for a board in every way there is.
async fn check(snap: &mut Snapshot, row: &CompetitionRow, board: &Board, expect: &[Standing]) {
    let whole = competitions::everybody(snap, row, board).await.unwrap();
    assert_eq!(whole, expect, "{} {board:?}", row.id);
    let size = competitions::size(snap, row, board).await.unwrap();
    assert_eq!(size, expect.len() as u64);
    let mut paged = Vec::new();
    loop {
        let before = u32::try_from(paged.len()).unwrap();
        let page = competitions::page(snap, row, board, before, 4).await;
        let page = page.unwrap();
        paged.extend(page.items);
        if !page.has_next {
            break;
        }
    }
    assert_eq!(paged, expect, "page by page");
    for (place, line) in expect.iter().enumerate() {
        let user = &line.user;
        let alone = competitions::standing(snap, row, board, user).await;
        assert_eq!(alone.unwrap().as_ref(), Some(line));
        let around = competitions::around(snap, row, board, user, 2).await;
        let near = &expect[place.saturating_sub(2)..expect.len().min(place + 3)];
        assert_eq!(around.unwrap(), near, "around {user}");
    }
    let nobody = competitions::standing(snap, row, board, "nobody").await;
    assert_eq!(nobody.unwrap(), None);
}

/// Every operator, sort and policy for ties, each with a history of its own.
pub fn kinds() -> Vec<(String, CompetitionRules)> {
    let mut kinds = Vec::new();
    for operator in Operator::ALL {
        for sort in Sort::ALL {
            for ties in TiePolicy::ALL {
                let decrements = *operator == Operator::Decrement;
                let rules = CompetitionRules {
                    operator: *operator,
                    sort: *sort,
                    ties: *ties,
                    start_score: decrements.then(|| units(9)),
                    ..rules()
                };
                kinds.push((format!("c{}", kinds.len()), rules));
            }
        }
    }
    kinds
}

/// The people of each competition after an event at this position.
pub type Moments = BTreeMap<(usize, i64), People>;

pub fn histories(dice: &mut Dice, kinds: &[(String, CompetitionRules)]) -> (TestEvents, Moments) {
    let mut events = Vec::new();
    for (id, rules) in kinds {
        events.extend([created(id, rules.clone()), opened(id)]);
    }
    let mut people: Vec<People> = vec![People::new(); kinds.len()];
    let mut moments = Moments::new();
    for _ in 0..kinds.len() * 40 {
        let which = dice.below(kinds.len() as u64) as usize;
        let (id, rules) = &kinds[which];
        if let Some(event) = happens(dice, id, rules, &mut people[which]) {
            events.push(event);
            let position = i64::try_from(events.len()).unwrap();
            moments.insert((which, position), people[which].clone());
        }
    }
    (events, moments)
}

/// What is told in what order.
pub type TestEvents = Vec<(String, Event)>;

#[tokio::test]
async fn database_memory_and_definition_agree_on_every_rank() {
    let mut dice = Dice::from_env("boards");
    let kinds = kinds();
    let (events, moments) = histories(&mut dice, &kinds);
    let db = after(events, 17).await;
    let mut snap = snapshot(&db).await;
    let (mut boards, mut lines) = (0, 0);
    for (which, (id, rules)) in kinds.iter().enumerate() {
        let row = row(&mut snap, id).await;
        let of_it = moments.range((which, 0)..(which + 1, 0));
        let Some((_, people)) = of_it.clone().next_back() else {
            continue;
        };
        let among_all = [
            Among::Everybody,
            Among::Group("east".to_owned()),
            Among::Users(vec!["u1".to_owned(), "u4".to_owned(), "x".to_owned()]),
        ];
        assert_eq!(
            kept(rules, people),
            defined(rules, people, &Among::Everybody)
        );
        for among in among_all {
            let expect = defined(rules, people, &among);
            let board = Board {
                among,
                ..all_time()
            };
            check(&mut snap, &row, &board, &expect).await;
            boards += 1;
            lines += expect.len();
            // As of some moment before, and one that is nearly the last.
            let some = of_it.clone().step_by(11).chain(of_it.clone().rev().nth(1));
            for ((_, position), people) in some {
                let past = Board {
                    as_of: Some(Position(*position)),
                    ..board.clone()
                };
                let expect = defined(rules, people, &past.among);
                check(&mut snap, &row, &past, &expect).await;
                boards += 1;
                lines += expect.len();
            }
        }
    }
    eprintln!("{boards} boards, {lines} lines");
    assert!(boards > 300 && lines > 500);
}

async fn db_of_one_score(users: i64) -> TestDb {
    let mut events = vec![created("c", rules()), opened("c")];
    for n in 0..users {
        let user = format!("u{n:05}");
        events.push(joined("c", &user, &[], second(0)));
        events.push(accepted("c", &user, "all", tally(7, 0, 1, 1)));
    }
    after(events, 5_000).await
}

/// D18
#[tokio::test]
async fn who_shares_one_score_shares_one_rank_and_still_has_a_place() {
    let db = db_of_one_score(3_000).await;
    let mut snap = snapshot(&db).await;
    let row = row(&mut snap, "c").await;
    let page = competitions::page(&mut snap, &row, &all_time(), 2_997, 9).await;
    let page = page.unwrap();
    assert_eq!(
        short(&page.items),
        ["1 u02997 7", "1 u02998 7", "1 u02999 7"]
    );
    assert!(!page.has_next);
    let around = competitions::around(&mut snap, &row, &all_time(), "u01500", 1).await;
    assert_eq!(
        short(&around.unwrap()),
        ["1 u01499 7", "1 u01500 7", "1 u01501 7"]
    );
}

#[tokio::test]
async fn a_board_of_another_period_is_empty_and_scores_stay_in_theirs() {
    let db = after(
        vec![
            created("c", rules()),
            joined("c", "ada", &[], second(0)),
            accepted("c", "ada", "2016-05-01", tally(7, 0, 1, 1)),
            accepted("c", "ada", "2016-05-02", tally(3, 0, 2, 1)),
        ],
        9,
    )
    .await;
    let mut snap = snapshot(&db).await;
    let row = row(&mut snap, "c").await;
    for (period, expect) in [("2016-05-01", 7), ("2016-05-02", 3), ("2016-05-03", 0)] {
        let board = Board {
            period: period.to_owned(),
            ..all_time()
        };
        let line = competitions::standing(&mut snap, &row, &board, "ada").await;
        let score = line.unwrap().map_or(Score::ZERO, |line| line.score);
        assert_eq!(score, units(expect), "{period}");
    }
}
