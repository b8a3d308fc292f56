//! Scores: exact, at least zero, and what several of them make together.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decimal;
use crate::refusal::{Code, Refusal};
use crate::words::words;

/// The largest whole number that every JSON reader keeps exactly: 2^53.
const JSON_EXACT_MAX: u64 = 1 << 53;

/// A score in its smallest unit: where a competition has one decimal place, 12.5 is 125.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Score(i64);

impl Score {
    /// None at all.
    pub const ZERO: Score = Score(0);

    /// So many of the smallest unit; `OUT_OF_RANGE` below zero.
    pub fn of_units(units: i64, field: &str) -> Result<Score, Refusal> {
        if units < 0 {
            let message = format!("{field} is below zero");
            return Err(Refusal::new(Code::OutOfRange, message)
                .at([field])
                .with("min", 0)
                .with("actual", units));
        }
        Ok(Score(units))
    }

    /// A score as text, see [`decimal::parse`].
    pub fn parse(text: &str, decimals: u8, field: &str) -> Result<Score, Refusal> {
        decimal::parse(text, decimals, field).map(Score)
    }

    /// A score out of JSON: a decimal text, or a whole number up to 2^53. A number with a point or an
    /// exponent has been through floating point, so it is refused (`VALIDATION`); a larger one may
    /// have been rounded on its way (`OUT_OF_RANGE`).
    pub fn of_json(value: &Value, decimals: u8, field: &str) -> Result<Score, Refusal> {
        let number = match value {
            Value::String(text) => return Score::parse(text, decimals, field),
            Value::Number(number) => number,
            _ => return Err(no_score(field)),
        };
        if let Some(units) = number.as_i64().filter(|units| *units < 0) {
            return Score::of_units(units, field);
        }
        match number.as_u64() {
            Some(whole) if whole <= JSON_EXACT_MAX => {
                Score::parse(&whole.to_string(), decimals, field)
            }
            Some(whole) => {
                let message = format!("{field} is a number above 2^53: send it as text");
                Err(Refusal::new(Code::OutOfRange, message)
                    .at([field])
                    .with("max", JSON_EXACT_MAX)
                    .with("actual", whole.to_string()))
            }
            None => Err(no_score(field)),
        }
    }

    /// How many of the smallest unit.
    pub fn units(self) -> i64 {
        self.0
    }

    /// With all its places: 125 with one place is `12.5`.
    pub fn text(self, decimals: u8) -> String {
        decimal::text(self.0, decimals)
    }

    fn plus(self, other: Score) -> Option<Score> {
        self.0.checked_add(other.0).map(Score)
    }

    fn minus(self, other: Score) -> Option<Score> {
        let left = self.0.checked_sub(other.0)?;
        (left >= 0).then_some(Score(left))
    }
}

fn no_score(field: &str) -> Refusal {
    let message = format!("{field} is neither a decimal text nor a whole number");
    Refusal::new(Code::Validation, message).at([field])
}

words! {
    /// What several scores of one user in one period make together.
    Operator {
        Best "best" "The best of them counts.";
        Set "set" "The latest of them counts, by when it was achieved.";
        Sum "sum" "Their sum counts.";
        Decrement "decrement" "What is left of a score to start from once they are taken away.";
    }
}

words! {
    /// Which score is better.
    Sort {
        Descending "descending" "The higher one.";
        Ascending "ascending" "The lower one.";
    }
}

/// One score that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attempt {
    /// The score.
    pub score: Score,
    /// Tells equal scores apart, in the same sense as the score; left out: zero.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sub_score: Score,
    /// When it was achieved.
    pub achieved_at: DateTime<Utc>,
    /// Its number among the user's of the period, from 1.
    pub number: u32,
}

fn is_zero(score: &Score) -> bool {
    *score == Score::ZERO
}

