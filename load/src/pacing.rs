//! When requests are due: at a rate that is given, whatever the server does, or as fast as it answers.

use std::time::Duration;

/// How long after the end what was due before it is still sent.
pub const OVERRUN_MAX: Duration = Duration::from_secs(10);

/// How much is asked, and from when on it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How long the load grows; what is asked meanwhile is told apart.
    pub ramp_up: Duration,
    /// How long is measured, after that.
    pub duration: Duration,
    /// Requests a second, due whether or not earlier ones were answered; none: each worker asks again once
    /// it was answered.
    pub rate: Option<f64>,
    /// How long after the end what was due is still sent; the rest is not.
    pub overrun_max: Duration,
}

impl Pace {
    /// When the n-th request is due, counted from 0, after the beginning; none if the end comes first, or
    /// if nobody says when.
    pub fn due(&self, n: u64) -> Option<Duration> {
        let (rate, ramp) = (self.rate?, self.ramp_up.as_secs_f64());
        // The rate grows from nothing, so that half as many are due while it grows.
        let in_ramp = rate * ramp / 2.0;
        let n = n as f64;
        let seconds = if n < in_ramp {
            (2.0 * n * ramp / rate).sqrt()
        } else {
            ramp + (n - in_ramp) / rate
        };
        let due = Duration::try_from_secs_f64(seconds).ok()?;
        (due < self.end()).then_some(due)
    }

    /// How many requests are due before then.
    pub fn due_before(&self, at: Duration) -> u64 {
        let Some(rate) = self.rate else { return 0 };
        let at = at.min(self.end());
        // The rate is never above what it grows to. What is due is asked of `due`, so that both say the same.
        let (mut from, mut to) = (0, (rate * at.as_secs_f64()).ceil() as u64 + 1);
        while from < to {
            let middle = from + (to - from) / 2;
            match self.due(middle).is_some_and(|due| due < at) {
                true => from = middle + 1,
                false => to = middle,
            }
        }
        from
    }

    /// Is it too late by now to send what was due before the end?
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.end() + self.overrun_max
    }

    /// When a worker begins where each asks as fast as it is answered: they come one after the other.
    pub fn begins(&self, worker: usize, workers: usize) -> Duration {
        self.ramp_up.mul_f64(worker as f64 / workers.max(1) as f64)
    }

    /// When nothing more is asked.
    pub fn end(&self) -> Duration {
        self.ramp_up + self.duration
    }
}

/// From when on a request is counted: when it was due, or when it was sent if that was earlier.
///
/// What waits in here because the server is slow has waited for the server: who counts from the moment of
/// sending leaves out just the requests that were hit worst (coordinated omission). A timer is rounded to a
/// millisecond, so requests are sent up to one early rather than late, and that is not held for them.
pub fn counted_from(due: Duration, sent: Duration) -> Duration {
    due.min(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn pace(ramp_up: u32, duration: u32, rate: f64) -> Pace {
        Pace {
            ramp_up: S * ramp_up,
            duration: S * duration,
            rate: Some(rate),
            overrun_max: OVERRUN_MAX,
        }
    }

    fn due_within(pace: &Pace, from: Duration, to: Duration) -> usize {
        let all = (0..).map_while(|n| pace.due(n));
        all.filter(|due| (from..to).contains(due)).count()
    }

    #[test]
    fn requests_are_due_at_even_distances_until_the_end() {
        let pace = pace(0, 2, 4.0);
        let due: Vec<u128> = (0..)
            .map_while(|n| pace.due(n))
            .map(|due| due.as_millis())
            .collect();
        assert_eq!(due, [0, 250, 500, 750, 1000, 1250, 1500, 1750]);
    }

    #[test]
    fn the_rate_grows_during_the_ramp_up_and_stays_then() {
        let pace = pace(10, 5, 100.0);
        let of_second = |n: u32| due_within(&pace, S * n, S * (n + 1));
        assert!((4..=6).contains(&of_second(0)), "{}", of_second(0));
        assert!((94..=96).contains(&of_second(9)), "{}", of_second(9));
        for n in 10..15 {
            assert!((99..=101).contains(&of_second(n)), "{n}: {}", of_second(n));
        }
        assert_eq!(due_within(&pace, S * 15, Duration::MAX), 0);
        let due: Vec<Duration> = (0..).map_while(|n| pace.due(n)).collect();
        assert!(due.is_sorted());
    }

    #[test]
    fn how_many_are_due_before_a_time_is_as_many_as_are_due_one_after_the_other() {
        for pace in [pace(0, 2, 4.0), pace(10, 5, 33.3), pace(3, 1, 0.5)] {
            for ms in [0, 1, 250, 999, 1_000, 2_000, 9_999, 10_000, 12_345, 60_000] {
                let at = Duration::from_millis(ms);
                let counted = due_within(&pace, Duration::ZERO, at) as u64;
                assert_eq!(pace.due_before(at), counted, "{pace:?} {ms}");
            }
            let all = due_within(&pace, Duration::ZERO, Duration::MAX) as u64;
            assert_eq!(pace.due_before(Duration::MAX), all);
        }
    }

    #[test]
    fn what_was_due_is_sent_for_a_while_after_the_end() {
        let pace = pace(1, 2, 4.0);
        assert!(!pace.is_over(S * 3) && !pace.is_over(S * 12));
        assert!(pace.is_over(S * 13));
    }

    #[test]
    fn without_a_rate_nothing_is_due_and_workers_begin_one_after_the_other() {
        let pace = Pace {
            rate: None,
            ..pace(10, 5, 1.0)
        };
        assert_eq!((pace.due(0), pace.due_before(S * 9)), (None, 0));
        let begin: Vec<Duration> = (0..4).map(|n| pace.begins(n, 4)).collect();
        assert_eq!(begin, [Duration::ZERO, S * 5 / 2, S * 5, S * 15 / 2]);
        assert_eq!(pace.end(), S * 15);
    }

    #[test]
    fn what_waited_to_be_sent_has_waited() {
        assert_eq!(counted_from(S, S * 3), S, "it was due long before");
        assert_eq!(counted_from(S * 3, S), S, "it was sent early");
    }
}
