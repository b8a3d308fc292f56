//! `daybook archive`: old partitions of the log go to files, and come back from them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use super::import::summary::thousands;
use super::operator;
use crate::app::Log;
use crate::config::Settings;
use crate::export::{archive, restore};
use crate::store::Archived;

/// Takes old partitions of the log to files with proofs, or puts them back.
#[derive(clap::Args, Clone, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  daybook archive --before 50000000 --out /archive
  daybook replay --archive /archive
  daybook archive restore /archive

Partitions (append.partition_positions) that lie wholly before the position and are sealed are written, a \
file and its proof for each tenant; read back and checked; and only then taken out of the database. Run it \
again after whatever ended it. Read models cannot be rebuilt without what was taken out, until it is restored."
)]
pub struct ArchiveArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Partitions that end before this position
    #[arg(long, required = true, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    before: Option<i64>,
    /// The folder that gets the files
    #[arg(long, required = true, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Who has it done; kept
    #[arg(long, global = true, default_value_t = operator())]
    by: String,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Action {
    /// Put events back into the log, after checking that they are what was sealed
    Restore {
        /// The folder that has the files
        dir: PathBuf,
        /// Whose events
        #[arg(long, default_value = "default")]
        tenant: String,
    },
}

/// Archives, or puts back.
pub async fn run(args: ArchiveArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    ensure!(
        !args.by.trim().is_empty(),
        "--by is empty: say who has it done"
    );
    let log = Log::open(&settings).await?;
    let mut ranges = 0;
    let mut told = |done: &Archived, how: &str| {
        ranges += 1;
        let (from, to) = (done.from_position, done.to_position);
        let events = thousands((to - from).unsigned_abs() + 1);
        let (tenant, file) = (&done.tenant, &done.file);
        println!("{tenant}: positions {from} to {to} ({events} events) {how} {file}");
    };
    let done = match (&args.action, args.before, &args.out) {
        (Some(Action::Restore { dir, tenant }), _, _) => {
            let told = |done: &Archived| told(done, "are back from");
            let done = restore(log.store(), tenant, dir, &args.by, told).await;
            done.context("not everything was put back")
        }
        (None, Some(before), Some(out)) => {
            let told = |done: &Archived| told(done, "are in");
            let done = archive(log.store(), (before, out), &args.by, told).await;
            done.context("not everything was archived")
        }
        (None, _, _) => unreachable!("clap asks for both"),
    };
    log.close().await;
    done?;
    if ranges == 0 {
        println!(
            "nothing to archive: no partition lies wholly before that position and has events of a log that has passed it"
        );
    }
    Ok(ExitCode::SUCCESS)
}
