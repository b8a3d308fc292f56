//! Settings that change while the process runs: who learns of them.

use std::future::pending;
use std::io::IsTerminal;
use std::time::Duration;

use metrics::counter;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Change, ConfigError, Settings, Watch};
use crate::intake::Sources;
use crate::limits::Limiter;
use crate::ops::telemetry::Levels;
use crate::ops::{Shutdown, metrics as names};

/// The parts that take a change.
pub struct Changing {
    /// Quotas and pauses.
    pub limiter: Limiter,
    /// Who may send webhooks.
    pub sources: Sources,
    /// Which log lines are written.
    pub levels: Levels,
}

/// Looks at the settings' file until the process stops, and at once when it is told to.
pub async fn follow(mut watch: Watch, changing: Changing, every: Duration, shutdown: Shutdown) {
    let mut hangups = hangups();
    loop {
        let at_once = tokio::select! {
            () = tokio::time::sleep(every) => false,
            () = hangup(&mut hangups) => true,
            () = shutdown.soft() => return,
        };
        let looked = tokio::task::spawn_blocking(move || {
            let change = watch.look(at_once);
            (watch, change)
        });
        let Ok((back, change)) = looked.await else {
            // The panic itself is in the log.
            tracing::error!("settings are not read again until the process is started anew");
            return;
        };
        watch = back;
        match change {
            Change::None => {}
            Change::Refused(error) => refuse(&error),
            Change::Taken {
                settings,
                changed,
                waiting,
            } => {
                changing.adopt(&settings);
                tell(&changed.join(", "), &waiting.join(", "));
            }
        }
    }
}

impl Changing {
    fn adopt(&self, settings: &Settings) {
        self.limiter.adopt(&settings.limits);
        if let Err(error) = self.sources.adopt(&settings.intake) {
            tracing::error!(error = %error, "webhooks are taken as before: {error}");
        }
        if let Err(error) = self.levels.adopt(&settings.log) {
            tracing::error!(error = %error, "log lines are written as before");
        }
        counter!(names::CONFIG_RELOADS_TOTAL, "outcome" => "taken").increment(1);
    }
}

fn refuse(error: &ConfigError) {
    counter!(names::CONFIG_RELOADS_TOTAL, "outcome" => "refused").increment(1);
    for problem in &error.problems {
        let (key, origin) = (&problem.key, &problem.origin);
        tracing::error!(
            key,
            origin,
            "the settings stay as they are: {key}: {}",
            problem.problem
        );
    }
}

fn tell(changed: &str, waiting: &str) {
    match changed {
        "" => tracing::info!("settings read again: nothing changed"),
        changed => tracing::info!(changed, "settings changed: {changed}"),
    }
    if !waiting.is_empty() {
        tracing::warn!(waiting, "these settings wait for a restart: {waiting}");
    }
}

/// SIGHUP asks a process in the background to read its settings again. To one on a terminal it says that
/// the terminal is gone, which ends it as ever.
fn hangups() -> Option<Signal> {
    let on_terminal = std::io::stdin().is_terminal() || std::io::stderr().is_terminal();
    let hangups = (!on_terminal).then(|| signal(SignalKind::hangup()));
    hangups?
        .inspect_err(|error| tracing::warn!(error = %error, "SIGHUP is not heard"))
        .ok()
}

async fn hangup(hangups: &mut Option<Signal>) {
    if let Some(signals) = hangups
        && signals.recv().await.is_some()
    {
        return;
    }
    pending().await
}
