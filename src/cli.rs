//! The command line: what can be asked of the program, and what its exit codes mean.

pub mod serve;
pub mod demo;
pub mod import;
pub mod rebuild;
pub mod projection;
pub mod query;
pub mod replay;
pub mod archive;
pub mod export;
pub mod verify;
pub mod proof;
pub mod token;
pub mod tenant;
pub mod migrate;
pub mod schema;
pub mod progress;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, ConfigError, LogFormat, Override, Settings, Sources};
use crate::ops::telemetry;
use crate::store::local::{self, LocalError, LocalSettings};

/// Something failed while running.
pub const EXIT_FAILURE: u8 = 1;
/// The command line or the settings cannot be used.
pub const EXIT_USAGE: u8 = 2;
/// There is no PostgreSQL to start and none was named.
pub const EXIT_NO_POSTGRES: u8 = 3;

#[derive(Parser)]
#[command(
    name = "daybook",
    version,
    about = "An event-sourced backend for operations teams",
    long_about = "An event-sourced backend for operations teams.\n\n\
        Without a command it serves. Without settings it starts a private PostgreSQL under \
        ./.daybook and caches in process; DATABASE_URL and REDIS_URL name other servers. \
        `daybook schema --settings` lists every setting.",
    after_help = "Exit codes: 0 done; 1 failed; 2 the command line or the settings cannot be used; \
        3 no PostgreSQL found; 130 interrupted.",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags every command takes; they win over file and environment.
#[derive(clap::Args)]
struct Global {
    /// Read settings from this TOML file instead of ./daybook.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep data in this directory (setting `data_dir`)
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Use this PostgreSQL instead of a private one (setting `database.url`)
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (also without any command)
    Serve(serve::ServeArgs),
    /// Serve with a small real sample in it, and say what to ask
    Demo(demo::DemoArgs),
    /// Bring facts in from files
    Import(Box<import::ImportArgs>),
    /// Fold the log into a new generation of a read model beside the one that answers
    Rebuild(rebuild::RebuildArgs),
    /// Look at the read models; pause, resume or skip; install one written in SQL
    Projection(projection::ProjectionArgs),
    /// Ask the tables of projections written in SQL
    Query(query::QueryArgs),
    /// Write the history of a log out, event by event
    Replay(replay::ReplayArgs),
    /// Write events or a read model to files, as Parquet or NDJSON
    Export(export::ExportArgs),
    /// Take old partitions of the log to files, or put them back
    Archive(archive::ArchiveArgs),
    /// Check that the log is as it was sealed
    Verify(verify::VerifyArgs),
    /// Write a proof that an event is in the log, or that the log only grew
    Proof(proof::ProofArgs),
    /// Make a token for calling the API
    Token(token::TokenArgs),
    /// Create, list, rename, suspend and resume tenants
    Tenant(tenant::TenantArgs),
    /// Bring the database's schema up to date and show it
    Migrate(migrate::MigrateArgs),
    /// Print the GraphQL schema, or a generated reference
    Schema(schema::SchemaArgs),
    /// Supervises the tests' shared PostgreSQL
    #[command(hide = true)]
    TestCluster {
        /// Where it lives
        dir: PathBuf,
    },
    /// Holds a private PostgreSQL where the platform cannot
    #[command(hide = true)]
    HoldPostgres {
        /// Where it lives
        dir: PathBuf,
    },
}

/// Reads the command line, carries it out, and says how it went.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(run(cli));
        // Work that ignores the stop must not keep the process.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let command = cli
        .command
        .unwrap_or(Command::Serve(serve::ServeArgs::default()));
    let pg_bin = std::env::var_os("DAYBOOK_PG_BIN").map(PathBuf::from);
    match &command {
        // These two are children of another daybook and take nothing from the environment.
        Command::TestCluster { dir } => {
            local::supervise_test_cluster(dir, pg_bin).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::HoldPostgres { dir } => {
            local::hold(&LocalSettings {
                pg_bin,
                ..LocalSettings::new(dir)
            })
            .await?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let mut overrides = cli.global.overrides();
    match &command {
        Command::Serve(args) => overrides.extend(args.overrides()),
        Command::Demo(args) => overrides.extend(args.serve.overrides()),
        _ => {}
    }
    let sources = Sources::of_process(cli.global.config, overrides);
    let settings = config::load(&sources)?;
    let serves = matches!(command, Command::Serve(_));
    let levels = telemetry::init(&if serves {
        settings.log.clone()
    } else {
        quiet(&settings)
    })?;
    match command {
        Command::Serve(_) => serve::run(settings, sources, levels).await,
        Command::Demo(_) => demo::run(settings).await,
        Command::Import(args) => import::run(*args, settings).await,
        Command::Rebuild(args) => rebuild::run(args, settings).await,
        Command::Projection(args) => projection::run(args, settings).await,
        Command::Query(args) => query::run(args, settings).await,
        Command::Replay(args) => replay::run(args, settings).await,
        Command::Export(args) => export::run(args, settings).await,
        Command::Archive(args) => archive::run(args, settings).await,
        Command::Verify(args) => verify::run(args, settings).await,
        Command::Proof(args) => proof::run(args, settings).await,
        Command::Token(args) => token::run(args, settings).await,
        Command::Tenant(args) => tenant::run(args, settings).await,
        Command::Migrate(args) => migrate::run(args, settings).await,
        Command::Schema(args) => schema::run(args),
        Command::TestCluster { .. } | Command::HoldPostgres { .. } => Ok(ExitCode::SUCCESS),
    }
}

impl Global {
    fn overrides(&self) -> Vec<Override> {
        let flags = [
            ("data_dir", "--data-dir", &self.data_dir),
            ("database.url", "--database-url", &self.database_url),
        ];
        let given = flags.into_iter().filter_map(|(key, flag, value)| {
            Some(Override {
                key,
                flag,
                value: value.clone()?,
            })
        });
        given.collect()
    }
}

/// Commands that talk to a person say what matters themselves: only warnings beside, as text.
fn quiet(settings: &Settings) -> config::Log {
    let mut log = settings.log.clone();
    if log == Settings::default().log {
        log = config::Log {
            format: LogFormat::Text,
            level: config::LogFilter::warnings(),
        };
    }
    log
}

/// Rows of a table as lines, each column as wide as what stands in it.
fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let padded = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}  "));
        padded.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The operating system's word for who runs this.
fn operator() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    format!("cli:{}", name.unwrap_or_else(|| "unknown".to_owned()))
}

/// Says what went wrong, and picks the exit code.
fn fail(error: &anyhow::Error) -> ExitCode {
    // A closed pipe is the reader's way of saying that it has enough.
    let pipe = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>());
    if pipe.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(std::io::stderr(), "daybook: {error:#}");
    let no_postgres = |cause: &(dyn std::error::Error + 'static)| {
        matches!(
            cause.downcast_ref::<LocalError>(),
            Some(LocalError::NotFound { .. })
        )
    };
    ExitCode::from(match error {
        _ if error.chain().any(no_postgres) => EXIT_NO_POSTGRES,
        _ if error.chain().any(|cause| cause.is::<ConfigError>()) => EXIT_USAGE,
        _ => EXIT_FAILURE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_declared_without_contradiction() {
        Cli::command().debug_assert();
    }
}
