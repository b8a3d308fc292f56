//! Stopping: a type passed down, soft first (finish what was begun), hard second (at once).

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells its holder when to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Phase>);

/// Starts the stop. When it is dropped, everything stops at once.
#[derive(Clone, Debug)]
pub struct ShutdownTrigger(watch::Sender<Phase>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Soft,
    Hard,
}

impl Shutdown {
    /// A pair: who says stop, who is told.
    pub fn new() -> (ShutdownTrigger, Shutdown) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (ShutdownTrigger(sender), Shutdown(receiver))
    }

    /// Waits until no new work may be begun.
    pub async fn soft(&self) {
        self.reached(Phase::Soft).await;
    }

    /// Waits until work in progress must be given up too.
    pub async fn hard(&self) {
        self.reached(Phase::Hard).await;
    }

    /// May no new work be begun?
    pub fn is_soft(&self) -> bool {
        *self.0.borrow() >= Phase::Soft
    }

    async fn reached(&self, phase: Phase) {
        let mut phases = self.0.clone();
        // An error means that the trigger is gone: stop.
        let _ = phases.wait_for(|now| *now >= phase).await;
    }
}

impl ShutdownTrigger {
    /// No new work from now on.
    pub fn soft(&self) {
        self.advance(Phase::Soft);
    }

    /// Give up work in progress too.
    pub fn hard(&self) {
        self.advance(Phase::Hard);
    }

    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|now| {
            let forward = to > *now;
            *now = to.max(*now);
            forward
        });
    }
}

/// Waits for SIGTERM or SIGINT and stops softly; a second signal, or `hard_after`, stops hard.
///
/// Returns after the hard stop was asked for; callers run it beside the work and drop it after.
pub async fn on_signals(trigger: ShutdownTrigger, hard_after: Duration) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(
        signal = name,
        "{name}: finishing what was begun; once more to stop at once"
    );
    trigger.soft();
    tokio::select! {
        _ = terminate.recv() => tracing::warn!("second signal: stopping at once"),
        _ = interrupt.recv() => tracing::warn!("second signal: stopping at once"),
        () = tokio::time::sleep(hard_after) => tracing::warn!(
            after_ms = hard_after.as_millis() as u64,
            "still not finished: stopping at once"
        ),
    }
    trigger.hard();
    Ok(())
}
