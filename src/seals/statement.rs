//! What a seal states and signs, in a few lines that anybody can check: see `docs/seals.md`.

use chrono::{DateTime, SecondsFormat, Utc};
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::tree::Hash;
use crate::vault::hex;

/// The format of statements and of the leaves below them.
const FORMAT: &str = "daybook seal 1";

/// A root, the tree it stands for, and what was stated before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Whose log.
    pub tenant: String,
    /// How many events the tree has: those at positions 1 to here.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// SHA-256 of the statement before; zeros if there was none.
    pub previous: Hash,
    /// When it was made.
    pub sealed_at: DateTime<Utc>,
}

impl Statement {
    /// Its text, which is signed: six lines.
    pub fn text(&self) -> String {
        let at = self.sealed_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        format!(
            "{FORMAT}\n{}\n{}\n{}\n{}\n{at}\n",
            self.tenant,
            self.size,
            hex(&self.root),
            hex(&self.previous)
        )
    }

    /// What the next statement names it by.
    pub fn digest(&self) -> Hash {
        Sha256::digest(self.text()).into()
    }
}

/// A key that signs statements.
pub struct SealKey {
    key: SigningKey,
    id: String,
}

impl SealKey {
    /// The key of this seed.
    pub fn of_seed(seed: &[u8; 32]) -> SealKey {
        let key = SigningKey::from_bytes(seed);
        let id = key_id(key.verifying_key().as_bytes());
        SealKey { key, id }
    }

    /// What it is called: the beginning of its public part's digest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its public part.
    pub fn public(&self) -> [u8; 32] {
        *self.key.verifying_key().as_bytes()
    }

    /// Signs a statement.
    pub fn sign(&self, statement: &Statement) -> [u8; 64] {
        self.key.sign(statement.text().as_bytes()).to_bytes()
    }
}

/// What a public key is called: the first sixteen hexadecimal digits of its SHA-256.
pub fn key_id(public: &[u8; 32]) -> String {
    hex(&Sha256::digest(public)[..8])
}

/// Did the owner of this key sign this statement?
pub fn is_signed(statement: &Statement, public: &[u8; 32], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_bytes(public);
    let signature = Signature::from_slice(signature);
    let (Ok(key), Ok(signature)) = (key, signature) else {
        return false;
    };
    key.verify(statement.text().as_bytes(), &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            tenant: "default".to_owned(),
            size: 3,
            root: [1; 32],
            previous: [0; 32],
            sealed_at: DateTime::from_timestamp_micros(1_766_000_000_000_001).unwrap_or_default(),
        }
    }

    #[test]
    fn a_statement_is_signed_as_it_reads() {
        let key = SealKey::of_seed(&[9; 32]);
        let said = statement();
        let signature = key.sign(&said);
        assert!(is_signed(&said, &key.public(), &signature));
        assert_eq!(key.id(), key_id(&key.public()));
        let changed = [
            Statement {
                tenant: "other".to_owned(),
                ..statement()
            },
            Statement {
                size: 4,
                ..statement()
            },
            Statement {
                root: [2; 32],
                ..statement()
            },
            Statement {
                previous: [2; 32],
                ..statement()
            },
            Statement {
                sealed_at: DateTime::UNIX_EPOCH,
                ..statement()
            },
        ];
        for other in changed {
            assert!(!is_signed(&other, &key.public(), &signature), "{other:?}");
            assert_ne!(other.digest(), said.digest());
        }
        let stranger = SealKey::of_seed(&[8; 32]);
        assert!(!is_signed(&said, &stranger.public(), &signature));
        assert!(!is_signed(&said, &key.public(), &signature[1..]));
    }

    #[test]
    fn a_statement_is_six_lines() {
        let text = statement().text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["daybook seal 1", "default", "3"]);
        assert_eq!(lines[3], "01".repeat(32));
        assert_eq!(lines[5], "2025-12-17T19:33:20.000001Z");
        assert_eq!(lines.len(), 6);
    }
}
