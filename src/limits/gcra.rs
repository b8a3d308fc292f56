//! The generic cell rate algorithm: one time per bucket says all that is to be known of it.
//!
//! A bucket is described by the time at which it will be full again, its theoretical arrival time. What
//! is spent moves that time ahead; the clock catches up with it at the quota's rate. There is no window,
//! so there is no edge of a window at which twice the quota gets through.

/// Nanoseconds of a minute.
const MINUTE_NS: u64 = 60_000_000_000;

/// So many units a minute, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    interval_ns: u64,
    burst: u64,
}

/// What comes of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is spent.
    Allowed {
        /// When the bucket will be full again.
        tat: u64,
        /// Units that can be spent now.
        remaining: u64,
        /// In how long it will be full again.
        reset_ns: u64,
    },
    /// Nothing is spent.
    Refused {
        /// After so long it would be allowed.
        retry_after_ns: u64,
        /// Units that can be spent now.
        remaining: u64,
        /// In how long the bucket will be full again.
        reset_ns: u64,
    },
}

impl Quota {
    /// Both at least 1.
    pub fn per_minute(units: u64, burst: u64) -> Quota {
        Quota {
            // Rounded up: never more than the quota.
            interval_ns: MINUTE_NS.div_ceil(units.max(1)),
            burst: burst.max(1),
        }
    }

    /// How long an empty bucket takes to be full: the most that a bucket can be spent.
    pub fn room_ns(&self) -> u64 {
        self.interval_ns.saturating_mul(self.burst)
    }

    /// The most that a bucket can be overspent. Whoever spends before it knows what others spent goes over;
    /// that is owed and paid back, up to a whole bucket.
    pub fn most_ns(&self) -> u64 {
        self.room_ns().saturating_mul(2)
    }

    /// How far `units` move a bucket's time ahead. What is dearer than the whole bucket takes the whole
    /// bucket: it waits, and is not refused for ever.
    pub fn cost_ns(&self, units: u64) -> u64 {
        self.interval_ns.saturating_mul(units.min(self.burst))
    }

    /// The time of a bucket as it can be. A clock that was set back leaves times behind that no spending
    /// explains: they are forgotten, or everybody would wait until the clock has come back to them.
    fn credible(&self, tat: u64, now: u64) -> u64 {
        match tat > now.saturating_add(self.most_ns()) {
            true => now,
            false => tat,
        }
    }

