//! What there is to ask about: names that follow from the seed, and what this run has begun.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};

use crate::call::Stage;
use crate::chance::Chance;
use crate::clock;

/// How many deployments may wait for what becomes of them; more are left where they are.
const WAITING_MAX: usize = 10_000;

/// The names a run speaks of. Those of its own are new in every run, since what was said before would be
/// answered from memory; the rest is the same for a seed.
pub struct World {
    seed: u64,
    run: String,
    users: usize,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    serial: AtomicU64,
    waiting: Mutex<VecDeque<Stage>>,
}

impl World {
    /// Of this seed and so many users, at this time.
    pub fn new(seed: u64, users: usize, now: DateTime<Utc>) -> World {
        // Questions are of whole hours, as a page's are, so that two of a moment are the same.
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        World {
            seed,
            run: format!("{seed}-{:x}", now.timestamp_micros()),
            users,
            from: hour - TimeDelta::hours(23),
            to: hour + TimeDelta::hours(1),
            serial: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// What all names of this seed begin with.
    pub fn name(&self) -> String {
        format!("load-{}", self.seed)
    }

    /// How many vehicles there are, and how many people.
    pub fn users(&self) -> usize {
        self.users
    }

    /// The n-th vehicle.
    pub fn vehicle(&self, n: usize) -> String {
        format!("load-{}-v{n}", self.seed)
    }

    /// The n-th of those who take part in the competition.
    pub fn person(&self, n: usize) -> String {
        format!("load-{}-p{n}", self.seed)
    }

    /// The address of the n-th of those who sign in.
    pub fn email(&self, n: usize) -> String {
        format!("load-{}-p{n}@load.example", self.seed)
    }

    /// One of the vehicles, or people.
    pub fn any(&self, chance: &mut Chance) -> usize {
        chance.below(self.users as u64) as usize
    }

    /// A name that was never used before.
    pub fn fresh(&self) -> String {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        format!("load-{}-{serial}", self.run)
    }

    /// The day that questions are about: whole hours, the last of which goes on.
    pub fn day(&self) -> (String, String) {
        (clock::text(self.from), clock::text(self.to))
    }

    /// Keeps in mind what can be asked next.
    pub fn wait(&self, stage: Stage) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.push_back(stage);
        }
    }

    /// What has waited longest.
    pub fn next(&self) -> Option<Stage> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        let now = "2026-03-01T12:34:56Z".parse().unwrap();
        World::new(3, 10, now)
    }

    #[test]
    fn names_follow_from_the_seed_and_fresh_ones_are_never_used_twice() {
        let (one, other) = (world(), world());
        assert_eq!(one.vehicle(7), other.vehicle(7));
        assert_ne!(one.fresh(), one.fresh());
        let later = World::new(3, 10, "2026-03-01T12:34:57Z".parse().unwrap());
        assert_ne!(one.fresh(), later.fresh());
    }

    #[test]
    fn a_day_is_of_whole_hours_and_holds_now() {
        let (from, to) = world().day();
        assert_eq!(from, "2026-02-28T13:00:00.000000Z");
        assert_eq!(to, "2026-03-01T13:00:00.000000Z");
    }

    #[test]
    fn what_waits_is_bounded_and_comes_in_turn() {
        let world = world();
        for n in 0..WAITING_MAX + 10 {
            world.wait(Stage::Requested(n.to_string()));
        }
        assert_eq!(world.next(), Some(Stage::Requested("0".into())));
        assert_eq!(std::iter::from_fn(|| world.next()).count(), WAITING_MAX - 1);
    }
}
