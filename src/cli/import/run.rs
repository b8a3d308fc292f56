//! One run of an import: a reader, a few lanes that send what it hands them, and what came of it.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::Context;
use domain::{Actor, ActorKind, Refusal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::batch::{LANE_QUEUE_BATCHES_MAX, LANES, Listener, ReadError, Supply};
use super::source::Source;
use super::summary::Summary;
use crate::cli::progress::Progress;
use crate::commands::{CommandContext, CommandError, Door};
use crate::ops::{Clock, Shutdown};

/// How long an import waits for a database that has gone before it gives up, in milliseconds.
const UNAVAILABLE_MS_MAX: u64 = 60_000;

/// The pause before a batch is sent again to a database that has gone, in milliseconds.
const RETRY_MS: u64 = 500;

const GO_ON: &str = "the import stopped; nothing that was told is lost, run it again to go on";

/// What is imported, whose it is, and what ties its events together.
pub struct Inflow<K> {
    /// Whose log.
    pub tenant: Arc<str>,
    /// In this order.
    pub sources: Vec<Source>,
    /// How they are read and what they mean.
    pub mapping: K,
    /// In the metadata of every event.
    pub correlation_id: String,
    /// Tells what is in the future.
    pub clock: Clock,
}

/// A kind of facts: how they are read, and what is sent for a batch of them.
pub trait Intake: Supply + Sized {
    /// What a lane remembers from batch to batch.
    type Lane: Default + Send;
    /// What is counted.
    const UNIT: &'static str = "rows";

    /// What must be so before the first batch is sent.
    fn prepare(&self, _run: &Run) -> impl Future<Output = anyhow::Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Sends one batch until the door has decided on all of it, and counts what it said.
    fn send(
        &self,
        run: &Run,
        lane: &mut Self::Lane,
        batch: &Self::Batch,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Reads the sources and sends what they hold through the write door, several batches at once. Ends early,
/// with what is done so far, when a soft stop was asked for. Fails only if the door does.
pub async fn import_rows<K: Intake>(
    door: &Door,
    inflow: Inflow<K>,
    progress: Progress,
    shutdown: &Shutdown,
) -> anyhow::Result<Summary> {
    let began = Instant::now();
    let Inflow {
        tenant,
        sources,
        mapping,
        correlation_id,
        clock,
    } = inflow;
    let run = Arc::new(Run {
        door: door.clone(),
        tenant,
        correlation_id,
        clock,
        summary: Mutex::default(),
        progress,
        bytes_done: AtomicU64::new(0),
        shutdown: shutdown.clone(),
    });
    mapping.prepare(&run).await?;
    let mapping = Arc::new(mapping);
    let (mut senders, mut lanes) = (Vec::new(), JoinSet::new());
    for _ in 0..LANES {
        let (sender, batches) = mpsc::channel(LANE_QUEUE_BATCHES_MAX);
        senders.push(sender);
        lanes.spawn(run.clone().lane(mapping.clone(), batches));
    }
    // Ends with the lanes: nobody takes its batches any more. Waiting on standard input it would
    // not even notice, so it is not waited for.
    tokio::task::spawn_blocking({
        let run = run.clone();
        move || run.read(&sources, &*mapping, &senders)
    });
    let mut failed = None;
    while let Some(ended) = lanes.join_next().await {
        if let Err(e) = ended.context("a lane of the import").and_then(|r| r) {
            failed.get_or_insert(e);
            lanes.abort_all();
        }
    }
    run.progress.finish();
    if let Some(e) = failed {
        return Err(e);
    }
    let mut summary = run.summary().clone();
    summary.interrupted = shutdown.is_soft();
    summary.elapsed = began.elapsed();
    Ok(summary)
}

/// One run.
pub struct Run {
    /// Where commands go in.
    pub door: Door,
    /// Whose log.
    pub tenant: Arc<str>,
    correlation_id: String,
    clock: Clock,
    summary: Mutex<Summary>,
    progress: Progress,
    bytes_done: AtomicU64,
    shutdown: Shutdown,
}

impl Run {
    fn read<K: Intake>(&self, sources: &[Source], mapping: &K, lanes: &[mpsc::Sender<K::Batch>]) {
        for (index, source) in sources.iter().enumerate() {
            self.summary().sources += 1;
            let stopped = || self.shutdown.is_soft();
            let refused = |line, refusal| self.summary().add_refused(index, line, &refusal);
            let told = Listener {
                stopped: &stopped,
                refused: &refused,
            };
            match mapping.read(index, source, lanes, &told) {
                Ok(()) => {}
                Err(ReadError::Unreadable(problem)) => self.summary().unreadable.push(problem),
                Err(ReadError::Stopped) => return,
            }
        }
    }

    async fn lane<K: Intake>(
        self: Arc<Run>,
        mapping: Arc<K>,
        mut batches: mpsc::Receiver<K::Batch>,
    ) -> anyhow::Result<()> {
        let mut lane = K::Lane::default();
        loop {
            let batch = tokio::select! {
                biased;
                () = self.shutdown.soft() => break,
                batch = batches.recv() => batch,
            };
            let Some(batch) = batch else { break };
            mapping.send(&self, &mut lane, &batch).await?;
            let bytes = K::bytes(&batch);
            let bytes = self.bytes_done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            let rows = self.summary().rows;
            self.progress.at(bytes, rows);
        }
        Ok(())
    }

    /// The door's answer to a command that may be sent again: an overloaded door and a database that
    /// went away are waited for.
    pub async fn until_decided<T, F>(
        &self,
        mut send: impl FnMut() -> F,
    ) -> anyhow::Result<Result<T, Refusal>>
    where
        F: Future<Output = Result<T, CommandError>>,
    {
        let mut waited_ms = 0;
        loop {
            let pause_ms = match send().await {
                Ok(answer) => return Ok(Ok(answer)),
                Err(CommandError::Refused(e)) if !e.code.retryable() => return Ok(Err(e)),
                Err(CommandError::Overloaded { retry_after_ms }) => retry_after_ms,
                Err(CommandError::Refused(_) | CommandError::Unavailable(_))
                    if waited_ms < UNAVAILABLE_MS_MAX =>
                {
                    waited_ms += RETRY_MS;
                    RETRY_MS
                }
                Err(e) => return Err(anyhow::Error::new(e).context(GO_ON)),
            };
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    /// What surrounds the commands of a batch; with an id, one command.
    pub fn context(&self, command_id: Option<String>) -> CommandContext {
        let actor = Actor {
            kind: ActorKind::Feed,
            id: "import".into(),
        };
        CommandContext {
            command_id,
            correlation_id: Some(self.correlation_id.clone()),
            backfill: true,
            ..CommandContext::new(self.tenant.clone(), actor, self.clock.now())
        }
    }

    /// What came of it so far.
    pub fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(|e| e.into_inner())
    }
}
