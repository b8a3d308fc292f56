//! Changes that deployments brought in: rows of one deployment become commands of up to 1,000 changes.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use csv::ByteRecord;
use domain::deployment::{CHANGES_MAX, Change, Deployment, DeploymentCommand};
use domain::{Code, ExternalRef, Refusal};
use futures::StreamExt;
use futures::stream;

use super::batch::{Batch, Columned, Key, Keyed, line};
use super::columns::{Finder, Given, Wanted, must_be_whole, text, time};
use super::deployments::SOURCE;
use super::run::{Intake, Run};
use crate::commands::recorded_deployment_id;

/// Rows of one batch; those of one deployment stand together.
const BATCH_ROWS_MAX: usize = 4_096;

/// Deployments of a batch that are loaded and told at once.
const AT_ONCE: usize = 16;

/// Names of columns. Without a preset a flag's own name is its column.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Columns")]
pub struct ChangeArgs {
    /// Columns of a known source; single flags still win
    #[arg(long, value_enum)]
    pub preset: Option<ChangePreset>,
    /// The system their deployments come from, as `import deployments` was told [default: import]
    #[arg(long, value_name = "NAME", help_heading = "Values")]
    pub source: Option<String>,
    /// The environment of their deployments, in place of a column
    #[arg(long, value_name = "NAME", help_heading = "Values")]
    pub environment: Option<String>,
    /// Column of what the source calls the deployment
    #[arg(long, value_name = "COLUMN")]
    pub deployment: Option<String>,
    /// Column of the deployment's service
    #[arg(long, value_name = "COLUMN")]
    pub service: Option<String>,
    /// Column of the deployment's environment, where --environment names none
    #[arg(long, value_name = "COLUMN")]
    pub environment_column: Option<String>,
    /// Column of the change's id, such as a commit's hash
    #[arg(long, value_name = "COLUMN")]
    pub change: Option<String>,
    /// Column of when it was committed
    #[arg(long, value_name = "COLUMN")]
    pub committed_at: Option<String>,
    /// Column of when it was written first
    #[arg(long, value_name = "COLUMN")]
    pub authored_at: Option<String>,
    /// Column of when it was put forward to be merged
    #[arg(long, value_name = "COLUMN")]
    pub opened_at: Option<String>,
    /// Column of when somebody else looked at it first
    #[arg(long, value_name = "COLUMN")]
    pub first_review_at: Option<String>,
    /// Column of when it was merged
    #[arg(long, value_name = "COLUMN")]
    pub merged_at: Option<String>,
}

/// Sources whose columns are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ChangePreset {
    /// Commits that production deployments of GOV.UK brought in: deployment_id, service, change_sha,
    /// authored_at, committed_at
    Govuk,
}

/// Column names as they will be looked for, and what all rows have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeMapping {
    source: String,
    environment: Given,
    deployment: String,
    service: String,
    change: String,
    committed_at: String,
    authored_at: Wanted,
    opened_at: Wanted,
    first_review_at: Wanted,
    merged_at: Wanted,
}

impl ChangeMapping {
    /// Flags over preset over defaults.
    pub fn from_args(args: &ChangeArgs) -> ChangeMapping {
        let govuk = args.preset == Some(ChangePreset::Govuk);
        let named = |flag: &Option<String>, default: &str, preset: &str| {
            let usual = || if govuk { preset } else { default }.to_owned();
            flag.clone().unwrap_or_else(usual)
        };
        let (value, column) = (&args.environment, &args.environment_column);
        let preset = govuk.then_some("production");
        let environment = Given::flags(value, column, preset, "environment");
        ChangeMapping {
            source: named(&args.source, SOURCE, "govuk"),
            environment,
            deployment: named(&args.deployment, "deployment", "deployment_id"),
            service: named(&args.service, "service", "service"),
            change: named(&args.change, "change", "change_sha"),
            committed_at: named(&args.committed_at, "committed_at", "committed_at"),
            authored_at: Wanted::flag_or(&args.authored_at, "authored_at"),
            opened_at: Wanted::flag_or(&args.opened_at, "opened_at"),
            first_review_at: Wanted::flag_or(&args.first_review_at, "first_review_at"),
            merged_at: Wanted::flag_or(&args.merged_at, "merged_at"),
        }
    }
}

impl Columned for ChangeMapping {
    type Columns = ChangeColumns;

    fn find(&self, find: &mut Finder<'_>, count: usize) -> ChangeColumns {
        ChangeColumns {
            count,
            source: self.source.clone(),
            environment: self.environment.find(find),
            deployment: find.needed(&self.deployment),
            service: find.needed(&self.service),
            change: find.needed(&self.change),
            committed_at: find.needed(&self.committed_at),
            authored_at: find.optional(&self.authored_at),
            opened_at: find.optional(&self.opened_at),
            first_review_at: find.optional(&self.first_review_at),
            merged_at: find.optional(&self.merged_at),
        }
    }
}

/// Places of the mapped columns in one source.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeColumns {
    count: usize,
    source: String,
    environment: Given<usize>,
    deployment: usize,
    service: usize,
    change: usize,
    committed_at: usize,
    authored_at: Option<usize>,
    opened_at: Option<usize>,
    first_review_at: Option<usize>,
    merged_at: Option<usize>,
}

