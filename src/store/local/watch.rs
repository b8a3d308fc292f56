//! Watching over a server: when it ends unasked, it is started again.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Durability;
use super::binaries::Binaries;
use super::layout::{Layout, trim_log};
use super::server::{Server, launch};

/// The first wait before another start; it doubles with every failure.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest wait between two starts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A server that ran this long ended for a new reason: the waits begin anew.
const STEADY: Duration = Duration::from_secs(30);

/// How often the size of the server's log is looked at.
const LOG_CHECK: Duration = Duration::from_secs(60);

/// What is watched, and everything needed to start it again.
pub(super) struct Watched {
    /// Its places.
    pub layout: Layout,
    /// Its programs.
    pub binaries: Binaries,
    /// As it was started.
    pub durability: Durability,
    /// Start it again when it ends.
    pub restarts: bool,
    /// Where its process id is told.
    pub pid: watch::Sender<Option<u32>>,
}

impl Watched {
    /// Watches until `stop` is true or its sender gone, then stops the server if it is ours.
    pub async fn run(self, server: Server, mut stop: watch::Receiver<bool>) {
        let mut running = Some(server);
        let mut backoff = BACKOFF_MIN;
        while let Some(mut server) = running.take() {
            let since = Instant::now();
            let how = tokio::select! {
                () = asked(&mut stop) => return server.stop().await,
                how = self.ended(&mut server) => how,
            };
            self.pid.send_replace(None);
            if since.elapsed() > STEADY {
                backoff = BACKOFF_MIN;
            }
            if server.is_adopted() {
                tracing::info!("the private PostgreSQL was left to us ({how})");
            } else {
                tracing::warn!(how, "the private PostgreSQL ended unexpectedly ({how})");
            }
            drop(server);
            if !self.restarts {
                return;
            }
            running = tokio::select! {
                () = asked(&mut stop) => None,
                server = self.start_again(&mut backoff) => Some(server),
            };
        }
    }

    async fn ended(&self, server: &mut Server) -> String {
        loop {
            tokio::select! {
                how = server.ended(&self.layout) => return how,
                () = sleep(LOG_CHECK) => trim_log(&self.layout),
            }
        }
    }

    /// Tries until it works.
    async fn start_again(&self, backoff: &mut Duration) -> Server {
        loop {
            let begun = Instant::now();
            match launch(&self.layout, &self.binaries, self.durability).await {
                Ok(server) => {
                    self.pid.send_replace(Some(server.pid));
                    let ms = begun.elapsed().as_millis();
                    tracing::info!(ms, "the private PostgreSQL is back after {ms} ms");
                    return server;
                }
                Err(error) => {
                    tracing::error!(%error, "the private PostgreSQL does not start: {error}");
                }
            }
            sleep(*backoff).await;
            *backoff = (*backoff * 2).min(BACKOFF_MAX);
        }
    }
}

/// Returns when `stop` is true or nobody is left to make it so.
async fn asked(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await; // an error means that the sender is gone
}
