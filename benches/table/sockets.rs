//! The subscribers of lines: many sockets that ask the same, in a process of its own that does what it is
//! told ([`super::drive`]). A person uses `daybook-load --scenario subscriptions`, which has the same sockets.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use daybook::ops::descriptors;
use daybook_load::sockets::{Order, Swarm};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// The word that makes this program the subscribers.
pub const COMMAND: &str = "sockets";

/// How often it is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(1);

/// How long nothing may come before waiting ends.
const SILENCE: Duration = Duration::from_secs(10);

/// Opens sockets that speak graphql-transport-ws, subscribes on each, and takes orders from standard input.
#[derive(Parser)]
#[command(name = COMMAND)]
struct Asked {
    /// Where to connect, as ws://HOST:PORT/PATH
    url: String,
    /// How many sockets
    #[arg(long)]
    count: usize,
    /// What each subscribes to; given several times, they take turns
    #[arg(long, required = true)]
    query: Vec<String>,
    /// What is sent as `token` in connection_init
    #[arg(long)]
    token: String,
}

/// Is the subscribers, with these arguments.
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
    let order = Order {
        address: address.to_owned(),
        path: format!("/{path}"),
        tokens: vec![asked.token],
        queries: asked.query,
    };
    obey(Swarm::open(order, asked.count).await?).await
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
