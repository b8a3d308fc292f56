//! `daybook proof`: writes proofs that `daybook verify --proof` checks without a database.

use std::process::ExitCode;

use crate::app::Log;
use crate::config::Settings;
use crate::seals::{prove_event, prove_growth};

/// Writes a proof to standard output, as JSON.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook proof event 1204 > proof.json
  daybook proof growth 1000 > grown.json
  daybook verify --proof proof.json --public-key 5f0c…

Whoever checks a proof needs the file and the public key, and nothing else.")]
pub struct ProofArgs {
    #[command(subcommand)]
    what: What,
    /// Whose log
    #[arg(long, global = true, default_value = "default")]
    tenant: String,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum What {
    /// That the event at a position is in the log as it was sealed last
    Event {
        /// Its position
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        position: i64,
    },
    /// That the log as it was sealed last begins with all that it was at an earlier seal
    Growth {
        /// How many events the earlier seal is of, as `daybook verify` told it
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        size: i64,
    },
}

/// Makes the proof that `args` name.
pub async fn run(args: ProofArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let log = Log::open(&settings).await?;
    let tenant = args.tenant.as_str().into();
    let made = match args.what {
        What::Event { position } => prove_event(log.store(), &tenant, position).await,
        What::Growth { size } => prove_growth(log.store(), &tenant, size).await,
    };
    log.close().await;
    println!("{}", serde_json::to_string_pretty(&made?)?);
    Ok(ExitCode::SUCCESS)
}
