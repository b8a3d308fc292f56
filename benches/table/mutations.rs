//! P3: the commands of P2 as GraphQL mutations over HTTP, against stock postgres-es called in process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cqrs_es::AggregateError;
use serde_json::json;
use tokio::task::JoinSet;

use super::commands;
use super::cpu::peak_mib;
use super::fleets::{Fleets, rename, stock, stock_tables};
use super::measure::{Round, Rounds, Watch};
use super::report::{Goal, Row};
use super::served::{Connection, Served, request, token};
use super::stand::Stand;

/// Who sends commands at once.
const CALLERS: usize = 256;

const FLEETS: Fleets = Fleets {
    prefix: "fleet-",
    count: 4_096,
    events: 10,
};

const MUTATION: &str = "mutation($input: RenameFleetInput!) {
  renameFleet(input: $input) { receipt { position version } userErrors { code } } }";

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, ours_in) = stand.store().await?;
    let stock_in = stand.database().await?;
    let pool = stand
        .pool(stock_in.clone(), commands::STOCK_CONNECTIONS)
        .await?;
    stock_tables(&pool).await?;
    FLEETS.seed(&store, &"default".into()).await?;
    FLEETS.seed_stock(&pool).await?;
    drop(store);
    let data_dir = stand.dir().join("mutations");
    let settings = [("DAYBOOK_CONSUMERS__PROJECT", "false")];
    let served = Served::start(&data_dir, Some(&ours_in), &settings).await?;
    let token = token(&data_dir, Some(&ours_in)).await?;
    let (stock, next) = (Arc::new(stock(pool.clone())), Arc::new(AtomicU64::new(0)));
    stand.settle().await?;
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let ours = over_http(stand, &served, &token, &next).await?;
        let reference = commands::round(stand, CALLERS, |caller| {
            let (stock, next) = (stock.clone(), next.clone());
            move |turn| {
                let (stock, n) = (stock.clone(), next.fetch_add(1, Ordering::Relaxed));
                let id = FLEETS.id(turn * CALLERS + caller);
                async move {
                    loop {
                        match stock.execute(&id, rename(n)).await {
                            Ok(()) => return Ok(()),
                            // A lost race is the caller's to repeat.
                            Err(AggregateError::AggregateConflict) => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                }
            }
        });
        let reference = reference.await?;
        if n > 0 || stand.is_quick() {
            rounds.ours.push(ours);
            rounds.reference.push(reference);
        }
    }
    let most = peak_mib(served.pid)?;
    served.stop().await?;
    pool.close().await;
    stand.drop_database(&ours_in).await?;
    stand.drop_database(&stock_in).await?;
    let what = format!("GraphQL mutations over HTTP, {CALLERS} callers");
    Ok(vec![
        rounds.row(what, "/s", Goal::AtLeast(5.0), Round::rate),
        rounds.row("their p99", "ms", Goal::Shown, |r| r.latency_ms(99.0)),
        rounds.row("CPU of one, all in", "us", Goal::OursAtMost(100.0), |r| {
            (r.cpu.own + r.cpu.postgres) / r.units
        }),
        Row::memory("most memory resident meanwhile", vec![most], 200.0),
    ])
}

async fn over_http(
    stand: &Stand,
    served: &Served,
    token: &str,
    next: &Arc<AtomicU64>,
) -> anyhow::Result<Round> {
    let mut connections = Vec::with_capacity(CALLERS);
    for _ in 0..CALLERS {
        connections.push(Connection::open(&served.address).await?);
    }
    let watch = Watch::start(served.pid, stand.postmaster());
    let until = Instant::now() + stand.round();
    let mut callers = JoinSet::new();
    for (caller, mut connection) in connections.into_iter().enumerate() {
        let (address, token, next) = (served.address.clone(), token.to_owned(), next.clone());
        callers.spawn(async move {
            let mut latencies_us = Vec::new();
            while Instant::now() < until {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let id = FLEETS.id(latencies_us.len() * CALLERS + caller);
                let input =
                    json!({ "id": id, "name": format!("Buses of depot {n} and neighbours") });
                let body = json!({ "query": MUTATION, "variables": { "input": input } });
                let body = serde_json::to_vec(&body)?;
                let sent = Instant::now();
                let answer = connection
                    .ask(&request("/graphql", &address, &token, &body))
                    .await?;
                latencies_us.push(sent.elapsed().as_micros() as u32);
                let answer = String::from_utf8(answer)?;
                anyhow::ensure!(answer.contains("\"userErrors\":[]"), "{answer}");
            }
            anyhow::Ok(latencies_us)
        });
    }
    let mut latencies_us = Vec::new();
    while let Some(ended) = callers.join_next().await {
        latencies_us.extend(ended??);
    }
    Ok(watch.stop(latencies_us.len() as f64, latencies_us))
}
