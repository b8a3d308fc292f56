//! The master key: 32 random bytes in a file of their own, from which everything else of the vault follows.

use std::path::Path;

use chacha20poly1305::Key;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::VaultError;
use super::seal::{SubjectKey, decrypt, encrypt, hex, joined, unhex};
use crate::config::{SecretFile, SecretFileError, secret_file};

/// Wraps keys and makes keyed digests, each under a key of its own.
pub(super) struct MasterKey {
    wrapping: Key,
    /// As it is when its key is worked in: that costs as much as a short digest.
    digesting: Hmac<Sha256>,
}

impl MasterKey {
    /// Reads a key file.
    pub fn read(path: &Path) -> Result<MasterKey, VaultError> {
        MasterKey::of(path, SecretFile::MASTER_KEY.read(path))
    }

    /// Reads a key file; makes it first if it is not there.
    pub fn read_or_make(path: &Path) -> Result<MasterKey, VaultError> {
        let random = || secret_file::random::<32>().map(|bytes| hex(&bytes));
        MasterKey::of(path, SecretFile::MASTER_KEY.read_or_make(path, random))
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
        let mut mac = self.digesting.clone();
        joined(parts, |bytes| mac.update(bytes));
        mac.finalize().into_bytes().into()
    }

    fn of(path: &Path, read: Result<String, SecretFileError>) -> Result<MasterKey, VaultError> {
        let unusable = |problem: String| VaultError::Key {
            path: path.to_owned(),
            problem,
        };
        let text = read.map_err(|error| unusable(error.to_string()))?;
        MasterKey::parse(&text).ok_or_else(|| {
            unusable("it does not hold 64 hexadecimal digits (`openssl rand -hex 32`)".to_owned())
        })
    }

    fn parse(text: &str) -> Option<MasterKey> {
        let bytes: [u8; 32] = unhex(text)?.try_into().ok()?;
        Some(MasterKey {
            wrapping: hmac(&bytes, b"daybook vault wrapping v1").into(),
            digesting: keyed(&hmac(&bytes, b"daybook vault digesting v1")),
        })
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("any length is a key")
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(message);
    mac.finalize().into_bytes().into()
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

    /// Pseudonyms are in logs: they are the same for good.
    #[test]
    fn a_digest_stays_the_same() {
        let master = MasterKey::parse(&"07".repeat(32)).unwrap();
        let digest = master.digest(&[b"pseudonym v1", b"acme", b"log.user_id", b"ann"]);
        let expected = "d6f9785a70311d7360a26a6b53ee7edad868158e7a54465d066cbc0a98d39328";
        assert_eq!(hex(&digest), expected);
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
