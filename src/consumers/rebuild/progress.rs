//! How far a rebuild is, and telling it a few times a second.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::interval;

/// How often progress is told, in milliseconds.
const PROGRESS_MS: u64 = 200;

/// How far a rebuild is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Events folded, those of an earlier, interrupted try included.
    pub done_events: u64,
    /// Events of the log when it began.
    pub total_events: u64,
    /// Events folded per second since this try began.
    pub events_per_second: f64,
    /// How long folding will still take at that rate.
    pub eta: Option<Duration>,
}

/// What a rebuild is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Folding the log as it was when the rebuild began.
    Folding,
    /// Following the log to where the live generation is.
    CatchingUp,
    /// Comparing both generations.
    Comparing,
    /// The new generation answers.
    Swapped,
    /// The generation as of a position is whole.
    Built,
}

/// What the progress is told from.
pub(super) struct Meter {
    began: Instant,
    started: AtomicBool,
    phase: AtomicU64,
    total: AtomicU64,
    /// Done before the present run of the workers.
    before: AtomicU64,
    folded: AtomicU64,
    /// Folded since the rebuild was called.
    folded_in_all: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Meter {
        let zero = AtomicU64::default;
        let started = AtomicBool::new(false);
        let (phase, total, before, folded, folded_in_all) =
            (zero(), zero(), zero(), zero(), zero());
        Meter {
            began: Instant::now(),
            started,
            phase,
            total,
            before,
            folded,
            folded_in_all,
        }
    }

    /// The workers start with `before` of `total` events done.
    pub(super) fn starts(&self, total: u64, before: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.before.store(before, Ordering::Relaxed);
        self.folded.store(0, Ordering::Relaxed);
    }

    /// The rebuild is recorded: if it is gone at the next look, someone has ended it.
    pub(super) fn set_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    pub(super) fn fold(&self, events: u64) {
        self.folded.fetch_add(events, Ordering::Relaxed);
        self.folded_in_all.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn folded(&self) -> u64 {
        self.folded_in_all.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u64, Ordering::Relaxed);
    }

    pub(super) fn progress(&self) -> Progress {
        let folded = self.folded.load(Ordering::Relaxed);
        let done_events = self.before.load(Ordering::Relaxed) + folded;
        let total_events = self.total.load(Ordering::Relaxed);
        let events_per_second = self.folded() as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
        let left = total_events.saturating_sub(done_events) as f64;
        let phase = [
            Phase::Folding,
            Phase::CatchingUp,
            Phase::Comparing,
            Phase::Swapped,
            Phase::Built,
        ][self.phase.load(Ordering::Relaxed) as usize];
        let eta = (phase == Phase::Folding && folded > 0)
            .then(|| Duration::from_secs_f64((left / events_per_second).min(1e9)));
        Progress {
            phase,
            done_events,
            total_events,
            events_per_second,
            eta,
        }
    }

    pub(super) fn tell_once(&self, to: &(impl Fn(Progress) + Send + Sync)) {
        to(self.progress());
    }

    pub(super) async fn tell(&self, to: &(impl Fn(Progress) + Send + Sync)) -> Infallible {
        let mut ticks = interval(Duration::from_millis(PROGRESS_MS));
        loop {
            ticks.tick().await;
            self.tell_once(to);
        }
    }
}
