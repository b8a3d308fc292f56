//! A PostgreSQL of a test's own, durable, for tests that kill it.

use std::time::Duration;

use daybook::store::local::{self, LocalPostgres, LocalSettings};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;

use super::database::migrate;
use super::{Scratch, eventually, is_unlocked, url_of};

/// A durable server with one migrated database; it stays down when it is brought down.
#[derive(Debug)]
pub struct OwnCluster {
    settings: LocalSettings,
    options: PgConnectOptions,
    running: Option<LocalPostgres>,
    _dir: Scratch,
}

/// How to stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Memory is written out; clients are cut off.
    Fast,
    /// As in a crash: the next start recovers.
    Immediate,
}

impl OwnCluster {
    /// A new one.
    pub async fn start() -> Self {
        let dir = Scratch::new();
        let settings = LocalSettings {
            pg_bin: std::env::var_os("DAYBOOK_PG_BIN").map(Into::into),
            restarts: false,
            ..LocalSettings::new(dir.path().join("data"))
        };
        let running = start(&settings).await;
        let options = running.options();
        migrate(&options).await;
        Self {
            settings,
            options,
            running: Some(running),
            _dir: dir,
        }
    }

    /// How to connect. Stays the same over restarts.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// The same as a `DATABASE_URL`.
    pub fn url(&self) -> String {
        url_of(&self.options)
    }

    /// Kills the server and waits until all its processes are gone.
    pub async fn kill9(&mut self) {
        self.end_by(Signal::KILL).await;
    }

    /// Stops the server and waits until all its processes are gone.
    pub async fn stop(&mut self, mode: StopMode) {
        let signal = match mode {
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        self.end_by(signal).await;
    }

    /// Starts it again, whether it was stopped, killed or runs.
    pub async fn restart(&mut self) {
        if self.running.is_some() {
            self.stop(StopMode::Fast).await;
        }
        self.running = Some(start(&self.settings).await);
    }

    async fn end_by(&mut self, signal: Signal) {
        let running = self.running.take().expect("the server runs");
        let lock = running.server_dir().join("server.lock");
        let pid = running.server_pid().expect("the server runs");
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
        eventually("the server is gone", async || is_unlocked(&lock)).await;
        running.stop().await;
    }
}

impl Drop for OwnCluster {
    /// Kills the server and waits for it a while, so that its directory can be removed.
    fn drop(&mut self) {
        let Some(running) = &self.running else {
            return;
        };
        let pid = running
            .server_pid()
            .and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL); // the test may have done it
        }
        let lock = running.server_dir().join("server.lock");
        for _ in 0..500 {
            if is_unlocked(&lock) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

async fn start(settings: &LocalSettings) -> LocalPostgres {
    local::start(settings)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}
