//! `daybook projection`: the read models, how far each has come, and what to do with one that stopped.

use std::process::ExitCode;

use clap::Subcommand;
use domain::Position;

use super::{columns, operator};
use crate::app::Log;
use crate::config::Settings;
use crate::consumers::{self, ProjectionStatus};
use crate::store::Store;

/// Looks at the read models; pauses, resumes or skips.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook projection list
  daybook projection pause heatmap
  daybook projection resume heatmap
  daybook projection skip heatmap 4711 --reason 'unreadable, reported as incident 12'

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
    let done = act(log.store(), &args).await;
    log.close().await;
    done?;
    Ok(ExitCode::SUCCESS)
}

async fn act(store: &Store, args: &ProjectionArgs) -> anyhow::Result<()> {
    let tenant = &args.tenant;
    match &args.action {
        Action::List => {}
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
    let rows = consumers::status(store, &projections::all(), tenant).await?;
    for line in table(&rows) {
        println!("{line}");
    }
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
