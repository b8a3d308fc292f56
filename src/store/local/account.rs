//! Which user the server runs as, and which directories that user can reach.

use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::LocalError;

/// PostgreSQL refuses to run as root; these are tried in its place, in order.
const ROOT_BECOMES: [&str; 2] = ["postgres", "nobody"];

/// The user that runs the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Name, or the uid in digits.
    pub name: String,
    /// We are another user (root) and have to become this one.
    pub other: bool,
}

impl Account {
    /// The owner of an existing cluster, else ourselves, else whom root becomes.
    pub fn choose(cluster: &Path) -> Result<Self, LocalError> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let owner = std::fs::metadata(cluster)
            .ok()
            .map(|found| (found.uid(), found.gid()));
        match owner {
            Some((owner, _)) if uid != 0 && owner != uid => Err(LocalError::NotOurs {
                dir: cluster.to_owned(),
                owner,
                uid,
            }),
            Some((owner, group)) if uid == 0 && owner != 0 => Ok(Self {
                uid: owner,
                gid: group,
                name: name_of(&passwd, owner),
                other: true,
            }),
            _ if uid != 0 => Ok(Self {
                uid,
                gid,
                name: name_of(&passwd, uid),
                other: false,
            }),
            _ => ROOT_BECOMES
                .iter()
                .find_map(|name| named(&passwd, name))
                .ok_or_else(|| LocalError::CannotBecome {
                    user: ROOT_BECOMES.join(" or "),
                    source: io::Error::new(io::ErrorKind::NotFound, "there is no such user"),
                }),
        }
    }

    /// Makes `command` run as this user, from a directory anyone can read.
    pub fn run(&self, command: &mut Command) {
        command.current_dir("/");
        if self.other {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives a file or directory to this user.
    pub fn own(&self, path: &Path) -> Result<(), LocalError> {
        if !self.other {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).map_err(|source| LocalError::CannotBecome {
            user: self.name.clone(),
            source,
        })
    }

    /// The first directory on the way to and including `dir` that this user cannot pass through.
    pub fn closed_on_the_way(&self, dir: &Path) -> Option<PathBuf> {
        let mut way: Vec<&Path> = dir.ancestors().collect();
        way.reverse();
        way.into_iter()
            .find(|step| !std::fs::metadata(step).is_ok_and(|found| self.passes(&found)))
            .map(Path::to_owned)
    }

    fn passes(&self, found: &std::fs::Metadata) -> bool {
        let class = match found {
            found if found.uid() == self.uid => 0o100,
            found if found.gid() == self.gid => 0o010,
            _ => 0o001,
        };
        found.mode() & class != 0
    }
}

fn named(passwd: &str, name: &str) -> Option<Account> {
    entries(passwd)
        .find(|entry| entry.0 == name)
        .map(|(name, uid, gid)| Account {
            uid,
            gid,
            name: name.to_owned(),
            other: true,
        })
}

fn name_of(passwd: &str, uid: u32) -> String {
    entries(passwd)
        .find(|entry| entry.1 == uid)
        .map_or_else(|| format!("uid {uid}"), |entry| entry.0.to_owned())
}

fn entries(passwd: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((name, uid, gid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          nobody:x:65534:65533:nobody:/:/bin/false\nbroken line\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let nobody = named(PASSWD, "nobody").unwrap();
        assert_eq!((nobody.uid, nobody.gid, nobody.other), (65534, 65533, true));
        assert_eq!(named(PASSWD, "postgres"), None);
        assert_eq!(name_of(PASSWD, 0), "root");
        assert_eq!(name_of(PASSWD, 7), "uid 7");
    }
}
