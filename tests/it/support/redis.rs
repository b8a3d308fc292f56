//! A Redis of a test's own, and a hand on it.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use daybook::config::{self, Sources};
use daybook::store::local::{Bound, spawn_bound};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::{Scratch, eventually};

/// A Redis that keeps nothing; it ends with the value, and with the test's process.
#[derive(Debug)]
pub struct TestRedis {
    server: Bound,
    dir: Scratch,
}

impl TestRedis {
    /// A new one.
    ///
    /// # Panics
    /// If Redis is not installed.
    pub async fn start() -> Self {
        let dir = Scratch::new();
        let server = spawn(&dir).await;
        Self { server, dir }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    /// The same as a `REDIS_URL`.
    pub fn url(&self) -> String {
        url_of(&self.socket())
    }

    /// Kills it and starts it anew, empty.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.server = spawn(&self.dir).await;
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        let _ = self.server.child.kill().await; // it may have ended before
        let _ = std::fs::remove_file(self.socket());
    }

    /// Stops it where it is, or lets it go on.
    pub fn signal(&self, signal: Signal) {
        let pid = self.server.child.id().unwrap();
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
    }

    /// Tells it something.
    pub async fn tell<T: FromRedisValue>(&self, command: &Cmd) -> T {
        command
            .query_async(&mut self.connect().await)
            .await
            .unwrap()
    }

    /// A connection of the test's own.
    pub async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

/// Settings for the Redis behind a socket, which is left alone after failures for a moment only.
pub fn redis_settings(url: &str) -> config::Redis {
    let environment = [("REDIS_URL".to_owned(), url.to_owned())].into();
    let sources = Sources {
        environment,
        ..Sources::default()
    };
    let mut settings = config::load(&sources).unwrap().redis;
    settings.breaker_open = Duration::from_millis(50);
    settings
}

/// The `REDIS_URL` of a socket.
pub fn url_of(socket: &std::path::Path) -> String {
    format!("unix://{}", socket.display())
}

async fn spawn(dir: &Scratch) -> Bound {
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
    server
}
