//! Two hidden commands of the binary: a server for as long as its parent wants one, and the one
//! cluster that all test processes share.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::error::LocalError;
use super::{Durability, LocalSettings, start};

/// The test cluster is kept this long after its last user has gone: test binaries run in turn.
const LINGER: Duration = Duration::from_secs(5);

/// How often is looked whether anybody still uses it.
const LOOK: Duration = Duration::from_millis(200);

/// The lock that every user of the test cluster shares.
const USERS_LOCK: &str = "users.lock";

/// The file that says where the test cluster's socket is.
const SOCKET_FILE: &str = "socket";

/// Starts or adopts the private PostgreSQL, prints `ready`, its pid and its socket's directory on
/// one line, and keeps it until standard input closes or a signal asks to end.
pub async fn hold(settings: &LocalSettings) -> Result<(), LocalError> {
    let postgres = start(settings).await?;
    let pid = postgres.server_pid().unwrap_or_default();
    let line = format!("ready {pid} {}\n", postgres.socket_dir().display());
    let mut out = std::io::stdout();
    let told = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    if told.is_ok() {
        tokio::select! {
            () = asked_to_end() => {}
            () = input_closed() => {}
        }
    }
    postgres.stop().await;
    Ok(())
}

/// Keeps the test cluster in `dir` while anybody holds a share of `dir/users.lock`, then deletes
/// it and `dir`. `dir/socket` names the socket's directory once the cluster is ready.
///
/// Its data survive nothing: every supervisor begins with an empty cluster.
pub async fn supervise_test_cluster(dir: &Path, pg_bin: Option<PathBuf>) -> Result<(), LocalError> {
    remove_leftovers(dir);
    let data_dir = dir.join(format!("cluster-{}", std::process::id()));
    let settings = LocalSettings {
        pg_bin,
        durability: Durability::None,
        restarts: false,
        ..LocalSettings::new(&data_dir)
    };
    let postgres = start(&settings).await?;
    let socket = dir.join(SOCKET_FILE);
    let unnamed = dir.join("socket.new");
    std::fs::write(
        &unnamed,
        postgres.socket_dir().as_os_str().as_encoded_bytes(),
    )
    .and_then(|()| std::fs::rename(&unnamed, &socket))
    .map_err(LocalError::at(&socket))?;

    let users = dir.join(USERS_LOCK);
    let _alone = tokio::select! {
        alone = nobody_left(&users) => Some(alone?),
        () = asked_to_end() => None,
    };
    let elsewhere = postgres.server_dir().to_owned();
    postgres.stop().await;
    if !elsewhere.starts_with(dir) {
        std::fs::remove_dir_all(&elsewhere).map_err(LocalError::at(&elsewhere))?;
    }
    std::fs::remove_dir_all(dir).map_err(LocalError::at(dir))
}

/// Removes the clusters of supervisors that were killed; their servers died with them.
fn remove_leftovers(dir: &Path) {
    let entries = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    for entry in entries.filter(|e| e.file_name().to_string_lossy().starts_with("cluster-")) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(%error, "a leftover test cluster cannot be removed: {error}");
        }
    }
}

/// Waits until the lock has had no holder for [`LINGER`], and takes it, so that nobody joins a
/// cluster that is going away.
async fn nobody_left(path: &Path) -> Result<File, LocalError> {
    let mut options = OpenOptions::new();
    let users = options.create(true).write(true).mode(0o600).open(path);
    let users = users.map_err(LocalError::at(path))?;
    let mut free_since = None;
    loop {
        sleep(LOOK).await;
        if users.try_lock().is_err() {
            free_since = None;
            continue;
        }
        if free_since.get_or_insert_with(Instant::now).elapsed() >= LINGER {
            return Ok(users);
        }
        users.unlock().map_err(LocalError::at(path))?;
    }
}

async fn asked_to_end() {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        return std::future::pending().await; // standard input still tells
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Returns at the end of standard input, read on a thread that may be left behind at exit.
async fn input_closed() {
    let (closed, waiting) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink()); // an error ends it too
        closed.send(())
    });
    if waiting.await.is_err() {
        std::future::pending().await // a thread that could not tell; signals still end us
    }
}
