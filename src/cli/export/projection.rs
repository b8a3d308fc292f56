//! `daybook export projection`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::Format;
use crate::cli::import::summary::thousands;
use crate::cli::progress::Progress;
use crate::export::{ReadModelExport, export_read_model};
use crate::store::Store;

/// Which read model, and where to.
#[derive(clap::Args, Clone, Debug)]
pub struct ProjectionArgs {
    /// The read model, as `daybook projection list` names it
    name: String,
    /// The folder that gets a file for each of its tables; `-` is standard output, for one table
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How files are written; Parquet by default, NDJSON to standard output
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only this table of it; may be given again
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
}

/// Exports a read model, and says what was done.
pub(super) async fn run(
    store: &Store,
    tenant: &Arc<str>,
    args: &ProjectionArgs,
) -> anyhow::Result<String> {
    let to_file = args.out.as_os_str() != "-";
    let format = args.format.or(to_file.then_some(Format::Parquet));
    let what = ReadModelExport {
        tenant: tenant.clone(),
        name: args.name.clone(),
        tables: args.tables.clone(),
        format: super::format_of(format, &args.out)?,
        out: args.out.clone(),
    };
    let bar = Progress::new("exporting", "rows", None);
    let done = export_read_model(store, &what, |rows| bar.at(rows, rows)).await;
    bar.finish();
    let done = done.with_context(|| format!("{} was not exported", args.name))?;
    let tables = done.tables.iter();
    let tables: Vec<String> = tables
        .map(|(table, rows)| format!("{table}: {} rows", thousands(*rows)))
        .collect();
    Ok(format!(
        "{}\n{} as of position {}, generation {}",
        tables.join("\n"),
        args.name,
        done.position,
        done.generation
    ))
}
