//! Who ends this program from outside: Ctrl-C, or SIGTERM of whoever looks after it.

use std::future::pending;

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::options::Options;
use crate::session;
use crate::summary::Summary;

/// Signals that say that it is enough.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves.
    fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Until one comes.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Does what the options say until it is over. The first signal ends it early; the second ends it at once,
/// whatever is waited for.
pub async fn run(options: &Options) -> anyhow::Result<Summary> {
    let first = |told: oneshot::Receiver<()>| async move {
        if told.await.is_err() {
            pending::<()>().await;
        }
    };
    until_told(Signals::listen()?, async |told| {
        session::run(options, first(told)).await
    })
    .await
}

/// Does this, which is told of the first signal, to its end or to the second signal.
async fn until_told<T>(
    mut signals: Signals,
    run: impl AsyncFnOnce(oneshot::Receiver<()>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (tell, told) = oneshot::channel();
    let second = async move {
        signals.next().await;
        eprintln!("ending early; once more ends at once, without a report");
        let _ = tell.send(()); // nobody listens once the run is over
        signals.next().await;
    };
    tokio::select! {
        done = run(told) => done,
        () = second => bail!("ended at once: nothing is reported"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{self, getpid, kill_process};
    use tokio::time::timeout;

    use super::*;

    fn send(signal: process::Signal) {
        kill_process(getpid(), signal).unwrap();
    }

    /// One test, since signals are of the whole process.
    #[tokio::test]
    async fn the_first_signal_is_told_and_the_second_ends_it_at_once() {
        let both = (process::Signal::INT, process::Signal::TERM);
        for (one, other) in [both, (both.1, both.0)] {
            let mut has_been_told = false;
            let ended = until_told(Signals::listen().unwrap(), async |told| {
                send(one);
                told.await?;
                has_been_told = true;
                send(other);
                pending::<anyhow::Result<()>>().await
            });
            let ended = timeout(Duration::from_secs(10), ended).await.unwrap();
            assert!(ended.unwrap_err().to_string().contains("ended at once"));
            assert!(has_been_told);

            let ended = until_told(Signals::listen().unwrap(), async |told| {
                send(one);
                told.await?;
                Ok("what was counted")
            });
            let ended = timeout(Duration::from_secs(10), ended).await.unwrap();
            assert_eq!(ended.unwrap(), "what was counted");
        }
    }
}
