//! A Redis of a test's own.

use std::os::unix::net::UnixStream;
use std::process::Stdio;

use daybook::store::local::{Bound, spawn_bound};
use rustix::process::Signal;
use tokio::process::Command;

use super::{Scratch, eventually};

/// A Redis that keeps nothing; it ends with the value, and with the test's process.
#[derive(Debug)]
pub struct TestRedis {
    _server: Bound,
    dir: Scratch,
}

impl TestRedis {
    /// A new one.
    ///
    /// # Panics
    /// If Redis is not installed.
    pub async fn start() -> Self {
        let dir = Scratch::new();
        let socket = dir.join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "no",
            "--unixsocket",
        ]);
        command.arg(&socket).arg("--dir").arg(dir.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.kill_on_drop(true);
        let server = spawn_bound(command, Signal::KILL, None)
            .await
            .unwrap_or_else(|error| {
                panic!(
                    "tests need redis-server, and it could not be started: {error}\n\
                 Install it, for instance: \
                 apt-get install -y --no-install-recommends redis-server"
                )
            });
        eventually("redis-server answers", async || {
            UnixStream::connect(&socket).is_ok()
        })
        .await;
        Self {
            _server: server,
            dir,
        }
    }

    /// The same as a `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.dir.join("redis.sock").display())
    }
}
