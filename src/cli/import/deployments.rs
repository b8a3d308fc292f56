//! Deployments of another system: from flags and presets to one row's record.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use csv::ByteRecord;
use domain::deployment::{DeploymentReason, Plan, Record, Requester, Status, Tier};
use domain::{ExternalRef, Refusal};

use super::batch::{Columned, Key, Keyed};
use super::columns::{Finder, Given, Wanted, must_be_whole, optional, text, time, word};
use crate::commands::recorded_deployment_id;

/// Where deployments come from that name no source.
pub const SOURCE: &str = "import";

/// Rows of one batch; each is a command.
const BATCH_ROWS_MAX: usize = 256;

/// Names of columns. Without a preset a flag's own name is its column.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Columns")]
pub struct DeploymentArgs {
    /// Columns of a known source; single flags still win
    #[arg(long, value_enum)]
    pub preset: Option<DeploymentPreset>,
    /// The system they come from: an id means something within it only [default: import]
    #[arg(long, value_name = "NAME", help_heading = "Values")]
    pub source: Option<String>,
    /// The project of all of them, in place of a column
    #[arg(long, value_name = "NAME", help_heading = "Values")]
    pub project: Option<String>,
    /// Who among `by` is a program; anybody else is a person, whose name is sealed; repeatable
    #[arg(long, value_name = "NAME", help_heading = "Values")]
    pub machine: Vec<String>,
    /// Column of what the source calls a deployment
    #[arg(long, value_name = "COLUMN")]
    pub id: Option<String>,
    /// Column of the project, where --project names none
    #[arg(long, value_name = "COLUMN")]
    pub project_column: Option<String>,
    /// Column of the service
    #[arg(long, value_name = "COLUMN")]
    pub service: Option<String>,
    /// Column of the environment; its tier follows from its name
    #[arg(long, value_name = "COLUMN")]
    pub environment: Option<String>,
    /// Column of what was deployed
    #[arg(long, value_name = "COLUMN")]
    pub version: Option<String>,
    /// Column of what was replaced
    #[arg(long, value_name = "COLUMN")]
    pub previous_version: Option<String>,
    /// Column of where it stands, such as failed; succeeded where there is none
    #[arg(long, value_name = "COLUMN")]
    pub status: Option<String>,
    /// Column of why: planned, unplanned_fix or rollback; planned where there is none
    #[arg(long, value_name = "COLUMN")]
    pub reason: Option<String>,
    /// Column of when it was wanted
    #[arg(long, value_name = "COLUMN")]
    pub requested_at: Option<String>,
    /// Column of when it began
    #[arg(long, value_name = "COLUMN")]
    pub started_at: Option<String>,
    /// Column of when it ended
    #[arg(long, value_name = "COLUMN")]
    pub finished_at: Option<String>,
    /// Column of who wanted it
    #[arg(long, value_name = "COLUMN")]
    pub by: Option<String>,
    /// Column of a sentence for people
    #[arg(long, value_name = "COLUMN")]
    pub description: Option<String>,
    /// Column of the team whose service it is
    #[arg(long, value_name = "COLUMN")]
    pub team: Option<String>,
    /// Column of the kind of change, such as standard
    #[arg(long, value_name = "COLUMN")]
    pub change_type: Option<String>,
}

/// Sources whose columns are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeploymentPreset {
    /// GOV.UK as its history of image tags tells: deployment_id, deployed_at, environment, service,
    /// previous_tag, image_tag; author and subject if they are there. Succeeded when deployed; a rollback
    /// where both tags are numbers like v12 and the new one is lower; govuk-ci is a program
    Govuk,
}

/// Column names as they will be looked for, and what all rows have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentMapping {
    source: String,
    project: Given,
    machines: Vec<String>,
    by_tags: bool,
    id: String,
    service: String,
    environment: String,
    version: String,
    previous_version: Wanted,
    status: Wanted,
    reason: Wanted,
    requested_at: Wanted,
    started_at: Wanted,
    finished_at: Wanted,
    by: Wanted,
    description: Wanted,
    team: Wanted,
    change_type: Wanted,
}

