//! How far a replay has come, in a file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use domain::Position;
use serde::{Deserialize, Serialize};

/// A bookmark is no longer than this.
const BYTES_MAX: u64 = 1 << 20;

/// Where one replay goes on.
#[derive(Debug)]
pub(super) struct Bookmark {
    path: PathBuf,
    kept: Kept,
    is_new: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// What is replayed.
    replay: String,
    /// The last position that was looked at.
    position: i64,
}

impl Bookmark {
    /// The bookmark in a file, or one at the start if there is no such file. One of another replay is not
    /// taken: it would leave events out.
    pub(super) fn open(path: &Path, replay: String) -> anyhow::Result<Bookmark> {
        let name = path.display();
        let mut is_new = false;
        let kept = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                is_new = true;
                Kept {
                    replay,
                    position: 0,
                }
            }
            found => {
                let found = found.with_context(|| format!("{name} cannot be read"))?;
                ensure!(
                    found.len() <= BYTES_MAX,
                    "{name} is no bookmark: it is too long"
                );
                let text = std::fs::read(path).with_context(|| format!("{name} cannot be read"))?;
                let kept: Kept = serde_json::from_slice(&text)
                    .with_context(|| format!("{name} is no bookmark"))?;
                ensure!(
                    kept.replay == replay,
                    "{name} is of a replay with other conditions; name another file"
                );
                kept
            }
        };
        Ok(Bookmark {
            path: path.to_owned(),
            kept,
            is_new,
        })
    }

    /// There was no file.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// The last position that was looked at.
    pub(super) fn position(&self) -> Position {
        Position(self.kept.position)
    }

    /// Moves it: the file is the old one or the new one, whenever one is killed.
    pub(super) fn put(&mut self, position: Position) -> anyhow::Result<()> {
        self.kept.position = position.0;
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let text = serde_json::to_vec(&self.kept)?;
        let put = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &self.path));
        put.with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_is_of_one_replay() {
        let path = std::env::temp_dir().join(format!("daybook-bookmark-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut mark = Bookmark::open(&path, "a".to_owned()).unwrap();
        assert_eq!(mark.position(), Position::START);
        mark.put(Position(7)).unwrap();
        mark.put(Position(9)).unwrap();
        let again = Bookmark::open(&path, "a".to_owned()).unwrap();
        assert_eq!(again.position(), Position(9));
        let other = Bookmark::open(&path, "b".to_owned()).unwrap_err();
        assert!(other.to_string().contains("other conditions"), "{other}");
        std::fs::write(&path, "7").unwrap();
        let none = Bookmark::open(&path, "a".to_owned()).unwrap_err();
        assert!(none.to_string().contains("is no bookmark"), "{none}");
        std::fs::remove_file(&path).unwrap();
    }
}
