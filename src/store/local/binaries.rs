//! Finding an installed PostgreSQL: the one named, else the newest, else the one the data asks for.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::error::{LocalError, install_command};

/// The oldest major version whose features we use.
const MAJOR_MIN: u32 = 14;

/// How long `postgres --version` may take; it answers in milliseconds.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A `*` stands for any ending of one path component.
const PLACES: [&str; 7] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// One installed PostgreSQL.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    /// The directory with `postgres` and `initdb`.
    pub dir: PathBuf,
    /// Which version it is.
    pub version: Version,
}

/// A version of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Such as 15.
    pub major: u32,
    /// Such as `15.6`.
    pub text: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What the search may look at.
pub(super) struct Search<'a> {
    /// `DAYBOOK_PG_BIN`: if given, nothing else is looked at.
    pub named: Option<&'a Path>,
    /// The program path.
    pub path: Option<OsString>,
    /// Directories, with `*`.
    pub places: &'a [&'a str],
}

impl<'a> Search<'a> {
    /// This machine.
    pub fn here(named: Option<&'a Path>) -> Self {
        Self {
            named,
            path: std::env::var_os("PATH"),
            places: &PLACES,
        }
    }

    /// The newest installed PostgreSQL; if `cluster` holds data, the newest of the data's version.
    pub async fn find(&self, cluster: &Path) -> Result<Binaries, LocalError> {
        let (candidates, mut looked) = self.candidates();
        let mut found = Vec::new();
        for dir in candidates {
            match version_of(&dir).await {
                Ok(version) => found.push(Binaries { dir, version }),
                Err(why) => looked.push(format!("{} ({why})", dir.display())),
            }
        }
        let wanted = data_version(cluster);
        let newest = |fits: &dyn Fn(u32) -> bool| {
            found
                .iter()
                .filter(|one| fits(one.version.major))
                .rev() // of equal ones the first found wins: max_by_key takes the last
                .max_by_key(|one| one.version.major)
                .cloned()
        };
        let usable = newest(&|major| major >= MAJOR_MIN);
        match wanted {
            Some(wanted) if usable.is_some() => {
                newest(&|major| major == wanted).ok_or_else(|| LocalError::WrongVersion {
                    dir: cluster.to_owned(),
                    wanted,
                    found: versions(&found),
                })
            }
            _ => usable.ok_or_else(|| {
                looked.extend(found.iter().map(|one| {
                    format!("{} (version {} is too old)", one.dir.display(), one.version)
                }));
                LocalError::NotFound {
                    looked,
                    install: install_command(),
                }
            }),
        }
    }

    /// Directories that hold both programs, in search order, each once; and what was looked at.
    fn candidates(&self) -> (Vec<PathBuf>, Vec<String>) {
        if let Some(named) = self.named {
            let looked = format!("DAYBOOK_PG_BIN={}", named.display());
            let holds = holds_programs(named);
            return (
                holds.then(|| named.to_owned()).into_iter().collect(),
                vec![looked],
            );
        }
        let mut dirs = Vec::new();
        for dir in std::env::split_paths(self.path.as_deref().unwrap_or_default()) {
            // PATH often holds links; the programs beside the real one are the ones to run.
            if let Ok(program) = dir.join("postgres").canonicalize() {
                dirs.extend(program.parent().map(Path::to_owned));
            }
        }
        dirs.extend(self.places.iter().flat_map(|place| expand(place)));
        let mut candidates: Vec<PathBuf> = Vec::new();
        for dir in dirs {
            let dir = dir.canonicalize().unwrap_or(dir);
            if holds_programs(&dir) && !candidates.contains(&dir) {
                candidates.push(dir);
            }
        }
        let looked = ["PATH"]
            .iter()
            .chain(self.places)
            .map(|&place| place.to_owned())
            .collect();
        (candidates, looked)
    }
}

/// The major version that wrote the cluster, if there is one.
fn data_version(cluster: &Path) -> Option<u32> {
    std::fs::read_to_string(cluster.join("PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn holds_programs(dir: &Path) -> bool {
    dir.join("postgres").is_file() && dir.join("initdb").is_file()
}

fn versions(found: &[Binaries]) -> String {
    let texts: Vec<String> = found.iter().map(|one| one.version.to_string()).collect();
    if texts.is_empty() {
        "none".to_owned()
    } else {
        texts.join(", ")
    }
}

/// The directories a pattern with at most one `*` stands for.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let Some((parent, prefix)) = before.rsplit_once('/') else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect()
}

async fn version_of(dir: &Path) -> Result<Version, String> {
    let mut command = Command::new(dir.join("postgres"));
    command
        .arg("--version")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_TIMEOUT, command.output())
        .await
        .map_err(|_| "did not tell its version in time".to_owned())?
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    parse_version(&said).ok_or_else(|| format!("its version cannot be read: {:?}", said.trim()))
}