impl DeploymentMapping {
    /// Flags over preset over defaults.
    pub fn from_args(args: &DeploymentArgs) -> DeploymentMapping {
        let govuk = args.preset == Some(DeploymentPreset::Govuk);
        let usual = |usual: &'static str, preset: &'static str| if govuk { preset } else { usual };
        let named = |flag: &Option<String>, default, preset| {
            let usual = || usual(default, preset).to_owned();
            flag.clone().unwrap_or_else(usual)
        };
        let wanted = |flag: &Option<String>, default, preset| {
            let wanted = Wanted::flag_or(flag, usual(default, preset));
            Wanted {
                // Without them a row tells something else.
                required: wanted.required || govuk,
                ..wanted
            }
        };
        let preset = govuk.then_some("govuk");
        let project = Given::flags(&args.project, &args.project_column, preset, "project");
        let mut machines = args.machine.clone();
        machines.extend(govuk.then(|| "govuk-ci".to_owned()));
        DeploymentMapping {
            source: named(&args.source, SOURCE, "govuk"),
            project,
            machines,
            by_tags: govuk && args.reason.is_none(),
            id: named(&args.id, "id", "deployment_id"),
            service: named(&args.service, "service", "service"),
            environment: named(&args.environment, "environment", "environment"),
            version: named(&args.version, "version", "image_tag"),
            previous_version: wanted(&args.previous_version, "previous_version", "previous_tag"),
            status: Wanted::flag_or(&args.status, "status"),
            reason: Wanted::flag_or(&args.reason, "reason"),
            requested_at: Wanted::flag_or(&args.requested_at, "requested_at"),
            started_at: Wanted::flag_or(&args.started_at, "started_at"),
            finished_at: wanted(&args.finished_at, "finished_at", "deployed_at"),
            by: Wanted::flag_or(&args.by, usual("by", "author")),
            description: Wanted::flag_or(&args.description, usual("description", "subject")),
            team: Wanted::flag_or(&args.team, "team"),
            change_type: Wanted::flag_or(&args.change_type, "change_type"),
        }
    }
}

impl Columned for DeploymentMapping {
    type Columns = DeploymentColumns;

    fn find(&self, find: &mut Finder<'_>, count: usize) -> DeploymentColumns {
        DeploymentColumns {
            count,
            source: self.source.clone(),
            project: self.project.find(find),
            machines: self.machines.clone(),
            by_tags: self.by_tags,
            id: find.needed(&self.id),
            service: find.needed(&self.service),
            environment: find.needed(&self.environment),
            version: find.needed(&self.version),
            previous_version: find.optional(&self.previous_version),
            status: find.optional(&self.status),
            reason: find.optional(&self.reason),
            requested_at: find.optional(&self.requested_at),
            started_at: find.optional(&self.started_at),
            finished_at: find.optional(&self.finished_at),
            by: find.optional(&self.by),
            description: find.optional(&self.description),
            team: find.optional(&self.team),
            change_type: find.optional(&self.change_type),
        }
    }
}

/// Places of the mapped columns in one source.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentColumns {
    count: usize,
    source: String,
    project: Given<usize>,
    machines: Vec<String>,
    by_tags: bool,
    id: usize,
    service: usize,
    environment: usize,
    version: usize,
    previous_version: Option<usize>,
    status: Option<usize>,
    reason: Option<usize>,
    requested_at: Option<usize>,
    started_at: Option<usize>,
    finished_at: Option<usize>,
    by: Option<usize>,
    description: Option<usize>,
    team: Option<usize>,
    change_type: Option<usize>,
}

/// By deployment: of two rows that tell of one, the first counts. The others stay in their order, lane by
/// lane, so that the log's order is about that of the rows.
impl Keyed for DeploymentColumns {
    const BATCH_ROWS_MAX: usize = BATCH_ROWS_MAX;
    const TOGETHER: bool = false;

    fn key<'r>(&self, row: &'r ByteRecord) -> Key<'r> {
        [self.id, self.environment, self.service].map(|place| row.get(place).unwrap_or_default())
    }
}

impl DeploymentColumns {
    /// The deployment a row tells of and its id, or what is wrong with the row itself. Whether it is
    /// acceptable is not decided here.
    pub fn record(
        &self,
        row: &ByteRecord,
        now: DateTime<Utc>,
    ) -> Result<(String, Record), Refusal> {
        must_be_whole(row, self.count)?;
        let owned = |place, field| optional(row, place, field).map(|t| t.map(str::to_owned));
        let environment = text(row, self.environment, "environment")?;
        let service = text(row, self.service, "service")?;
        let external = ExternalRef {
            source: self.source.clone(),
            id: text(row, self.id, "id")?.to_owned(),
        };
        let id = recorded_deployment_id(&external, environment, service);
        let version = text(row, self.version, "version")?;
        let previous = optional(row, self.previous_version, "previousVersion")?;
        let told = word(row, self.reason, "reason", DeploymentReason::of_word)?;
        let by_tags = || self.by_tags.then(|| reason_by_tags(previous, version));
        let reason = told.or_else(by_tags).unwrap_or(DeploymentReason::Planned);
        let plan = Plan {
            project: self.project.text(row, "project")?.to_owned(),
            service: service.to_owned(),
            environment: environment.to_owned(),
            version: version.to_owned(),
            previous_version: previous.map(str::to_owned),
            reason,
            change_type: owned(self.change_type, "changeType")?,
            description: owned(self.description, "description")?,
            team: owned(self.team, "team")?,
            remedies: None,
            external: Some(external),
            changes: Vec::new(),
        };
        let status = word(row, self.status, "status", Status::of_word)?;
        let record = Record {
            plan,
            tier: Tier::of_environment(environment),
            requested_by: optional(row, self.by, "by")?.map(|by| self.requester(by)),
            status: status.unwrap_or(Status::Succeeded),
            requested_at: time(row, self.requested_at, "requestedAt")?,
            started_at: time(row, self.started_at, "startedAt")?,
            finished_at: time(row, self.finished_at, "finishedAt")?,
            now,
        };
        Ok((id, record))
    }

