//! Group commit: one lane per tenant gathers the appends that arrive while others are in flight.
//!
//! A lane keeps the order of decisions per stream: commands of one stream go in the same group, or the
//! later group waits for the earlier. Small appends and bulk batches go in groups of their own, so that a
//! batch does not hold up a person. Whatever is not kept withdraws the basis it was decided on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::append::{Append, AppendError};
use super::executor::Executor;
use super::pick::{Busy, Pick};
use super::statement::Outcome;
use super::wake::Wakes;
use super::{StoreSettings, executor};

/// One append and who waits for it.
///
/// One that is dropped without an answer, because its lane broke down, takes what it was decided on along.
pub(super) struct Submission {
    pub append: Append,
    reply: Option<oneshot::Sender<Outcome>>,
    /// Its share of the bytes that its lane holds.
    load: Option<Load>,
}

struct Load {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

/// Why a lane did not take a submission.
pub(super) enum Refused {
    /// Too much is waiting.
    Full,
    /// The lane has ended.
    Closed(Box<Submission>),
}

impl Submission {
    pub fn new(append: Append, reply: oneshot::Sender<Outcome>) -> Submission {
        Submission {
            append,
            reply: Some(reply),
            load: None,
        }
    }

    /// It was never on its way: nothing is withdrawn.
    pub fn disarm(&mut self) {
        self.reply = None;
    }

