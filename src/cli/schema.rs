//! `daybook schema`: what is generated from the code, for a file or a reader.

use std::io::Write;
use std::process::ExitCode;

use crate::{api, config};

/// Prints the GraphQL schema, or one of the generated references.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook schema > schema.graphql
  daybook schema --settings > docs/configuration.md
  daybook schema --errors > docs/errors.md")]
pub struct SchemaArgs {
    /// Every setting: name, variable, default, bounds and meaning
    #[arg(long)]
    settings: bool,
    /// Every code an answer can carry
    #[arg(long, conflicts_with = "settings")]
    errors: bool,
}

/// Prints it.
pub fn run(args: SchemaArgs) -> anyhow::Result<ExitCode> {
    let page = match (args.settings, args.errors) {
        (true, _) => config::reference(),
        (_, true) => api::fault::catalogue(),
        _ => api::sdl(),
    };
    std::io::stdout().write_all(page.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
