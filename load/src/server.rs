//! A server of our own for one run: on a private database in a directory that is removed afterwards.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long it may take to say where it listens, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run needs more of than one caller may have in production; docs/load.md tells the same.
const SETTINGS: &[(&str, &str)] = &[
    ("DAYBOOK_LOG__LEVEL", "warn"),
    ("DAYBOOK_LIMITS__ENABLED", "false"),
    ("DAYBOOK_LIMITS__SIGN_INS_PER_MINUTE", "1000000"),
    ("DAYBOOK_LIMITS__ACCOUNT_ATTEMPTS", "1000"),
];

/// Those that say how many connections there may be, each by another name.
const CONNECTIONS: &[&str] = &[
    "DAYBOOK_SOCKETS__PER_CALLER_MAX",
    "DAYBOOK_SOCKETS__TOTAL_MAX",
    "DAYBOOK_FEEDS__MEMBERS_MAX",
    "DAYBOOK_HTTP__CONNECTIONS_MAX",
];

/// Connections of others, such as the one that makes what is needed.
const OTHERS: u64 = 64;

/// How long it may take to stop where nobody waits for it any more.
const HURRY: Duration = Duration::from_secs(5);

/// A serving process. Asked to stop when dropped without [`Server::stop`], and killed if it does not.
pub struct Server {
    child: Child,
    directory: Directory,
    program: PathBuf,
    /// Where it listens.
    pub address: String,
    /// Its process.
    pub pid: u32,
}

/// A directory of this process's own, removed with its content.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Server {
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing can be awaited here, and the run it would block is over"
    )]
    fn drop(&mut self) {
        let deadline = Instant::now() + HURRY;
        // It may end this moment.
        let _ = self.ask_to_stop();
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Whoever does not stop is killed as the child is dropped.
    }
}

impl Server {
    /// Starts this program for so many connections, and waits until it listens.
    pub async fn start(program: &Path, connections: u64) -> anyhow::Result<Server> {
        let name = format!("daybook-load-{}", std::process::id());
        let directory = Directory(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&directory.0)
            .with_context(|| format!("{} cannot be made", directory.0.display()))?;
        let mut command = Command::new(program);
        command.args(["serve", "--port", "0", "--data-dir"]);
        command.arg(&directory.0).envs(SETTINGS.iter().copied());
        let connections = (connections + OTHERS).to_string();
        command.envs(CONNECTIONS.iter().map(|name| (name, &connections)));
        command.env_remove("DATABASE_URL").env_remove("REDIS_URL");
        // Ctrl-C ends the run; the server is stopped after it.
        command.process_group(0);
        command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| {
            format!(
                "--server {} cannot be started; `cargo build --release` makes target/release/daybook",
                program.display()
            )
        })?;
        let pid = child.id().context("it ended at once")?;
        let mut lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
        let mut server = Server {
            child,
            directory,
            program: program.to_owned(),
            address: String::new(),
            pid,
        };
        let told = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, rest)) = line.split_once("http://") {
                    let address = rest.split('/').next().unwrap_or(rest);
                    return Ok(address.trim().to_owned());
                }
            }
            bail!("--server {} ended before it listened", program.display())
        };
        server.address = timeout(PATIENCE, told)
            .await
            .with_context(|| format!("--server {} does not listen", program.display()))??;
        // What it says later is of no interest, but must not block it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(server)
    }

    /// A token for everything there.
    pub async fn token(&self) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.args(["token", "--data-dir"]).arg(&self.directory.0);
        command.env_remove("DATABASE_URL").env_remove("REDIS_URL");
        let output = command.output().await?;
        ensure!(
            output.status.success(),
            "daybook token: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Asks it to stop, waits, and removes what it kept.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.ask_to_stop()?;
        timeout(PATIENCE, self.child.wait())
            .await
            .context("the server does not stop")??;
        Ok(())
    }

    fn ask_to_stop(&mut self) -> anyhow::Result<()> {
        // One that was waited for has no process any more: its number may be another's.
        if self.child.try_wait()?.is_none() {
            let pid = Pid::from_raw(self.pid.cast_signed()).context("a process")?;
            kill_process(pid, Signal::TERM)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::time::sleep;

    use super::*;

    /// A program that says that it listens, or not, and notes when it is asked to stop.
    fn program(here: &Path, name: &str, says: &str) -> PathBuf {
        let path = here.join(name);
        let noted = here.join("stopped");
        let script = format!(
            "#!/bin/sh\ntrap 'echo {name} >> {}; exit 0' TERM\n{says}\nwhile :; do sleep 0.05; done\n",
            noted.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn whoever_leaves_a_server_without_stopping_it_leaves_none_behind() {
        let here = std::env::temp_dir().join(format!("daybook-load-test-{}", std::process::id()));
        let here = Directory(here);
        fs::create_dir_all(&here.0).unwrap();
        let listens = program(
            &here.0,
            "listens",
            "echo it is at http://127.0.0.1:9/graphql",
        );
        let server = Server::start(&listens, 1).await.unwrap();
        assert_eq!(server.address, "127.0.0.1:9");
        drop(server);

        // So does whoever gives up before it listens.
        let begun = here.0.join("begun");
        let silent = program(&here.0, "silent", &format!("echo > {}", begun.display()));
        let has_begun = async {
            while !begun.exists() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let starting = async {
            tokio::select! {
                _ = Server::start(&silent, 1) => unreachable!("it never listens"),
                () = has_begun => {}
            }
        };
        starting.await;

        let server = Server::start(&listens, 1).await.unwrap();
        server.stop().await.unwrap();
        let noted = fs::read_to_string(here.0.join("stopped")).unwrap();
        assert_eq!(noted, "listens\nsilent\nlistens\n");
    }
}
