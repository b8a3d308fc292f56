//! Seals of the log, and proofs that need nothing else but a public key.

use async_graphql::{SimpleObject, Value};

use crate::api::scalars::{DateTime, Json, Position};
use crate::seals::{Held, Proof, Sealed};

/// A seal: all events of the log up to a position, under the signed root of a Merkle tree.
#[derive(SimpleObject)]
pub struct Seal {
    /// The last event under it: events 1 to here.
    size: Position,
    /// The first event that no earlier seal holds.
    first: Position,
    /// The root over them (RFC 9162), in hexadecimal.
    root: String,
    /// SHA-256 of the statement before, in hexadecimal; zeros at the first.
    previous: String,
    /// When it was sealed.
    sealed_at: DateTime,
    /// The Ed25519 key that signed, in hexadecimal.
    public_key: String,
    /// The signature over the statement, in hexadecimal.
    signature: String,
    /// The statement that is signed, line by line.
    statement: String,
}

/// A proof that whoever has the public key can check without asking anybody.
#[derive(SimpleObject)]
pub struct LogProof {
    /// What it shows, in a sentence.
    shows: String,
    /// The keys that signed what it stands on, in hexadecimal. Compare them with what you noted.
    public_keys: Vec<String>,
    /// The proof itself: saved to a file, `daybook verify --proof` checks it. It holds what is stored,
    /// byte for byte; personal values are encrypted in there.
    file: Json,
}

impl From<Sealed> for Seal {
    fn from(sealed: Sealed) -> Seal {
        Seal {
            size: Position(domain::Position(sealed.size)),
            first: Position(domain::Position(sealed.first)),
            root: sealed.root,
            previous: sealed.previous,
            sealed_at: DateTime(sealed.sealed_at),
            public_key: sealed.public_key,
            signature: sealed.signature,
            statement: sealed.statement,
        }
    }
}

impl LogProof {
    /// A proof, with what it was found to show.
    pub fn new(proof: &Proof, held: Held) -> LogProof {
        let file = serde_json::to_value(proof).ok();
        LogProof {
            shows: held.shows,
            public_keys: held.public_keys,
            file: Json(
                file.and_then(|tree| Value::from_json(tree).ok())
                    .unwrap_or_default(),
            ),
        }
    }
}
