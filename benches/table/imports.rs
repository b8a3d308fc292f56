//! Q3: a year of deployments and their changes imported through the write door.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use daybook::cli::import::changes::{ChangeArgs, ChangeMapping, ChangePreset};
use daybook::cli::import::deployments::{DeploymentArgs, DeploymentMapping, DeploymentPreset};
use daybook::cli::import::run::{Inflow, Intake, import_rows};
use daybook::cli::import::source::Source;
use daybook::cli::progress::Progress;
use daybook::commands::Door;
use daybook::config::Settings;
use daybook::consumers::{ConsumerSettings, Consumers};
use daybook::ops::{Clock, Shutdown};
use daybook::store::Store;
use daybook::vault::Vault;
use projections::deployments;

use super::fleets::door;
use super::measure::{Round, Rounds};
use super::releases::{YEAR_DEPLOYMENTS, Year, write_year};
use super::report::{Goal, Row};
use super::stand::Stand;

/// How long read models may take to follow.
const PATIENCE: Duration = Duration::from_secs(600);

/// Whose log.
pub const TENANT: &str = "default";

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let year = write_year(
        &stand.dir().join("import"),
        2024,
        stand.size(YEAR_DEPLOYMENTS),
    )?;
    let (mut told, mut carried, mut followed) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    for n in 0..=stand.rounds() {
        let (store, database) = stand.store().await?;
        let door = sealing(stand, &store)?;
        stand.settle().await?;
        let watch = stand.watch();
        import_deployments(&door, &year).await?;
        let deployments = watch.stop(year.count as f64, Vec::new());
        stand.settle().await?;
        let watch = stand.watch();
        import_changes(&door, &year).await?;
        let changes = watch.stop(year.change_count as f64, Vec::new());
        let watch = stand.watch();
        follow(&store).await?;
        let events = store.head(TENANT).await?.0;
        let read = watch.stop(events as f64, Vec::new());
        store.pool().close().await;
        stand.drop_database(&database).await?;
        // The first round warms the machine.
        if n > 0 || stand.is_quick() {
            told.ours.push(deployments);
            carried.ours.push(changes);
            followed.ours.push(read);
        }
    }
    let row = |rounds: &Rounds, what: &str, unit, goal| rounds.row(what, unit, goal, Round::rate);
    Ok(vec![
        row(
            &told,
            "deployments of a year imported",
            "/s",
            Goal::OursAtLeast(10_000.0),
        ),
        row(&carried, "their changes imported", "/s", Goal::Shown),
        row(
            &followed,
            "the read model of deployments following from the first event",
            "events/s",
            Goal::Shown,
        ),
    ])
}

/// A door that can seal the names of people.
pub fn sealing(stand: &Stand, store: &Store) -> anyhow::Result<Door> {
    let vault = Vault::open(
        &Settings::default().vault,
        stand.dir(),
        store.pool().clone(),
    )?;
    Ok(door(store).sealing(vault))
}

/// As `daybook import deployments --preset govuk` does.
pub async fn import_deployments(door: &Door, year: &Year) -> anyhow::Result<()> {
    let preset = DeploymentArgs {
        preset: Some(DeploymentPreset::Govuk),
        ..DeploymentArgs::default()
    };
    let mapping = DeploymentMapping::from_args(&preset);
    import(door, &year.deployments, year.count, mapping).await
}

/// As `daybook import changes --preset govuk` does.
pub async fn import_changes(door: &Door, year: &Year) -> anyhow::Result<()> {
    let preset = ChangeArgs {
        preset: Some(ChangePreset::Govuk),
        ..ChangeArgs::default()
    };
    let mapping = ChangeMapping::from_args(&preset);
    import(door, &year.changes, year.change_count, mapping).await
}

async fn import<K: Intake>(
    door: &Door,
    file: &Path,
    rows: usize,
    mapping: K,
) -> anyhow::Result<()> {
    let inflow = Inflow {
        tenant: Arc::from(TENANT),
        sources: vec![Source::from_argument(&file.to_string_lossy())],
        mapping,
        correlation_id: "bench".to_owned(),
        clock: Clock::system(),
    };
    let (_trigger, shutdown) = Shutdown::new();
    let summary = import_rows(door, inflow, Progress::silent(), &shutdown).await?;
    ensure!(
        summary.accepted == rows as u64,
        "not all was accepted: {}",
        summary.describe(&[], K::UNIT)
    );
    Ok(())
}

/// Has the read model of deployments follow the log to its end.
pub async fn follow(store: &Store) -> anyhow::Result<()> {
    let model = projections::all().into_iter();
    let model = model.filter(|m| m.name() == deployments::NAME).collect();
    let consumers = Consumers::start(store.clone(), model, ConsumerSettings::default()).await?;
    let (tenant, head) = (Arc::from(TENANT), store.head(TENANT).await?);
    let followed = consumers.wait_for(&tenant, &[deployments::NAME], head, PATIENCE);
    let followed = followed.await.map(drop);
    consumers.stop().await;
    followed
        .ok()
        .context("the read model has not come to the log's end")
}