/// By deployment: one takes in many changes as one event.
impl Keyed for ChangeColumns {
    const BATCH_ROWS_MAX: usize = BATCH_ROWS_MAX;
    const TOGETHER: bool = true;

    fn key<'r>(&self, row: &'r ByteRecord) -> Key<'r> {
        let at = |place| row.get(place).unwrap_or_default();
        let environment = match &self.environment {
            Given::Value(_) => b"",
            Given::Column(place) => at(*place),
        };
        [at(self.deployment), environment, at(self.service)]
    }
}

impl ChangeColumns {
    /// The deployment's id and the change that a row tells, or what is wrong with the row itself.
    pub fn change(&self, row: &ByteRecord) -> Result<(String, Change), Refusal> {
        must_be_whole(row, self.count)?;
        let external = ExternalRef {
            source: self.source.clone(),
            id: text(row, self.deployment, "deployment")?.to_owned(),
        };
        let environment = self.environment.text(row, "environment")?;
        let service = text(row, self.service, "service")?;
        let committed_at = time(row, Some(self.committed_at), "committedAt")?;
        let change = Change {
            id: text(row, self.change, "change")?.to_owned(),
            committed_at: committed_at.ok_or_else(|| {
                let message = "committedAt is empty";
                Refusal::new(Code::Validation, message).at(["committedAt"])
            })?,
            authored_at: time(row, self.authored_at, "authoredAt")?,
            opened_at: time(row, self.opened_at, "openedAt")?,
            first_review_at: time(row, self.first_review_at, "firstReviewAt")?,
            merged_at: time(row, self.merged_at, "mergedAt")?,
        };
        let id = recorded_deployment_id(&external, environment, service);
        Ok((id, change))
    }
}

/// Changes of one deployment, with the lines they stand on.
struct Told {
    id: String,
    changes: Vec<(u64, Change)>,
}

impl Intake for ChangeMapping {
    type Lane = ();

    async fn send(
        &self,
        run: &Run,
        (): &mut (),
        batch: &Batch<ChangeColumns>,
    ) -> anyhow::Result<()> {
        let mut told: Vec<Told> = Vec::new();
        for row in &batch.rows {
            match batch.columns.change(row) {
                Ok((id, change)) => {
                    let change = (line(row), change);
                    match told.last_mut().filter(|last| last.id == id) {
                        Some(last) => last.changes.push(change),
                        None => told.push(Told {
                            id,
                            changes: vec![change],
                        }),
                    }
                }
                Err(refusal) => run.summary().add_refused(batch.source, line(row), &refusal),
            }
        }
        let mut sent = stream::iter(told)
            .map(|told| add(run, batch.source, told))
            .buffer_unordered(AT_ONCE);
        while let Some(done) = sent.next().await {
            done?;
        }
        Ok(())
    }
}

/// Tells the door of a deployment's changes, and counts what it said of each.
async fn add(run: &Run, source: usize, told: Told) -> anyhow::Result<()> {
    let load = || run.door.load::<Deployment>(&run.tenant, &told.id);
    let (state, _) = run.until_decided(load).await??;
    if state.status.is_none() {
        let refusal = Refusal::new(Code::NotFound, "no such deployment").at(["deployment"]);
        refuse(run, source, &told.changes, &refusal);
        return Ok(());
    }
    let mut known: BTreeSet<String> = state.changes;
    let rows = told.changes.len();
    let is_new = |(_, change): &(u64, Change)| known.insert(change.id.clone());
    let new: Vec<_> = told.changes.into_iter().filter(is_new).collect();
    run.summary().add_duplicate((rows - new.len()) as u64);
    for part in new.chunks(CHANGES_MAX) {
        add_part(run, source, &told.id, part.to_vec()).await?;
    }
    Ok(())
}

/// A change that is refused is left out, and the others are told again.
async fn add_part(
    run: &Run,
    source: usize,
    id: &str,
    mut part: Vec<(u64, Change)>,
) -> anyhow::Result<()> {
    let context = run.context(None);
    while !part.is_empty() {
        let send = || {
            let changes = part.iter().map(|(_, change)| change.clone()).collect();
            let command = DeploymentCommand::AddChanges { changes };
            run.door.execute::<Deployment>(&context, id, command)
        };
        let refusal = match run.until_decided(send).await? {
            Ok(receipt) => {
                let mut summary = run.summary();
                summary.add_accepted(part.len() as u64, receipt.position);
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        match refused_change(&refusal).filter(|n| *n < part.len()) {
            Some(n) => refuse(run, source, &[part.remove(n)], &refusal),
            None => {
                refuse(run, source, &part, &refusal);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Which change a refusal is about, if it is about one.
fn refused_change(refusal: &Refusal) -> Option<usize> {
    match &refusal.path[..] {
        [changes, n, ..] if changes == "changes" => n.parse().ok(),
        _ => None,
    }
}

fn refuse(run: &Run, source: usize, changes: &[(u64, Change)], refusal: &Refusal) {
    let mut summary = run.summary();
    for (line, _) in changes {
        summary.add_refused(source, *line, refusal);
    }
}