    fn requester(&self, by: &str) -> Requester {
        match self.machines.iter().any(|machine| machine == by) {
            true => Requester::Machine(by.to_owned()),
            false => Requester::Person(by.to_owned()),
        }
    }
}

/// A rollback, where both versions are numbers and the new one is lower.
fn reason_by_tags(previous: Option<&str>, version: &str) -> DeploymentReason {
    let number = |tag: &str| {
        let digits = tag.strip_prefix('v')?;
        let number = digits.bytes().all(|b| b.is_ascii_digit());
        number.then(|| digits.parse::<u64>().ok()).flatten()
    };
    match previous.and_then(number).zip(number(version)) {
        Some((previous, version)) if version < previous => DeploymentReason::Rollback,
        _ => DeploymentReason::Planned,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> DateTime<Utc> {
        "2024-06-01T00:00:00Z".parse().unwrap()
    }

    /// What a row of these columns tells, without what is not said.
    fn check(args: &DeploymentArgs, columns: &[(&str, &str)]) -> Result<Value, String> {
        let (header, row): (Vec<_>, Vec<_>) = columns.iter().copied().unzip();
        let mapping = DeploymentMapping::from_args(args);
        let columns = mapping.columns(&ByteRecord::from(header))?;
        let told = columns.record(&ByteRecord::from(row), now());
        let (_, record) = told.map_err(|refusal| format!("{:?}", refusal.path))?;
        let mut told = serde_json::to_value(&record).unwrap();
        let told = told.as_object_mut().unwrap();
        told.retain(|_, value| !value.is_null());
        Ok(Value::from(told.clone()))
    }

    #[test]
    fn the_preset_reads_gov_uk() {
        let args = DeploymentArgs {
            preset: Some(DeploymentPreset::Govuk),
            ..DeploymentArgs::default()
        };
        let row = |environment, previous, tag, author| {
            [
                ("deployment_id", "cbce58db"),
                ("deployed_at", "2024-01-02T09:54:59Z"),
                ("environment", environment),
                ("service", "whitehall"),
                ("previous_tag", previous),
                ("image_tag", tag),
                ("automatic_deploys_enabled", "true"),
                ("author", author),
                ("subject", "Update"),
            ]
        };
        let want = json!({
            "plan": {
                "project": "govuk", "service": "whitehall", "environment": "production",
                "version": "v536", "previousVersion": "v537", "reason": "rollback",
                "description": "Update", "external": {"source": "govuk", "id": "cbce58db"},
            },
            "tier": "production",
            "requestedBy": {"machine": "govuk-ci"},
            "status": "succeeded",
            "finishedAt": "2024-01-02T09:54:59Z",
        });
        let back = row("production", "v537", "v536", "govuk-ci");
        assert_eq!(check(&args, &back), Ok(want));

        let tags = [
            ("v9", "v10", "planned"),
            ("v10", "v9", "rollback"),
            ("release-1", "v1", "planned"),
            ("v2", "v1-hotfix", "planned"),
            ("v", "v1", "planned"),
            ("", "v1", "planned"),
        ];
        for (previous, tag, reason) in tags {
            let told = check(&args, &row("staging", previous, tag, "Ada Lovelace")).unwrap();
            assert_eq!(told["plan"]["reason"], reason, "{previous} to {tag}");
            assert_eq!(told["tier"], "staging");
            assert_eq!(told["requestedBy"], json!({"person": "Ada Lovelace"}));
        }
        let missing = check(&args, &[("deployment_id", "1"), ("service", "s")]);
        let want = "no column environment, image_tag, previous_tag, deployed_at; \
                    it has deployment_id, service";
        assert_eq!(missing, Err(want.to_owned()));
    }

    #[test]
    fn any_columns_are_read_by_their_names_or_by_flags() {
        let args = DeploymentArgs {
            source: Some("ci".to_owned()),
            version: Some("sha".to_owned()),
            machine: vec!["bot".to_owned()],
            ..DeploymentArgs::default()
        };
        let row = [
            ("id", "7"),
            ("project", "shop"),
            ("service", "cart"),
            ("environment", "eu-1"),
            ("sha", "abc"),
            ("status", "in_progress"),
            ("reason", "unplanned_fix"),
            ("started_at", "2024-01-02T10:00:00+01:00"),
            ("by", "bot"),
        ];
        let want = json!({
            "plan": {
                "project": "shop", "service": "cart", "environment": "eu-1", "version": "abc",
                "reason": "unplanned_fix", "external": {"source": "ci", "id": "7"},
            },
            "tier": "other",
            "requestedBy": {"machine": "bot"},
            "status": "in_progress",
            "startedAt": "2024-01-02T09:00:00Z",
        });
        assert_eq!(check(&args, &row), Ok(want));
        for (column, bad) in [
            ("status", "done"),
            ("reason", "ROLLBACK"),
            ("started_at", "1700000000"),
        ] {
            let changed = row.map(|(name, value)| (name, if name == column { bad } else { value }));
            let refused = check(&args, &changed).unwrap_err();
            assert_eq!(refused.replace("edA", "ed_a"), format!("[{column:?}]"));
        }
    }
}
