//! Leaves a failing Redis alone for a while, then asks it once.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Counts failures in a row.
pub struct Breaker {
    failures_max: u32,
    open_for: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// Until then nobody asks.
    open_until: Option<Instant>,
}

impl Breaker {
    /// Opens after `failures_max` failures in a row, for `open_for`.
    pub fn new(failures_max: u32, open_for: Duration) -> Breaker {
        Breaker {
            failures_max,
            open_for,
            state: Mutex::default(),
        }
    }

    /// May Redis be asked now? After the pause one caller may, and the others wait for its result.
    pub fn allows(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.open_until = Some(now + self.open_for);
                true
            }
        }
    }

    /// Takes in how a request went. True if it is closed now.
    pub fn record(&self, success: bool, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        if success {
            *state = State::default();
        } else {
            state.failures = state.failures.saturating_add(1);
            if state.failures >= self.failures_max {
                state.open_until = Some(now + self.open_for);
            }
        }
        state.open_until.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_one_success() {
        let breaker = Breaker::new(3, Duration::from_secs(30));
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(breaker.record(false, at(0)));
        assert!(breaker.record(false, at(0)));
        assert!(
            breaker.record(true, at(0)),
            "a success begins the count anew"
        );
        for _ in 0..2 {
            assert!(breaker.record(false, at(1)));
        }
        assert!(!breaker.record(false, at(1)));
        assert!(!breaker.allows(at(30)));
        assert!(breaker.allows(at(31)), "one may ask after the pause");
        assert!(!breaker.allows(at(31)), "only one");
        assert!(!breaker.record(false, at(32)));
        assert!(!breaker.allows(at(61)));
        assert!(breaker.allows(at(62)));
        assert!(breaker.record(true, at(62)));
        assert!(breaker.allows(at(62)) && breaker.allows(at(62)));
    }
}
