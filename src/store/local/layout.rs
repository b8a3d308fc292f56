//! Where everything of a private cluster lies, who may reach it, and its settings.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::account::Account;
use super::error::LocalError;
use super::{Durability, LocalSettings, prepare_data_dir};

/// Where clusters of root go whose own directory is closed to the server's user.
const OPEN_PLACE: &str = "/var/lib/daybook";

/// The system cuts socket paths here (108 bytes on Linux and 104 elsewhere, with the closing NUL).
const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The socket's name in its directory; the number only makes part of the name.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// How many names under the temp directory are tried for a socket when others took them.
const SOCKET_DIR_TRIES: usize = 8;

/// The server's log is cut to its last [`LOG_BYTES_KEPT`] when it is longer than this.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is left of a log that was cut.
const LOG_BYTES_KEPT: u64 = 1024 * 1024;

/// The places of one private cluster.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// As configured, absolute.
    pub data_dir: PathBuf,
    /// Where the rest is: the data directory, unless that is closed to the server's user.
    pub server_dir: PathBuf,
    /// Where the socket is; open to the server's user alone.
    pub socket_dir: PathBuf,
    /// Who runs the server.
    pub account: Account,
}

impl Layout {
    /// Makes the directories.
    pub fn prepare(settings: &LocalSettings) -> Result<Self, LocalError> {
        let data_dir = prepare_data_dir(&settings.data_dir)?;
        let account = Account::choose(&data_dir.join("pg"))?;
        let (server_dir, account) = match account.closed_on_the_way(&data_dir) {
            Some(_) if account.other => {
                let dir = open_dir(&data_dir)?;
                let account = Account::choose(&dir.join("pg"))?;
                (dir, account)
            }
            _ => (data_dir.clone(), account),
        };
        let socket_dir = socket_dir(&server_dir, &account)?;
        Ok(Self {
            data_dir,
            server_dir,
            socket_dir,
            account,
        })
    }

    /// The cluster.
    pub fn cluster(&self) -> PathBuf {
        self.server_dir.join("pg")
    }

    /// The cluster while initdb works on it.
    pub fn unfinished_cluster(&self) -> PathBuf {
        self.server_dir.join("pg.init")
    }

    /// Held by whoever looks for a live server or starts one.
    pub fn start_lock(&self) -> PathBuf {
        self.server_dir.join("start.lock")
    }

    /// Held open, and locked, by the server and all its children.
    pub fn server_lock(&self) -> PathBuf {
        self.server_dir.join("server.lock")
    }

    /// Held by whoever started the server and will stop it.
    pub fn owner_lock(&self) -> PathBuf {
        self.server_dir.join("owner.lock")
    }

    /// What the server says.
    pub fn log(&self) -> PathBuf {
        self.server_dir.join("postgres.log")
    }

    /// Our settings, included by the cluster's `postgresql.conf`.
    pub fn settings(&self) -> PathBuf {
        self.server_dir.join("daybook.conf")
    }

    /// Removes what a dead server leaves behind beside its socket.
    pub fn clear_socket(&self) {
        for name in [SOCKET_NAME.to_owned(), format!("{SOCKET_NAME}.lock")] {
            let _ = std::fs::remove_file(self.socket_dir.join(name)); // often there is none
        }
    }

    /// What to say about unexpected places and users.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.account.other {
            notes.push(format!(
                "PostgreSQL does not run as root; it runs as {} here.",
                self.account.name
            ));
        }
        if self.server_dir != self.data_dir {
            notes.push(format!(
                "{} is closed to {}, so the database is in {}.",
                self.data_dir.display(),
                self.account.name,
                self.server_dir.display()
            ));
        }
        if !self.socket_dir.starts_with(&self.server_dir) {
            notes.push(format!(
                "The path of the data directory is too long for a socket, so that is in {}.",
                self.socket_dir.display()
            ));
        }
        notes
    }
}

/// Makes a directory and its parents; it gets this mode whatever the umask.
pub(super) fn make_dir(dir: &Path, mode: u32) -> Result<(), LocalError> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(dir);
    made.and_then(|()| std::fs::set_permissions(dir, Permissions::from_mode(mode)))
        .map_err(LocalError::at(dir))
}

/// Writes a file that the server's user can read.
pub(super) fn write_readable(path: &Path, text: &str) -> Result<(), LocalError> {
    std::fs::write(path, text)
        .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(0o644)))
        .map_err(LocalError::at(path))
}

/// Opens the log for the server to append to.
pub(super) fn open_log(layout: &Layout) -> Result<File, LocalError> {
    trim_log(layout);
    let path = layout.log();
    let mut options = OpenOptions::new();
    options
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .map_err(LocalError::at(&path))
}

