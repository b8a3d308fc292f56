//! P6 and Q3: the most memory that a rebuild and an import hold, each a process of its own.

use std::path::Path;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;

use super::exports::run;
use super::log::{Kind, fill};
use super::releases::{YEAR_DEPLOYMENTS, write_year};
use super::report::Row;
use super::served::{BINARY, url};
use super::stand::Stand;

/// Events that are rebuilt.
const EVENTS: usize = 400_000;

/// The most that a rebuild may hold.
const REBUILD_MIB_MAX: f64 = 150.0;

/// The most that an import may hold: recent states of aggregates are kept beside it (`commands.state_bytes_max`, 64 MiB).
const IMPORT_MIB_MAX: f64 = 200.0;

/// Of a rebuild, with two workers.
pub async fn rebuilding(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let tenant: Arc<str> = "default".into();
    let events = stand.records().unwrap_or_else(|| stand.size(EVENTS));
    fill(&store, &tenant, Kind::Mixed, events).await?;
    store.pool().close().await;
    let mut command = program(stand.dir(), &database, &["rebuild", "heatmap"]);
    command.args(["--workers", "2"]);
    let (_, most) = run(stand, command, events).await?;
    stand.drop_database(&database).await?;
    let what = format!("most memory resident while the heat map of {events} events is rebuilt");
    Ok(vec![Row::memory(what, vec![most], REBUILD_MIB_MAX)])
}

/// Of an import of a year's deployments.
pub async fn importing(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    store.pool().close().await;
    let year = write_year(
        &stand.dir().join("imported"),
        2024,
        stand.size(YEAR_DEPLOYMENTS),
    )?;
    let mut command = program(stand.dir(), &database, &["import", "deployments"]);
    command.args(["--preset", "govuk"]).arg(&year.deployments);
    let (_, most) = run(stand, command, year.count).await?;
    stand.drop_database(&database).await?;
    let what = format!(
        "most memory resident while {} deployments are imported",
        year.count
    );
    Ok(vec![Row::memory(what, vec![most], IMPORT_MIB_MAX)])
}

fn program(data_dir: &Path, database: &PgConnectOptions, what: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(what).args(["--database-url", &url(database)]);
    command.arg("--data-dir").arg(data_dir).kill_on_drop(true);
    command
}
