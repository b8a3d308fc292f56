//! Standings: who is where on a board, by the competition's policy for ties, and the text that a
//! board is frozen as.

use std::cmp::Ordering;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::log::Position;
use crate::score::{Score, Sort};
use crate::words::words;

words! {
    /// Which rank equal scores get. Scores are equal if their sub-scores are too.
    TiePolicy {
        Competition "competition" "They share a rank, and the next one counts all before it: 1-2-2-4.";
        Dense "dense" "They share a rank, and the next one follows: 1-2-2-3.";
        Ordinal "ordinal" "None is shared: who was first is before, of one instant the lesser user id: 1-2-3-4.";
        Earliest "earliest" "Who was first is before; those of one instant share a rank: 1-2-3-4, or 1-2-2-4.";
    }
}

/// What somebody has come to in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Who, by id.
    pub user: String,
    /// The score that ranks.
    pub score: Score,
    /// Tells equal scores apart.
    pub sub_score: Score,
    /// When that was reached.
    pub achieved_at: DateTime<Utc>,
}

/// One line of a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Standing {
    /// From 1, by the board's policy for ties.
    pub rank: u64,
    /// Who, by id.
    pub user: String,
    /// The score.
    pub score: Score,
    /// Tells equal scores apart.
    pub sub_score: Score,
    /// When the score was reached.
    pub achieved_at: DateTime<Utc>,
}

impl Standing {
    /// Does this one share the scores of that one?
    pub fn ties(&self, other: &Standing) -> bool {
        (self.score, self.sub_score) == (other.score, other.sub_score)
    }
}

/// The order of a board: the better score, then the better sub-score, then who was first, then the
/// user id by its bytes. No two users are equal.
fn order(sort: Sort, a: &Contender, b: &Contender) -> Ordering {
    let scores = (a.score, a.sub_score).cmp(&(b.score, b.sub_score));
    let scores = match sort {
        Sort::Ascending => scores,
        Sort::Descending => scores.reverse(),
    };
    let first = || a.achieved_at.cmp(&b.achieved_at);
    scores.then_with(first).then_with(|| a.user.cmp(&b.user))
}

/// The board: every contender once, best first, with its rank. In whatever order they came.
pub fn rank(mut contenders: Vec<Contender>, sort: Sort, ties: TiePolicy) -> Vec<Standing> {
    contenders.sort_unstable_by(|a, b| order(sort, a, b));
    let mut standings: Vec<Standing> = Vec::with_capacity(contenders.len());
    for (place, contender) in (1_u64..).zip(contenders) {
        let mut standing = Standing {
            rank: place,
            user: contender.user,
            score: contender.score,
            sub_score: contender.sub_score,
            achieved_at: contender.achieved_at,
        };
        if let Some(before) = standings.last() {
            let tied = standing.ties(before);
            let at_once = standing.achieved_at == before.achieved_at;
            standing.rank = match ties {
                TiePolicy::Competition if tied => before.rank,
                TiePolicy::Earliest if tied && at_once => before.rank,
                TiePolicy::Dense if tied => before.rank,
                TiePolicy::Dense => before.rank + 1,
                TiePolicy::Competition | TiePolicy::Earliest | TiePolicy::Ordinal => place,
            };
        }
        standings.push(standing);
    }
    standings
}

