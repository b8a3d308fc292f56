//! One server: found alive and adopted, or set up and started; and stopped.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::binaries::Binaries;
use super::error::LocalError;
use super::keeper::{Bound, spawn_bound};
use super::layout::{Layout, log_since, open_log};
use super::pidfile::PidFile;
use super::set_up::{cannot_spawn, postgres_command, set_up, write_settings};
use super::{Durability, NAME, options};

/// How long a start may take. Most of it is recovery of a large log after a crash.
const START_TIMEOUT: Duration = Duration::from_secs(300);

/// How often files and locks are looked at while waiting.
const POLL: Duration = Duration::from_millis(10);

/// How often an adopted server is looked at.
const ADOPTED_POLL: Duration = Duration::from_millis(250);

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stopping server may write out its memory before it is stopped the hard way.
const FAST_STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it then may take to end without that.
const HARD_STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLSTATE: the database does not exist.
const UNKNOWN_DATABASE: &str = "3D000";

/// SQLSTATE: the database exists.
const DUPLICATE_DATABASE: &str = "42P04";

/// A server that takes connections. Dropping it tells an own server to stop.
#[derive(Debug)]
pub(super) struct Server {
    /// The postmaster.
    pub pid: u32,
    /// Where its socket is.
    pub socket_dir: PathBuf,
    /// Its process, if we started it.
    own: Option<Own>,
}

/// What only the one who started a server has.
#[derive(Debug)]
struct Own {
    bound: Bound,
    /// Tells others that somebody looks after the server.
    _owner: File,
}

/// Adopts the live server of this cluster, or starts one (after setting it up, the first time).
///
/// The server and all its children hold the server lock from start to end, whoever started them;
/// so a free lock means that none of them lives, whatever a leftover pid file says.
pub(super) async fn launch(
    layout: &Layout,
    binaries: &Binaries,
    durability: Durability,
) -> Result<Server, LocalError> {
    let deadline = Instant::now() + START_TIMEOUT;
    let starting = open_lock(&layout.start_lock())?;
    while starting.try_lock().is_err() {
        give_up_after(deadline, "another Daybook is starting the same PostgreSQL").await?;
    }
    let lock = open_lock(&layout.server_lock())?;
    loop {
        if lock.try_lock().is_ok() {
            return start(layout, binaries, durability, lock).await;
        }
        match PidFile::read(&layout.cluster()).filter(|file| file.ready) {
            // Its owner was killed: it is about to stop, or was not told to.
            Some(file) if is_free(&layout.owner_lock()) => tell_orphan(layout, &file),
            Some(file) => {
                if let Some(server) = adopt(file).await {
                    return Ok(server);
                }
            }
            None => {}
        }
        give_up_after(
            deadline,
            "a PostgreSQL runs on the data, and does not answer",
        )
        .await?;
    }
}

impl Server {
    /// Somebody else started it.
    pub fn is_adopted(&self) -> bool {
        self.own.is_none()
    }

    /// Waits for its end and says how it ended, as far as that is known.
    pub async fn ended(&mut self, layout: &Layout) -> String {
        match &mut self.own {
            Some(own) => match own.bound.child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            None => {
                while !is_free(&layout.server_lock()) {
                    sleep(ADOPTED_POLL).await;
                }
                "its owner stopped it or was stopped".to_owned()
            }
        }
    }

    /// Stops an own server and waits: first with its memory written out, then without.
    pub async fn stop(mut self) {
        let Some(Own { bound, .. }) = &mut self.own else {
            return;
        };
        for (signal, patience) in [
            (Signal::INT, FAST_STOP_TIMEOUT),
            (Signal::QUIT, HARD_STOP_TIMEOUT),
        ] {
            tell(bound, signal);
            if timeout(patience, bound.child.wait()).await.is_ok() {
                return;
            }
        }
        let _ = bound.child.kill().await; // nothing is left to try if this fails
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            tell(&own.bound, Signal::INT);
        }
    }
}

/// Signals a child of ours unless it has ended.
fn tell(bound: &Bound, signal: Signal) {
    let pid = bound
        .child
        .id()
        .and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal); // it may end this moment
    }
}

/// Tells a server of this cluster that nobody looks after to stop; it may have been told before.
fn tell_orphan(layout: &Layout, file: &PidFile) {
    let pid = Pid::from_raw(file.pid.cast_signed());
    if let Some(pid) = pid.filter(|_| file.is_true(&layout.cluster())) {
        let _ = kill_process(pid, Signal::INT); // it may end this moment
    }
}

/// The live server of this cluster, if it answers by now.
async fn adopt(file: PidFile) -> Option<Server> {
    let socket_dir = file.socket_dir?;
    match open_database(&socket_dir).await {
        Ok(()) => Some(Server {
            pid: file.pid,
            socket_dir,
            own: None,
        }),
        Err(error) => {
            tracing::debug!(%error, "a live private PostgreSQL does not answer: {error}");
            None
        }
    }
}

