//! The signing key: an Ed25519 private key in a PKCS #8 PEM file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::AuthError;

/// A key pair and its name.
pub struct SigningKey {
    pub private: EncodingKey,
    pub public: DecodingKey,
    id: String,
}

/// What stands before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/// A key file holds some 120 bytes; whatever is larger is not one.
const FILE_BYTES_MAX: u64 = 4_096;

impl SigningKey {
    /// Reads a key file.
    pub fn read(path: &Path) -> Result<SigningKey, AuthError> {
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => unusable(
                path,
                "it is not there. Make one with `daybook token --new-key FILE` and give the same \
                 file to every process",
            ),
            _ => AuthError::File {
                path: path.to_owned(),
                doing: "read",
                source,
            },
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let mode = metadata.permissions().mode();
        if mode & 0o002 != 0 {
            let problem = format!(
                "everybody may replace it (mode {:o}): chmod 600",
                mode & 0o777
            );
            return Err(unusable(path, problem));
        }
        // Containers mount secrets so, and their user often cannot read them otherwise.
        if mode & 0o004 != 0 && !path.starts_with("/run/secrets") {
            let path = path.display();
            tracing::warn!(%path, "everybody on this machine may read the signing key {path}");
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(unusable(path, "it is too large for a key"));
        }
        let mut pem = Vec::new();
        file.read_to_end(&mut pem).map_err(unreadable)?;
        SigningKey::from_pem(&pem).ok_or_else(|| {
            unusable(
                path,
                "it is not an Ed25519 private key in PKCS #8 PEM (`openssl genpkey -algorithm \
                 ed25519` makes one too)",
            )
        })
    }

    /// Reads a key file; makes it first if it is not there.
    pub fn read_or_make(path: &Path) -> Result<SigningKey, AuthError> {
        if !path.exists() {
            match SigningKey::make(path) {
                // Another process was faster: its key counts.
                Err(AuthError::File { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        SigningKey::read(path)
    }

    /// Makes a key file. It appears whole or not at all, and never in place of another.
    pub fn make(path: &Path) -> Result<(), AuthError> {
        let draft = path.with_extension(format!("{}.draft", Uuid::now_v7()));
        let made = write_new(&draft).and_then(|()| fs::hard_link(&draft, path));
        // Gone already if it was never written.
        let _ = fs::remove_file(&draft);
        made.map_err(|source| AuthError::File {
            path: path.to_owned(),
            doing: "made",
            source,
        })
    }

    /// The key's name: its thumbprint (RFC 7638).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A secret of its own for another purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"daybook shared secret v1\0");
        hash.update(purpose.as_bytes());
        hash.update(b"\0");
        hash.update(self.private.as_bytes());
        hash.finalize().into()
    }

    fn from_pem(pem: &[u8]) -> Option<SigningKey> {
        let private = EncodingKey::from_ed_pem(pem).ok()?;
        let jwk = Jwk::from_encoding_key(&private, Algorithm::EdDSA).ok()?;
        let public = DecodingKey::from_jwk(&jwk).ok()?;
        let id = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        Some(SigningKey {
            private,
            public,
            id,
        })
    }
}

fn unusable(path: &Path, problem: impl Into<String>) -> AuthError {
    AuthError::Key {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

fn write_new(path: &Path) -> io::Result<()> {
    let mut der = [0; 48];
    der[..16].copy_from_slice(&PKCS8_HEAD);
    File::open("/dev/urandom")?.read_exact(&mut der[16..])?;
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        base64(&der)
    );
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()
}

/// Base 64 of a length that needs no padding.
fn base64(bytes: &[u8; 48]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes
        .chunks_exact(3)
        .map(|c| u32::from_be_bytes([0, c[0], c[1], c[2]]));
    let digits = groups.flat_map(|group| [18, 12, 6, 0].map(|shift| (group >> shift) & 63));
    digits
        .map(|digit| char::from(DIGITS[digit as usize]))
        .collect()
}