    /// May `units` be spent of a bucket that is full at `tat`? `share` is among how many it is divided:
    /// for each of them it holds and refills so much less.
    pub fn decide(&self, tat: u64, now: u64, units: u64, share: u64) -> Decision {
        let room = self.room_ns();
        let unit_ns = self.interval_ns.saturating_mul(share.max(1));
        let cost = unit_ns.saturating_mul(units).min(room);
        let level = self.credible(tat, now).saturating_sub(now);
        let after = level.saturating_add(cost);
        let left = |level: u64| room.saturating_sub(level) / unit_ns;
        if after > room {
            return Decision::Refused {
                retry_after_ns: after - room,
                remaining: left(level),
                reset_ns: level,
            };
        }
        Decision::Allowed {
            tat: now.saturating_add(after),
            remaining: left(after),
            reset_ns: after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: u64 = 1_800_000_000_000_000_000;

    /// The bucket as one would explain it: tokens that drip in. Counted in nanoseconds, so that nothing is
    /// rounded.
    struct Tokens {
        held_ns: u64,
        at: u64,
    }

    impl Tokens {
        fn take(&mut self, quota: &Quota, now: u64, units: u64) -> bool {
            self.held_ns = (self.held_ns + (now - self.at)).min(quota.room_ns());
            self.at = now;
            let cost = quota.interval_ns * units;
            let enough = self.held_ns >= cost;
            if enough {
                self.held_ns -= cost;
            }
            enough
        }
    }

    proptest! {
        /// The same as tokens that drip in; and a refusal says exactly when it would be none.
        #[test]
        fn it_is_a_token_bucket(
            units in 1u64..100_000, burst in 1u64..2_000,
            steps in prop::collection::vec((0u64..2_000_000_000, 0u64..50), 1..200),
        ) {
            let quota = Quota::per_minute(units, burst);
            let (mut tat, mut now) = (0, START);
            let mut tokens = Tokens { held_ns: quota.room_ns(), at: now };
            for (step, cost) in steps {
                now += step;
                let cost = cost.min(burst);
                let expect = tokens.take(&quota, now, cost);
                match quota.decide(tat, now, cost, 1) {
                    Decision::Allowed { tat: next, remaining, .. } => {
                        prop_assert!(expect);
                        prop_assert_eq!(remaining, tokens.held_ns / quota.interval_ns);
                        tat = next;
                    }
                    Decision::Refused { retry_after_ns, remaining, .. } => {
                        prop_assert!(!expect);
                        prop_assert_eq!(remaining, tokens.held_ns / quota.interval_ns);
                        let allowed = |at| matches!(quota.decide(tat, at, cost, 1), Decision::Allowed { .. });
                        prop_assert!(allowed(now + retry_after_ns));
                        prop_assert!(!allowed(now + retry_after_ns - 1));
                    }
                }
            }
        }

        /// In no span of any length does more get through than the burst and what the span refills.
        #[test]
        fn no_span_lets_through_more(
            units in 1u64..10_000, burst in 1u64..200,
            steps in prop::collection::vec(0u64..100_000_000, 1..300),
        ) {
            let quota = Quota::per_minute(units, burst);
            let (mut tat, mut now) = (0, START);
            let mut passed = Vec::new();
            for step in steps {
                now += step;
                if let Decision::Allowed { tat: next, .. } = quota.decide(tat, now, 1, 1) {
                    tat = next;
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let most = burst + (to - from) / quota.interval_ns;
                    prop_assert!(most > (last - first) as u64);
                }
            }
        }
    }

    fn spend(quota: &Quota, tat: &mut u64, now: u64, times: usize, share: u64) -> usize {
        let allowed = (0..times).filter(|_| match quota.decide(*tat, now, 1, share) {
            Decision::Allowed { tat: next, .. } => {
                *tat = next;
                true
            }
            Decision::Refused { .. } => false,
        });
        allowed.count()
    }

    #[test]
    fn a_minute_has_no_edge() {
        let quota = Quota::per_minute(1_000, 1_000);
        let mut tat = 0;
        let edge = START.next_multiple_of(MINUTE_NS);
        assert_eq!(spend(&quota, &mut tat, edge - 1_000_000, 1_200, 1), 1_000);
        assert_eq!(spend(&quota, &mut tat, edge + 1_000_000, 1_200, 1), 0);
        assert_eq!(spend(&quota, &mut tat, edge + 59_000_000, 1_200, 1), 1);
        assert_eq!(
            spend(&quota, &mut tat, edge + 30_000_000_000, 1_200, 1),
            499
        );
    }

    #[test]
    fn a_share_is_that_much_less_and_keeps_what_was_spent() {
        let quota = Quota::per_minute(600, 100);
        let mut tat = 0;
        assert_eq!(spend(&quota, &mut tat, START, 200, 2), 50);
        let (mut half, mut whole) = (tat, tat);
        assert_eq!(spend(&quota, &mut half, START + 1_000_000_000, 100, 2), 5);
        assert_eq!(spend(&quota, &mut whole, START + 1_000_000_000, 100, 1), 10);
        // One that is divided among more than it holds still lets one through when it is full.
        let small = Quota::per_minute(60, 2);
        assert_eq!(spend(&small, &mut 0, START, 5, 10), 1);
    }

    #[test]
    fn what_is_dearer_than_the_bucket_takes_all_of_it() {
        let quota = Quota::per_minute(600, 100);
        let Decision::Allowed {
            tat,
            remaining: 0,
            reset_ns,
        } = quota.decide(0, START, 5_000, 1)
        else {
            panic!("a full bucket is enough for anything");
        };
        assert_eq!((tat, reset_ns), (START + 10_000_000_000, 10_000_000_000));
        assert!(matches!(
            quota.decide(tat, START + 1, 5_000, 1),
            Decision::Refused {
                retry_after_ns: 9_999_999_999,
                ..
            }
        ));
        assert!(
            matches!(quota.decide(tat, START, 0, 1), Decision::Allowed { .. }),
            "nothing is free"
        );
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let quota = Quota::per_minute(600, 100);
        let mut tat = START;
        spend(&quota, &mut tat, START, 100, 1);
        // By little: whoever spent all waits until then and for what refills.
        assert_eq!(spend(&quota, &mut tat, START - 5_000_000_000, 1, 1), 0);
        // By much: nobody waits for the clock to come back, and from then on all is counted.
        let earlier = START - 3_600_000_000_000;
        assert_eq!(spend(&quota, &mut tat, earlier, 200, 1), 100);
        assert_eq!(spend(&quota, &mut tat, earlier + 1_000_000_000, 200, 1), 10);
    }
}
