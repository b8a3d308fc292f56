//! An operation whose caller may be gone before it is done.

use std::sync::Arc;

use super::Operation;

/// An operation that is stopped when this is dropped, unless it is done.
pub struct Watched(Option<Arc<Operation>>);

impl Watched {
    /// There is nothing to be stopped any more.
    pub fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(operation) = self.0.take() else {
            return;
        };
        // What was being done is dropped before: nobody holds the lock.
        let Ok(mut reads) = operation.reads.try_lock() else {
            return;
        };
        let (Some(snapshot), turn) = (reads.snapshot.take(), reads.turn.take()) else {
            return;
        };
        tokio::spawn(async move {
            if let Err(error) = snapshot.cancel().await {
                tracing::warn!(%error, "a question could not be stopped: {error}");
            }
            drop(turn);
        });
    }
}

impl Operation {
    /// Stops the database as well if what the operation is doing is dropped before it is done: its caller
    /// is not there any more, or its time is over.
    pub fn watched(self: &Arc<Self>) -> Watched {
        Watched(Some(self.clone()))
    }
}
