//! A run: workers that ask when it is time, and what is counted meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::call::{Call, Stage};
use crate::chance::Chance;
use crate::client::Client;
use crate::figures::{Figures, NOT_ANSWERED};
use crate::histogram::Histogram;
use crate::pacing::{Pace, counted_from};
use crate::scenario::Scenario;
use crate::world::World;

/// Timers are rounded up to this, so what is due is sent up to so much early rather than late.
const TIMER: Duration = Duration::from_millis(1);

/// How long answers are waited for once a run is ended early.
const GRACE: Duration = Duration::from_secs(2);

/// When a run is told to end early; nothing as long as it is not.
pub type Stop = watch::Receiver<Option<Instant>>;

/// What workers share.
pub struct Run {
    /// What they speak of.
    pub world: World,
    scenario: Scenario,
    pace: Pace,
    began: Instant,
    tickets: AtomicU64,
    counted: Mutex<Counted>,
    stop: Stop,
}

/// What came of it so far.
#[derive(Default)]
pub struct Counted {
    /// While the load grew.
    pub ramp_up: Figures,
    /// After that.
    pub measured: Figures,
    /// Since it was last looked at.
    pub tick: Tick,
    /// How often each vehicle was changed.
    pub changes: Vec<u64>,
}

/// What came of it within a moment.
#[derive(Default)]
pub struct Tick {
    /// How long those took that were answered well.
    pub took: Histogram,
    /// How many were not.
    pub failed: u64,
}

impl Run {
    /// Begins now; ends when it is time, or when it is told to.
    pub fn begin(world: World, scenario: Scenario, pace: Pace, stop: Stop) -> Arc<Run> {
        let counted = Counted {
            changes: vec![0; world.users()],
            ..Counted::default()
        };
        Arc::new(Run {
            world,
            scenario,
            pace,
            began: Instant::now(),
            tickets: AtomicU64::new(0),
            counted: Mutex::new(counted),
            stop,
        })
    }

    /// How long it has gone on.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Is the load as it shall be?
    pub fn is_measured(&self, at: Duration) -> bool {
        at >= self.pace.ramp_up
    }

    /// Was it told to end?
    pub fn is_stopped(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// When no more is due: as it was meant, or when it was told to end.
    pub fn end(&self) -> Duration {
        let stopped = *self.stop.borrow();
        let end = self.pace.end();
        stopped.map_or(end, |at| end.min(at.saturating_duration_since(self.began)))
    }

    /// How long is measured, from when the load is as it shall be to the end; nothing if that never was.
    pub fn measured(&self) -> Duration {
        self.end().saturating_sub(self.pace.ramp_up)
    }

    /// What was counted.
    pub fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has these ask until it is over.
    pub async fn work(self: &Arc<Run>, clients: Vec<Client>, seed: u64) {
        let (mut workers, count) = (JoinSet::new(), clients.len());
        for (n, client) in clients.into_iter().enumerate() {
            let worker = Worker {
                run: self.clone(),
                client,
                chance: Chance::new(seed.wrapping_mul(1_000_003).wrapping_add(n as u64)),
                stop: self.stop.clone(),
            };
            let from = self.pace.begins(n, count);
            workers.spawn(worker.work(from));
        }
        while workers.join_next().await.is_some() {}
        self.leave();
    }

    /// Counts what was due and that nobody came to send.
    fn leave(&self) {
        let before = |at| self.pace.due_before(at);
        let until = before(self.end());
        let from = self.tickets.load(Ordering::Relaxed).min(until);
        let grown = before(self.pace.ramp_up).clamp(from, until);
        let mut counted = self.counted();
        counted.ramp_up.unsent(grown - from);
        counted.measured.unsent(until - grown);
    }

    /// Counts what was due then and is not sent, if it was due before the end.
    fn unsent(&self, due: Duration) {
        if due < self.end() {
            let counted = &mut *self.counted();
            self.figures(counted, due).unsent(1);
        }
    }

    /// The figures that what was due then belongs to.
    fn figures<'c>(&self, counted: &'c mut Counted, due: Duration) -> &'c mut Figures {
        match self.is_measured(due) {
            true => &mut counted.measured,
            false => &mut counted.ramp_up,
        }
    }

    /// Takes an answer in that came now: of a request that belongs to this time, counted from that.
    fn record(
        &self,
        call: Call,
        due: Duration,
        since: Duration,
        now: Duration,
        told: Result<(), String>,
    ) {
        let took = now.saturating_sub(since);
        let counted = &mut *self.counted();
        match &told {
            Ok(()) => counted.tick.took.record(took.as_micros() as u64),
            Err(_) => counted.tick.failed += 1,
        }
        if told.is_ok()
            && let Some(times) = call.changes.and_then(|n| counted.changes.get_mut(n))
        {
            *times += 1;
        }
        if told.is_ok() && self.is_measured(now) && now < self.end() {
            counted.measured.came(call.operation, call.units);
        }
        let then: Option<Stage> = call.then.filter(|_| told.is_ok());
        self.figures(counted, due)
            .record(call.operation, took, told);
        then.into_iter().for_each(|stage| self.world.wait(stage));
    }
}

/// Asks one thing at a time.
struct Worker {
    run: Arc<Run>,
    client: Client,
    chance: Chance,
    stop: Stop,
}

impl Worker {
    async fn work(mut self, from: Duration) {
        match self.run.pace.rate {
            Some(_) => self.as_due().await,
            None => self.as_answered(from).await,
        }
    }

    /// Takes the next request that is due, whoever took the one before.
    async fn as_due(&mut self) {
        loop {
            let ticket = self.run.tickets.fetch_add(1, Ordering::Relaxed);
            let Some(due) = self.run.pace.due(ticket) else {
                return;
            };
            let is_stopped = self.is_stopped_before(due.saturating_sub(TIMER)).await;
            if is_stopped || self.run.pace.is_over(self.run.elapsed()) {
                self.run.unsent(due);
                return;
            }
            let since = counted_from(due, self.run.elapsed());
            self.ask(due, since).await;
        }
    }

    /// Asks again as soon as it was answered.
    async fn as_answered(&mut self, from: Duration) {
        if self.is_stopped_before(from).await {
            return;
        }
        loop {
            let now = self.run.elapsed();
            if now >= self.run.pace.end() || self.run.is_stopped() {
                return;
            }
            self.ask(now, now).await;
        }
    }

    async fn ask(&mut self, due: Duration, since: Duration) {
        let call = self.run.scenario.call(&self.run.world, &mut self.chance);
        let told = tokio::select! {
            told = self.client.ask(&call) => told,
            () = given_up(&mut self.stop) => Err(NOT_ANSWERED.to_owned()),
        };
        let now = self.run.elapsed();
        self.run.record(call, due, since, now, told);
    }

    /// Waits until then, unless the run is over before.
    async fn is_stopped_before(&mut self, at: Duration) -> bool {
        if self.run.is_stopped() {
            return true;
        }
        let at = self.run.began + at;
        if at <= Instant::now() {
            return false;
        }
        tokio::select! {
            () = sleep_until(at) => false,
            // Whoever could tell is gone, and so is the run.
            _ = self.stop.wait_for(Option::is_some) => true,
        }
    }
}

/// Until answers are no longer waited for, since the run was told to end.
async fn given_up(stop: &mut Stop) {
    let told = stop.wait_for(Option::is_some).await;
    let at = told.ok().and_then(|at| *at);
    sleep_until(at.unwrap_or_else(Instant::now) + GRACE).await;
}

#[cfg(test)]
mod tests;
