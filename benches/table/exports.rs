//! P6: exporting events to Parquet, and the memory it takes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures::TryStreamExt;
use sqlx::{ConnectOptions, PgConnection};
use tokio::process::Command;

use super::cpu::peak_mib;
use super::log::{Kind, fill};
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::served::{BINARY, url};
use super::stand::Stand;

/// Events of the log.
const EVENTS: usize = 1_000_000;

/// How often the process's memory is looked at: the kernel keeps the most it ever was.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let tenant: Arc<str> = "default".into();
    let events = stand.records().unwrap_or_else(|| stand.size(EVENTS));
    fill(&store, &tenant, Kind::Mixed, events).await?;
    sqlx::query("vacuum analyze events")
        .execute(store.pool())
        .await?;
    stand.settle().await?;
    let out = stand.dir().join("events.parquet");
    let mut conn = database.connect().await?;
    let (mut rounds, mut mib) = (Rounds::default(), Vec::new());
    for n in 0..=stand.rounds() {
        let copied = copy_out(stand, &mut conn, events).await?;
        let mut command = Command::new(BINARY);
        command.args(["export", "events", "--out"]).arg(&out);
        command.args(["--database-url", &url(&database), "--data-dir"]);
        command.arg(stand.dir()).kill_on_drop(true);
        let (exported, peak) = run(stand, command, events).await?;
        if n > 0 || stand.is_quick() {
            rounds.ours.push(exported);
            rounds.reference.push(copied);
            mib.push(peak);
        }
    }
    std::fs::remove_file(&out)?;
    stand.drop_database(&database).await?;
    let alone = Rounds {
        ours: rounds.ours.clone(),
        reference: Vec::new(),
    };
    Ok(vec![
        alone.row(
            "export of events of one row each to Parquet, start and end of the process included",
            "events/s",
            Goal::OursAtLeast(200_000.0),
            Round::rate,
        ),
        rounds.row(
            "the same against COPY OUT",
            "events/s",
            Goal::Shown,
            Round::rate,
        ),
        Row::memory(
            "most memory resident while events are exported to Parquet",
            mib,
            150.0,
        ),
    ])
}

/// Runs the program to its end: what it took, and the most memory it had.
pub async fn run(
    stand: &Stand,
    mut command: Command,
    units: usize,
) -> anyhow::Result<(Round, f64)> {
    let watch = stand.watch();
    let mut child = command.spawn()?;
    let pid = child.id().unwrap_or_default();
    let mut most = 0.0;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            // A process that has just ended has no memory to look at.
            _ = look.tick() => most = peak_mib(pid).unwrap_or(most),
        }
    };
    ensure!(status.success(), "the program ended with {status}");
    Ok((watch.stop(units as f64, Vec::new()), most))
}

/// Raw COPY OUT of all events, thrown away.
pub async fn copy_out(
    stand: &Stand,
    conn: &mut PgConnection,
    events: usize,
) -> anyhow::Result<Round> {
    let watch = stand.watch();
    let mut out = conn
        .copy_out_raw(
            "copy (select position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                          event_id, recorded_at, payload, metadata
                   from events where tenant = 'default' order by position)
             to stdout (format binary)",
        )
        .await?;
    while out.try_next().await?.is_some() {}
    Ok(watch.stop(events as f64, Vec::new()))
}
