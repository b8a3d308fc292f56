//! Deployments through the write door: each is a command of its own, several hundred at once.
//!
//! One question tells which of a batch are known, so that a new one costs no load of its stream. What is
//! known is already so, whatever else is said; another question tells whether anything else is.

use std::collections::{HashMap, HashSet};

use csv::ByteRecord;
use domain::deployment::{Deployment, DeploymentCommand, DeploymentEvent, Record};
use domain::{Aggregate as _, Event, Position, Refusal};
use futures::future::join_all;

use super::batch::{Batch, line};
use super::deployments::{DeploymentColumns, DeploymentMapping};
use super::run::{Intake, Run};
use crate::commands::CommandContext;

/// A row that tells of a deployment.
struct Told {
    line: u64,
    id: String,
    command: DeploymentCommand,
}

impl Intake for DeploymentMapping {
    type Lane = ();

    async fn send(
        &self,
        run: &Run,
        (): &mut (),
        batch: &Batch<DeploymentColumns>,
    ) -> anyhow::Result<()> {
        let context = run.context(None);
        let mut told = Vec::with_capacity(batch.rows.len());
        for row in &batch.rows {
            match read(&batch.columns, row, &context) {
                Ok(row) => told.push(row),
                Err(refusal) => run.summary().add_refused(batch.source, line(row), &refusal),
            }
        }
        let mut known = known(run, &told).await?;
        while !told.is_empty() {
            let (now, later) = first_of_each(told);
            told = later;
            let (old, new): (Vec<_>, Vec<_>) = now.into_iter().partition(|t| known.contains(&t.id));
            tell_again(run, batch.source, &old).await?;
            let sent = new.iter().map(|told| record(run, &context, told));
            for (told, outcome) in new.iter().zip(join_all(sent).await) {
                let mut summary = run.summary();
                match outcome? {
                    Ok(position) => {
                        summary.add_accepted(1, position);
                        known.insert(told.id.clone());
                    }
                    Err(refusal) => summary.add_refused(batch.source, told.line, &refusal),
                }
            }
        }
        Ok(())
    }
}

fn read(
    columns: &DeploymentColumns,
    row: &ByteRecord,
    context: &CommandContext,
) -> Result<Told, Refusal> {
    let (id, record): (String, Record) = columns.record(row, context.now)?;
    Ok(Told {
        line: line(row),
        id,
        command: DeploymentCommand::Record(record),
    })
}

/// The ids among these that the log has.
async fn known(run: &Run, told: &[Told]) -> anyhow::Result<HashSet<String>> {
    let ids: Vec<_> = told.iter().map(|told| &*told.id).collect();
    let ask = || run.door.ready::<Deployment>(&run.tenant, &ids);
    Ok(run.until_decided(ask).await??)
}

/// Counts rows about what is known, and names those that tell of it otherwise than it was told first.
async fn tell_again(run: &Run, source: usize, known: &[Told]) -> anyhow::Result<()> {
    if known.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = known.iter().map(|told| &*told.id).collect();
    let ask = || run.door.beginnings::<Deployment>(&run.tenant, &ids);
    let kept: HashMap<String, Event> = run.until_decided(ask).await??;
    let mut summary = run.summary();
    summary.add_duplicate(known.len() as u64);
    for told in known {
        if kept.get(&told.id).is_some_and(|first| differs(told, first)) {
            summary.add_differing(source, told.line);
        }
    }
    Ok(())
}

/// Would the row have been kept as something else than the deployment's first event?
fn differs(told: &Told, first: &Event) -> bool {
    let Event::Deployment(DeploymentEvent::DeploymentRecorded(kept)) = first else {
        // It was asked for here, which an import does not tell of.
        return false;
    };
    match Deployment::default().decide(&told.command).as_deref() {
        Ok([DeploymentEvent::DeploymentRecorded(told)]) => !told.tells_the_same(kept),
        _ => true,
    }
}

/// The first row of each deployment, and the others: what becomes of those follows from it.
fn first_of_each(told: Vec<Told>) -> (Vec<Told>, Vec<Told>) {
    let mut seen = HashSet::new();
    let (first, later): (Vec<_>, Vec<_>) = told
        .into_iter()
        .map(|told| (seen.insert(told.id.clone()), told))
        .partition(|(first, _)| *first);
    let rows = |list: Vec<(bool, Told)>| list.into_iter().map(|(_, told)| told).collect();
    (rows(first), rows(later))
}

/// Tells the door. Sent again after a database that went away, it finds itself already so.
async fn record(
    run: &Run,
    context: &CommandContext,
    told: &Told,
) -> anyhow::Result<Result<Position, Refusal>> {
    let send = || {
        let command = told.command.clone();
        run.door.execute::<Deployment>(context, &told.id, command)
    };
    let decided = run.until_decided(send).await?;
    Ok(decided.map(|receipt| receipt.position))
}
