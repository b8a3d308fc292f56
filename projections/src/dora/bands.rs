//! What others call good: the bands of DORA's reports, by year, and how often is often.
//!
//! The bounds are those of the reports of 2021 and 2023 as Apache DevLake keeps them
//! (`20240223_add_dora_2023_benchmark.go` of its plugin `dora`), read there and compared.
//!
//! A report's bands leave gaps (what lies between an hour and a day?); here each ends where the next
//! begins. A table is never changed: another report is another table.

/// How often, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrequencyBand {
    /// On three days or more of a usual week.
    Daily,
    /// On a day of a usual week.
    Weekly,
    /// Once a month or more.
    Monthly,
    /// Less often.
    Yearly,
}

/// The days of a month, on average.
const MONTH_DAYS: f64 = 365.25 / 12.0;
/// An hour and so on, in seconds.
const HOUR_S: f64 = 3_600.0;
const DAY_S: f64 = 24.0 * HOUR_S;
const WEEK_S: f64 = 7.0 * DAY_S;
const MONTH_S: f64 = MONTH_DAYS * DAY_S;

impl FrequencyBand {
    /// Of the median of days with a deployment per week, and of deployments per day.
    pub fn of(median_days_per_week: f64, per_day: f64) -> FrequencyBand {
        if median_days_per_week >= 3.0 {
            FrequencyBand::Daily
        } else if median_days_per_week >= 1.0 {
            FrequencyBand::Weekly
        } else if per_day * MONTH_DAYS >= 1.0 {
            FrequencyBand::Monthly
        } else {
            FrequencyBand::Yearly
        }
    }
}

/// How well, compared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Performance {
    /// As the best.
    Elite,
    /// Better than most.
    High,
    /// As most.
    Medium,
    /// Worse than most.
    Low,
}

/// The report that is compared with, by its year.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Benchmark {
    /// Of 2021.
    Report2021,
    /// Of 2023.
    #[default]
    Report2023,
}

/// The bounds of elite, high and medium.
struct Bounds {
    /// Deployments a day, at least; elite asks for five days of a usual week instead.
    per_day: [f64; 2],
    lead_below_s: [f64; 3],
    fail_rate_up_to: [f64; 3],
    recovery_below_s: [f64; 3],
}

const REPORT_2021: Bounds = Bounds {
    per_day: [1.0 / MONTH_DAYS, 1.0 / (6.0 * MONTH_DAYS)],
    lead_below_s: [HOUR_S, WEEK_S, 6.0 * MONTH_S],
    fail_rate_up_to: [0.15, 0.20, 0.30],
    recovery_below_s: [HOUR_S, DAY_S, WEEK_S],
};

const REPORT_2023: Bounds = Bounds {
    per_day: [1.0 / 7.0, 1.0 / MONTH_DAYS],
    lead_below_s: [DAY_S, WEEK_S, MONTH_S],
    fail_rate_up_to: [0.05, 0.10, 0.15],
    recovery_below_s: [HOUR_S, DAY_S, WEEK_S],
};

/// On so many days of a usual week is on demand.
const ON_DEMAND_DAYS: f64 = 5.0;

impl Benchmark {
    fn bounds(self) -> &'static Bounds {
        match self {
            Benchmark::Report2021 => &REPORT_2021,
            Benchmark::Report2023 => &REPORT_2023,
        }
    }

    /// Of the median of days with a deployment per week, and of deployments per day.
    pub fn frequency(self, median_days_per_week: f64, per_day: f64) -> Performance {
        if median_days_per_week >= ON_DEMAND_DAYS {
            return Performance::Elite;
        }
        match self.bounds().per_day.map(|least| per_day >= least) {
            [true, _] => Performance::High,
            [false, true] => Performance::Medium,
            [false, false] => Performance::Low,
        }
    }

    /// Of the median lead time.
    pub fn lead_time(self, p50_s: f64) -> Performance {
        graded(self.bounds().lead_below_s.map(|bound| p50_s < bound))
    }

    /// Of the change fail rate.
    pub fn fail_rate(self, rate: f64) -> Performance {
        graded(self.bounds().fail_rate_up_to.map(|bound| rate <= bound))
    }

    /// Of the median recovery time.
    pub fn recovery(self, p50_s: f64) -> Performance {
        graded(self.bounds().recovery_below_s.map(|bound| p50_s < bound))
    }
}

fn graded(met: [bool; 3]) -> Performance {
    match met {
        [true, _, _] => Performance::Elite,
        [_, true, _] => Performance::High,
        [_, _, true] => Performance::Medium,
        _ => Performance::Low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_has_a_word() {
        let check = |median: f64, per_day: f64, expect| {
            assert_eq!(
                FrequencyBand::of(median, per_day),
                expect,
                "{median} {per_day}"
            );
        };
        check(3.0, 9.0, FrequencyBand::Daily);
        check(2.5, 9.0, FrequencyBand::Weekly);
        check(1.0, 0.1, FrequencyBand::Weekly);
        check(0.5, 0.04, FrequencyBand::Monthly);
        check(0.0, 0.03, FrequencyBand::Yearly);
    }

    #[test]
    fn each_band_ends_where_the_next_begins() {
        use Performance::{Elite, High, Low, Medium};
        let new = Benchmark::Report2023;
        let lead = [DAY_S - 1.0, DAY_S, WEEK_S, MONTH_S].map(|s| new.lead_time(s));
        assert_eq!(lead, [Elite, High, Medium, Low]);
        let rates = [0.05, 0.0501, 0.15, 0.1501].map(|rate| new.fail_rate(rate));
        assert_eq!(rates, [Elite, High, Medium, Low]);
        let recovery = [HOUR_S - 1.0, HOUR_S, DAY_S, WEEK_S].map(|s| new.recovery(s));
        assert_eq!(recovery, [Elite, High, Medium, Low]);
        let often = [(5.0, 1.0), (2.0, 1.0), (0.0, 0.1), (0.0, 0.01)];
        let often = often.map(|(median, per_day)| new.frequency(median, per_day));
        assert_eq!(often, [Elite, High, Medium, Low]);
    }

    #[test]
    fn another_report_has_other_bands() {
        let (old, new) = (Benchmark::Report2021, Benchmark::Report2023);
        assert_eq!(old.lead_time(2.0 * HOUR_S), Performance::High);
        assert_eq!(new.lead_time(2.0 * HOUR_S), Performance::Elite);
        assert_eq!(old.fail_rate(0.12), Performance::Elite);
        assert_eq!(new.fail_rate(0.12), Performance::Medium);
        assert_eq!(old.frequency(0.0, 0.04), Performance::High);
        assert_eq!(new.frequency(0.0, 0.04), Performance::Medium);
        assert_eq!(old.frequency(0.0, 0.004), Performance::Low);
        assert_eq!(new.recovery(2.0 * WEEK_S), Performance::Low);
    }
}
