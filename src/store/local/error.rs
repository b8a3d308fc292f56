//! Why there is no private PostgreSQL, in words that say what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the private PostgreSQL cannot be had. Shown to whoever started the program.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No usable PostgreSQL is installed. Its text is the whole message for the user.
    #[error(
        "No PostgreSQL 14 or newer was found on this machine.\n\
         Looked in: {}\n\
         Install it:              {install}\n\
         or say where it is:      DAYBOOK_PG_BIN=/directory/with/postgres/and/initdb\n\
         or use a running server: DATABASE_URL=postgres://user:password@host/database",
        looked.join(", ")
    )]
    NotFound {
        /// Every place that was looked at, and what is wrong with what was there.
        looked: Vec<String>,
        /// The command that installs it here.
        install: String,
    },
    /// The data belongs to a major version that is not installed.
    #[error(
        "{} was written by PostgreSQL {wanted}, which is not installed (found: {found}).\n\
         Install that version, or choose another DAYBOOK_DATA_DIR.",
        dir.display()
    )]
    WrongVersion {
        /// The cluster.
        dir: PathBuf,
        /// Its major version.
        wanted: u32,
        /// The versions that are installed.
        found: String,
    },
    /// initdb wants to know the user's name, and the system has none for this uid.
    #[error(
        "PostgreSQL cannot be set up by uid {uid}, because that uid has no passwd entry.\n\
         Add one, or run as a user that has one, or as root, or set DATABASE_URL."
    )]
    NoPasswdEntry {
        /// Who we are.
        uid: u32,
    },
    /// PostgreSQL refuses to run as root, and no other user could be taken.
    #[error(
        "PostgreSQL does not run as root, and this process cannot become {user}: {source}.\n\
         Run as an ordinary user, or set DATABASE_URL."
    )]
    CannotBecome {
        /// Whom we tried to become.
        user: String,
        /// What the system said.
        source: io::Error,
    },
    /// The cluster belongs to another user.
    #[error(
        "{} belongs to uid {owner}, and this process runs as uid {uid}.\n\
         Run as that user, or choose another DAYBOOK_DATA_DIR.",
        dir.display()
    )]
    NotOurs {
        /// The cluster.
        dir: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
    /// A directory or file of ours cannot be made, read or written.
    #[error("{}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No directory is both short enough for a socket and ours.
    #[error("no directory for the socket: {} and its neighbours belong to others", path.display())]
    NoSocketDirectory {
        /// The first one tried.
        path: PathBuf,
    },
    /// A server that Daybook did not start runs on our data.
    #[error(
        "a PostgreSQL that Daybook did not start (pid {pid}) runs on {}.\n\
         Stop it, or choose another DAYBOOK_DATA_DIR.",
        dir.display()
    )]
    Foreign {
        /// The cluster.
        dir: PathBuf,
        /// The server.
        pid: u32,
    },
    /// A program of PostgreSQL could not be run.
    #[error("{}: {source}", program.display())]
    Spawn {
        /// Which.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// initdb failed.
    #[error("PostgreSQL's initdb failed: {output}")]
    Initdb {
        /// What it said.
        output: String,
    },
    /// The server ended while it was starting.
    #[error("PostgreSQL did not start: {output}")]
    Start {
        /// The end of its log.
        output: String,
    },
    /// Something took longer than it may.
    #[error("gave up after {seconds} s: {what}")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
    },
    /// The server runs, and its database cannot be opened.
    #[error("the private PostgreSQL does not let us in: {0}")]
    Database(#[source] sqlx::Error),
}

impl LocalError {
    /// For `map_err` on whatever touches `path`.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Directory {
            path: path.to_owned(),
            source,
        }
    }
}

/// The command that installs PostgreSQL on this machine.
pub(super) fn install_command() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    install_command_for(std::env::consts::OS, &release).to_owned()
}

fn install_command_for(os: &str, os_release: &str) -> &'static str {
    if os == "macos" {
        return "brew install postgresql@17";
    }
    let families: Vec<String> = os_release
        .lines()
        .filter_map(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
        })
        .flat_map(|value| value.trim_matches('"').split(' ').map(str::to_owned))
        .collect();
    let is = |name: &str| families.iter().any(|family| family == name);
    if is("debian") || is("ubuntu") {
        "apt-get install -y --no-install-recommends postgresql"
    } else if is("fedora") || is("rhel") || is("centos") {
        "dnf install -y postgresql-server"
    } else if is("suse") || is("opensuse") {
        "zypper install -y postgresql-server"
    } else if is("alpine") {
        "apk add postgresql"
    } else if is("arch") {
        "pacman -S --noconfirm postgresql"
    } else {
        "the package `postgresql` (server) of your system"
    }
}

#[cfg(test)]
mod tests {
    use super::install_command_for;

    #[test]
    fn the_install_command_fits_the_platform() {
        for (os, release, expected) in [
            ("linux", "NAME=x\nID=debian\n", "apt-get"),
            (
                "linux",
                "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
                "apt-get",
            ),
            (
                "linux",
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                "dnf",
            ),
            ("linux", "ID=fedora\n", "dnf"),
            (
                "linux",
                "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
                "zypper",
            ),
            ("linux", "ID=alpine\n", "apk"),
            ("linux", "ID=arch\n", "pacman"),
            ("linux", "", "your system"),
            ("macos", "", "brew"),
        ] {
            let command = install_command_for(os, release);
            assert!(command.contains(expected), "{release:?} gave {command}");
        }
    }
}
