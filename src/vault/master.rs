//! The master key: 32 random bytes in a file of their own, from which everything else of the vault follows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use chacha20poly1305::Key;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use super::VaultError;
use super::seal::{SubjectKey, decrypt, encrypt, hex, join, unhex};

/// A key file holds 64 digits and perhaps a line's end; whatever is larger is not one.
const FILE_BYTES_MAX: u64 = 256;

/// Wraps keys and makes keyed digests, each under a key of its own.
pub(super) struct MasterKey {
    wrapping: Key,
    digesting: [u8; 32],
}

impl MasterKey {
    /// Reads a key file.
    pub fn read(path: &Path) -> Result<MasterKey, VaultError> {
        let unusable = |problem: String| unusable(path, problem);
        let unreadable = |error: io::Error| {
            match error.kind() {
            io::ErrorKind::NotFound => unusable(
                "it is not there. Make one with `openssl rand -hex 32` and give the same file to every \
                 process"
                    .to_owned(),
            ),
            _ => unusable(format!("it cannot be read: {error}")),
        }
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let mode = metadata.permissions().mode();
        // Containers mount secrets so, and their user often cannot read them otherwise.
        if mode & 0o007 != 0 && !path.starts_with("/run/secrets") {
            let mode = mode & 0o777;
            return Err(unusable(format!(
                "everybody may read it (mode {mode:o}): chmod 600"
            )));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(unusable("it is too large for a key".to_owned()));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unreadable)?;
        MasterKey::parse(text.trim_end()).ok_or_else(|| {
            unusable("it does not hold 64 hexadecimal digits (`openssl rand -hex 32`)".to_owned())
        })
    }

    /// Reads a key file; makes it first if it is not there.
    pub fn read_or_make(path: &Path) -> Result<MasterKey, VaultError> {
        if !path.exists() {
            let made = make(path);
            // Another process was faster: its key counts.
            if let Err(error) = made
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(unusable(path, format!("it cannot be made: {error}")));
            }
        }
        MasterKey::read(path)
    }

    /// Wraps a subject's key for its place.
    pub fn wrap(&self, key: &SubjectKey, place: &[u8]) -> Vec<u8> {
        encrypt(&self.wrapping, key.bytes(), place)
    }

    /// Unwraps a subject's key; `None` if it was wrapped by another master key or for another place.
    pub fn unwrap(&self, wrapped: &[u8], place: &[u8]) -> Option<SubjectKey> {
        SubjectKey::from_bytes(&decrypt(&self.wrapping, wrapped, place)?)
    }

    /// A digest that nobody without the key can make or check.
    pub fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        hmac(&self.digesting, &join(parts))
    }

    fn parse(text: &str) -> Option<MasterKey> {
        let bytes: [u8; 32] = unhex(text)?.try_into().ok()?;
        Some(MasterKey {
            wrapping: hmac(&bytes, b"daybook vault wrapping v1").into(),
            digesting: hmac(&bytes, b"daybook vault digesting v1"),
        })
    }
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn unusable(path: &Path, problem: String) -> VaultError {
    VaultError::Key {
        path: path.to_owned(),
        problem,
    }
}

/// Makes a key file. It appears whole or not at all, and never in place of another.
fn make(path: &Path) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.draft", Uuid::now_v7()));
    let made = write_new(&draft).and_then(|()| fs::hard_link(&draft, path));
    // Gone already if it was never written.
    let _ = fs::remove_file(&draft);
    made
}

fn write_new(path: &Path) -> io::Result<()> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(format!("{}\n", hex(&bytes)).as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_opens_with_its_master_in_its_place_only() {
        let master = MasterKey::parse(&"07".repeat(32)).unwrap();
        let other = MasterKey::parse(&"08".repeat(32)).unwrap();
        let key = SubjectKey::random();
        let wrapped = master.wrap(&key, b"here");
        let unwrapped = master.unwrap(&wrapped, b"here").unwrap();
        assert_eq!(unwrapped.bytes(), key.bytes());
        assert!(other.unwrap(&wrapped, b"here").is_none());
        assert!(master.unwrap(&wrapped, b"there").is_none());
        assert!(master.unwrap(&wrapped[1..], b"here").is_none());
    }

    #[test]
    fn digests_differ_by_key_and_by_every_part() {
        let master = MasterKey::parse(&"07".repeat(32)).unwrap();
        let other = MasterKey::parse(&"08".repeat(32)).unwrap();
        let digest = master.digest(&[b"ab", b"c"]);
        assert_eq!(digest, master.digest(&[b"ab", b"c"]));
        assert_ne!(digest, master.digest(&[b"a", b"bc"]));
        assert_ne!(digest, other.digest(&[b"ab", b"c"]));
    }

    #[test]
    fn only_a_key_is_a_key() {
        for none in [
            "",
            "07",
            &"07".repeat(31),
            &"07".repeat(33),
            &"zz".repeat(32),
        ] {
            assert!(MasterKey::parse(none).is_none(), "{none}");
        }
    }
}
