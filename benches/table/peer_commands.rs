//! P2: the commands of `commands` against other projects' stores, each a process of its own.

use std::sync::Arc;

use super::commands::{FLEETS, HISTORY_EVENTS, Ours, fleets};
use super::measure::{Round, Rounds};
use super::peers::{self, Npm, Peer};
use super::report::{Goal, Row};
use super::served::url;
use super::stand::Stand;

/// Rows against esrs.
pub async fn esrs(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let name = "esrs 0.18";
    let program = match peers::esrs().await {
        Ok(program) => program,
        Err(why) => return Ok(vec![absent(name, &why)]),
    };
    let database = stand.database().await?;
    let (count, events) = (FLEETS.to_string(), HISTORY_EVENTS.to_string());
    let peer = Peer::start(&program, &[&url(&database), &count, &events]).await?;
    let rows = against(stand, name, peer, &[1, 32, 256]).await?;
    stand.drop_database(&database).await?;
    Ok(rows)
}

/// Rows against Emmett.
pub async fn emmett(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let name = format!("Emmett {}", peers::version("@event-driven-io/emmett")?);
    let npm = match Npm::install().await {
        Ok(npm) => npm,
        Err(why) => return Ok(vec![absent(&name, &why)]),
    };
    let database = stand.database().await?;
    let (count, events) = (FLEETS.to_string(), HISTORY_EVENTS.to_string());
    let arguments = [&url(&database), count.as_str(), &events];
    let peer = npm.start("emmett.mjs", &arguments).await?;
    let rows = against(stand, &name, peer, &[32]).await?;
    stand.drop_database(&database).await?;
    Ok(rows)
}

fn absent(name: &str, why: &str) -> Row {
    Row::absent(&format!("commands, 32 callers, against {name}"), why)
}

/// Both in turn, with so many callers. The peer ends with it.
async fn against(
    stand: &Stand,
    name: &str,
    mut peer: Peer,
    callers: &[usize],
) -> anyhow::Result<Vec<Row>> {
    let (store, ours_in) = stand.store().await?;
    let wide = fleets("fleet-", FLEETS);
    let ours = Arc::new(Ours::start(&store, &[wide]).await?);
    ours.warm(&wide).await?;
    let mut rows = Vec::new();
    for &callers in callers {
        stand.settle().await?;
        let mut rounds = Rounds::default();
        for n in 0..=stand.rounds() {
            let round = ours.round(stand, wide, callers).await?;
            let reference = peer.round(stand, callers).await?;
            // The first round of each warms caches, connections and plans.
            if n > 0 || stand.is_quick() {
                rounds.ours.push(round);
                rounds.reference.push(reference);
            }
        }
        let what = format!("{callers} callers, against {name}");
        rows.push(rounds.row(format!("commands, {what}"), "/s", Goal::Shown, Round::rate));
        rows.push(
            rounds.row(format!("their p99, {what}"), "ms", Goal::Shown, |r| {
                r.latency_ms(99.0)
            }),
        );
    }
    drop((ours, peer));
    stand.drop_database(&ours_in).await?;
    Ok(rows)
}