/// The text whose SHA-256 freezes a board, so that an auditor can make it again.
///
/// Lines end with a line feed, fields are parted by one tab; neither can stand in an id. The first
/// line is `daybook standings 1`; then one each for `competition`, `period`, `as of` (the position in
/// the log) and `entries` (how many), the name before the value. Then one line a standing, best
/// first: rank, user id, score and sub-score in their smallest unit, and when the score was reached
/// in microseconds since 1970.
pub fn canonical_text(
    competition: &str,
    period: &str,
    as_of: Position,
    standings: &[Standing],
) -> String {
    let mut text = String::from("daybook standings 1\n");
    let head = [
        ("competition", competition.to_owned()),
        ("period", period.to_owned()),
        ("as of", as_of.to_string()),
        ("entries", standings.len().to_string()),
    ];
    for (name, value) in head {
        writeln!(text, "{name}\t{value}").expect("a text takes more text");
    }
    for standing in standings {
        let (score, sub_score) = (standing.score.units(), standing.sub_score.units());
        let reached = standing.achieved_at.timestamp_micros();
        let Standing { rank, user, .. } = standing;
        writeln!(text, "{rank}\t{user}\t{score}\t{sub_score}\t{reached}")
            .expect("a text takes more text");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::given::at;

    fn contender(user: &str, score: i64, seconds: i64) -> Contender {
        Contender {
            user: user.to_owned(),
            score: Score::of_units(score, "score").expect("a score"),
            sub_score: Score::ZERO,
            achieved_at: at(seconds),
        }
    }

    fn ranks(ties: TiePolicy, sort: Sort, contenders: &[Contender]) -> Vec<(u64, String)> {
        let standings = rank(contenders.to_vec(), sort, ties).into_iter();
        standings.map(|s| (s.rank, s.user)).collect()
    }

    fn check(ties: TiePolicy, expect: &[(u64, &str)]) {
        let told = [
            contender("eve", 1, 0),
            contender("dan", 7, 5),
            contender("cat", 7, 5),
            contender("bob", 7, 3),
            contender("ada", 9, 9),
        ];
        let expect: Vec<_> = expect
            .iter()
            .map(|(n, user)| (*n, (*user).to_owned()))
            .collect();
        assert_eq!(ranks(ties, Sort::Descending, &told), expect, "{ties:?}");
    }

    #[test]
    fn equal_scores_are_ranked_by_policy() {
        let order = ["ada", "bob", "cat", "dan", "eve"];
        let with = |ranks: [u64; 5]| ranks.into_iter().zip(order).collect::<Vec<_>>();
        check(TiePolicy::Competition, &with([1, 2, 2, 2, 5]));
        check(TiePolicy::Dense, &with([1, 2, 2, 2, 3]));
        check(TiePolicy::Ordinal, &with([1, 2, 3, 4, 5]));
        check(TiePolicy::Earliest, &with([1, 2, 3, 3, 5]));
    }

    #[test]
    fn the_lower_score_may_be_better_and_sub_scores_part_equal_ones() {
        let mut told = [
            contender("ada", 60, 0),
            contender("bob", 50, 0),
            contender("cat", 50, 0),
        ];
        told[1].sub_score = Score::of_units(2, "subScore").expect("a score");
        let low = ranks(TiePolicy::Competition, Sort::Ascending, &told);
        assert_eq!(
            low,
            [
                (1, "cat".to_owned()),
                (2, "bob".to_owned()),
                (3, "ada".to_owned())
            ]
        );
        let high = ranks(TiePolicy::Competition, Sort::Descending, &told);
        assert_eq!(
            high,
            [
                (1, "ada".to_owned()),
                (2, "bob".to_owned()),
                (3, "cat".to_owned())
            ]
        );
    }

    /// D18
    #[test]
    fn a_hundred_thousand_users_of_one_score_have_a_rank_each() {
        let user = |n: u32| format!("u{n:06}");
        let told: Vec<_> = (0..100_000)
            .rev()
            .map(|n| contender(&user(n), 5, 0))
            .collect();
        let shared = rank(told.clone(), Sort::Descending, TiePolicy::Competition);
        assert!(shared.iter().all(|standing| standing.rank == 1));
        assert!(
            shared
                .iter()
                .zip(0..)
                .all(|(standing, n)| standing.user == user(n))
        );
        let ordinal = rank(told, Sort::Descending, TiePolicy::Ordinal);
        assert!(
            ordinal
                .iter()
                .zip(1..)
                .all(|(standing, n)| standing.rank == n)
        );
    }

    /// A frozen board can be checked for good: its text is nailed down.
    #[test]
    fn the_text_of_a_board_is_the_same_in_every_release() {
        let told = vec![contender("ada", 9, 0), contender("b b", 7, 1)];
        let standings = rank(told, Sort::Descending, TiePolicy::Competition);
        let text = canonical_text("steps", "2026-W47", Position(17), &standings);
        let expect = "daybook standings 1\ncompetition\tsteps\nperiod\t2026-W47\nas of\t17\n\
            entries\t2\n1\tada\t9\t0\t1790000000000000\n2\tb b\t7\t0\t1790000001000000\n";
        assert_eq!(text, expect);
    }

    fn any_contenders() -> impl Strategy<Value = Vec<Contender>> {
        prop::collection::vec((0i64..4, 0i64..2, 0i64..3), 0..30).prop_map(|told| {
            let named = told.into_iter().enumerate();
            named
                .map(|(n, (score, sub, at))| Contender {
                    sub_score: Score::of_units(sub, "subScore").expect("a score"),
                    ..contender(&format!("u{n:02}"), score, at)
                })
                .collect()
        })
    }

    proptest! {
        /// The rank is what its definition counts, in whatever order contenders come.
        #[test]
        fn ranks_count_who_is_better(
            (told, shuffled) in any_contenders()
                .prop_flat_map(|told| (Just(told.clone()), Just(told).prop_shuffle())),
            ties in prop::sample::select(TiePolicy::ALL),
            sort in prop::sample::select(Sort::ALL),
        ) {
            let standings = rank(told.clone(), sort, ties);
            prop_assert_eq!(&rank(shuffled, sort, ties), &standings);
            prop_assert_eq!(standings.len(), told.len());
            for standing in &standings {
                let ours = (standing.score, standing.sub_score);
                let is_better = |other: &&Contender| {
                    let theirs = (other.score, other.sub_score);
                    let by_score = if sort == Sort::Descending { theirs > ours } else { theirs < ours };
                    let first = theirs == ours && other.achieved_at < standing.achieved_at;
                    let lesser = theirs == ours && other.achieved_at == standing.achieved_at
                        && other.user < standing.user;
                    by_score || match ties {
                        TiePolicy::Competition | TiePolicy::Dense => false,
                        TiePolicy::Earliest => first,
                        TiePolicy::Ordinal => first || lesser,
                    }
                };
                let better = told.iter().filter(is_better);
                let count = if ties == TiePolicy::Dense {
                    let scores = better.map(|other| (other.score, other.sub_score));
                    scores.collect::<std::collections::BTreeSet<_>>().len()
                } else {
                    better.count()
                };
                prop_assert_eq!(standing.rank, count as u64 + 1);
            }
        }
    }
}
