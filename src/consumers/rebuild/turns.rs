//! Giving way to whoever appends: when the workers of a rebuild work, and when they all rest.
//!
//! Nothing is assumed about the machine. The heads of all logs are looked at while the rebuild works
//! and while it rests: what appends lose by it is the difference, and it rests as much as it takes
//! to keep that within [`RebuildOptions::slowdown_max`]. Where nobody appends, or where those who do
//! lose nothing, it does not rest.
//!
//! [`RebuildOptions::slowdown_max`]: super::RebuildOptions::slowdown_max

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::time::sleep;

/// How often the heads are looked at, in milliseconds.
const LOOK_MS: u64 = 25;

/// A rest is at least this long, in seconds: shorter ones are over before appends have noticed.
const REST_S_MIN: f64 = 0.05;

/// A rest is at most this long, in seconds.
const REST_S_MAX: f64 = 5.0;

/// What was counted counts half after so many seconds.
const HALF_LIFE_S: f64 = 1.0;

/// Fewer events than this in the last seconds are nobody to give way to.
const EVENTS_MIN: f64 = 10.0;

/// How fast appends are without the rebuild is not known from less rest than this, in seconds.
const KNOWN_S: f64 = 0.01;

/// Beside writers a delta is written once it comes to this many rows: nothing shorter than a write
/// can be given way in.
const ROWS_MAX_BESIDE_WRITERS: usize = 10_000;

/// The workers of one rebuild take turns with those who append.
pub(super) struct Turns {
    /// Held together by everyone at work, and alone by the rest.
    gate: RwLock<()>,
    slowdown_max: f64,
    beside_writers: AtomicBool,
}

impl Turns {
    pub(super) fn new(slowdown_max: f64) -> Turns {
        Turns {
            gate: RwLock::new(()),
            slowdown_max,
            beside_writers: AtomicBool::new(false),
        }
    }

    /// Waits while all rest; held during one piece of work.
    pub(super) async fn turn(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// The same on a thread of its own.
    pub(super) fn turn_blocking(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.blocking_read()
    }

    /// How many rows are written at once.
    pub(super) fn rows_max(&self, usual_max: usize) -> usize {
        if self.beside_writers.load(Ordering::Relaxed) {
            usual_max.min(ROWS_MAX_BESIDE_WRITERS)
        } else {
            usual_max
        }
    }

    /// Makes everyone rest when it is time, for ever.
    pub(super) async fn keep(&self, pool: &PgPool) -> Infallible {
        if self.slowdown_max >= 1.0 {
            return pending().await;
        }
        let mut ledger = Ledger::default();
        let mut last = Look::at(pool).await;
        let mut worked_s = 0.0;
        loop {
            sleep(Duration::from_millis(LOOK_MS)).await;
            let now = Look::at(pool).await;
            worked_s += ledger.add(Kind::Working, &last, &now);
            last = now;
            let there = ledger.writers_are_there();
            self.beside_writers.store(there, Ordering::Relaxed);
            let owed_s = ledger.owed_s(worked_s, self.slowdown_max);
            if !there || owed_s == 0.0 {
                worked_s = 0.0;
            }
            if !there || owed_s < REST_S_MIN {
                continue;
            }
            let resting = self.gate.write().await;
            let quiet = Look::at(pool).await;
            worked_s += ledger.add(Kind::Working, &last, &quiet);
            let owed_s = ledger.owed_s(worked_s, self.slowdown_max);
            sleep(Duration::from_secs_f64(
                owed_s.clamp(REST_S_MIN, REST_S_MAX),
            ))
            .await;
            last = Look::at(pool).await;
            ledger.add(Kind::Resting, &quiet, &last);
            drop(resting);
            worked_s = 0.0;
        }
    }
}

/// Where all heads together were at a moment; nothing if the database did not say.
struct Look {
    at: Instant,
    events: Option<i64>,
}

impl Look {
    async fn at(pool: &PgPool) -> Look {
        let heads = "select coalesce(sum(position), 0)::bigint from logs";
        let events = sqlx::query_scalar(heads).fetch_one(pool).await.ok();
        Look {
            at: Instant::now(),
            events,
        }
    }
}

/// What the rebuild does meanwhile.
#[derive(Clone, Copy)]
enum Kind {
    Working,
    Resting,
}

/// Appended events, and the time in which they were.
#[derive(Clone, Copy, Default)]
struct Count {
    events: f64,
    seconds: f64,
}

impl Count {
    fn rate(self) -> f64 {
        self.events / self.seconds
    }
}

/// What was appended lately, while the rebuild worked and while it rested.
#[derive(Default)]
struct Ledger {
    working: Count,
    resting: Count,
}

impl Ledger {
    /// Adds what happened between two looks. Answers how long that was.
    fn add(&mut self, kind: Kind, from: &Look, to: &Look) -> f64 {
        let seconds = to.at.duration_since(from.at).as_secs_f64();
        let Some((before, after)) = from.events.zip(to.events) else {
            return seconds;
        };
        self.count(kind, (after - before).max(0) as f64, seconds);
        seconds
    }

