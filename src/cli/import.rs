//! `daybook import`: facts from files through the same write door as everything else.
//!
//! Running it twice changes nothing, and a run that was killed is taken up by running it again:
//! batches carry command ids made of their content, and a fix that is in the log already is a
//! duplicate.

pub mod batch;
pub mod catch_up;
pub mod mapping;
pub mod source;
pub mod summary;
pub mod vehicles;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use uuid::Uuid;

use self::catch_up::catch_up;
use self::mapping::{Mapping, MappingArgs};
use self::source::Source;
use self::vehicles::{Inflow, import_vehicles};
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
    /// Positions of vehicles from CSV files, plain or gzip
    Vehicles(VehiclesArgs),
}

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook import vehicles --preset capmetro data/capmetro/*.csv.gz
  daybook import vehicles --vehicle bus --time at --lat y --lon x --speed v --speed-unit kmh f.csv
  zcat day.csv.gz | daybook import vehicles --attribute route_id=route -

Each file needs a header. Without --preset the flags' own names are the columns: vehicle, time, \
lat and lon must be there; speed, course, altitude, accuracy, fix_id and device_time are used if \
they are. Times are RFC 3339 with a zone. A vehicle that is not known is registered.

Running it again changes nothing; after an interruption it goes on. Rows that are refused are \
counted and named, and do not stop the others.

Exit codes: 0 every file was read to its end, whatever came of its rows; 1 one was not; \
130 interrupted.")]
struct VehiclesArgs {
    /// Files to read, in this order; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    mapping: MappingArgs,
}

/// Imports what `args` name, waits for the read models, and says what came of it.
pub async fn run(args: ImportArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let ImportWhat::Vehicles(vehicles) = args.what;
    let mapping = Mapping::from_args(&vehicles.mapping);
    let sources: Vec<_> = vehicles
        .files
        .iter()
        .map(|f| Source::from_argument(f))
        .collect();
    let problems = check_headers(&sources, &mapping);
    if !problems.is_empty() {
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        eprintln!("Nothing was imported.");
        return Ok(ExitCode::FAILURE);
    }
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(on_signals(trigger, settings.http.drain_hard));
    tokio::select! {
        done = import(&settings, args.tenant.into(), sources, mapping, &shutdown) => done,
        () = shutdown.hard() => Ok(ExitCode::from(EXIT_INTERRUPTED)),
    }
}

async fn import(
    settings: &Settings,
    tenant: Arc<str>,
    sources: Vec<Source>,
    mapping: Mapping,
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

async fn import_into(app: &App, inflow: Inflow, shutdown: &Shutdown) -> anyhow::Result<ExitCode> {
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
    let progress = Progress::new("importing", "rows", total_bytes(&inflow.sources));
    let summary = import_vehicles(&app.door, inflow, progress, shutdown).await?;
    print!("{}", summary.describe(&names));
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

/// Checks the headers of all sources that can be read twice, so that a misspelt column is found
/// before anything is imported. Returns what is wrong, one line a source.
fn check_headers(sources: &[Source], mapping: &Mapping) -> Vec<String> {
    let repeatable = sources.iter().filter(|s| s.is_repeatable());
    repeatable
        .filter_map(|source| {
            let header = source
                .open()
                .map(|rows| rows.header)
                .map_err(|e| e.to_string());
            let wrong = header.and_then(|h| mapping.columns(&h).map(drop)).err()?;
            Some(format!("{}: {wrong}", source.name))
        })
        .collect()
}
