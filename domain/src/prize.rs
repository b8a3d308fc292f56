//! Prizes: what the places of a board are worth, exact to the smallest unit of a currency.

use serde::{Deserialize, Serialize};

use crate::decimal;
use crate::refusal::{Code, Refusal};
use crate::standing::Standing;
use crate::values::{TextRule, text, too_large};
use crate::words::words;

/// The largest pool whose prizes may be duplicated, in the smallest unit: a million who share the first place
/// are given what can be told exactly.
pub const DUPLICATED_POOL_MAX: i64 = i64::MAX / 1_000_000;

/// How many rules a plan of prizes may have.
pub const PRIZE_RULES_MAX: usize = 100;
/// The last place a prize may be for.
pub const PRIZE_PLACE_MAX: u32 = 100_000;
/// The whole, in parts per million.
const WHOLE_PPM: u32 = 1_000_000;

words! {
    /// What happens to prizes of places that equal scores share.
    PrizeTies {
        Split "split" "The sum of all their places is divided; what cannot be goes to who was first.";
        Duplicate "duplicate" "Each gets the prize of the rank they share, though the pool be exceeded.";
    }
}

/// What one rule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum PrizeRule {
    /// An amount for a place.
    Fixed {
        /// Which, from 1.
        place: u32,
        /// How much, in the smallest unit.
        amount: i64,
    },
    /// A share of the pool for a place, cut to the smallest unit.
    Percentage {
        /// Which, from 1.
        place: u32,
        /// How much of the pool, in parts per million.
        share_ppm: u32,
    },
    /// A share of the pool, cut to the smallest unit, divided among the first of all entries; what
    /// cannot be divided goes, unit by unit, to the first places.
    TopPercent {
        /// How many of the entries, in parts per million, cut to whole entries; one at least.
        top_ppm: u32,
        /// How much of the pool, in parts per million.
        share_ppm: u32,
    },
}

/// What the places of every period's board are worth. Amounts are in the smallest unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrizePlan {
    /// What is given, such as `EUR` or `points`.
    pub currency: String,
    /// How many decimal places an amount has, 0 to 6.
    pub decimals: u8,
    /// What there is to give each period.
    pub pool: i64,
    /// What happens to places that are shared.
    pub ties: PrizeTies,
    /// What is given; rules for one place add up.
    pub rules: Vec<PrizeRule>,
}

/// What one user gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Award {
    /// Who, by id.
    pub user: String,
    /// For which rank.
    pub rank: u64,
    /// How much, in the smallest unit; more than zero.
    pub amount: i64,
}

/// A share of an amount, cut to the smallest unit.
fn share(pool: i64, ppm: u32) -> i64 {
    let share = i128::from(pool) * i128::from(ppm) / i128::from(WHOLE_PPM);
    i64::try_from(share).unwrap_or(i64::MAX)
}

impl PrizePlan {
    /// With every text, number and place checked; `PRIZES_EXCEED_POOL` if the places together are
    /// worth more than there is.
    pub fn checked(&self) -> Result<PrizePlan, Refusal> {
        let under = |refusal: Refusal| refusal.under(["prizes"]);
        let currency = text(TextRule::Key, &self.currency, "currency").map_err(under)?;
        let decimals = decimal::decimals(self.decimals, "decimals").map_err(under)?;
        amount(self.pool, "pool").map_err(under)?;
        if self.rules.is_empty() {
            let message = "there are no rules";
            return Err(under(Refusal::new(Code::Validation, message).at(["rules"])));
        }
        if self.rules.len() > PRIZE_RULES_MAX {
            let many = too_large(self.rules.len(), PRIZE_RULES_MAX, "rules", "rules");
            return Err(under(many));
        }
        let mut promised = 0_i128;
        for (index, rule) in self.rules.iter().enumerate() {
            let at =
                |r: Refusal| r.under(["prizes".to_owned(), "rules".to_owned(), index.to_string()]);
            promised += i128::from(self.checked_rule(*rule).map_err(at)?);
        }
        if promised > i128::from(self.pool) {
            let message = "the prizes together are more than the pool";
            return Err(under(
                Refusal::new(Code::PrizesExceedPool, message)
                    .at(["rules"])
                    .with("pool", decimal::text(self.pool, decimals))
                    .with("promisedUnits", promised.to_string()),
            ));
        }
        if self.ties == PrizeTies::Duplicate && self.pool > DUPLICATED_POOL_MAX {
            let message = "a pool whose prizes are duplicated is larger than can be told exactly";
            let refusal = Refusal::new(Code::OutOfRange, message).at(["pool"]);
            return Err(under(refusal.with("maxUnits", DUPLICATED_POOL_MAX)));
        }
        Ok(PrizePlan {
            currency: currency.to_owned(),
            ..self.clone()
        })
    }

