//! `daybook projection`: the read models, how far each has come, what to do with one that stopped, and those that
//! are written in SQL.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use domain::Position;

use super::{columns, operator};
use crate::analysts::{Addition, Analysts, Examined};
use crate::app::{self, Log};
use crate::config::Settings;
use crate::consumers::{self, ProjectionStatus};
use crate::store::Store;

/// Looks at the read models; pauses, resumes or skips; installs and removes those written in SQL.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook projection list
  daybook projection pause heatmap
  daybook projection resume heatmap
  daybook projection skip heatmap 4711 --reason 'unreadable, reported as incident 12'
  daybook projection add signups_by_day.sql
  daybook projection remove signups_by_day

A read model stops at an event it cannot take in; nothing is skipped unless somebody says so here, \
and what they say is kept.")]
pub struct ProjectionArgs {
    #[command(subcommand)]
    action: Action,
    /// Whose read models
    #[arg(long, global = true, default_value = "default")]
    tenant: String,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Show every read model
    List,
    /// Stop keeping one up to date; it answers as of where it is
    Pause {
        /// Which read model
        name: String,
    },
    /// Go on; one that stopped at an event tries it again
    Resume {
        /// Which read model
        name: String,
    },
    /// Install a read model that a file of SQL makes; see docs/analysts.md for what is in it
    Add {
        /// The file
        file: PathBuf,
        /// Only say whether it would be accepted
        #[arg(long)]
        check: bool,
        /// Who does so; kept
        #[arg(long, default_value_t = operator())]
        by: String,
    },
    /// Take a read model away that was installed
    Remove {
        /// Which read model
        name: String,
    },
    /// Show the file of a read model that was installed
    Show {
        /// Which read model
        name: String,
    },
    /// Go on without the event a read model stopped at
    Skip {
        /// Which read model
        name: String,
        /// The event's position, as `list` shows it
        position: i64,
        /// Why; kept
        #[arg(long)]
        reason: String,
        /// Who decides so; kept
        #[arg(long, default_value_t = operator())]
        by: String,
    },
}

/// Carries out one action, then shows the read models.
pub async fn run(args: ProjectionArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let log = Log::open(&settings).await?;
    let done = match app::analysts(&settings, log.store()) {
        Ok(analysts) => act(log.store(), &analysts, &args).await,
        Err(error) => Err(error),
    };
    log.close().await;
    done?;
    Ok(ExitCode::SUCCESS)
}

async fn act(store: &Store, analysts: &Analysts, args: &ProjectionArgs) -> anyhow::Result<()> {
    let tenant = &args.tenant;
    match &args.action {
        Action::List => {}
        Action::Add {
            file, check: true, ..
        } => {
            let name = examined(analysts, tenant, file).await?.name().to_owned();
            println!("{} can be installed as {name}", file.display());
            return Ok(());
        }
        Action::Add { file, by, .. } => add(store, analysts, tenant, file, by).await?,
        Action::Remove { name } => consumers::remove(store, tenant, name).await?,
        Action::Show { name } => return show(analysts, tenant, name).await,
        Action::Pause { name } => consumers::pause(store, tenant, name).await?,
        Action::Resume { name } => consumers::resume(store, tenant, name).await?,
        Action::Skip {
            name,
            position,
            reason,
            by,
        } => {
            consumers::skip(store, tenant, name, Position(*position), by, reason).await?;
        }
    }
    let models = consumers::models(analysts, tenant).await?;
    let rows = consumers::status(store, &models, tenant).await?;
    for line in table(&rows) {
        println!("{line}");
    }
    Ok(())
}

async fn examined(analysts: &Analysts, tenant: &str, file: &Path) -> anyhow::Result<Examined> {
    let source = std::fs::read_to_string(file);
    let source = source.with_context(|| format!("{} cannot be read", file.display()))?;
    let examined = analysts.examine(tenant, &source).await;
    examined.with_context(|| file.display().to_string())
}

async fn add(
    store: &Store,
    analysts: &Analysts,
    tenant: &str,
    file: &Path,
    by: &str,
) -> anyhow::Result<()> {
    let examined = examined(analysts, tenant, file).await?;
    let addition = consumers::install(store, analysts, tenant, &examined, by).await;
    let name = examined.name();
    println!(
        "{}",
        match addition.with_context(|| file.display().to_string())? {
            Addition::New => format!("{name} is installed"),
            Addition::Raised => format!(
                "{name} is installed in its new version; the old one answers until it is rebuilt"
            ),
            Addition::Same => format!("{name} was installed already"),
        }
    );
    Ok(())
}

async fn show(analysts: &Analysts, tenant: &str, name: &str) -> anyhow::Result<()> {
    let all = analysts.installed(tenant).await?;
    let found = all.iter().find(|installed| installed.name == name);
    let found = found.with_context(|| format!("no projection {name:?} is installed"))?;
    eprintln!(
        "version {}, installed by {} at {}",
        found.version, found.installed_by, found.installed_at
    );
    print!("{}", found.source);
    Ok(())
}

fn table(rows: &[ProjectionStatus]) -> Vec<String> {
    let head = [
        "READ MODEL",
        "STATUS",
        "GENERATION",
        "POSITION",
        "LAG",
        "ERROR",
    ];
    let mut cells = vec![head.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.name.to_owned(),
            format!("{:?}", row.status).to_lowercase(),
            row.generation.to_string(),
            row.position.to_string(),
            format!(
                "{} events, {:.1} s",
                row.lag_events,
                row.lag_ms as f64 / 1e3
            ),
            row.error.clone().unwrap_or_default(),
        ]
    }));
    columns(&cells)
}
