//! What came of requests, counted as they are answered.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::histogram::Histogram;

/// Codes that are told apart for one operation; others are counted as one.
const CODES_MAX: usize = 64;

/// The code of all others.
const OTHER: &str = "OTHER";

/// What came of one operation's requests.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// How long those took that were answered well, in microseconds. What is refused at once must not make
    /// the others look fast.
    pub took: Histogram,
    /// What those carried: records of batches, else as many as there are.
    pub units: u64,
    /// The others, by code.
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
    pub fn record(
        &mut self,
        operation: &'static str,
        units: u64,
        took: Duration,
        told: Result<(), String>,
    ) {
        let figures = self.operations.entry(operation).or_default();
        match told {
            Ok(()) => {
                figures.took.record(took.as_micros() as u64);
                figures.units += units;
            }
            Err(code) => figures.fail(code, 1),
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
        figures.record("a", 5, ms(10), Ok(()));
        figures.record("a", 5, ms(0), Err("RATE_LIMITED".into()));
        figures.record("a", 5, ms(0), Err("RATE_LIMITED".into()));
        figures.record("b", 1, ms(30), Ok(()));
        let overall = figures.overall();
        assert_eq!((overall.successes(), overall.failed()), (2, 2));
        assert_eq!(overall.units, 6);
        assert_eq!(overall.failures["RATE_LIMITED"], 2);
        assert_eq!(overall.took.min_us(), Some(10_000));
        assert_eq!(figures.operations.len(), 2);
    }

    #[test]
    fn codes_are_bounded_and_none_is_lost() {
        let mut figures = Figures::default();
        for n in 0..1_000 {
            figures.record("a", 1, Duration::ZERO, Err(format!("CODE_{n}")));
        }
        let failures = &figures.operations["a"].failures;
        assert_eq!(failures.len(), CODES_MAX + 1);
        assert_eq!(failures[OTHER], 1_000 - CODES_MAX as u64);
    }
}