/// What attempts of one user in one period have come to.
///
/// It does not matter in which order they are added, so boards can be folded in parts and merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tally {
    /// The score that counts. For [`Operator::Decrement`]: all that was taken away.
    pub score: Score,
    /// Its sub-score. Added up for sums and decrements.
    pub sub_score: Score,
    /// When the present score was first reached: for `best` by the earliest attempt as good as the
    /// best, for `set` by the latest attempt, for `sum` and `decrement` by the last attempt that
    /// changed it.
    pub achieved_at: DateTime<Utc>,
    /// The number of the attempt that decides for `set`.
    pub number: u32,
    /// How many attempts count.
    pub attempts: u32,
}

impl From<Attempt> for Tally {
    fn from(attempt: Attempt) -> Tally {
        Tally {
            score: attempt.score,
            sub_score: attempt.sub_score,
            achieved_at: attempt.achieved_at,
            number: attempt.number,
            attempts: 1,
        }
    }
}

impl Tally {
    /// Two of them as one; `None` if a sum leaves the range of exact scores.
    pub fn merge(self, other: Tally, operator: Operator, sort: Sort) -> Option<Tally> {
        let attempts = self.attempts.checked_add(other.attempts)?;
        let kept = match operator {
            Operator::Best => self.better(other, sort),
            Operator::Set => {
                let key = |tally: &Tally| {
                    (
                        tally.achieved_at,
                        tally.number,
                        tally.score,
                        tally.sub_score,
                    )
                };
                if key(&other) > key(&self) {
                    other
                } else {
                    self
                }
            }
            Operator::Sum | Operator::Decrement => self.added(other)?,
        };
        Some(Tally { attempts, ..kept })
    }

    fn better(self, other: Tally, sort: Sort) -> Tally {
        let ours = (self.score, self.sub_score);
        let theirs = (other.score, other.sub_score);
        let theirs_first = match sort {
            Sort::Descending => theirs > ours,
            Sort::Ascending => theirs < ours,
        };
        let earlier = (other.achieved_at, other.number) < (self.achieved_at, self.number);
        if theirs_first || (theirs == ours && earlier) {
            other
        } else {
            self
        }
    }

    /// What adds nothing does not count as reaching a score: unless nobody adds anything.
    fn added(self, other: Tally) -> Option<Tally> {
        let adds = |tally: &Tally| tally.score != Score::ZERO || tally.sub_score != Score::ZERO;
        let reached = match (adds(&self), adds(&other)) {
            (true, false) => self,
            (false, true) => other,
            (true, true) if other.achieved_at > self.achieved_at => other,
            (false, false) if other.achieved_at < self.achieved_at => other,
            _ => self,
        };
        Some(Tally {
            score: self.score.plus(other.score)?,
            sub_score: self.sub_score.plus(other.sub_score)?,
            achieved_at: reached.achieved_at,
            number: self.number.max(other.number),
            attempts: self.attempts,
        })
    }

