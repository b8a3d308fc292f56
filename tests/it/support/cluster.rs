//! The one PostgreSQL of a test run, shared by all its processes.
//!
//! Each process holds a share of a lock for as long as it lives; the first starts a supervisor
//! (a hidden command of the program), which stops the server and deletes everything once nobody
//! has held the lock for some seconds. The kernel gives up the locks of killed processes.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::sync::OnceCell;

use super::{PATIENCE, daybook};

/// Grows when files or their meaning in the shared directory change.
const PROTOCOL: u32 = 1;

/// How to connect to a database on the run's server, which is started if need be.
///
/// # Panics
/// If there is no server to be had, with the program's own advice.
pub async fn options(database: &str) -> PgConnectOptions {
    static JOINED: OnceCell<Joined> = OnceCell::const_new();
    let joined = JOINED.get_or_init(Joined::new).await;
    PgConnectOptions::new_without_pgpass()
        .socket(&joined.socket_dir)
        .port(5432)
        .username("daybook")
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

struct Joined {
    socket_dir: PathBuf,
    _share: File,
}

impl Joined {
    async fn new() -> Self {
        let dir = directory();
        let share = share(&dir);
        let one_at_a_time = open(&dir.join("spawn.lock"));
        one_at_a_time.lock().unwrap();
        let socket_dir = match live_socket(&dir) {
            Some(socket_dir) => socket_dir,
            None => supervise(&dir).await,
        };
        Self {
            socket_dir,
            _share: share,
        }
    }
}

/// One directory per user and source tree.
fn directory() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (
        env!("CARGO_MANIFEST_DIR"),
        std::env::var_os("DAYBOOK_PG_BIN"),
        PROTOCOL,
    )
        .hash(&mut hasher);
    let uid = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("daybook-tests-{uid}-{:016x}", hasher.finish()))
}

/// Takes a share of the lock. A supervisor that is about to end holds it whole and then deletes
/// the file: a share of a deleted file is worth nothing.
fn share(dir: &Path) -> File {
    loop {
        let _ = DirBuilder::new().mode(0o711).create(dir); // it may be there
        let Ok(found) = std::fs::symlink_metadata(dir) else {
            continue; // and may be gone again
        };
        let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
        assert!(
            ours,
            "{} belongs to somebody else; remove it",
            dir.display()
        );
        let path = dir.join("users.lock");
        let Ok(file) = OpenOptions::new().create(true).append(true).open(&path) else {
            continue;
        };
        file.lock_shared().unwrap();
        let same = std::fs::metadata(&path).is_ok_and(|there| {
            let here = file.metadata().unwrap();
            (there.dev(), there.ino()) == (here.dev(), here.ino())
        });
        if same {
            return file;
        }
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
}

/// Where the live server's socket is, if there is a live one.
fn live_socket(dir: &Path) -> Option<PathBuf> {
    let socket_dir = PathBuf::from(std::fs::read_to_string(dir.join("socket")).ok()?);
    UnixStream::connect(socket_dir.join(".s.PGSQL.5432"))
        .ok()
        .map(|_| socket_dir)
}

#[expect(
    clippy::zombie_processes,
    reason = "the supervisor outlives this process, which the other tests of the run do not wait for"
)]
async fn supervise(dir: &Path) -> PathBuf {
    let _ = std::fs::remove_file(dir.join("socket")); // of a supervisor that was killed
    let log_path = dir.join("supervisor.log");
    let log = File::create(&log_path).unwrap();
    let mut supervisor = daybook()
        .arg("test-cluster")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0) // Ctrl-C ends the tests; the supervisor then sees their locks free
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(socket_dir) = live_socket(dir) {
            return socket_dir;
        }
        if supervisor.try_wait().unwrap().is_some() || Instant::now() > deadline {
            let said = std::fs::read_to_string(&log_path).unwrap_or_default();
            panic!("tests need PostgreSQL, and it could not be started:\n{said}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
