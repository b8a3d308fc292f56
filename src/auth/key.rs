//! Signing keys: Ed25519 pairs, and the ring of those that sign or verify at one moment.

use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::Serialize;

use crate::vault::random_bytes;

/// A key pair and its name.
pub struct SigningKey {
    pub(super) private: EncodingKey,
    seed: [u8; 32],
    public: String,
    id: String,
}

/// A key that tokens are checked with.
pub struct VerifyingKey {
    id: String,
    public: DecodingKey,
    /// Nothing it signed is good from then on; `None` while it signs.
    until: Option<DateTime<Utc>>,
}

/// The public part of a key as RFC 8037 writes it: an entry of a JSON Web Key Set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    use_for: &'static str,
    /// The key's id.
    pub kid: String,
    /// The 32 bytes in base64url.
    pub x: String,
}

/// What signs and verifies at one moment. Nothing in it changes.
#[derive(Default)]
pub struct Ring {
    /// Version of the stream that it was made of.
    pub version: i64,
    signing: Option<SigningKey>,
    verifying: Vec<VerifyingKey>,
    /// Each with the time from which on it is told of no more.
    published: Vec<(PublicKey, Option<DateTime<Utc>>)>,
}

/// What stands before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

impl SigningKey {
    /// A new one.
    pub fn random() -> SigningKey {
        SigningKey::of_seed(random_bytes())
    }

    /// The key of this seed (RFC 8032, 5.1.5).
    ///
    /// # Panics
    /// Never: any 32 bytes are a seed.
    pub fn of_seed(seed: [u8; 32]) -> SigningKey {
        let private = EncodingKey::from_ed_der(&[&PKCS8_HEAD[..], &seed].concat());
        let jwk = Jwk::from_encoding_key(&private, Algorithm::EdDSA).expect("any seed is a key");
        let AlgorithmParameters::OctetKeyPair(parameters) = &jwk.algorithm else {
            unreachable!("an Ed25519 key is an octet key pair");
        };
        SigningKey {
            seed,
            public: parameters.x.clone(),
            id: jwk
                .thumbprint(ThumbprintHash::SHA256)
                .expect("a key has one"),
            private,
        }
    }

    /// The key's name: its thumbprint (RFC 7638).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public part in base64url.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The private part.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }
}

impl VerifyingKey {
    /// Of a public part in base64url; `None` if it is none.
    pub fn new(id: &str, public: &str, until: Option<DateTime<Utc>>) -> Option<VerifyingKey> {
        Some(VerifyingKey {
            id: id.to_owned(),
            public: DecodingKey::from_ed_components(public).ok()?,
            until,
        })
    }
}

impl PublicKey {
    /// Of an id and the public part in base64url.
    pub fn new(kid: &str, x: &str) -> PublicKey {
        PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            use_for: "sig",
            kid: kid.to_owned(),
            x: x.to_owned(),
        }
    }
}

impl Ring {
    /// One key that signs, and is known by nothing but itself.
    pub fn of(key: SigningKey) -> Ring {
        let verifying = VerifyingKey::new(key.id(), key.public(), None);
        Ring {
            version: 0,
            published: vec![(PublicKey::new(key.id(), key.public()), None)],
            verifying: verifying.into_iter().collect(),
            signing: Some(key),
        }
    }

    /// Of keys that were found out.
    pub fn new(
        version: i64,
        signing: Option<SigningKey>,
        verifying: Vec<VerifyingKey>,
        published: Vec<(PublicKey, Option<DateTime<Utc>>)>,
    ) -> Ring {
        Ring {
            version,
            signing,
            verifying,
            published,
        }
    }

    /// The key that signs.
    pub fn signing(&self) -> Option<&SigningKey> {
        self.signing.as_ref()
    }

    /// The key of this name, if what it signed is good now.
    pub fn verifier(&self, id: &str, now: DateTime<Utc>) -> Option<&DecodingKey> {
        let key = self.verifying.iter().find(|key| key.id == id)?;
        (!is_over(key.until, now)).then_some(&key.public)
    }

    /// The keys that others may check tokens with now, those that will sign included.
    pub fn published(&self, now: DateTime<Utc>) -> Vec<PublicKey> {
        let told = self.published.iter().filter(|key| !is_over(key.1, now));
        told.map(|(key, _)| key.clone()).collect()
    }
}

fn is_over(until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    until.is_some_and(|until| now >= until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_key_as_the_standard_says() {
        // RFC 8037, appendix A.1 to A.3.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let bytes: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(&seed[at..at + 2], 16).unwrap())
            .collect();
        let key = SigningKey::of_seed(bytes.try_into().unwrap());
        assert_eq!(key.public(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(VerifyingKey::new(key.id(), key.public(), None).is_some());
        assert!(VerifyingKey::new("k", "short", None).is_none());
    }

    #[test]
    fn a_retired_key_verifies_until_its_time() {
        let key = SigningKey::random();
        let until = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let retired = VerifyingKey::new(key.id(), key.public(), Some(until)).unwrap();
        let public = PublicKey::new(key.id(), key.public());
        let told = vec![(public.clone(), Some(until))];
        let ring = Ring::new(1, None, vec![retired], told);
        let before = until - chrono::TimeDelta::seconds(1);
        assert!(ring.verifier(key.id(), before).is_some());
        assert!(ring.verifier(key.id(), until).is_none());
        assert_eq!(ring.published(before), [public]);
        assert_eq!(ring.published(until), []);
        assert!(ring.verifier("other", before).is_none());
    }
}
