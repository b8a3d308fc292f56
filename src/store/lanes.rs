//! The lanes of one process: one per tenant that appends, made on demand, bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::StoreError;
use super::append::{Append, AppendError, Appended};
use super::executor;
use super::lane::{Lane, Refused, Submission};
use super::statement::Outcome;
use super::wake::Wakes;

/// Makes, finds and replaces lanes.
pub(super) struct Lanes {
    executors: executor::Source,
    wakes: Arc<Wakes>,
    open: Mutex<HashMap<Arc<str>, Lane>>,
}

/// An append on its way.
pub struct Pending(oneshot::Receiver<Outcome>);

impl Pending {
    /// Waits for the outcome.
    pub async fn outcome(self) -> Result<Appended, AppendError> {
        // Nobody answers only where a lane has broken down: nothing is known then.
        let broken = StoreError::Unavailable(sqlx::Error::WorkerCrashed);
        self.0.await.unwrap_or(Err(AppendError::Store(broken)))
    }
}

impl Lanes {
    pub fn new(executors: executor::Source, wakes: Arc<Wakes>) -> Lanes {
        Lanes {
            executors,
            wakes,
            open: Mutex::default(),
        }
    }

    /// What every connection of an executor begins with.
    pub fn connection_setup(&self) -> String {
        self.executors.setup()
    }

    /// Puts an append in its tenant's lane without waiting.
    pub fn submit(&self, tenant: &Arc<str>, append: Append) -> Result<Pending, AppendError> {
        let (reply, outcome) = oneshot::channel();
        let mut submission = Submission::new(append, reply);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A lane that has just closed for idleness is replaced once.
        for _ in 0..2 {
            if !open.contains_key(tenant) {
                self.make_room(&mut open)?;
                let lane = Lane::start(tenant.clone(), &self.executors, &self.wakes, None);
                open.insert(tenant.clone(), lane);
            }
            match open[tenant].submit(submission) {
                Ok(()) => return Ok(Pending(outcome)),
                Err(Refused::Full) => return Err(AppendError::Overloaded),
                Err(Refused::Closed(back)) => {
                    submission = *back;
                    // What the old lane still has to do goes before what the new one gets.
                    let before = open.remove(tenant).map(Lane::into_work);
                    let lane = Lane::start(tenant.clone(), &self.executors, &self.wakes, before);
                    open.insert(tenant.clone(), lane);
                }
            }
        }
        submission.disarm();
        Err(AppendError::Overloaded)
    }

    /// Lanes that have ended for idleness make room for others.
    fn make_room(&self, open: &mut HashMap<Arc<str>, Lane>) -> Result<(), AppendError> {
        let lanes_max = self.executors.settings().lanes_max;
        if open.len() >= lanes_max {
            open.retain(|_, lane| !lane.has_ended());
        }
        if open.len() >= lanes_max {
            return Err(AppendError::Overloaded);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::append::Basis;
    use super::super::append::drafts::{append, write};
    use super::*;

    fn submission(basis: &Basis) -> (Submission, Pending) {
        let mut write = write("a", 0, 1);
        write.basis = basis.clone();
        let append = append(vec![write]);
        let (reply, outcome) = oneshot::channel();
        (Submission::new(append, reply), Pending(outcome))
    }

    #[tokio::test]
    async fn what_a_lane_that_breaks_down_held_is_unknown_and_nothing_rests_on_it() {
        let basis = Basis::default();
        let (submission, pending) = submission(&basis);
        drop(submission);
        assert!(basis.is_withdrawn());
        let Err(AppendError::Store(e)) = pending.outcome().await else {
            panic!("nothing is known");
        };
        assert!(e.is_unavailable());
    }

    #[test]
    fn what_was_never_on_its_way_withdraws_nothing() {
        let basis = Basis::default();
        let (mut submission, _) = submission(&basis);
        submission.disarm();
        drop(submission);
        assert!(!basis.is_withdrawn());
    }
}
