//! How fast an error budget is used up: by rules that each look back over a long and a short span.

use chrono::TimeDelta;
use domain::slo::{BurnRule, PARTS_PER_MILLION};

use super::Counted;

/// So much of a window's budget may not be used within the long span. The short one lets an alert end soon
/// after its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetRule {
    /// The long span, in minutes.
    pub long_minutes: u32,
    /// The short one, in minutes.
    pub short_minutes: u32,
    /// How much of the budget, in percent.
    pub budget_percent: u32,
}

/// The rules in use, the most urgent first: those Google's workbook on reliability gives for 30 days, told
/// as shares of the budget, so that they hold for any window.
pub const BURN_RULES: [BudgetRule; 4] = [
    rule(60, 5, 2),
    rule(360, 30, 5),
    rule(1_440, 120, 10),
    rule(4_320, 360, 10),
];

const fn rule(long_minutes: u32, short_minutes: u32, budget_percent: u32) -> BudgetRule {
    BudgetRule {
        long_minutes,
        short_minutes,
        budget_percent,
    }
}

impl BudgetRule {
    /// The rule for a window so long; `None` if its long span does not fit. The burn rate that is too fast
    /// is rounded to thousandths.
    pub fn over(self, window: TimeDelta) -> Option<BurnRule> {
        let (minutes, long) = (window.num_minutes(), i64::from(self.long_minutes));
        if long > minutes {
            return None;
        }
        // Percent times ten are thousandths.
        let milli = (i64::from(self.budget_percent) * 10 * minutes + long / 2) / long;
        Some(BurnRule {
            long_minutes: self.long_minutes,
            short_minutes: self.short_minutes,
            factor_milli: u32::try_from(milli).ok()?,
        })
    }
}

/// How fast a budget is used up, by one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurnRate {
    /// The rule, as it is for the window.
    pub rule: BurnRule,
    /// What was counted over its long span.
    pub long: Counted,
    /// Over its short one.
    pub short: Counted,
}

impl BurnRate {
    /// Is it faster than the rule allows? Over both spans it has to be, and where nothing was counted it is
    /// not. In whole numbers: as fast as allowed is not too fast.
    pub fn is_too_fast(&self, objective_ppm: u32) -> bool {
        let exceeds = |counted: Counted| {
            let bad = i128::from(counted.total - counted.good) * i128::from(PARTS_PER_MILLION);
            let may = i128::from(counted.total) * i128::from(PARTS_PER_MILLION - objective_ppm);
            bad * 1_000 > may * i128::from(self.rule.factor_milli)
        };
        exceeds(self.long) && exceeds(self.short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(window: TimeDelta) -> Vec<u32> {
        let rules = BURN_RULES.iter().filter_map(|rule| rule.over(window));
        rules.map(|rule| rule.factor_milli).collect()
    }

    #[test]
    fn factors_are_those_that_are_published_for_thirty_days() {
        assert_eq!(factors(TimeDelta::days(30)), [14_400, 6_000, 3_000, 1_000]);
        assert_eq!(factors(TimeDelta::days(7)), [3_360, 1_400, 700, 233]);
    }

    #[test]
    fn a_rule_that_looks_back_further_than_the_window_is_left_out() {
        assert_eq!(factors(TimeDelta::days(3)), [1_440, 600, 300, 100]);
        assert_eq!(factors(TimeDelta::days(1)), [480, 200, 100]);
    }

    #[test]
    fn both_spans_have_to_exceed_the_factor() {
        let of = |bad: i64| Counted {
            total: 1_000,
            good: 1_000 - bad,
        };
        let check = |long: Counted, short: Counted, expect| {
            let rule = BURN_RULES[0].over(TimeDelta::days(30)).expect("it fits");
            let rate = BurnRate { rule, long, short };
            assert_eq!(rate.is_too_fast(990_000), expect, "{long:?} {short:?}");
        };
        // Of 1 % that may be bad, 14.4 times as much is 144 of 1,000.
        assert_eq!(of(144).budget_used(990_000), Some(14.4));
        check(of(145), of(145), true);
        check(of(144), of(200), false);
        check(of(200), of(144), false);
        check(of(200), Counted::default(), false);
        check(Counted::default(), Counted::default(), false);
    }
}
