//! Position fixes through the write door: a batch is one report.

use std::collections::HashMap;

use domain::Refusal;
use sha2::{Digest, Sha256};

use super::batch::{Batch, line};
use super::mapping::{Columns, Mapping};
use super::run::{Intake, Run};
use super::summary::Summary;
use crate::commands::{FixOutcome, PositionsReceipt, ReportPositions};

impl Intake for Mapping {
    type Lane = CommandIds;

    async fn send(
        &self,
        run: &Run,
        ids: &mut CommandIds,
        batch: &Batch<Columns>,
    ) -> anyhow::Result<()> {
        let Decoded {
            report,
            lines,
            refused,
        } = decode(batch);
        let mut answer = None;
        if !lines.is_empty() {
            let context = run.context(Some(ids.next(&report)));
            // Told again only where it has to be sent again.
            let mut report = Some(report);
            let send = || {
                let sent = report.take().unwrap_or_else(|| decode(batch).report);
                run.door.report_positions(&context, sent)
            };
            answer = Some(run.until_decided(send).await?);
        }
        let mut summary = run.summary();
        match answer {
            Some(Ok(receipt)) => count(&mut summary, batch.source, &lines, &receipt),
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
        Ok(())
    }
}

/// Adds what the write door said about a report.
fn count(summary: &mut Summary, source: usize, lines: &[u64], receipt: &PositionsReceipt) {
    if receipt.receipt.replayed {
        summary.earlier += lines.len() as u64;
    }
    for (line, outcome) in lines.iter().zip(&receipt.outcomes) {
        match outcome {
            FixOutcome::Accepted => summary.add_accepted(1, receipt.receipt.position),
            FixOutcome::Duplicate { differs } => {
                summary.add_duplicate(1);
                summary.differing += u64::from(*differs);
            }
            FixOutcome::Rejected(refusal) => summary.add_refused(source, *line, refusal),
        }
    }
}

/// A batch, ready for the write door.
#[derive(Debug)]
struct Decoded {
    /// The rows that are fixes.
    report: ReportPositions,
    /// The line of each of them.
    lines: Vec<u64>,
    /// The rows that are none, by line, and why.
    refused: Vec<(u64, Refusal)>,
}

/// Reads the rows through the mapping.
fn decode(batch: &Batch<Columns>) -> Decoded {
    let (mut fixes, mut lines) = (Vec::with_capacity(batch.rows.len()), Vec::new());
    let mut refused = Vec::new();
    for row in &batch.rows {
        match batch.columns.report(row) {
            Ok(fix) => {
                fixes.push(fix);
                lines.push(line(row));
            }
            Err(refusal) => refused.push((line(row), refusal)),
        }
    }
    Decoded {
        report: ReportPositions {
            fixes,
            may_register: true,
        },
        lines,
        refused,
    }
}

/// Gives batches their command ids. The id is the digest of what the batch says, so the same file
/// gives the same ids in every run, from a file or a pipe, under any name; a batch that says the
/// same as an earlier one of this run is told apart by its turn. Holds some 24 bytes a batch.
#[derive(Default)]
pub struct CommandIds {
    turns: HashMap<[u8; 16], u32>,
}

impl CommandIds {
    /// The id of the next batch.
    pub fn next(&mut self, report: &ReportPositions) -> String {
        let mut digest = Sha256::new();
        serde_json::to_writer(&mut digest, report).expect("a report is plain data");
        let digest = digest.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        let turn = self.turns.entry(key).and_modify(|n| *n += 1).or_insert(0);
        format!("import-{:032x}-{turn}", u128::from_be_bytes(key))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use csv::ByteRecord;

    use super::super::batch::Columned;
    use super::super::columns::Names;
    use super::super::mapping::MappingArgs;
    use super::super::source::Source;
    use super::*;

    #[test]
    fn a_command_id_is_of_the_content_and_of_its_turn() {
        let report = |text: &'static str| {
            let source = Source::from_memory("x.csv", text.as_bytes());
            let mut rows = source.open(&Names::default()).unwrap();
            let mapping = Mapping::from_args(&MappingArgs::default());
            let columns = Arc::new(mapping.columns(&rows.header).unwrap());
            let mut row = ByteRecord::new();
            rows.read(&mut row).unwrap();
            decode(&Batch {
                source: 0,
                rows: vec![row],
                bytes: 0,
                columns,
            })
            .report
        };
        let (one, other) = (
            "vehicle,time,lat,lon\na,1,1,1\n",
            "vehicle,time,lat,lon\na,1,1,2\n",
        );
        let mut ids = CommandIds::default();
        let first = ids.next(&report(one));
        assert_ne!(first, ids.next(&report(other)));
        assert_ne!(first, ids.next(&report(one)));
        assert_eq!(first, CommandIds::default().next(&report(one)));
        let reordered = "lon,lat,time,vehicle\n1,1,1,a\n";
        assert_eq!(first, CommandIds::default().next(&report(reordered)));
    }
}
