//! Activities through the write door: what one user did is one sync, several users at once.
//!
//! What is known to the letter is a duplicate, so nothing of a run that is repeated is written.

use domain::activity::Activity;
use domain::activity_log::SyncRecord;
use futures::StreamExt;
use futures::stream;

use super::activities::{ActivityColumns, ActivityMapping};
use super::batch::{Batch, line};
use super::run::{Intake, Run};
use super::summary::Summary;
use crate::commands::{ActivitiesReceipt, SyncActivities, SyncOutcome};

/// Users of a batch whose activities are told at once.
const AT_ONCE: usize = 16;

/// Activities of one user, with the lines they stand on.
struct Told {
    user: String,
    lines: Vec<u64>,
    activities: Vec<Activity>,
}

impl Intake for ActivityMapping {
    type Lane = ();

    async fn send(
        &self,
        run: &Run,
        (): &mut (),
        batch: &Batch<ActivityColumns>,
    ) -> anyhow::Result<()> {
        let mut told: Vec<Told> = Vec::new();
        for row in &batch.rows {
            let (user, activity) = match batch.columns.activity(row) {
                Ok(read) => read,
                Err(refusal) => {
                    run.summary().add_refused(batch.source, line(row), &refusal);
                    continue;
                }
            };
            if told.last().is_none_or(|last| last.user != user) {
                told.push(Told {
                    user,
                    lines: Vec::new(),
                    activities: Vec::new(),
                });
            }
            if let Some(last) = told.last_mut() {
                last.lines.push(line(row));
                last.activities.push(activity);
            }
        }
        let mut sent = stream::iter(told)
            .map(|told| sync(run, batch.source, told))
            .buffer_unordered(AT_ONCE);
        while let Some(done) = sent.next().await {
            done?;
        }
        Ok(())
    }
}

/// Tells the door what one user did, and counts what it said of each activity.
async fn sync(run: &Run, source: usize, told: Told) -> anyhow::Result<()> {
    let context = run.context(None);
    let send = || {
        let activities = told.activities.iter().cloned();
        let records = activities.map(|activity| Ok(SyncRecord::Activity(Box::new(activity))));
        let sync = SyncActivities {
            user: told.user.clone(),
            records: records.collect(),
        };
        run.door.sync_activities(&context, sync)
    };
    match run.until_decided(send).await? {
        Ok(receipt) => count(&mut run.summary(), source, &told.lines, &receipt),
        Err(refusal) => {
            let mut summary = run.summary();
            for line in &told.lines {
                summary.add_refused(source, *line, &refusal);
            }
        }
    }
    Ok(())
}

/// Adds what the write door said about a sync.
fn count(summary: &mut Summary, source: usize, lines: &[u64], told: &ActivitiesReceipt) {
    for (line, outcome) in lines.iter().zip(&told.outcomes) {
        match outcome {
            SyncOutcome::Recorded { .. } | SyncOutcome::Amended { .. } => {
                summary.add_accepted(1, told.receipt.position);
            }
            // Nothing is taken back here.
            SyncOutcome::Duplicate | SyncOutcome::Removed | SyncOutcome::Absent => {
                summary.add_duplicate(1);
            }
            SyncOutcome::Rejected(refusal) => summary.add_refused(source, *line, refusal),
        }
    }
}