    fn count(&mut self, kind: Kind, events: f64, seconds: f64) {
        // both kinds fade together: their rates stay comparable
        let fade = (-seconds / HALF_LIFE_S).exp2();
        for count in [&mut self.working, &mut self.resting] {
            count.events *= fade;
            count.seconds *= fade;
        }
        let count = match kind {
            Kind::Working => &mut self.working,
            Kind::Resting => &mut self.resting,
        };
        count.events += events;
        count.seconds += seconds;
    }

    fn writers_are_there(&self) -> bool {
        self.working.events + self.resting.events >= EVENTS_MIN
    }

    /// How long to rest after so much work, in seconds: until work costs appends `slowdown_max` of
    /// their rate over all. A short rest, as long as it is not known what they are without it.
    fn owed_s(&self, worked_s: f64, slowdown_max: f64) -> f64 {
        if self.resting.seconds < KNOWN_S || self.resting.events <= 0.0 {
            return REST_S_MIN;
        }
        let slowed = 1.0 - self.working.rate() / self.resting.rate();
        worked_s * (slowed / slowdown_max - 1.0).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a rebuild run beside writers of a rate while it works and one while it rests. Answers
    /// the share of the time it worked, and the share of their rate that writers kept.
    fn run(working_rate: f64, resting_rate: f64, slowdown_max: f64) -> (f64, f64) {
        let mut ledger = Ledger::default();
        let (mut worked, mut rested, mut since) = (0.0, 0.0, 0.0);
        while worked + rested < 60.0 {
            ledger.count(Kind::Working, working_rate * 0.025, 0.025);
            worked += 0.025;
            since += 0.025;
            let owed = ledger.owed_s(since, slowdown_max);
            if owed == 0.0 {
                since = 0.0;
            }
            if ledger.writers_are_there() && owed >= REST_S_MIN {
                ledger.count(Kind::Resting, resting_rate * owed, owed);
                rested += owed;
                since = 0.0;
            }
        }
        let share = worked / (worked + rested);
        let kept = share * working_rate / resting_rate + 1.0 - share;
        (share, kept)
    }

    #[test]
    fn writers_lose_what_they_may_lose_and_no_more() {
        for (working_rate, slowdown_max) in [(3_000.0, 0.2), (500.0, 0.2), (5_000.0, 0.05)] {
            let (share, kept) = run(working_rate, 10_000.0, slowdown_max);
            let lost = 1.0 - kept;
            assert!(
                (lost - slowdown_max).abs() < 0.2 * slowdown_max,
                "{lost} lost at {share}"
            );
        }
    }

    #[test]
    fn a_rebuild_that_costs_nobody_anything_hardly_rests() {
        let (share, _) = run(2_000.0, 2_000.0, 0.2);
        assert!(share > 0.95, "{share}");
        let (share, _) = run(9_000.0, 10_000.0, 0.2);
        assert!(share > 0.95, "{share}");
        assert_eq!(run(0.0, 0.0, 0.2).0, 1.0);
        // a few events a second are nobody to give way to
        assert_eq!(run(5.0, 5.0, 0.2).0, 1.0);
    }

    #[tokio::test]
    async fn who_rests_holds_up_everyone() {
        let turns = Turns::new(0.2);
        let resting = turns.gate.write().await;
        assert!(turns.gate.try_read().is_err());
        drop(resting);
        let (first, second) = (turns.turn().await, turns.turn().await);
        assert!(turns.gate.try_write().is_err());
        drop((first, second));
        assert!(turns.gate.try_write().is_ok());
    }
}
