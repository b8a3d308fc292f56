//! What a cluster's `postmaster.pid` says, and whether it is true.

use std::path::{Path, PathBuf};

/// The parts of a `postmaster.pid` that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The server.
    pub pid: u32,
    /// Where its socket is, once it has one.
    pub socket_dir: Option<PathBuf>,
    /// It takes connections.
    pub ready: bool,
}

impl PidFile {
    /// Where a cluster keeps it.
    pub fn path(cluster: &Path) -> PathBuf {
        cluster.join("postmaster.pid")
    }

    /// Reads it; `None` if there is none, or not yet a whole one.
    pub fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(Self::path(cluster)).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let socket_dir = lines
            .get(4)
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from);
        // A stand-alone backend writes its pid negated.
        let pid = lines.first()?.trim_start_matches('-').parse().ok()?;
        Some(Self {
            pid,
            socket_dir,
            ready: lines.get(7) == Some(&"ready"),
        })
    }

    /// Is that pid a live PostgreSQL on this cluster? A zombie is not; nor is another program that
    /// got the number since.
    pub fn is_true(&self, cluster: &Path) -> bool {
        program(self.pid).is_some_and(|found| found.is_server_of(self.pid, cluster))
    }
}

/// What runs under a pid.
struct Program {
    name: String,
    command_line: String,
}

impl Program {
    fn is_server_of(&self, pid: u32, cluster: &Path) -> bool {
        let works_in = std::fs::read_link(format!("/proc/{pid}/cwd"));
        self.name.contains("postgres")
            && (works_in.is_ok_and(|dir| dir == cluster)
                || self.command_line.contains(&*cluster.to_string_lossy()))
    }
}

/// What runs under `pid`; `None` if nothing does, or a zombie.
#[cfg(target_os = "linux")]
fn program(pid: u32) -> Option<Program> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, state) = parse_stat(&stat)?;
    if matches!(state, 'Z' | 'X' | 'x') {
        return None;
    }
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command_line = String::from_utf8_lossy(&command_line).replace('\0', " ");
    Some(Program {
        name: name.to_owned(),
        command_line,
    })
}

#[cfg(not(target_os = "linux"))]
fn program(pid: u32) -> Option<Program> {
    let output = std::process::Command::new("ps")
        .args(["-o", "state=,command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (state, command_line) = said.split_once(' ')?;
    let name = command_line.split(' ').next()?.to_owned();
    (!state.starts_with('Z')).then(|| Program {
        name,
        command_line: command_line.trim().to_owned(),
    })
}

/// Name and state from `/proc/PID/stat`. The name stands in brackets and may itself hold some.
#[cfg(target_os = "linux")]
fn parse_stat(stat: &str) -> Option<(&str, char)> {
    let (start, end) = (stat.find('(')? + 1, stat.rfind(')')?);
    let state = stat.get(end + 1..)?.trim_start().chars().next()?;
    Some((stat.get(start..end)?, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_at_every_stage_of_its_life() {
        let whole = "42\n/data/pg\n1700000000\n5432\n/data/run\n\n  123  456\nready   \n";
        let parsed = |text| PidFile::parse(text).map(|file| (file.pid, file.ready));
        for (text, expected) in [
            (whole, Some((42, true))),
            (&whole.replace("ready   ", "starting"), Some((42, false))),
            (&whole.replace("ready   ", "stopping"), Some((42, false))),
            ("42\n/data/pg\n", Some((42, false))),
            ("-42\n/data/pg\n", Some((42, false))),
            ("", None),
            ("what\n", None),
        ] {
            assert_eq!(parsed(text), expected, "{text:?}");
        }
        let file = PidFile::parse(whole).unwrap();
        assert_eq!(file.socket_dir, Some(PathBuf::from("/data/run")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_with_brackets_does_not_hide_the_state() {
        assert_eq!(parse_stat("7 (a) b) Z 1 7"), Some(("a) b", 'Z')));
        assert_eq!(parse_stat("7 (postgres) S 1 7"), Some(("postgres", 'S')));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn another_programs_pid_is_not_a_server() {
        let pid = std::process::id();
        let file = PidFile {
            pid,
            socket_dir: None,
            ready: true,
        };
        assert!(!file.is_true(Path::new("/data/pg")));
    }
}
