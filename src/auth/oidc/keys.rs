//! The keys of the foreign issuer (RFC 7517): which of them may have signed what.

use std::sync::Arc;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, RSAKeyParameters,
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;

/// Keys looked at of one set; an issuer has two or three.
const KEYS_MAX: usize = 100;

/// What is accepted of RSA, in bits of the modulus (RFC 7518, 3.3; above, checking takes too long).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;

/// What signatures with an RSA key may be, unless the key says which one.
const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Which key a token says that it was signed with.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub key_id: Option<String>,
    pub algorithm: Algorithm,
}

/// A key that tokens may be signed with.
pub struct Key {
    id: Option<String>,
    /// What it is for, by its kind and by what it says itself.
    algorithms: Vec<Algorithm>,
    public: DecodingKey,
}

/// The keys of the issuer at some time.
#[derive(Default)]
pub struct KeySet(Vec<Arc<Key>>);

impl Key {
    /// What signatures are checked with.
    pub fn public(&self) -> &DecodingKey {
        &self.public
    }

    /// A key as the issuer shows it; none if it is for something else, or nothing that is read here.
    fn read(shown: Value) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(shown).ok()?;
        let common = &jwk.common;
        let for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let operations = common.key_operations.as_ref();
        let for_checking = operations.is_none_or(|list| list.contains(&KeyOperations::Verify));
        if !for_signatures || !for_checking {
            return None;
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(parameters) => of_rsa(parameters)?,
            AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(parameters) => match parameters.curve {
                EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
                _ => return None,
            },
            // A secret that is shown to everybody, and whatever else there may be.
            _ => return None,
        };
        if let Some(only) = common.key_algorithm {
            algorithms.retain(|algorithm| Algorithm::try_from(only).ok() == Some(*algorithm));
        }
        let public = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty()).then(|| Key {
            id: jwk.common.key_id.clone(),
            algorithms,
            public,
        })
    }
}

fn of_rsa(parameters: &RSAKeyParameters) -> Option<Vec<Algorithm>> {
    let key = DecodingKey::from_rsa_components(&parameters.n, &parameters.e).ok()?;
    let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind() else {
        return None;
    };
    let leading = n.iter().position(|byte| *byte != 0)?;
    let bits = (n.len() - leading) * 8 - n[leading].leading_zeros() as usize;
    RSA_BITS.contains(&bits).then(|| RSA.to_vec())
}

impl KeySet {
    /// The keys of a set that can be used; those that cannot are passed over, since others may be meant for
    /// others. The error says why it is no set of keys at all.
    pub fn read(json: &[u8]) -> Result<KeySet, String> {
        #[derive(Deserialize)]
        struct Shown {
            keys: Vec<Value>,
        }
        let shown: Shown = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let keys = shown.keys.into_iter().take(KEYS_MAX).filter_map(Key::read);
        Ok(KeySet(keys.map(Arc::new).collect()))
    }

    /// The one key that is meant. A token may leave the name out while there is only one key; where several
    /// could be meant, none is guessed.
    pub fn find(&self, wanted: &Wanted) -> Option<Arc<Key>> {
        let named = |key: &&Arc<Key>| match &wanted.key_id {
            Some(_) => key.id == wanted.key_id && key.algorithms.contains(&wanted.algorithm),
            None => self.0.len() == 1 && key.algorithms.contains(&wanted.algorithm),
        };
        let mut meant = self.0.iter().filter(named);
        meant.next().filter(|_| meant.next().is_none()).cloned()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}
