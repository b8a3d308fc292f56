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
    let mut signals = Signals::listen()?;
    let (tell, told) = oneshot::channel::<()>();
    let first = async move {
        if told.await.is_err() {
            pending::<()>().await;
        }
    };
    let second = async move {
        signals.next().await;
        eprintln!("ending early; once more ends at once, without a report");
        let _ = tell.send(()); // nobody listens once the run is over
        signals.next().await;
    };
    tokio::select! {
        summary = session::run(options, first) => summary,
        () = second => bail!("ended at once: nothing is reported"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;
    use rustix::process::{self, getpid, kill_process};
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test]
    async fn both_signals_end_a_run_and_the_second_ends_it_at_once() {
        // It takes connections and never answers, so that a run waits for it.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let words = ["daybook-load", "--quiet", "--token", "t", "--url", &url];
        let options = Options::parse_from(words);
        let ended = timeout(Duration::from_secs(10), async {
            tokio::select! {
                ended = run(&options) => ended,
                () = async {
                    sleep(Duration::from_millis(300)).await;
                    kill_process(getpid(), process::Signal::TERM).unwrap();
                    pending::<()>().await;
                } => unreachable!(),
            }
        });
        let told = ended.await.unwrap().unwrap_err().to_string();
        assert!(told.contains("ended before anything was asked"), "{told}");

        let mut signals = Signals::listen().unwrap();
        for signal in [process::Signal::INT, process::Signal::TERM] {
            kill_process(getpid(), signal).unwrap();
            let next = timeout(Duration::from_secs(10), signals.next());
            next.await.unwrap();
        }
    }
}