fn parse_version(said: &str) -> Option<Version> {
    let text = said
        .split_once("(PostgreSQL) ")?
        .1
        .split_whitespace()
        .next()?;
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some(Version {
        major: text[..digits].parse().ok()?,
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Directories below a fresh one, each with programs that say this version.
    fn install(root: &Path, versions: &[(&str, &str)]) {
        for (dir, version) in versions {
            let dir = root.join(dir);
            std::fs::create_dir_all(&dir).unwrap();
            for program in ["postgres", "initdb"] {
                let script = format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version} (x)'\n");
                std::fs::write(dir.join(program), script).unwrap();
                let mode = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(dir.join(program), mode).unwrap();
            }
        }
    }

    fn fresh(name: &str) -> PathBuf {
        let name = format!("daybook-search-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        root.canonicalize().unwrap()
    }

    #[test]
    fn versions_are_read_from_what_the_program_says() {
        for (said, expected) in [
            (
                "postgres (PostgreSQL) 15.6 (Debian 15.6-0+deb12u1)\n",
                Some((15, "15.6")),
            ),
            ("postgres (PostgreSQL) 9.6.24\n", Some((9, "9.6.24"))),
            ("postgres (PostgreSQL) 19devel\n", Some((19, "19devel"))),
            ("mysqld 8\n", None),
            ("", None),
        ] {
            let version = parse_version(said).map(|v| (v.major, v.text));
            assert_eq!(
                version,
                expected.map(|(major, text)| (major, text.to_owned())),
                "{said:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_newest_wins_unless_the_data_asks_for_another() {
        let root = fresh("newest");
        install(
            &root,
            &[
                ("pg/13/bin", "13.1"),
                ("pg/15/bin", "15.6"),
                ("pg/16/bin", "16.2"),
            ],
        );
        let place = format!("{}/pg/*/bin", root.display());
        let places = [place.as_str()];
        let search = Search {
            named: None,
            path: None,
            places: &places,
        };
        let cluster = root.join("data");
        std::fs::create_dir_all(&cluster).unwrap();

        let newest = search.find(&cluster).await.unwrap();
        assert_eq!(newest.version.text, "16.2");

        std::fs::write(cluster.join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(search.find(&cluster).await.unwrap().version.text, "15.6");

        std::fs::write(cluster.join("PG_VERSION"), "12\n").unwrap();
        let error = search.find(&cluster).await.unwrap_err().to_string();
        assert!(error.contains("written by PostgreSQL 12"), "{error}");
        std::fs::remove_dir_all(root).unwrap();
    }

    #[tokio::test]
    async fn path_entries_are_followed_to_the_real_directory() {
        let root = fresh("path");
        install(&root, &[("real", "17.0")]);
        std::fs::create_dir_all(root.join("links")).unwrap();
        std::os::unix::fs::symlink(root.join("real/postgres"), root.join("links/postgres"))
            .unwrap();
        let path = Some(root.join("links").into_os_string());
        let search = Search {
            named: None,
            path,
            places: &[],
        };
        assert_eq!(
            search.find(&root.join("none")).await.unwrap().dir,
            root.join("real")
        );
        std::fs::remove_dir_all(root).unwrap();
    }

    #[tokio::test]
    async fn nothing_found_names_every_place_and_the_ways_out() {
        let root = fresh("nothing");
        install(&root, &[("old", "13.9")]);
        let old = root.join("old").display().to_string();
        let places = [old.as_str(), "/nowhere/*/bin"];
        let search = Search {
            named: None,
            path: None,
            places: &places,
        };
        let error = search.find(&root.join("none")).await.unwrap_err();
        assert!(matches!(error, LocalError::NotFound { .. }));
        let text = error.to_string();
        for part in [
            "PATH",
            "/nowhere/*/bin",
            "13.9 is too old",
            "DATABASE_URL",
            "DAYBOOK_PG_BIN",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
