//! Setting a cluster up: initdb, our settings, and how PostgreSQL's programs are run.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::timeout;

use super::binaries::Binaries;
use super::error::LocalError;
use super::keeper::spawn_bound;
use super::layout::{Layout, settings_text, write_readable};
use super::{Durability, NAME};

/// How long the server's program may take to answer a question about itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a new cluster beside its place, so that it is in its place only when it is whole.
pub(super) async fn set_up(
    layout: &Layout,
    binaries: &Binaries,
    durability: Durability,
    lock: &File,
) -> Result<(), LocalError> {
    tracing::info!(
        "setting up a private PostgreSQL in {}",
        layout.server_dir.display()
    );
    let ctype = if cfg!(target_os = "macos") {
        "--lc-ctype=UTF-8"
    } else {
        "--lc-ctype=C.UTF-8"
    };
    let unfinished = layout.unfinished_cluster();
    let first = run_initdb(layout, binaries, durability, lock, ctype).await;
    match first {
        Err(LocalError::Initdb { output }) if output.contains("invalid locale name") => {
            run_initdb(layout, binaries, durability, lock, "--lc-ctype=C").await?;
        }
        other => other?,
    }
    let conf = unfinished.join("postgresql.conf");
    OpenOptions::new()
        .append(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&conf)
        .and_then(|mut file| {
            file.write_all(b"\n# Add settings of your own below this line.\n")?;
            file.write_all(b"include_if_exists = '../daybook.conf'\n")?;
            file.sync_all()
        })
        .map_err(LocalError::at(&conf))?;
    if durability == Durability::Full {
        sync_all(&unfinished).await?;
    }
    std::fs::rename(&unfinished, layout.cluster())
        .and_then(|()| File::open(&layout.server_dir)?.sync_all())
        .map_err(LocalError::at(&layout.cluster()))
}

async fn run_initdb(
    layout: &Layout,
    binaries: &Binaries,
    durability: Durability,
    lock: &File,
    ctype: &str,
) -> Result<(), LocalError> {
    let unfinished = layout.unfinished_cluster();
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(LocalError::at(&unfinished))?;
    }
    std::fs::create_dir(&unfinished).map_err(LocalError::at(&unfinished))?;
    layout.account.own(&unfinished)?;

    let program = binaries.dir.join("initdb");
    let mut command = postgres_command(layout, &program);
    command
        .arg("-D")
        .arg(&unfinished)
        .args(["-U", NAME, "-A", "trust", "-E", "UTF8", ctype]);
    command.args(["--lc-collate=C", "--data-checksums", "--no-instructions"]);
    if durability == Durability::None || cfg!(target_os = "linux") {
        command.arg("--no-sync"); // on Linux we do it, faster
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let kept = lock
        .try_clone()
        .map_err(LocalError::at(&layout.server_lock()))?;
    let output = spawn_bound(command, Signal::KILL, Some(kept.into()))
        .await
        .map_err(|source| cannot_spawn(layout, &program, source))?
        .child
        .wait_with_output()
        .await
        .map_err(|source| LocalError::Spawn {
            program: program.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.contains("could not look up effective user ID") {
        return Err(LocalError::NoPasswdEntry {
            uid: layout.account.uid,
        });
    }
    Err(LocalError::Initdb { output })
}

/// Makes a new cluster's thousand files durable at once; initdb does it one by one and takes
/// several times as long.
#[cfg(target_os = "linux")]
async fn sync_all(cluster: &Path) -> Result<(), LocalError> {
    let dir = File::open(cluster).map_err(LocalError::at(cluster))?;
    let synced = tokio::task::spawn_blocking(move || rustix::fs::syncfs(dir));
    synced
        .await
        .map_err(std::io::Error::other)
        .and_then(|synced| Ok(synced?))
        .map_err(LocalError::at(cluster))
}

/// initdb has done it.
#[cfg(not(target_os = "linux"))]
async fn sync_all(_cluster: &Path) -> Result<(), LocalError> {
    Ok(())
}

/// Writes our settings, unless those that are there are for this very version.
pub(super) async fn write_settings(
    layout: &Layout,
    binaries: &Binaries,
    durability: Durability,
) -> Result<(), LocalError> {
    let text = |lz4| settings_text(durability, &binaries.version.text, lz4);
    let written = std::fs::read_to_string(layout.settings()).unwrap_or_default();
    if written == text(true) || written == text(false) {
        return Ok(());
    }
    let lz4 = binaries.version.major >= 15 && compresses_by_lz4(layout, binaries).await;
    write_readable(&layout.settings(), &text(lz4))
}

/// Was this PostgreSQL built with lz4? Asked of the server itself; other ways need more packages.
async fn compresses_by_lz4(layout: &Layout, binaries: &Binaries) -> bool {
    let mut command = postgres_command(layout, &binaries.dir.join("postgres"));
    command.arg("-D").arg(layout.cluster());
    command.args(["-c", "wal_compression=lz4", "-C", "wal_compression"]);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    matches!(timeout(ANSWER_TIMEOUT, command.status()).await, Ok(Ok(status)) if status.success())
}

/// A program of PostgreSQL, run as the server's user and deaf to what our environment says to
/// clients and about languages.
pub(super) fn postgres_command(layout: &Layout, program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PG") || text.starts_with("LC_") || text.starts_with("LANG") {
            command.env_remove(&name);
        }
    }
    command.env("LC_ALL", "C").stdin(Stdio::null());
    layout.account.run(&mut command);
    command
}

/// Why a program of PostgreSQL could not be run.
pub(super) fn cannot_spawn(layout: &Layout, program: &Path, source: std::io::Error) -> LocalError {
    use rustix::io::Errno;
    let refused = [Errno::PERM, Errno::INVAL].map(|errno| Some(errno.raw_os_error()));
    if layout.account.other && refused.contains(&source.raw_os_error()) {
        return LocalError::CannotBecome {
            user: layout.account.name.clone(),
            source,
        };
    }
    LocalError::Spawn {
        program: program.to_owned(),
        source,
    }
}
