//! `daybook import`: facts from files through the same write door as everything else.
//!
//! Running it twice changes nothing, and a run that was killed is taken up by running it again: what is
//! in the log already is a duplicate. Reports of fixes carry command ids made of their content; a
//! deployment's stream is found by what its source calls it; a log record has the id it declares, or one
//! that follows from its place; an activity is known by what its source calls it.

pub mod activities;
pub mod batch;
pub mod catch_up;
pub mod changes;
pub mod columns;
pub mod deployments;
pub mod ingesting;
pub mod lines;
pub mod logs;
pub mod mapping;
pub mod ndjson;
pub mod recording;
pub mod run;
pub mod source;
pub mod summary;
pub mod syncing;
pub mod unpack;
pub mod vehicles;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use uuid::Uuid;

use self::activities::{ActivityArgs, ActivityMapping};
use self::catch_up::catch_up;
use self::changes::{ChangeArgs, ChangeMapping};
use self::deployments::{DeploymentArgs, DeploymentMapping};
use self::logs::{LogArgs, LogFiles};
use self::mapping::{Mapping, MappingArgs};
use self::run::{Inflow, Intake, import_rows};
use self::source::Source;
use super::progress::Progress;
use crate::app::App;
use crate::config::Settings;
use crate::ops::{Shutdown, on_signals};

/// What a shell is told of a command that was interrupted.
const EXIT_INTERRUPTED: u8 = 130;

