//! P9 and P7 over real sockets: what a delivery costs, how late it is, and what an idle socket holds.
//!
//! The sockets of a server are one process, which does as little as it can with what comes: it has to
//! share the cores with the server, whose CPU alone is told.

use std::time::Duration;

use tokio::time::sleep;

use super::cpu::{peak_mib, resident_mib};
use super::drive::Driven;
use super::feeds::DOCUMENT;
use super::measure::{Round, Rounds};
use super::publishers::{Publisher, Way, serve};
use super::references::Reference;
use super::report::{Figure, Goal, Row};
use super::served::{Connection, request};
use super::stand::Stand;
use super::start::QUESTION;
use super::traffic::{Bus, now};

/// Sockets where everyone gets everything.
const FEW: usize = 1_000;

/// Sockets where an event concerns one in a hundred.
const MANY: usize = 10_000;

/// Vehicles that these follow, one each.
const VEHICLES: usize = 100;

/// Events of a round that is about rates.
const EVENTS: usize = 200;

/// Events a second of a round that either server can keep up with.
const CALM: u32 = 15;

/// Commits a second of a round that is about lags.
const PACE: u32 = 50;

/// How long a process is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// P9: the rows of deliveries.
pub async fn deliveries(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let database = stand.database().await?;
    let (served, token) = serve(&stand.dir().join("deliveries"), &database).await?;
    let stock = Reference::start("publisher", "").await?;
    let (count, queries) = (stand.size(FEW), [DOCUMENT.to_owned()]);
    let place = (served.address.as_str(), served.pid);
    let mut ours = Publisher::open(place, &token, Way::Register, count, &queries).await?;
    let place = (stock.address.as_str(), stock.pid);
    let mut stock = Publisher::open(place, &token, Way::Publish, count, &queries).await?;
    stand.settle().await?;
    let (mut rates, mut calm) = (Rounds::default(), Rounds::default());
    for n in 0..=stand.rounds() {
        let rate = ours.rate(stand, stand.size(EVENTS)).await?;
        let stock_rate = stock.rate(stand, stand.size(EVENTS)).await?;
        let lag = ours.lag(stand, CALM, count).await?;
        let stock_lag = stock.lag(stand, CALM, count).await?;
        if n > 0 || stand.is_quick() {
            rates.ours.push(rate);
            rates.reference.push(stock_rate);
            calm.ours.push(lag);
            calm.reference.push(stock_lag);
        }
    }
    drop((ours, stock));
    let most = peak_mib(served.pid)?;
    served.stop().await?;
    stand.drop_database(&database).await?;
    Ok(vec![
        Row::memory(
            "most memory resident with 1,000 sockets served",
            vec![most],
            100.0,
        ),
        rates.row(
            "deliveries to 1,000 sockets, commits included, against stock async-graphql",
            "/s",
            Goal::AtLeast(2.0),
            Round::rate,
        ),
        calm.row(
            "CPU of a delivery, 15 events a second to 1,000 sockets",
            "us",
            Goal::Shown,
            |round| round.cpu.own / round.units,
        ),
        calm.row(
            "commit to subscriber meanwhile, p99",
            "ms",
            Goal::Shown,
            |round| round.latency_ms(99.0),
        ),
    ])
}

/// P9: the rows of memory.
pub async fn memory(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let database = stand.database().await?;
    let (served, token) = serve(&stand.dir().join("sockets"), &database).await?;
    let resident = async || {
        sleep(IDLE).await;
        resident_mib(served.pid)
    };
    // What the first answer of all takes is no socket's affair.
    let question = request("/graphql", &served.address, &token, QUESTION);
    Connection::open(&served.address)
        .await?
        .ask(&question)
        .await?;
    let before = resident().await?;
    let (few, many) = (stand.size(FEW), stand.size(MANY));
    let queries = queries();
    let first = Driven::open(&served.address, &token, few, &queries).await?;
    let with_few = resident().await?;
    let rest = Driven::open(&served.address, &token, many - few, &queries).await?;
    let with_many = resident().await?;
    drop((first, rest));
    served.stop().await?;
    stand.drop_database(&database).await?;
    let each = |after: f64, count: usize| (after - before) * 1_024.0 / count as f64;
    let row = |what: &str, unit, value: f64, goal| Row {
        what: what.to_owned(),
        unit,
        ours: Figure {
            value,
            rounds: vec![value],
            cpu_us: None,
        },
        reference: None,
        ratio: None,
        goal,
    };
    Ok(vec![
        row(
            "memory of an idle socket with a subscription, of 1,000",
            "KiB",
            each(with_few, few),
            Goal::OursAtMost(10.0),
        ),
        row(
            "memory of an idle socket with a subscription, of 10,000",
            "KiB",
            each(with_many, many),
            Goal::OursAtMost(10.0),
        ),
        row(
            "memory of the process with 10,000 sockets",
            "MiB",
            with_many,
            Goal::OursAtMost(160.0),
        ),
    ])
}

/// P7: the rows of subscribers.
pub async fn lags(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (all, _) = {
        let count = stand.size(FEW);
        let queries = [DOCUMENT.to_owned()];
        lag(stand, Way::Register, count, count, &queries).await?
    };
    let from = now() - chrono::TimeDelta::hours(12);
    let buses = (0..VEHICLES as u64).map(|n| Bus::new(n, from)).collect();
    let many = stand.size(MANY);
    let (some, most) = lag(stand, Way::Report(buses), many, many / VEHICLES, &queries()).await?;
    let row = |rounds: &Rounds, what: &str, percent, goal| {
        rounds.row(what, "ms", goal, |round| round.latency_ms(percent))
    };
    Ok(vec![
        row(
            &all,
            "commit to subscriber over sockets, 50 events a second to 1,000, p50",
            50.0,
            Goal::Shown,
        ),
        row(&all, "the same, p99", 99.0, Goal::OursAtMost(25.0)),
        row(
            &some,
            "commit to subscriber over sockets, 50 events a second to 100 of 10,000, p50",
            50.0,
            Goal::Shown,
        ),
        row(&some, "the same, p99", 99.0, Goal::OursAtMost(20.0)),
        Row::memory(
            "most memory resident with 10,000 sockets served",
            vec![most],
            160.0,
        ),
    ])
}

/// How late deliveries were, and the most memory that the process held.
async fn lag(
    stand: &Stand,
    way: Way,
    count: usize,
    recipients: usize,
    queries: &[String],
) -> anyhow::Result<(Rounds, f64)> {
    let database = stand.database().await?;
    let (served, token) = serve(&stand.dir().join("lags"), &database).await?;
    let place = (served.address.as_str(), served.pid);
    let mut ours = Publisher::open(place, &token, way, count, queries).await?;
    stand.settle().await?;
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let round = ours.lag(stand, PACE, recipients).await?;
        if n > 0 || stand.is_quick() {
            rounds.ours.push(round);
        }
    }
    drop(ours);
    let most = peak_mib(served.pid)?;
    served.stop().await?;
    stand.drop_database(&database).await?;
    Ok((rounds, most))
}

/// Each vehicle's whereabouts.
fn queries() -> Vec<String> {
    let vehicles = (0..VEHICLES as u64).map(|n| Bus::new(n, now()).id);
    vehicles
        .map(|id| {
            format!(
                "subscription {{ vehicleMoved(vehicleIds: [\"{id}\"], maxHz: 20) {{ \
                 vehicleId fixTime lat lon speedMps courseDeg }} }}"
            )
        })
        .collect()
}
