//! Log records through the write door: a batch is one command, known by what it says.

use anyhow::{Context as _, bail};
use domain::Code;
use domain::log_source::{LogLimits, LogRetention, LogSource, LogSourceCommand};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::lines::LogLines;
use super::logs::LogFiles;
use super::run::{Intake, Run};
use super::summary::Summary;
use crate::commands::{IngestLogs, LogsReceipt, RecordOutcome};

impl Intake for LogFiles {
    type Lane = ();
    const UNIT: &'static str = "records";

    /// A source that is not known is registered, with what its format holds of persons declared personal.
    async fn prepare(&self, run: &Run) -> anyhow::Result<()> {
        let context = run.context(None);
        let register = || LogSourceCommand::Register {
            limits: LogLimits::default(),
            retention: LogRetention::default(),
            personal_fields: self.format().personal_fields(),
            on_first_batch: true,
        };
        let send = || {
            run.door
                .execute::<LogSource>(&context, &self.source, register())
        };
        match run.until_decided(send).await? {
            Err(refusal) if refusal.code != Code::AlreadyExists => {
                return Err(refusal).context("the log source cannot be registered");
            }
            _ => {}
        }
        let load = || run.door.load::<LogSource>(&run.tenant, &self.source);
        let (_, version) = run.until_decided(load).await?.context("the log source")?;
        self.version.get_or_init(|| version);
        Ok(())
    }

    async fn send(&self, run: &Run, (): &mut (), batch: &LogLines) -> anyhow::Result<()> {
        let context = run.context(Some(self.command_id(batch)));
        let send = || {
            let told = IngestLogs {
                source: self.source.clone(),
                records: batch.records.clone(),
                may_register: false,
            };
            run.door.ingest_logs(&context, told)
        };
        match run.until_decided(send).await? {
            Ok(receipt) => count(&mut run.summary(), batch, &receipt),
            // No record is to blame: the source takes none.
            Err(refusal) => bail!("{}: {refusal}", self.source),
        }
        Ok(())
    }
}

impl LogFiles {
    /// The same for the same records in every run: then what was refused is not kept again, and what was
    /// kept is not looked at again. Another one once the source was told something else: then it may accept
    /// what it refused, and what it has it knows by the records' own ids.
    fn command_id(&self, batch: &LogLines) -> String {
        let mut said = Sha256::new();
        let version = self.version.get().copied().unwrap_or_default();
        said.update(format!("{} {version}\n", self.source));
        for record in &batch.records {
            match record {
                Ok(report) => serde_json::to_writer(&mut said, report).expect("plain data"),
                Err(refusal) => said.update(format!("{refusal} {:?}", refusal.details)),
            }
            said.update(b"\n");
        }
        let digest = said.finalize();
        let half = digest.first_chunk().expect("a digest has 32 bytes");
        format!("import logs {}", Uuid::from_bytes(*half).simple())
    }
}

/// Adds what the write door said about a batch.
fn count(summary: &mut Summary, batch: &LogLines, told: &LogsReceipt) {
    if told.receipt.replayed {
        summary.earlier += batch.lines.len() as u64;
    }
    for (line, outcome) in batch.lines.iter().zip(&told.outcomes) {
        match outcome {
            RecordOutcome::Accepted { .. } => summary.add_accepted(1, told.receipt.position),
            RecordOutcome::Known { .. } => summary.add_duplicate(1),
            RecordOutcome::Repeated { differs, .. } => {
                summary.add_duplicate(1);
                if *differs {
                    summary.add_differing(batch.source, *line);
                }
            }
            RecordOutcome::Rejected(refusal) => summary.add_refused(batch.source, *line, refusal),
        }
    }
}
