//! `daybook projection`: the read models, how far each has come, what is being rebuilt, what to do with one
//! that stopped, and those that are written in SQL.

mod installed;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Subcommand;
use domain::Position;
use projections::AnyProjection;

use super::operator;
use crate::analysts::Analysts;
use crate::app::{self, Log};
use crate::commands::check_command_id;
use crate::config::Settings;
use crate::consumers::{self, Decider, Mode, RebuildOptions};
use crate::store::Store;

/// Looks at the read models and their rebuilds; pauses, resumes, skips, rolls back, drops; installs and removes
/// those written in SQL.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook projection list
  daybook projection pause heatmap
  daybook projection resume heatmap
  daybook projection failed
  daybook projection skip heatmap 4711 --reason 'unreadable, reported as incident 12'
  daybook projection rebuilds
  daybook projection cancel-rebuild heatmap
  daybook projection roll-back heatmap --generation 4 --command-id back-1 --reason 'counts twice'
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
    /// Who decides so; kept
    #[arg(long, global = true, default_value_t = operator())]
    by: String,
    /// Why; kept
    #[arg(long, global = true)]
    reason: Option<String>,
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
    /// Show the events that read models could not take in
    Failed,
    /// Try the event again that a read model stopped at, or that it has parked a stream at
    Retry {
        /// Which read model
        name: String,
        /// The event's position, as `failed` shows it
        position: i64,
    },
    /// Go on without the event a read model stopped at, or has parked a stream at; needs --reason
    Skip {
        /// Which read model
        name: String,
        /// The event's position, as `failed` shows it
        position: i64,
    },
    /// Show rebuilds, the newest first
    Rebuilds,
    /// Let a rebuild rest, in whatever process it runs
    PauseRebuild {
        /// Of which read model
        name: String,
    },
    /// Let a paused rebuild go on in a process that serves
    ResumeRebuild {
        /// Of which read model
        name: String,
    },
    /// End a rebuild, in whatever process it runs
    CancelRebuild {
        /// Of which read model
        name: String,
    },
    /// Let the generation that is kept take its place again; a process that serves carries it out
    RollBack {
        /// Which read model
        name: String,
        /// The generation to go away from; refused if it is not the one that answers. Without it:
        /// whichever is
        #[arg(long)]
        generation: Option<i32>,
        /// Idempotency key, 1 to 255 characters: run again with it, it does not go back and forth
        #[arg(long, value_name = "ID")]
        command_id: Option<String>,
    },
    /// Show the generations there are
    Generations,
    /// Drop a generation that does not answer: one as of a position, or the one that is kept
    Drop {
        /// Of which read model
        name: String,
        /// Its number
        generation: i32,
    },
    /// Show who decided what, the last first
    Decisions,
}

/// A list shows so many lines at most.
const LINES_MAX: u32 = 100;

/// Carries out one action, then shows what it is about.
pub async fn run(args: ProjectionArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let log = Log::open(&settings).await?;
    let lines = match app::analysts(&settings, log.store()) {
        Ok(analysts) => match act(log.store(), &analysts, &args).await {
            Ok(()) => show(log.store(), &analysts, &args).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    log.close().await;
    for line in lines? {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn act(store: &Store, analysts: &Analysts, args: &ProjectionArgs) -> anyhow::Result<()> {
    let tenant = &args.tenant;
    let decider = &Decider::of(&args.by).because(args.reason.clone());
    match &args.action {
        Action::List
        | Action::Failed
        | Action::Rebuilds
        | Action::Generations
        | Action::Decisions
        | Action::Show { .. } => {}
        Action::Add {
            file, check: true, ..
        } => installed::check(analysts, tenant, file).await?,
        Action::Add { file, .. } => {
            installed::add(store, analysts, tenant, file, &args.by).await?;
        }
        Action::Remove { name } => consumers::remove(store, tenant, name, decider).await?,
        Action::Pause { name } => consumers::pause(store, tenant, name, decider).await?,
        Action::Resume { name } => consumers::resume(store, tenant, name, decider).await?,
        Action::Retry { name, position } => {
            let at = Position(*position);
            consumers::retry(store, tenant, name, at, decider).await?;
        }
        Action::Skip { name, position } => {
            let Some(reason) = &args.reason else {
                bail!("say why, with --reason: it is kept");
            };
            let (at, by) = (Position(*position), &args.by);
            consumers::skip(store, tenant, name, at, by, reason).await?;
        }
        Action::PauseRebuild { name } => {
            consumers::pause_rebuild(store, tenant, name, decider).await?;
        }
        Action::ResumeRebuild { name } => {
            consumers::resume_rebuild(store, tenant, name, decider).await?;
        }
        Action::CancelRebuild { name } => {
            consumers::cancel_rebuild(store, tenant, name, decider).await?;
        }
        Action::RollBack {
            name,
            generation,
            command_id,
        } => {
            let key = command_id.as_deref();
            if let Some(Err(refusal)) = key.map(check_command_id) {
                bail!("--command-id: {}", refusal.message);
            }
            let options = RebuildOptions {
                mode: Mode::RollBack,
                away_from: *generation,
                decider: Some(decider.clone()),
                ..RebuildOptions::default()
            };
            let projection = projection(analysts, tenant, name).await?;
            consumers::ask_rebuild(store, &projection, tenant, &options, key).await?;
        }
        Action::Drop { name, generation } => {
            consumers::drop_generation(store, tenant, name, *generation, decider).await?;
        }
    }
    Ok(())
}

async fn projection(
    analysts: &Analysts,
    tenant: &str,
    name: &str,
) -> anyhow::Result<Arc<dyn AnyProjection>> {
    let all = consumers::models(analysts, tenant).await?;
    match all.into_iter().find(|projection| projection.name() == name) {
        Some(found) => Ok(found),
        None => bail!("no read model is called {name:?}"),
    }
}

async fn show(
    store: &Store,
    analysts: &Analysts,
    args: &ProjectionArgs,
) -> anyhow::Result<Vec<String>> {
    let tenant = &args.tenant;
    Ok(match &args.action {
        // It has said all there is to say.
        Action::Add { check: true, .. } => Vec::new(),
        Action::Show { name } => {
            let source = installed::source(analysts, tenant, name).await?;
            source.lines().map(str::to_owned).collect()
        }
        Action::List
        | Action::Pause { .. }
        | Action::Resume { .. }
        | Action::Retry { .. }
        | Action::Skip { .. }
        | Action::Add { .. }
        | Action::Remove { .. } => {
            let models = consumers::models(analysts, tenant).await?;
            tables::projections(&consumers::status(store, &models, tenant).await?)
        }
        Action::Failed => {
            let failed = consumers::failed_events(store, tenant, None, None, LINES_MAX);
            tables::failed(&failed.await?)
        }
        Action::Rebuilds
        | Action::PauseRebuild { .. }
        | Action::ResumeRebuild { .. }
        | Action::CancelRebuild { .. }
        | Action::RollBack { .. } => {
            let rebuilds = consumers::rebuilds(store, tenant, None, None, LINES_MAX);
            tables::rebuilds(&rebuilds.await?)
        }
        Action::Generations | Action::Drop { .. } => {
            tables::generations(&consumers::generations(store, tenant, None).await?)
        }
        Action::Decisions => {
            let decisions = consumers::decisions(store, tenant, None, None, LINES_MAX);
            tables::decisions(&decisions.await?)
        }
    })
}