    /// The score that ranks: for [`Operator::Decrement`] what is left of `start`, `None` if more was
    /// taken away than there was.
    pub fn standing(self, operator: Operator, start: Score) -> Option<Score> {
        match operator {
            Operator::Decrement => start.minus(self.score),
            Operator::Best | Operator::Set | Operator::Sum => Some(self.score),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::given::at;

    /// J7, J8
    #[test]
    fn a_score_out_of_json_has_not_been_rounded() {
        let read = |value| {
            let score = Score::of_json(&value, 1, "score");
            score.map(Score::units).map_err(|refusal| refusal.code)
        };
        assert_eq!(read(json!("12.5")), Ok(125));
        assert_eq!(read(json!(12)), Ok(120));
        assert_eq!(read(json!(0)), Ok(0));
        assert_eq!(read(json!(1_u64 << 53)), Ok((1 << 53) * 10));
        assert_eq!(read(json!((1_u64 << 53) + 1)), Err(Code::OutOfRange));
        assert_eq!(read(json!(u64::MAX)), Err(Code::OutOfRange));
        assert_eq!(read(json!(-1)), Err(Code::OutOfRange));
        for other in [
            json!(12.5),
            json!(-0.0),
            json!(1e2),
            json!(null),
            json!(true),
            json!([1]),
        ] {
            assert_eq!(read(other.clone()), Err(Code::Validation), "{other}");
        }
    }

    fn tally(score: i64, seconds: i64, number: u32) -> Tally {
        Tally::from(Attempt {
            score: Score(score),
            sub_score: Score::ZERO,
            achieved_at: at(seconds),
            number,
        })
    }

    fn come_to(operator: Operator, sort: Sort, attempts: &[Tally]) -> (i64, i64) {
        let merge = |a: Tally, b: Tally| a.merge(b, operator, sort).expect("in range");
        let tally = attempts.iter().copied().reduce(merge).expect("some");
        assert_eq!(tally.attempts as usize, attempts.len());
        (
            tally.score.units(),
            (tally.achieved_at - at(0)).num_seconds(),
        )
    }

    #[test]
    fn operators_say_what_scores_come_to_and_when_that_was_reached() {
        let told = [
            tally(5, 30, 1),
            tally(9, 20, 2),
            tally(9, 10, 3),
            tally(0, 40, 4),
        ];
        let (high, low) = (Sort::Descending, Sort::Ascending);
        assert_eq!(come_to(Operator::Best, high, &told), (9, 10));
        assert_eq!(come_to(Operator::Best, low, &told), (0, 40));
        assert_eq!(come_to(Operator::Set, high, &told), (0, 40));
        assert_eq!(come_to(Operator::Sum, high, &told), (23, 30));
        assert_eq!(
            come_to(Operator::Sum, high, &[tally(0, 9, 1), tally(0, 3, 2)]),
            (0, 3)
        );
    }

    /// J9
    #[test]
    fn a_sum_beyond_the_range_is_none() {
        let (most, one) = (tally(i64::MAX, 0, 1), tally(1, 1, 2));
        assert_eq!(most.merge(one, Operator::Sum, Sort::Descending), None);
        let best = most.merge(one, Operator::Best, Sort::Descending);
        assert_eq!(best.map(|tally| tally.score.units()), Some(i64::MAX));
    }

    #[test]
    fn what_is_left_is_never_below_zero() {
        let taken = tally(7, 0, 1);
        let left = |start| taken.standing(Operator::Decrement, Score(start));
        assert_eq!(
            (left(10), left(7), left(6)),
            (Some(Score(3)), Some(Score(0)), None)
        );
        assert_eq!(taken.standing(Operator::Sum, Score(100)), Some(Score(7)));
    }

    fn any_tallies() -> impl Strategy<Value = Vec<Tally>> {
        prop::collection::vec((0i64..4, 0i64..4), 1..8).prop_map(|said| {
            let numbered = said.into_iter().zip(1..);
            numbered
                .map(|((score, at), n)| tally(score, at, n))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_order_of_merging_does_not_matter(
            (told, shuffled, cut) in any_tallies().prop_flat_map(|told| {
                let length = told.len();
                (Just(told.clone()), Just(told).prop_shuffle(), 0..length)
            }),
            operator in prop::sample::select(Operator::ALL),
            sort in prop::sample::select(Sort::ALL),
        ) {
            let fold = |part: &[Tally]| {
                part.iter().copied().reduce(|a, b| a.merge(b, operator, sort).expect("small"))
            };
            let whole = fold(&told).expect("some");
            prop_assert_eq!(fold(&shuffled), Some(whole));
            let (head, tail) = shuffled.split_at(cut);
            let parts = [fold(tail), fold(head)].into_iter().flatten();
            let merged = parts.reduce(|a, b| a.merge(b, operator, sort).expect("small"));
            prop_assert_eq!(merged, Some(whole));
        }
    }
}