/// The last of the log that was written after its first `from` bytes.
pub(super) fn log_since(layout: &Layout, from: u64) -> String {
    const TAIL_BYTES_MAX: u64 = 2_000;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(layout.log())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            from.max(length.saturating_sub(TAIL_BYTES_MAX)).min(length),
        ))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(String::from_utf8_lossy(&tail).trim().to_owned())
    };
    read().unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
}

/// Bounds the log. The server appends to it all the while; lines it writes meanwhile may be lost.
pub(super) fn trim_log(layout: &Layout) {
    let trim = || -> std::io::Result<()> {
        let path = layout.log();
        let length = std::fs::metadata(&path)?.len();
        if length <= LOG_BYTES_MAX {
            return Ok(());
        }
        let mut file = OpenOptions::new().read(true).append(true).open(&path)?;
        file.seek(SeekFrom::Start(length - LOG_BYTES_KEPT))?;
        let mut kept = Vec::new();
        file.read_to_end(&mut kept)?;
        file.set_len(0)?;
        file.write_all(&kept)
    };
    if let Err(error) = trim()
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the private PostgreSQL's log cannot be bounded: {error}");
    }
}

/// Settings for a machine with two cores and little to configure. A question about log records of a year
/// locks some 2,000 tables and indexes: those of each day.
pub(super) fn settings_text(durability: Durability, version: &str, lz4: bool) -> String {
    let durable = match durability {
        Durability::Full => "fsync = on\nfull_page_writes = on\nsynchronous_commit = on\n",
        Durability::None => {
            "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n\
             max_connections = 300\n"
        }
    };
    let compression = if lz4 { "lz4" } else { "on" };
    format!(
        "# Written by Daybook for PostgreSQL {version}. Settings of your own go below the include\n\
         # line of pg/postgresql.conf and win.\n\
         {durable}\
         shared_buffers = 128MB\n\
         work_mem = 16MB\n\
         maintenance_work_mem = 128MB\n\
         wal_compression = {compression}\n\
         max_wal_size = 2GB\n\
         checkpoint_timeout = 15min\n\
         max_locks_per_transaction = 256\n\
         random_page_cost = 1.1\n\
         jit = off\n\
         # A log that grows from nothing needs statistics before a minute is over.\n\
         autovacuum_naptime = 10s\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         log_line_prefix = '%m [%p] '\n\
         log_checkpoints = off\n\
         # A failed statement's text may hold personal data.\n\
         log_min_error_statement = panic\n\
         log_error_verbosity = terse\n"
    )
}

/// A directory below [`OPEN_PLACE`] that belongs to `data_dir`.
fn open_dir(data_dir: &Path) -> Result<PathBuf, LocalError> {
    let dir = Path::new(OPEN_PLACE).join(short_hash(data_dir));
    for step in [Path::new(OPEN_PLACE), &dir] {
        if !step.is_dir() {
            make_dir(step, 0o755)?;
        }
    }
    let origin = dir.join("belongs-to");
    let text = format!("{}\n", data_dir.display());
    std::fs::write(&origin, text).map_err(LocalError::at(&origin))?;
    Ok(dir)
}

fn socket_dir(server_dir: &Path, account: &Account) -> Result<PathBuf, LocalError> {
    let beside = server_dir.join("run");
    if fits(&beside) {
        return match make_private(&beside, account)? {
            true => Ok(beside),
            false => Err(LocalError::NoSocketDirectory { path: beside }),
        };
    }
    let temp = Some(std::env::temp_dir())
        .filter(|temp| fits(&temp.join("daybook-0123456789abcdef-0")))
        .filter(|temp| account.closed_on_the_way(temp).is_none())
        .unwrap_or_else(|| PathBuf::from("/tmp"));
    let first = temp.join(format!("daybook-{}", short_hash(server_dir)));
    for dir in (0..SOCKET_DIR_TRIES).map(|number| match number {
        0 => first.clone(),
        number => PathBuf::from(format!("{}-{number}", first.display())),
    }) {
        if make_private(&dir, account)? {
            return Ok(dir);
        }
    }
    Err(LocalError::NoSocketDirectory { path: first })
}

fn fits(dir: &Path) -> bool {
    dir.join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_BYTES_MAX
}

/// Makes a directory only `account` can use; false if somebody else's thing is in its place.
fn make_private(dir: &Path, account: &Account) -> Result<bool, LocalError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => account.own(dir)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(source) => {
            return Err(LocalError::Directory {
                path: dir.to_owned(),
                source,
            });
        }
    }
    let found = std::fs::symlink_metadata(dir).map_err(LocalError::at(dir))?;
    Ok(found.is_dir() && found.uid() == account.uid && found.mode() & 0o077 == 0)
}

/// Sixteen digits that stand for a path.
fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