    /// What a rule gives at most, over all places.
    fn checked_rule(&self, rule: PrizeRule) -> Result<i64, Refusal> {
        match rule {
            PrizeRule::Fixed {
                place,
                amount: given,
            } => {
                check_place(place)?;
                amount(given, "amount")
            }
            PrizeRule::Percentage { place, share_ppm } => {
                check_place(place)?;
                check_ppm(share_ppm, "sharePpm")?;
                Ok(share(self.pool, share_ppm))
            }
            PrizeRule::TopPercent { top_ppm, share_ppm } => {
                check_ppm(top_ppm, "topPpm")?;
                check_ppm(share_ppm, "sharePpm")?;
                Ok(share(self.pool, share_ppm))
            }
        }
    }

    /// What each place of a board of so many entries is worth, the first place first; places behind
    /// the last one are worth nothing.
    pub fn places(&self, entries: usize) -> Vec<i64> {
        let mut worth = vec![0_i64; entries];
        let mut add = |index: usize, amount: i64| {
            if let Some(place) = worth.get_mut(index) {
                *place = place.saturating_add(amount);
            }
        };
        for rule in &self.rules {
            match *rule {
                PrizeRule::Fixed { place, amount } => add(index_of(place), amount),
                PrizeRule::Percentage { place, share_ppm } => {
                    add(index_of(place), share(self.pool, share_ppm));
                }
                PrizeRule::TopPercent { top_ppm, share_ppm } => {
                    let first = entries as u128 * u128::from(top_ppm) / u128::from(WHOLE_PPM);
                    let first = usize::try_from(first)
                        .unwrap_or(entries)
                        .clamp(1, entries.max(1));
                    let parts = divided(share(self.pool, share_ppm), first);
                    parts.enumerate().for_each(|(index, part)| add(index, part));
                }
            }
        }
        while worth.last() == Some(&0) {
            worth.pop();
        }
        worth
    }

    /// What each user of a board gets, the first place first. The board is in its order, as
    /// [`crate::standing::rank`] makes it, so that of those who tie the first achiever is first.
    ///
    /// Those who share a rank share its prizes. Places that are split are those they occupy, whatever
    /// their rank is called: with a dense policy the user behind two of rank 2 has rank 3, and gets
    /// the prize of the fourth place. Duplicated prizes go by rank.
    pub fn awards(&self, standings: &[Standing]) -> Vec<Award> {
        let worth = self.places(standings.len());
        let mut awards = Vec::new();
        let mut place = 0;
        for tied in standings.chunk_by(|a, b| a.rank == b.rank) {
            let amounts: Vec<i64> = match self.ties {
                PrizeTies::Split => {
                    let occupied = worth.iter().skip(place).take(tied.len());
                    let sum = occupied.fold(0_i64, |sum, amount| sum.saturating_add(*amount));
                    divided(sum, tied.len()).collect()
                }
                PrizeTies::Duplicate => {
                    let index = usize::try_from(tied[0].rank - 1).unwrap_or(usize::MAX);
                    let each = worth.get(index).copied().unwrap_or(0);
                    vec![each; tied.len()]
                }
            };
            let given = tied.iter().zip(amounts).filter(|(_, amount)| *amount > 0);
            awards.extend(given.map(|(standing, amount)| Award {
                user: standing.user.clone(),
                rank: standing.rank,
                amount,
            }));
            place += tied.len();
        }
        awards
    }
}

/// An amount in so many parts that differ by one unit at most, the larger first.
fn divided(amount: i64, parts: usize) -> impl Iterator<Item = i64> {
    let count = i64::try_from(parts).unwrap_or(i64::MAX).max(1);
    let (each, rest) = (amount / count, amount % count);
    (0..count).map(move |part| each + i64::from(part < rest))
}

fn index_of(place: u32) -> usize {
    usize::try_from(place).map_or(usize::MAX, |place| place.saturating_sub(1))
}

fn amount(value: i64, field: &str) -> Result<i64, Refusal> {
    if value > 0 {
        return Ok(value);
    }
    let message = format!("{field} is not above zero");
    Err(Refusal::new(Code::OutOfRange, message)
        .at([field])
        .with("min", 1)
        .with("actual", value))
}

fn check_place(place: u32) -> Result<(), Refusal> {
    crate::values::between(place, 1..=PRIZE_PLACE_MAX, "place")
}

fn check_ppm(ppm: u32, field: &str) -> Result<(), Refusal> {
    crate::values::between(ppm, 1..=WHOLE_PPM, field)
}

#[cfg(test)]
mod tests;
