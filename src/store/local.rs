//! A private PostgreSQL from installed programs, for when no `DATABASE_URL` is given.
//!
//! One directory, one server: whoever starts it owns it and stops it, others adopt it, and if its
//! owner ends, one of the others starts it again. Nothing outside the machine can reach it.

mod account;
mod binaries;
mod error;
mod keeper;
mod layout;
mod pidfile;
mod server;
mod set_up;
mod supervise;
mod watch;

pub use error::LocalError;
pub use keeper::{Bound, spawn_bound};
pub use supervise::{hold, supervise_test_cluster};

use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::sync::watch as channel;
use tokio::task::JoinHandle;

use binaries::Search;
use layout::Layout;

/// The role and the database that Daybook uses on its private server.
const NAME: &str = "daybook";

/// Where the private PostgreSQL lives, and what it is made from.
#[derive(Clone, Debug)]
pub struct LocalSettings {
    /// Where data is kept; made if it is not there.
    pub data_dir: PathBuf,
    /// The directory of `postgres` and `initdb`; searched for if not given.
    pub pg_bin: Option<PathBuf>,
    /// What an acknowledged commit survives. Read only when the cluster is started.
    pub durability: Durability,
    /// Start the server again when it ends unexpectedly.
    pub restarts: bool,
}

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of any process, and of the machine.
    Full,
    /// The end of a client only. For data that can be thrown away: tests.
    None,
}

impl LocalSettings {
    /// The defaults, for data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            pg_bin: None,
            durability: Durability::Full,
            restarts: true,
        }
    }
}

/// A running private PostgreSQL. Dropping it stops the server too, without waiting.
#[derive(Debug)]
pub struct LocalPostgres {
    layout: Layout,
    notes: Vec<String>,
    pid: channel::Receiver<Option<u32>>,
    stop: channel::Sender<bool>,
    watch: JoinHandle<()>,
}

/// Starts the private PostgreSQL, or adopts the one that runs on the same data directory, and
/// watches over it until [`LocalPostgres::stop`].
pub async fn start(settings: &LocalSettings) -> Result<LocalPostgres, LocalError> {
    let mut layout = Layout::prepare(settings)?;
    let binaries = Search::here(settings.pg_bin.as_deref())
        .find(&layout.cluster())
        .await?;
    let server = server::launch(&layout, &binaries, settings.durability).await?;
    layout.socket_dir.clone_from(&server.socket_dir);
    let mut notes = layout.notes();
    notes.push(format!(
        "{} PostgreSQL {} with data in {}.",
        if server.is_adopted() {
            "Sharing the running private"
        } else {
            "Started a private"
        },
        binaries.version,
        layout.cluster().display()
    ));
    let (stop, stopped) = channel::channel(false);
    let (pid_out, pid) = channel::channel(Some(server.pid));
    let watched = watch::Watched {
        layout: layout.clone(),
        binaries,
        durability: settings.durability,
        restarts: settings.restarts,
        pid: pid_out,
    };
    let watch = tokio::spawn(watched.run(server, stopped));
    Ok(LocalPostgres {
        layout,
        notes,
        pid,
        stop,
        watch,
    })
}

/// Makes the data directory, open to its owner only, and returns its absolute path.
///
/// As root it stays passable (not readable) for others, because the server cannot run as root.
pub fn prepare_data_dir(dir: &Path) -> Result<PathBuf, LocalError> {
    let mode = if rustix::process::geteuid().is_root() {
        0o711
    } else {
        0o700
    };
    if !dir.is_dir() {
        layout::make_dir(dir, mode)?;
        let ignore = dir.join(".gitignore");
        std::fs::write(&ignore, "*\n").map_err(LocalError::at(&ignore))?;
    }
    dir.canonicalize().map_err(LocalError::at(dir))
}

impl LocalPostgres {
    /// How to connect, as the owner of everything. Stays the same when the server is started again.
    pub fn options(&self) -> PgConnectOptions {
        options(&self.layout.socket_dir, NAME)
    }

    /// The configured data directory, absolute: small secrets of this installation go here.
    pub fn data_dir(&self) -> &Path {
        &self.layout.data_dir
    }

    /// Where the cluster is. Differs from the data directory when that is closed to the server.
    pub fn server_dir(&self) -> &Path {
        &self.layout.server_dir
    }

    /// Where the socket is, for `psql -h`.
    pub fn socket_dir(&self) -> &Path {
        &self.layout.socket_dir
    }

    /// Sentences for whoever started the program.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The server's process now; `None` while it is down.
    pub fn server_pid(&self) -> Option<u32> {
        *self.pid.borrow()
    }

    /// Stops the server if it is ours and waits for its end; leaves an adopted one alone.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.watch.await {
            tracing::error!(%error, "the watch over the private PostgreSQL failed: {error}");
        }
    }
}

/// How to connect to a database on the server with this socket.
fn options(socket_dir: &Path, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(5432) // only part of the socket's name
        .username(NAME)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}
