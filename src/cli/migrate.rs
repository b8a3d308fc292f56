//! `daybook migrate`: the schema brought up to date, and shown.

use std::process::ExitCode;

use crate::app::Log;
use crate::config::Settings;
use crate::store::MIGRATIONS;

/// Applies what is missing of the schema; safe to run any number of times, from any number of
/// places at once. There is no way back: restore a backup instead.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Every start does the same; this command is for doing it ahead of a rollout.

Examples:
  daybook migrate
  DATABASE_URL=postgres://owner@db/daybook daybook migrate")]
pub struct MigrateArgs {}

/// Migrates and lists what there is.
pub async fn run(_args: MigrateArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let log = Log::open(&settings).await?;
    println!("{} has the whole schema:", log.place());
    for migration in MIGRATIONS.iter() {
        println!("  {} {}", migration.version, migration.description);
    }
    log.close().await;
    Ok(ExitCode::SUCCESS)
}
