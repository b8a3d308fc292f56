//! P2: what interactive commands keep of their pace while fixes come in bulk through the same write door.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use daybook::commands::Door;
use tokio::task::JoinSet;

use super::commands::{FLEETS, Ours, fleets};
use super::ingest::{CALLERS as SENDERS, Traffic, report_all, reports_of};
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::stand::Stand;
use super::traffic::count;

/// Who sends commands at once.
const CALLERS: usize = 32;

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let wide = fleets("fleet-", FLEETS);
    let ours = Arc::new(Ours::start(&store, &[wide]).await?);
    ours.warm(&wide).await?;
    let mut senders: Vec<Traffic> = (0..SENDERS).map(Traffic::of).collect();
    stand.settle().await?;
    let (mut commands, mut fixes) = (Rounds::default(), Rounds::default());
    for n in 0..=stand.rounds() {
        let alone = ours.round(stand, wide, CALLERS).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut sending = JoinSet::new();
        let watch = stand.watch();
        for traffic in std::mem::take(&mut senders) {
            sending.spawn(send(ours.door().clone(), traffic, stop.clone()));
        }
        let beside = ours.round(stand, wide, CALLERS).await?;
        stop.store(true, Ordering::Relaxed);
        let mut sent = 0.0;
        while let Some(ended) = sending.join_next().await {
            let (traffic, fixes) = ended??;
            senders.push(traffic);
            sent += fixes;
        }
        if n > 0 || stand.is_quick() {
            commands.ours.push(beside);
            commands.reference.push(alone);
            fixes.ours.push(watch.stop(sent, Vec::new()));
        }
    }
    stand.drop_database(&database).await?;
    let what = format!(
        "commands of {CALLERS} callers beside fixes of {SENDERS} senders as fast as they go in, \
         against without"
    );
    Ok(vec![
        commands.row(what, "/s", Goal::Shown, Round::rate),
        commands.row("their p99", "ms", Goal::Shown, |r| r.latency_ms(99.0)),
        fixes.row("fixes meanwhile", "fixes/s", Goal::Shown, Round::rate),
    ])
}

/// Sends batch after batch until it is told to stop; the fixes that were kept.
async fn send(
    door: Door,
    mut traffic: Traffic,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<(Traffic, f64)> {
    let mut sent = 0.0;
    while !stop.load(Ordering::Relaxed) {
        let batches = traffic.batches(1);
        let reports = batches.iter().map(reports_of).collect();
        report_all(door.clone(), "default".into(), reports).await?;
        sent += count(&batches);
    }
    Ok((traffic, sent))
}
