//! P11: how fast the binary starts, how large it is, and what it holds when idle.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::cpu::resident_mib;
use super::ingest::hand_in;
use super::measure::{Round, figure};
use super::report::{Figure, Goal, Row};
use super::served::{BINARY, Connection, Served, request, token};
use super::stand::Stand;

/// A first query.
pub const QUESTION: &[u8] = br#"{"query":"{ vehicles(first: 1) { nodes { id } asOfPosition } }"}"#;

/// How long it is left alone before its memory is read: what its start took for a while is given back when the
/// allocator comes to it.
const IDLE: Duration = Duration::from_secs(30);

/// Batches of fixes in the log of a start that has something to begin with.
const BATCHES: usize = 500;

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let data_dir = stand.dir().join("start");
    // The first start sets the database up: what is measured is every later one.
    let first = Served::start(&data_dir, None, &[]).await?;
    let token = token(&data_dir, None).await?;
    first.stop().await?;
    let (mut starts, mut resident) = (Vec::new(), Vec::new());
    for n in 0..stand.rounds() {
        let (served, round) = start(&data_dir, &token).await?;
        starts.push(round);
        if n == 0 {
            tokio::time::sleep(IDLE).await;
            resident.push(resident_mib(served.pid)?);
        }
        served.stop().await?;
    }
    let served = Served::start(&data_dir, None, &[]).await?;
    let fixes = hand_in(&served, &token, stand.size(BATCHES).max(1)).await?;
    served.stop().await?;
    let mut full = Vec::new();
    for _ in 0..stand.rounds() {
        let (served, round) = start(&data_dir, &token).await?;
        full.push(round);
        served.stop().await?;
    }
    let binary = std::fs::metadata(BINARY)?.len() as f64 / 1e6;
    let row = |what: &str, unit, ours, goal| Row {
        what: what.to_owned(),
        unit,
        ours,
        reference: None,
        ratio: None,
        goal,
    };
    let single = |value: f64| Figure {
        value,
        rounds: vec![value],
        cpu_us: None,
    };
    Ok(vec![
        row(
            "start to first served query, warm data directory",
            "s",
            figure(&starts, |r| r.seconds),
            Goal::OursAtMost(1.0),
        ),
        row(
            &format!("the same with {fixes} fixes in the log"),
            "s",
            figure(&full, |r| r.seconds),
            Goal::OursAtMost(1.0),
        ),
        row("binary", "MB", single(binary), Goal::OursAtMost(40.0)),
        row(
            "idle memory of its process",
            "MiB",
            single(resident[0]),
            Goal::OursAtMost(60.0),
        ),
    ])
}

/// Starts it and asks: how long that took, both together.
async fn start(data_dir: &Path, token: &str) -> anyhow::Result<(Served, Round)> {
    let began = Instant::now();
    let served = Served::start(data_dir, None, &[]).await?;
    let mut connection = Connection::open(&served.address).await?;
    let asked = request("/graphql", &served.address, token, QUESTION);
    let answer = String::from_utf8(connection.ask(&asked).await?)?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(answer.contains("\"nodes\""), "not an answer: {answer}");
    let round = Round {
        units: 1.0,
        seconds,
        ..Round::default()
    };
    Ok((served, round))
}
