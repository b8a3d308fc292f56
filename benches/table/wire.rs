//! The leanest load over HTTP: keep-alive connections that send the same bytes again and again.

use std::time::Instant;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::measure::{Round, Watch};
use super::stand::Stand;

/// How many send at once.
pub const CONNECTIONS: usize = 64;

/// A server, and the request it is sent.
#[derive(Clone)]
pub struct Target {
    /// Where it listens.
    pub address: String,
    /// Its process.
    pub pid: u32,
    /// Head and body.
    pub request: Vec<u8>,
}

impl Target {
    /// Asks once and returns the answer's body, which must come with 200.
    pub async fn body(&self) -> anyhow::Result<Vec<u8>> {
        let answer = self.answer().await?;
        let head = head_len(&answer)?;
        Ok(answer[head..].to_vec())
    }

    /// Asks for the time of a round, on all connections at once.
    pub async fn round(&self, stand: &Stand) -> anyhow::Result<Round> {
        let first = self.answer().await?;
        let watch = Watch::start(self.pid, stand.postmaster());
        let until = Instant::now() + stand.round();
        let mut callers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            callers.spawn(ask(self.clone(), first.clone(), until));
        }
        let mut latencies_us = Vec::new();
        while let Some(ended) = callers.join_next().await {
            latencies_us.extend(ended??);
        }
        Ok(watch.stop(latencies_us.len() as f64, latencies_us))
    }

    async fn answer(&self) -> anyhow::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(&self.request).await?;
        let mut answer = Vec::new();
        loop {
            let read = stream.read_buf(&mut answer).await?;
            ensure!(read > 0, "it hung up");
            if let Ok(head) = head_len(&answer)
                && answer.len() >= head + body_len(&answer[..head])?
            {
                let text = String::from_utf8_lossy(&answer);
                ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
                return Ok(answer);
            }
        }
    }
}

async fn ask(target: Target, first: Vec<u8>, until: Instant) -> anyhow::Result<Vec<u32>> {
    let mut stream = TcpStream::connect(&target.address).await?;
    stream.set_nodelay(true)?;
    // Heads differ in length: they tell what is left of a quota. Bodies are all the same.
    let body = &first[head_len(&first)?..];
    let (mut answer, mut latencies_us) = (Vec::with_capacity(first.len() + 64), Vec::new());
    while Instant::now() < until {
        let sent = Instant::now();
        stream.write_all(&target.request).await?;
        answer.clear();
        let head = loop {
            let read = stream.read_buf(&mut answer).await?;
            ensure!(read > 0, "it hung up");
            let Ok(head) = head_len(&answer) else {
                continue;
            };
            // A refusal is shorter than the answer that is waited for.
            ensure!(
                answer.starts_with(b"HTTP/1.1 200"),
                "{}",
                String::from_utf8_lossy(&answer)
            );
            if answer.len() >= head + body.len() {
                break head;
            }
        };
        latencies_us.push(sent.elapsed().as_micros() as u32);
        ensure!(&answer[head..] == body, "another answer than before");
    }
    Ok(latencies_us)
}

fn head_len(answer: &[u8]) -> anyhow::Result<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    Ok(end.context("no head")? + 4)
}

fn body_len(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length: ").context("no length")?;
    let (length, _) = rest.split_once('\r').context("no end")?;
    Ok(length.parse()?)
}
