//! The load tool for subscriptions: many sockets that ask the same, in a process of its own.
//!
//! `cargo bench --bench table -- sockets URL --count 1000 --query '...' --token "$(daybook token)"` is
//! how a person uses it; lines start it with `--driven` and tell it what to do ([`super::drive`]).

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use daybook::ops::descriptors;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::cpu::{Cpu, resident_mib};
use super::handshake::Order;
use super::measure::percentile;
use super::swarm::{Keep, Swarm};

/// The word that makes this program the tool.
pub const COMMAND: &str = "sockets";

/// What a socket subscribes to if nothing is said.
const QUERY: &str = "subscription { events { position type aggregateId recordedAt } }";

/// How often it is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(1);

/// How long nothing may come before waiting ends.
const SILENCE: Duration = Duration::from_secs(10);

/// Opens sockets that speak graphql-transport-ws, subscribes on each, and tells what comes: deliveries
/// a second, how long after its `recordedAt` each came, and what the server spends on it.
#[derive(Parser)]
#[command(name = COMMAND)]
struct Asked {
    /// Where to connect, as ws://HOST:PORT/PATH
    url: String,
    /// How many sockets
    #[arg(long, default_value_t = 1_000)]
    count: usize,
    /// What each subscribes to; given several times, they take turns
    #[arg(long)]
    query: Vec<String>,
    /// What is sent as `token` in connection_init
    #[arg(long)]
    token: Option<String>,
    /// The server's process on this machine, whose memory and CPU are told
    #[arg(long)]
    pid: Option<u32>,
    /// How long to listen
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Take orders from standard input
    #[arg(long, hide = true)]
    driven: bool,
}

/// Is the tool, with these arguments.
pub fn main(arguments: &[String]) -> ExitCode {
    // `cargo bench` adds --bench.
    let asked = Asked::parse_from(arguments.iter().filter(|a| *a != "--bench"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    match runtime.block_on(run(asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn run(asked: Asked) -> anyhow::Result<()> {
    let open_max = descriptors::raise(asked.count as u64 + 64);
    if open_max < asked.count as u64 {
        eprintln!("no more than {open_max} files can be open here");
    }
    let (address, path) = asked
        .url
        .strip_prefix("ws://")
        .and_then(|rest| rest.split_once('/'))
        .context("a URL looks like ws://HOST:PORT/PATH")?;
    let queries = match asked.query.as_slice() {
        [] => vec![QUERY.to_owned()],
        queries => queries.to_vec(),
    };
    let order = Order {
        address: address.to_owned(),
        path: format!("/{path}"),
        token: asked.token.clone(),
        queries,
    };
    let memory = |pid: Option<u32>| pid.map(resident_mib).transpose();
    let (began, before) = (Instant::now(), memory(asked.pid)?);
    let mut swarm = Swarm::open(order, asked.count).await?;
    if asked.driven {
        return obey(swarm).await;
    }
    let (open, took) = (swarm.count(), began.elapsed().as_secs_f64());
    println!("{open} sockets are connected and have subscribed, after {took:.1} s");
    listen(&swarm, &asked).await?;
    if let (Some(before), Some(after)) = (before, memory(asked.pid)?) {
        let each = (after - before) * 1_024.0 / open.max(1) as f64;
        println!("memory of the server {after:.1} MiB, {each:.1} KiB more for each socket");
    }
    println!("{} sockets are still connected", swarm.count());
    swarm.check()
}

/// Listens and tells every second what came, then all in all.
async fn listen(swarm: &Swarm, asked: &Asked) -> anyhow::Result<()> {
    swarm.begin(Keep::Lags);
    let server = || asked.pid.map(|pid| Cpu::of(pid, None).own);
    let (began, server_before) = (Instant::now(), server());
    let own_before = Cpu::of(std::process::id(), None).own;
    let (mut lags_us, mut told) = (Vec::new(), 0);
    for _ in 0..asked.seconds {
        sleep(Duration::from_secs(1)).await;
        let heard = swarm.take();
        println!("{} deliveries", heard.deliveries - told);
        told = heard.deliveries;
        lags_us.extend(heard.lags_us);
    }
    let (heard, seconds) = (swarm.take(), began.elapsed().as_secs_f64());
    lags_us.extend(heard.lags_us);
    let each = |us: f64| us / heard.deliveries.max(1) as f64;
    println!(
        "{:.0} deliveries/s of {:.0} bytes",
        heard.deliveries as f64 / seconds,
        each(heard.bytes as f64)
    );
    if !lags_us.is_empty() {
        let [p50, p99, max] = [50.0, 99.0, 100.0].map(|p| percentile(&lags_us, p) / 1_000.0);
        println!("lag behind recordedAt: p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms");
    }
    let own = each(Cpu::of(std::process::id(), None).own - own_before);
    println!("CPU of these sockets {own:.2} us a delivery");
    if let (Some(before), Some(after)) = (server_before, server()) {
        println!(
            "CPU of the server {:.2} us a delivery",
            each(after - before)
        );
    }
    Ok(())
}

/// Does what it is told, a line at a time, and answers each with a line.
async fn obey(mut swarm: Swarm) -> anyhow::Result<()> {
    println!("{}", swarm.count());
    while let Some(line) = spawn_blocking(|| io::stdin().lines().next()).await? {
        let line = line?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        swarm.check()?;
        match word {
            "begin" => {
                swarm.begin(serde_json::from_str(rest)?);
                println!("begun");
            }
            "reached" => println!("{}", swarm.reached()),
            "wait" => {
                wait(&swarm, rest.parse()?).await;
                println!("{}", serde_json::to_string(&swarm.take())?);
            }
            other => anyhow::bail!("nobody is told to {other}"),
        }
    }
    Ok(())
}

/// Until so many deliveries have come, or none for a while.
async fn wait(swarm: &Swarm, deliveries: u64) {
    let mut before = swarm.deliveries();
    loop {
        let come = async {
            while swarm.deliveries() < deliveries {
                sleep(LOOK).await;
            }
        };
        if timeout(SILENCE, come).await.is_ok() {
            return;
        }
        let now = swarm.deliveries();
        if std::mem::replace(&mut before, now) == now {
            return;
        }
    }
}
