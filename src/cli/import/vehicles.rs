//! Position fixes through the write door: a reader, and a few lanes that send what it hands them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::Context;
use domain::{Actor, ActorKind, Refusal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::batch::{
    Batch, CommandIds, Decoded, LANE_QUEUE_BATCHES_MAX, LANES, ReadError, read_source,
};
use super::mapping::Mapping;
use super::source::Source;
use super::summary::Summary;
use crate::cli::progress::Progress;
use crate::commands::{CommandContext, CommandError, Door, PositionsReceipt, ReportPositions};
use crate::ops::{Clock, Shutdown};

/// How long an import waits for a database that has gone before it gives up, in milliseconds.
const UNAVAILABLE_MS_MAX: u64 = 60_000;

/// The pause before a batch is sent again to a database that has gone, in milliseconds.
const RETRY_MS: u64 = 500;

const GO_ON: &str = "the import stopped; nothing that was told is lost, run it again to go on";

/// What is imported, whose it is, and what ties its events together.
pub struct Inflow {
    /// Whose log.
    pub tenant: Arc<str>,
    /// In this order.
    pub sources: Vec<Source>,
    /// What their columns mean.
    pub mapping: Mapping,
    /// In the metadata of every event.
    pub correlation_id: String,
    /// Tells what is in the future.
    pub clock: Clock,
}

/// Reads `sources` and sends their rows through the write door, several batches at once. Ends
/// early, with what is done so far, when `stop` turns true. Fails only if the door does.
pub async fn import_vehicles(
    door: &Door,
    inflow: Inflow,
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
    let import = Arc::new(Import {
        door: door.clone(),
        tenant,
        correlation_id,
        clock,
        summary: Mutex::default(),
        progress,
        bytes_done: AtomicU64::new(0),
        shutdown: shutdown.clone(),
    });
    let (mut senders, mut lanes) = (Vec::new(), JoinSet::new());
    for _ in 0..LANES {
        let (sender, batches) = mpsc::channel(LANE_QUEUE_BATCHES_MAX);
        senders.push(sender);
        lanes.spawn(import.clone().lane(batches));
    }
    // Ends with the lanes: nobody takes its batches any more. Waiting on standard input it would
    // not even notice, so it is not waited for.
    tokio::task::spawn_blocking({
        let import = import.clone();
        move || import.read(&sources, &mapping, &senders)
    });
    let mut failed = None;
    while let Some(ended) = lanes.join_next().await {
        if let Err(e) = ended.context("a lane of the import").and_then(|r| r) {
            failed.get_or_insert(e);
            lanes.abort_all();
        }
    }
    import.progress.finish();
    if let Some(e) = failed {
        return Err(e);
    }
    let mut summary = import.summary().clone();
    summary.interrupted = shutdown.is_soft();
    summary.elapsed = began.elapsed();
    Ok(summary)
}

/// One run.
struct Import {
    door: Door,
    tenant: Arc<str>,
    correlation_id: String,
    clock: Clock,
    summary: Mutex<Summary>,
    progress: Progress,
    bytes_done: AtomicU64,
    shutdown: Shutdown,
}

impl Import {
    fn read(&self, sources: &[Source], mapping: &Mapping, lanes: &[mpsc::Sender<Batch>]) {
        let stopped = || self.shutdown.is_soft();
        for (index, source) in sources.iter().enumerate() {
            self.summary().sources += 1;
            match read_source(index, source, mapping, lanes, &stopped) {
                Ok(()) => {}
                Err(ReadError::Unreadable(problem)) => self.summary().unreadable.push(problem),
                Err(ReadError::Stopped) => return,
            }
        }
    }

    async fn lane(self: Arc<Import>, mut batches: mpsc::Receiver<Batch>) -> anyhow::Result<()> {
        let mut ids = CommandIds::default();
        loop {
            let batch = tokio::select! {
                biased;
                () = self.shutdown.soft() => break,
                batch = batches.recv() => batch,
            };
            match batch {
                Some(batch) => self.send(&batch, &mut ids).await?,
                None => break,
            }
        }
        Ok(())
    }

    /// Sends one batch until the door has decided on it, and counts what it said.
    async fn send(&self, batch: &Batch, ids: &mut CommandIds) -> anyhow::Result<()> {
        let Decoded {
            report,
            lines,
            refused,
        } = batch.decode();
        let mut answer = None;
        if !lines.is_empty() {
            let context = self.context(ids.next(&report));
            answer = Some(self.until_decided(&context, batch, report).await?);
        }
        let mut summary = self.summary();
        match answer {
            Some(Ok(receipt)) => summary.add(batch.source, &lines, &receipt),
            Some(Err(refusal)) => {
                lines
                    .iter()
                    .for_each(|l| summary.add_refused(batch.source, *l, &refusal));
            }
            None => {}
        }
        for (line, refusal) in &refused {
            summary.add_refused(batch.source, *line, refusal);
        }
        let bytes = self.bytes_done.fetch_add(batch.bytes, Ordering::Relaxed) + batch.bytes;
        self.progress.at(bytes, summary.rows);
        Ok(())
    }

    /// The door's answer to a batch. Sending the same command id again is safe, so an overloaded
    /// door and a database that went away are waited for.
    async fn until_decided(
        &self,
        context: &CommandContext,
        batch: &Batch,
        report: ReportPositions,
    ) -> anyhow::Result<Result<PositionsReceipt, Refusal>> {
        let (mut report, mut waited_ms) = (Some(report), 0);
        loop {
            let again = || batch.decode().report;
            let sent = report.take().unwrap_or_else(again);
            let pause_ms = match self.door.report_positions(context, sent).await {
                Ok(receipt) => return Ok(Ok(receipt)),
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

    fn context(&self, command_id: String) -> CommandContext {
        CommandContext {
            tenant: self.tenant.clone(),
            actor: Actor {
                kind: ActorKind::Feed,
                id: "import".into(),
            },
            command_id: Some(command_id),
            expected_version: None,
            correlation_id: Some(self.correlation_id.clone()),
            causation_id: None,
            traceparent: None,
            occurred_at: None,
            now: self.clock.now(),
            backfill: true,
        }
    }

    fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(|e| e.into_inner())
    }
}