/// Brings facts in from files.
#[derive(clap::Args, Clone, Debug)]
pub struct ImportArgs {
    #[command(subcommand)]
    what: ImportWhat,
    /// Whose log
    #[arg(long, global = true, default_value = "default")]
    tenant: String,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum ImportWhat {
    /// Positions of vehicles
    Vehicles(VehiclesArgs),
    /// Deployments of another system, as they ended or stand
    Deployments(DeploymentsArgs),
    /// Changes, such as commits, that deployments brought in
    Changes(ChangesArgs),
    /// Log records, from log files
    Logs(LogsArgs),
    /// Activities of users, such as steps of days
    Activities(ActivitiesArgs),
}

#[derive(clap::Args, Clone, Debug)]
struct Files {
    /// Files to read, in this order; - is standard input, a directory the files in and below it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = format!("\
Examples:
  daybook import vehicles --preset capmetro data/capmetro/*.csv.gz
  daybook import vehicles --vehicle bus --time at --lat y --lon x --speed v --speed-unit kmh f.csv
  zcat day.csv.gz | daybook import vehicles --attribute route_id=route -

{FORMATS} Without --preset the flags' own names are the columns: vehicle, time, lat and lon must be \
there; speed, course, altitude, accuracy, fix_id and device_time are used if they are. A vehicle \
that is not known is registered.

{OUTCOME}"))]
struct VehiclesArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    mapping: MappingArgs,
}

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = format!("\
Examples:
  daybook import deployments --preset govuk deployments.csv.gz
  daybook import deployments --source jenkins --project shop --machine ci-bot f.ndjson
  daybook import deployments --source ci --project-column app --version sha --finished-at at f.csv

{FORMATS} Without --preset the flags' own names are the columns: id, service, environment, version, \
and project unless --project names it, must be there; the others are used if they are. A time is \
needed where a deployment has come to: finished_at where it has ended.

A deployment is known by its source, id, environment and service: one commit may deploy several. \
One that is known stays as it was told first; rows that tell of it otherwise are counted and named.

{OUTCOME}"))]
struct DeploymentsArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    mapping: DeploymentArgs,
}

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = format!("\
Examples:
  daybook import changes --preset govuk changes.csv.gz
  daybook import changes --source jenkins --environment production --change sha f.csv

{FORMATS} Without --preset the flags' own names are the columns: deployment, service, change, \
committed_at, and environment unless --environment names it, must be there; the others are used if \
they are. A change of a deployment that is not known is refused: import deployments first.

{OUTCOME}"))]
struct ChangesArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    mapping: ChangeArgs,
}

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = format!("\
Examples:
  daybook import logs --preset apache access.log.gz
  daybook import logs --format log4j --source kafka /var/log/kafka
  zstdcat app.ndjson.zst | daybook import logs --format ndjson --source app -

{PACKED} An entry of log4j may have several lines. However old a record is, it is taken in; users are \
kept as pseudonyms, and what the source declares personal is sealed. For a source that is registered \
here that is properties.client of combined, and properties.actor of github.

A record is known by the id it declares. One that declares none has an id made of its line's number, \
that line and the file's first line: a file that has grown, or has another name or packing, gives only \
what is new; one that lost lines at its beginning, or whose first line was mended, gives everything \
again. Two files that begin with the same line share records where they go on alike: give each host a \
--source of its own. A last line without an end is left for when it has one.

{OUTCOME}"))]
struct LogsArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    logs: LogArgs,
}

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = format!("\
Examples:
  daybook import activities --preset fitbit --zone America/New_York dailyActivity_merged.csv.gz
  daybook import activities --source garmin --kind running --distance-unit km f.ndjson
  daybook import activities --source pedometer --kind day --day date --measure floors f.csv

{FORMATS} Without --preset the flags' own names are the columns: user, id, start, end, and kind \
unless --kind names it, must be there; the others are used if they are. With --day the column it names \
takes the place of id, start and end. A cell that is empty was not measured, which is not zero.

An activity is known by its user, its source and its id. One that is known to the letter is a \
duplicate; one that is told otherwise is amended. Distances are rounded to whole millimetres and \
kilocalories to whole ones, a half up, without passing through floating point.

{OUTCOME}"))]
struct ActivitiesArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    mapping: ActivityArgs,
}

/// What files may be packed in.
const PACKED: &str = "Files may be packed with gzip or zstd, whatever they are called.";

/// What files may be.
const FORMATS: &str = "\
Each file is CSV with a header, or a JSON object a line whose names are the columns; packed with gzip \
or zstd or not. Times are RFC 3339 with a zone.";

/// What comes of a run, and how that is told.
const OUTCOME: &str = "\
Running it again changes nothing; after an interruption it goes on. Rows that are refused are \
counted and named, and do not stop the others.

Exit codes: 0 every file was read to its end, whatever came of its rows; 1 one was not; \
130 interrupted.";

/// Imports what `args` name, waits for the read models, and says what came of it.
pub async fn run(args: ImportArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let tenant = args.tenant.into();
    match args.what {
        ImportWhat::Vehicles(VehiclesArgs { files, mapping }) => {
            run_kind(settings, tenant, files, Mapping::from_args(&mapping)).await
        }
        ImportWhat::Deployments(DeploymentsArgs { files, mapping }) => {
            let mapping = DeploymentMapping::from_args(&mapping);
            run_kind(settings, tenant, files, mapping).await
        }
        ImportWhat::Changes(ChangesArgs { files, mapping }) => {
            run_kind(settings, tenant, files, ChangeMapping::from_args(&mapping)).await
        }
        ImportWhat::Activities(ActivitiesArgs { files, mapping }) => {
            let mapping = ActivityMapping::from_args(&mapping);
            run_kind(settings, tenant, files, mapping).await
        }
        ImportWhat::Logs(LogsArgs { files, logs }) => {
            run_kind(settings, tenant, files, LogFiles::from_args(&logs)?).await
        }
    }
}

async fn run_kind<K: Intake>(
    settings: Settings,
    tenant: Arc<str>,
    files: Files,
    mapping: K,
) -> anyhow::Result<ExitCode> {
    let (sources, problems) = match Source::from_arguments(&files.files) {
        Ok(sources) => {
            let problems = check(&sources, &mapping);
            (sources, problems)
        }
        Err(problem) => (Vec::new(), vec![problem]),
    };
    if !problems.is_empty() {
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        eprintln!("Nothing was imported.");
        return Ok(ExitCode::FAILURE);
    }
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(on_signals(trigger, settings.http.drain_hard));
    tokio::select! {
        done = import(&settings, tenant, sources, mapping, &shutdown) => done,
        () = shutdown.hard() => Ok(ExitCode::from(EXIT_INTERRUPTED)),
    }
}

async fn import<K: Intake>(
    settings: &Settings,
    tenant: Arc<str>,
    sources: Vec<Source>,
    mapping: K,
    shutdown: &Shutdown,
) -> anyhow::Result<ExitCode> {
    let app = App::start(settings).await?;
    app.log.notes().iter().for_each(|note| eprintln!("{note}"));
    let inflow = Inflow {
        tenant,
        sources,
        mapping,
        correlation_id: Uuid::now_v7().to_string(),
        clock: app.clock.clone(),
    };
    let done = import_into(&app, inflow, shutdown).await;
    app.stop().await;
    done
}

async fn import_into<K: Intake>(
    app: &App,
    inflow: Inflow<K>,
    shutdown: &Shutdown,
) -> anyhow::Result<ExitCode> {
    let tenant = inflow.tenant.clone();
    let store = app.log.store();
    // Without a log, or a right to write to it, row after row would be refused.
    store.head(&tenant).await.with_context(
        || "nothing was imported; `daybook tenant list` names the tenants there are",
    )?;
    if app.auth.tenant(&tenant).await?.suspended {
        bail!(
            "nothing was imported: the tenant {tenant} is suspended, it can be read and not written. \
             `daybook tenant resume {tenant}` has it written again"
        );
    }
    let names: Vec<Arc<str>> = inflow.sources.iter().map(|s| s.name.clone()).collect();
    let progress = Progress::new("importing", K::UNIT, total_bytes(&inflow.sources));
    let summary = import_rows(&app.door, inflow, progress, shutdown).await?;
    print!("{}", summary.describe(&names, K::UNIT));
    if summary.interrupted {
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    let head = store.head(&tenant).await?;
    let behind = catch_up(&app.consumers, &tenant, head, shutdown).await?;
    match behind.is_empty() {
        true => println!("Every read model is as of position {head}."),
        false => behind.iter().for_each(|line| eprintln!("{line}")),
    }
    let complete = summary.unreadable.is_empty();
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The sum of their sizes, if all of them have one.
pub fn total_bytes(sources: &[Source]) -> Option<u64> {
    sources.iter().map(Source::bytes).sum()
}

/// Looks at all sources that can be read twice before anything is imported. Returns what is wrong, one
/// line a source.
fn check<K: Intake>(sources: &[Source], mapping: &K) -> Vec<String> {
    let repeatable = sources.iter().filter(|s| s.is_repeatable());
    let wrong = |source: &Source| {
        let problem = mapping.check(source).err()?;
        Some(format!("{}: {problem}", source.name))
    };
    repeatable.filter_map(wrong).collect()
}