async fn start(
    layout: &Layout,
    binaries: &Binaries,
    durability: Durability,
    lock: File,
) -> Result<Server, LocalError> {
    let cluster = layout.cluster();
    clear_stale(layout)?;
    if !cluster.join("PG_VERSION").exists() {
        set_up(layout, binaries, durability, &lock).await?;
    }
    write_settings(layout, binaries, durability).await?;

    let log = open_log(layout)?;
    let log_start = log.metadata().map_err(LocalError::at(&layout.log()))?.len();
    let again = log.try_clone().map_err(LocalError::at(&layout.log()))?;
    let program = binaries.dir.join("postgres");
    let mut command = postgres_command(layout, &program);
    let mut sockets = std::ffi::OsString::from("unix_socket_directories=");
    sockets.push(quoted(&layout.socket_dir));
    command.arg("-D").arg(&cluster).arg("-c").arg(sockets);
    for setting in [
        "listen_addresses=",
        "port=5432",
        "unix_socket_permissions=0700",
    ] {
        command.args(["-c", setting]);
    }
    command.stdout(log).stderr(again);
    let owner = become_owner(layout)?;
    let bound = spawn_bound(command, Signal::INT, Some(lock.into()))
        .await
        .map_err(|source| cannot_spawn(layout, &program, source))?;
    let pid = bound
        .child
        .id()
        .expect("a child that was not waited for has an id");
    let mut server = Server {
        pid,
        socket_dir: layout.socket_dir.clone(),
        own: Some(Own {
            bound,
            _owner: owner,
        }),
    };
    wait_until_ready(layout, &mut server, log_start).await?;
    open_database(&server.socket_dir).await?;
    Ok(server)
}

/// Takes the owner's lock. A former owner may not have noticed yet that its server is gone; what
/// it holds is the lock of a file that is no longer there.
fn become_owner(layout: &Layout) -> Result<File, LocalError> {
    let path = layout.owner_lock();
    let _ = std::fs::remove_file(&path); // often there is none
    let owner = open_lock(&path)?;
    owner.lock().map(|()| owner).map_err(LocalError::at(&path))
}

async fn wait_until_ready(
    layout: &Layout,
    server: &mut Server,
    log_start: u64,
) -> Result<(), LocalError> {
    let deadline = Instant::now() + START_TIMEOUT;
    let pid = server.pid;
    let own = server
        .own
        .as_mut()
        .expect("only an own server is waited for");
    loop {
        let file = PidFile::read(&layout.cluster());
        if file.is_some_and(|file| file.ready && file.pid == pid) {
            return Ok(());
        }
        if !matches!(own.bound.child.try_wait(), Ok(None)) {
            return Err(LocalError::Start {
                output: log_since(layout, log_start),
            });
        }
        give_up_after(deadline, "PostgreSQL is starting").await?;
    }
}

/// Removes what a dead server left in the way of a new one. The server lock is ours, so no server
/// that Daybook started lives.
fn clear_stale(layout: &Layout) -> Result<(), LocalError> {
    let cluster = layout.cluster();
    let path = PidFile::path(&cluster);
    if !path.exists() {
        return Ok(());
    }
    if let Some(file) = PidFile::read(&cluster) {
        if file.is_true(&cluster) {
            return Err(LocalError::Foreign {
                dir: cluster,
                pid: file.pid,
            });
        }
        tracing::info!(
            pid = file.pid,
            "PostgreSQL did not end cleanly last time (pid {} is gone); it will recover",
            file.pid
        );
    }
    layout.clear_socket();
    std::fs::remove_file(&path).map_err(LocalError::at(&path))
}

/// Connects to our database, which is made if it is not there.
async fn open_database(socket_dir: &Path) -> Result<(), LocalError> {
    match connect(socket_dir, NAME).await {
        Err(LocalError::Database(error)) if has_code(&error, UNKNOWN_DATABASE) => {}
        Err(error) => return Err(error),
        Ok(connection) => return connection.close().await.map_err(LocalError::Database),
    }
    let mut connection = connect(socket_dir, "postgres").await?;
    match connection
        .execute(format!("create database {NAME}").as_str())
        .await
    {
        Err(error) if !has_code(&error, DUPLICATE_DATABASE) => Err(LocalError::Database(error)),
        _ => connection.close().await.map_err(LocalError::Database),
    }
}

async fn connect(socket_dir: &Path, database: &str) -> Result<PgConnection, LocalError> {
    let options = options(socket_dir, database);
    match timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await {
        Ok(connected) => connected.map_err(LocalError::Database),
        Err(_) => Err(LocalError::TimedOut {
            what: "connecting to the private PostgreSQL",
            seconds: CONNECT_TIMEOUT.as_secs(),
        }),
    }
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|found| found == code)
}

/// A path as one element of a list of directories.
fn quoted(path: &Path) -> std::ffi::OsString {
    let mut quoted = std::ffi::OsString::from("\"");
    quoted.push(path.to_string_lossy().replace('"', "\"\"")); // our own paths are UTF-8
    quoted.push("\"");
    quoted
}

fn open_lock(path: &Path) -> Result<File, LocalError> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(LocalError::at(path))
}

/// Does nobody hold this lock? A lock that cannot be opened is taken to be held.
fn is_free(path: &Path) -> bool {
    open_lock(path).is_ok_and(|lock| lock.try_lock().is_ok())
}

async fn give_up_after(deadline: Instant, what: &'static str) -> Result<(), LocalError> {
    if Instant::now() > deadline {
        return Err(LocalError::TimedOut {
            what,
            seconds: START_TIMEOUT.as_secs(),
        });
    }
    sleep(POLL).await;
    Ok(())
}
