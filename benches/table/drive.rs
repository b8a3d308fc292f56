//! The load tool for subscriptions as lines use it: a process of its own that does what it is told.

use std::process::Stdio;

use anyhow::{Context, ensure};
use daybook_load::sockets::{Heard, Keep};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::sockets::COMMAND;

/// Sockets in a process of their own; killed when dropped.
pub struct Driven {
    _child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// How many.
    pub count: usize,
}

impl Driven {
    /// Opens so many sockets at this address. They take turns in what they subscribe to.
    pub async fn open(
        address: &str,
        token: &str,
        count: usize,
        queries: &[String],
    ) -> anyhow::Result<Driven> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([COMMAND, &format!("ws://{address}/graphql")]);
        command.args(["--count", &count.to_string(), "--token", token]);
        for query in queries {
            command.args(["--query", query]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let orders = child.stdin.take().context("it is piped")?;
        let answers = BufReader::new(child.stdout.take().context("it is piped")?);
        let mut driven = Driven {
            _child: child,
            orders,
            answers,
            count,
        };
        let open: usize = driven.answer().await?.parse()?;
        ensure!(open == count, "{open} of {count} sockets are open");
        Ok(driven)
    }

    /// Forgets what came; from now on keeps this.
    pub async fn begin(&mut self, keep: Keep) -> anyhow::Result<()> {
        let keep = serde_json::to_string(&keep)?;
        self.order(&format!("begin {keep}\n")).await.map(drop)
    }

    /// How many sockets have had a delivery.
    pub async fn reached(&mut self) -> anyhow::Result<usize> {
        Ok(self.order("reached\n").await?.parse()?)
    }

    /// What came, once it is so many deliveries; an error if they do not come.
    pub async fn wait(&mut self, deliveries: u64) -> anyhow::Result<Heard> {
        let heard = self.order(&format!("wait {deliveries}\n")).await?;
        let heard: Heard = serde_json::from_str(&heard)?;
        ensure!(
            heard.deliveries == deliveries,
            "{} deliveries instead of {deliveries}",
            heard.deliveries
        );
        Ok(heard)
    }

    async fn order(&mut self, line: &str) -> anyhow::Result<String> {
        self.orders.write_all(line.as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).await?;
        ensure!(!line.is_empty(), "the sockets have ended");
        Ok(line.trim_end().to_owned())
    }
}
