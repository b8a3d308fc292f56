//! What came of requests, counted as they are answered.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::histogram::Histogram;

/// Codes that are told apart for one operation; others are counted as one.
const CODES_MAX: usize = 64;

/// The code of all others.
const OTHER: &str = "OTHER";

/// The code of requests that were under way when a run was ended, and not answered soon after.
pub const NOT_ANSWERED: &str = "NOT_ANSWERED";

/// The code of requests that were due and for which there was no connection in time.
pub const NOT_SENT: &str = "NOT_SENT";

/// What these are called in the table: what would have been asked is not known.
const UNSENT: &str = "not sent";

/// So many a second; none where there was no time.
pub fn per_second(count: u64, seconds: f64) -> f64 {
    match seconds > 0.0 {
        true => count as f64 / seconds,
        false => 0.0,
    }
}

/// What came of one operation's requests.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// How long those took that were answered well, in microseconds. What is refused at once must not make
    /// the others look fast.
    pub took: Histogram,
    /// How many good answers came while it was measured, whenever they were asked for. Only these make a
    /// rate: what is late must not stretch the time by which the others are divided.
    pub in_time: u64,
    /// What those carried: records of batches, else as many as there are.
    pub units: u64,
    /// Those that were not answered well, by code.
    pub failures: BTreeMap<String, u64>,
}

impl Operation {
    /// How many were answered well.
    pub fn successes(&self) -> u64 {
        self.took.count()
    }

    /// How many were not.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn fail(&mut self, code: String, count: u64) {
        let is_new = !self.failures.contains_key(&code);
        let code = match is_new && self.failures.len() >= CODES_MAX {
            true => OTHER.to_owned(),
            false => code,
        };
        *self.failures.entry(code).or_default() += count;
    }

    fn add(&mut self, other: &Operation) {
        self.took.add(&other.took);
        self.in_time += other.in_time;
        self.units += other.units;
        for (code, count) in &other.failures {
            self.fail(code.clone(), *count);
        }
    }
}

/// What came of all requests of a while.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// By what was asked.
    pub operations: BTreeMap<&'static str, Operation>,
}

impl Figures {
    /// Takes one answer in.
    pub fn record(&mut self, operation: &'static str, took: Duration, told: Result<(), String>) {
        let figures = self.operations.entry(operation).or_default();
        match told {
            Ok(()) => figures.took.record(took.as_micros() as u64),
            Err(code) => figures.fail(code, 1),
        }
    }

    /// A good answer came while it was measured.
    pub fn came(&mut self, operation: &'static str, units: u64) {
        let figures = self.operations.entry(operation).or_default();
        figures.in_time += 1;
        figures.units += units;
    }

    /// So many were due and not sent.
    pub fn unsent(&mut self, count: u64) {
        if count > 0 {
            let figures = self.operations.entry(UNSENT).or_default();
            figures.fail(NOT_SENT.to_owned(), count);
        }
    }

    /// All operations as one.
    pub fn overall(&self) -> Operation {
        let mut overall = Operation::default();
        self.operations.values().for_each(|one| overall.add(one));
        overall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_code_and_do_not_look_fast() {
        let mut figures = Figures::default();
        let ms = Duration::from_millis;
        figures.record("a", ms(10), Ok(()));
        figures.came("a", 5);
        figures.record("a", ms(0), Err("RATE_LIMITED".into()));
        figures.record("a", ms(0), Err("RATE_LIMITED".into()));
        figures.record("b", ms(30), Ok(()));
        figures.came("b", 1);
        let overall = figures.overall();
        assert_eq!((overall.successes(), overall.failed()), (2, 2));
        assert_eq!((overall.in_time, overall.units), (2, 6));
        assert_eq!(overall.failures["RATE_LIMITED"], 2);
        assert_eq!(overall.took.min_us(), Some(10_000));
        assert_eq!(figures.operations.len(), 2);
    }

    #[test]
    fn nothing_a_second_comes_of_no_time_at_all() {
        assert_eq!(per_second(10, 4.0), 2.5);
        assert_eq!(per_second(10, 0.0), 0.0);
    }

    #[test]
    fn what_was_not_sent_failed_and_nothing_is_told_where_all_was() {
        let mut figures = Figures::default();
        figures.unsent(0);
        assert!(figures.operations.is_empty());
        figures.unsent(7);
        assert_eq!(figures.overall().failures[NOT_SENT], 7);
    }

    #[test]
    fn codes_are_bounded_and_none_is_lost() {
        let mut figures = Figures::default();
        for n in 0..1_000 {
            figures.record("a", Duration::ZERO, Err(format!("CODE_{n}")));
        }
        let failures = &figures.operations["a"].failures;
        assert_eq!(failures.len(), CODES_MAX + 1);
        assert_eq!(failures[OTHER], 1_000 - CODES_MAX as u64);
    }
}
