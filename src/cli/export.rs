//! `daybook export`: events and read models as files that other programs read.

mod events;
mod projection;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use crate::app::Log;
use crate::config::Settings;
use crate::export;

/// Writes events or a read model to files.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook export events --out events.parquet
  daybook export events --type deployment.approved --since 2026-11-01T00:00:00Z --out - | jq .
  daybook export projection vehicles --out vehicles/
  daybook export events --from 1 --to 100000 --out first.parquet --proof first.proof
  daybook verify --export first.parquet --proof first.proof --public-key 5f0c…

A file has its name only once it is whole and on the disk. Personal values stay as they are stored: \
encrypted.")]
pub struct ExportArgs {
    #[command(subcommand)]
    what: What,
    /// Whose log
    #[arg(long, global = true, default_value = "default")]
    tenant: String,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum What {
    /// Events of the log, in order
    Events(Box<events::EventArgs>),
    /// The tables of a read model, as they answer now
    Projection(projection::ProjectionArgs),
}

/// How files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Columns, for DuckDB, pandas and their like
    Parquet,
    /// A JSON object a line
    Ndjson,
}

impl From<Format> for export::Format {
    fn from(format: Format) -> export::Format {
        match format {
            Format::Parquet => export::Format::Parquet,
            Format::Ndjson => export::Format::Ndjson,
        }
    }
}

/// What was asked for, or what the file's name says.
fn format_of(asked: Option<Format>, out: &Path) -> anyhow::Result<export::Format> {
    let by_name = || match out.extension().and_then(|name| name.to_str()) {
        Some("parquet") => Some(Format::Parquet),
        Some("ndjson" | "jsonl" | "json") => Some(Format::Ndjson),
        _ if out.as_os_str() == "-" => Some(Format::Ndjson),
        _ => None,
    };
    let format = asked.or_else(by_name).with_context(|| {
        format!(
            "{} does not say how to write it; name --format parquet or ndjson",
            out.display()
        )
    })?;
    let to_terminal =
        out.as_os_str() == "-" && std::io::IsTerminal::is_terminal(&std::io::stdout());
    ensure!(
        format == Format::Ndjson || !to_terminal,
        "Parquet is not for a terminal: name a file with --out"
    );
    Ok(format.into())
}

/// Exports what `args` name.
pub async fn run(args: ExportArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let log = Log::open(&settings).await?;
    let tenant = args.tenant.as_str().into();
    let done = match &args.what {
        What::Events(args) => events::run(log.store(), &tenant, args).await,
        What::Projection(args) => projection::run(log.store(), &tenant, args).await,
    };
    log.close().await;
    eprintln!("{}", done?);
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_how_a_file_is_written_unless_it_is_said() {
        let told = |asked, out: &str| format_of(asked, Path::new(out)).ok();
        let (parquet, ndjson) = (export::Format::Parquet, export::Format::Ndjson);
        for (asked, out, expected) in [
            (None, "a.parquet", Some(parquet)),
            (None, "a/b.ndjson", Some(ndjson)),
            (Some(Format::Ndjson), "a.parquet", Some(ndjson)),
            (None, "a.csv", None),
            (None, "a", None),
        ] {
            assert_eq!(told(asked, out), expected, "{out}");
        }
    }
}
