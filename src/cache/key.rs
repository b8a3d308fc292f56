//! What an answer is kept under: everything it depends on.

use std::fmt;

use domain::Position;
use sha2::{Digest, Sha256};

/// Digest of tenant, read models with generation and position, scope and question.
///
/// Nothing is invalidated by hand: a read model that moves on, or is rebuilt, is another key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of one answer.
    ///
    /// `read_models` are those that answered: name, generation, position. `scope` is whatever
    /// decides what a caller may see; `question` holds the checked document and its variables.
    pub fn new(
        tenant: &str,
        read_models: &[(&str, i32, Position)],
        scope: &str,
        question: &[u8],
    ) -> CacheKey {
        let mut hash = Sha256::new();
        // Each part is preceded by its length, so that no two lists of parts look the same.
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(tenant.as_bytes());
        for (name, generation, position) in read_models {
            part(name.as_bytes());
            part(&generation.to_be_bytes());
            part(&position.0.to_be_bytes());
        }
        part(b"");
        part(scope.as_bytes());
        part(question);
        CacheKey(hash.finalize().into())
    }

    /// The digest itself.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
