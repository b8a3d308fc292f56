//! Secrets that are kept in files of their own: read within bounds, and made whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use uuid::Uuid;

/// Where containers mount secrets: readable by all in there, and their user often cannot read them otherwise.
const MOUNTED: &str = "/run/secrets";

/// A kind of secret.
#[derive(Clone, Copy, Debug)]
pub struct SecretFile {
    /// The longest file that is read.
    pub bytes_max: u64,
    /// What whoever has none is told to do.
    pub make_one: &'static str,
}

/// Why a secret cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// There is no such file.
    #[error("it is not there. {0}")]
    Absent(&'static str),
    /// Somebody who is neither the owner nor of the group may open it.
    #[error("everybody may read or replace it (mode {mode:o}): chmod 600")]
    Open {
        /// Its permissions.
        mode: u32,
    },
    /// A directory, a pipe, a device.
    #[error("it is not a file")]
    NoFile,
    /// It cannot be such a secret.
    #[error("it is too large: such a secret has at most {0} bytes")]
    TooLarge(u64),
    /// The system does not let us.
    #[error("it cannot be {doing}: {source}")]
    Io {
        /// `read` or `made`.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl SecretFile {
    /// The vault's master key: 64 digits and perhaps a line's end.
    pub const MASTER_KEY: SecretFile = SecretFile {
        bytes_max: 256,
        make_one: "Make one with `openssl rand -hex 32 > FILE` and give the same file to every process",
    };

    /// What a source of webhooks signs with.
    pub const WEBHOOK: SecretFile = SecretFile {
        bytes_max: 256,
        make_one: "Make one with `openssl rand -hex 32 > FILE` and give it to the sender",
    };

    /// What the file holds, without the line's end that editors and shells add.
    pub fn read(&self, path: &Path) -> Result<String, SecretFileError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => SecretFileError::Absent(self.make_one),
            _ => SecretFileError::Io {
                doing: "read",
                source,
            },
        };
        // Asked of the path, since to open a pipe is to wait for its other end.
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(SecretFileError::NoFile);
        }
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o007 != 0 && !path.starts_with(MOUNTED) {
            return Err(SecretFileError::Open { mode });
        }
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        // A file may grow after it was asked how long it is.
        let read = file.take(self.bytes_max + 1).read_to_string(&mut text);
        if read.map_err(failed)? as u64 > self.bytes_max {
            return Err(SecretFileError::TooLarge(self.bytes_max));
        }
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    /// Reads the file; makes it first of what `content` gives if it is not there.
    pub fn read_or_make(
        &self,
        path: &Path,
        content: impl FnOnce() -> io::Result<String>,
    ) -> Result<String, SecretFileError> {
        if !path.exists() {
            let made = content().and_then(|content| make(path, &content));
            // Another process was faster: its secret counts.
            if let Err(source) = made
                && source.kind() != io::ErrorKind::AlreadyExists
            {
                let doing = "made";
                return Err(SecretFileError::Io { doing, source });
            }
        }
        self.read(path)
    }
}

/// Writes a secret to a new file that only its owner may read. It appears whole or not at all, and never in
/// place of another.
pub fn make(path: &Path, content: &str) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.draft", Uuid::now_v7()));
    let made = write_new(&draft, content).and_then(|()| fs::hard_link(&draft, path));
    // Gone already if it was never written.
    let _ = fs::remove_file(&draft);
    made
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Bytes nobody can guess.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const SECRET: SecretFile = SecretFile {
        bytes_max: 8,
        make_one: "Make one.",
    };

    /// A directory that goes away with its value.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Place {
            let name = format!("daybook-secret-{}", Uuid::now_v7());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Place(path)
        }

        fn file(&self, content: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join(format!("{mode:o}-{}", content.len()));
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_secret_is_what_the_file_holds_but_for_the_lines_end() {
        let place = Place::new();
        for (content, mode, expect) in [
            (&b"secret"[..], 0o600, "secret"),
            (b"secret\n", 0o400, "secret"),
            (b"secret\r\n", 0o640, "secret"),
            (b" secret", 0o600, " secret"),
            (b"", 0o600, ""),
        ] {
            let path = place.file(content, mode);
            assert_eq!(SECRET.read(&path).unwrap(), expect, "{}", path.display());
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_with_what_to_do() {
        let place = Place::new();
        for (path, expect) in [
            (place.0.join("absent"), "it is not there. Make one."),
            (place.file(b"s", 0o604), "(mode 604): chmod 600"),
            (place.file(b"s", 0o602), "(mode 602): chmod 600"),
            (place.file(b"s", 0o601), "(mode 601): chmod 600"),
            (place.file(b"123456789", 0o600), "at most 8 bytes"),
            (place.file(b"\xff", 0o600), "cannot be read"),
            (place.0.clone(), "it is not a file"),
            ("/dev/null".into(), "it is not a file"),
        ] {
            let said = SECRET.read(&path).unwrap_err().to_string();
            assert!(said.contains(expect), "{}: {said}", path.display());
        }
    }

    #[test]
    fn it_is_made_once_for_its_owner_and_nothing_is_left_behind() {
        let place = Place::new();
        let path = place.0.join("made");
        let made = SECRET.read_or_make(&path, || Ok("first".to_owned()));
        assert_eq!(made.unwrap(), "first");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let again = SECRET.read_or_make(&path, || Ok("second".to_owned()));
        assert_eq!(again.unwrap(), "first");

        let refused = make(&path, "third").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\n");
        assert_eq!(fs::read_dir(&place.0).unwrap().count(), 1);

        let nowhere = place.0.join("no/such/place");
        let refused = SECRET.read_or_make(&nowhere, || Ok(String::new()));
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("cannot be made"), "{said}");
    }

    #[test]
    fn many_who_make_it_at_once_share_one() {
        let place = Place::new();
        let path = place.0.join("shared");
        let number = |n: usize| SECRET.read_or_make(&path, || Ok(n.to_string())).unwrap();
        let read: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || number(n))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(read.iter().all(|secret| *secret == read[0]), "{read:?}");
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random::<32>().unwrap(), random::<32>().unwrap());
    }
}