    /// Tells the caller. A caller that has gone away changes nothing: the outcome stands.
    fn answer(mut self, outcome: Outcome) {
        self.append.withdraw_after(&outcome);
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(outcome);
        }
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        if self.reply.is_some() {
            self.append.withdraw();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The sending end of a lane.
pub(super) struct Lane {
    queue: mpsc::Sender<Submission>,
    work: JoinHandle<()>,
    held: Arc<AtomicUsize>,
    held_max: usize,
}

impl Lane {
    /// Starts a lane; it ends when idle for `lane_idle_s` or when its senders are gone. It waits for the
    /// lane `before` it to end, so that decisions keep their order.
    pub fn start(
        tenant: Arc<str>,
        executors: &executor::Source,
        wakes: &Arc<Wakes>,
        before: Option<JoinHandle<()>>,
    ) -> Lane {
        let settings = executors.settings().clone();
        let (queue, arrivals) = mpsc::channel(settings.queue_max);
        let idle = (0..settings.groups_in_flight_max)
            .map(|_| executors.executor(tenant.clone()))
            .collect();
        let held_max = settings.queue_bytes_max;
        let work = Work {
            settings,
            tenant,
            wakes: wakes.clone(),
            waiting: VecDeque::new(),
            idle,
            busy: Busy::default(),
            flights: JoinSet::new(),
        };
        let work = tokio::spawn(async move {
            if let Some(before) = before {
                // However it ended: what it did not answer it has withdrawn.
                let _ = before.await;
            }
            work.run(arrivals).await;
        });
        Lane {
            queue,
            work,
            held: Arc::default(),
            held_max,
        }
    }

    /// Puts an append in the queue without waiting; the caller may hold locks.
    pub fn submit(&self, mut submission: Submission) -> Result<(), Refused> {
        let bytes = submission.append.bytes();
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let held = self.held.clone();
        submission.load = Some(Load { held, bytes });
        if before > 0 && before + bytes > self.held_max {
            submission.disarm();
            return Err(Refused::Full);
        }
        self.queue.try_send(submission).map_err(|e| match e {
            mpsc::error::TrySendError::Full(mut refused) => {
                refused.disarm();
                Refused::Full
            }
            mpsc::error::TrySendError::Closed(mut back) => {
                back.load = None;
                Refused::Closed(Box::new(back))
            }
        })
    }

    /// Is its work done for good?
    pub fn has_ended(&self) -> bool {
        self.work.is_finished()
    }

    /// What a lane that takes its place waits for.
    pub fn into_work(self) -> JoinHandle<()> {
        self.work
    }
}

/// The working end of a lane.
struct Work {
    settings: Arc<StoreSettings>,
    tenant: Arc<str>,
    wakes: Arc<Wakes>,
    waiting: VecDeque<Submission>,
    idle: Vec<Executor>,
    busy: Busy,
    flights: JoinSet<Flight>,
}

/// A group that has come back.
struct Flight {
    executor: Executor,
    group: Vec<Submission>,
    outcomes: Vec<Outcome>,
    bulk: bool,
}

impl Work {
    async fn run(mut self, mut arrivals: mpsc::Receiver<Submission>) {
        let idle_after = Duration::from_secs(self.settings.lane_idle_s);
        loop {
            tokio::select! {
                biased;
                Some(flight) = self.flights.join_next(), if !self.flights.is_empty() => {
                    self.land(flight.expect("a group's task neither panics nor is aborted"));
                }
                arrival = arrivals.recv(), if self.waiting.len() < self.settings.queue_max => {
                    let Some(submission) = arrival else { break };
                    self.waiting.push_back(submission);
                }
                () = tokio::time::sleep(idle_after), if self.flights.is_empty() => {
                    arrivals.close();
                }
            }
            self.gather(&mut arrivals).await;
            self.depart();
        }
        while let Some(flight) = self.flights.join_next().await {
            self.land(flight.expect("a group's task neither panics nor is aborted"));
            self.depart();
        }
    }

    /// Takes what has arrived. Callers that were just answered get a turn first: at 8 to 32 callers this
    /// doubles the groups, without a timer.
    async fn gather(&mut self, arrivals: &mut mpsc::Receiver<Submission>) {
        let mut quiet = 0;
        for _ in 0..self.settings.gather_yields {
            let before = self.waiting.len();
            while self.waiting.len() < self.settings.queue_max {
                match arrivals.try_recv() {
                    Ok(submission) => self.waiting.push_back(submission),
                    Err(_) => break,
                }
            }
            quiet = if self.waiting.len() == before {
                quiet + 1
            } else {
                0
            };
            if quiet == 2 || self.waiting.len() >= self.settings.group_commands_max {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Sends as many groups as there are free connections and reasons to use one.
    fn depart(&mut self) {
        let mut due = 0;
        while !self.idle.is_empty() && !self.waiting.is_empty() {
            // What is left of those that were shared out leaves, however few they are by then.
            if due == 0 {
                due = self.groups_due();
            }
            let (group, bulk) = self.form_group(due);
            if group.is_empty() {
                return;
            }
            due -= 1;
            let mut executor = self.idle.pop().expect("checked above");
            self.busy.add(group.iter().map(|s| &s.append), bulk);
            self.flights.spawn(async move {
                let appends: Vec<&Append> = group.iter().map(|s| &s.append).collect();
                let outcomes = executor.execute(&appends).await;
                Flight {
                    executor,
                    group,
                    outcomes,
                    bulk,
                }
            });
        }
    }

    /// Among how many groups those who wait are shared out now.
    fn groups_due(&self) -> usize {
        let shares = self.waiting.len() / self.settings.second_group_commands_min;
        let leaves_anyway = self.flights.is_empty() || self.busy.has_bulk();
        shares.max(usize::from(leaves_anyway)).min(self.idle.len())
    }

    /// Picks, in order, what may go together now, in the first of so many groups; none of none.
    fn form_group(&mut self, of: usize) -> (Vec<Submission>, bool) {
        if of == 0 {
            return (Vec::new(), false);
        }
        let waiting = std::mem::take(&mut self.waiting);
        let share = waiting.len().div_ceil(of);
        let mut pick = Pick::new(&self.busy, &self.settings, share);
        let mut group = Vec::new();
        for submission in waiting {
            if submission.append.is_withdrawn() {
                submission.answer(Err(AppendError::Stale));
            } else if pick.takes(&submission.append) {
                group.push(submission);
            } else {
                self.waiting.push_back(submission);
            }
        }
        (group, pick.is_bulk())
    }

    /// Answers everyone in a group that has come back.
    fn land(&mut self, flight: Flight) {
        let Flight {
            executor,
            group,
            outcomes,
            bulk,
        } = flight;
        self.busy.remove(group.iter().map(|s| &s.append), bulk);
        self.idle.push(executor);
        metrics::histogram!("daybook_append_group_commands").record(group.len() as f64);
        let head = outcomes.iter().flatten().map(|a| a.position).max();
        if let Some(head) = head {
            self.wakes.advance(&self.tenant, head, true);
        }
        for (submission, outcome) in group.into_iter().zip(outcomes) {
            submission.answer(outcome);
        }
    }
}
