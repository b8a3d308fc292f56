//! How fast a client may send: so many messages at once, so many per second after that.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of turns that fills up steadily.
pub struct Pace {
    turns: f64,
    per_second: f64,
    burst: f64,
    filled: Instant,
}

impl Pace {
    /// Full.
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Pace {
        Pace {
            turns: burst.into(),
            per_second: per_second.into(),
            burst: burst.into(),
            filled: now,
        }
    }

    /// Takes a turn; false if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.filled);
        self.turns = (self.turns + passed.as_secs_f64() * self.per_second).min(self.burst);
        self.filled = now;
        let has = self.turns >= 1.0;
        if has {
            self.turns -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_steady_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(20, 50, start);
        let taken = |pace: &mut Pace, after_ms: u64, tries: usize| {
            let now = start + Duration::from_millis(after_ms);
            (0..tries).filter(|_| pace.take(now)).count()
        };
        assert_eq!(taken(&mut pace, 0, 60), 50);
        assert_eq!(taken(&mut pace, 1_000, 60), 20);
        assert_eq!(taken(&mut pace, 1_100, 60), 2);
        // A long pause fills it, and no further.
        assert_eq!(taken(&mut pace, 3_600_000, 60), 50);
    }
}
