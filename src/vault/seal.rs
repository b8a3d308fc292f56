//! Sealing one value: XChaCha20-Poly1305 under the subject's key, bound to the place where it stands.

use chacha20poly1305::aead::rand_core::RngCore as _;
use chacha20poly1305::aead::{Aead as _, OsRng, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use uuid::Uuid;

/// Bytes of a nonce; random ones of this length do not meet.
const NONCE_BYTES: usize = 24;

/// Bytes that nobody can guess.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// Where a sealed value stands: moved to another place it does not open.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Whose log.
    pub tenant: &'a str,
    /// Whose value.
    pub subject: &'a str,
    /// Which field of the event.
    pub field: &'a str,
    /// The event.
    pub event_id: Uuid,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        join(&[
            b"personal v1",
            self.tenant.as_bytes(),
            self.subject.as_bytes(),
            self.field.as_bytes(),
            self.event_id.as_bytes(),
        ])
    }
}

/// The key of one subject.
#[derive(Clone)]
pub struct SubjectKey(Key);

impl SubjectKey {
    /// A new one.
    pub(super) fn random() -> SubjectKey {
        SubjectKey(XChaCha20Poly1305::generate_key(&mut OsRng))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<SubjectKey> {
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        Some(SubjectKey(bytes.into()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Seals a value: hexadecimal of nonce, ciphertext and tag. The same value never looks the same twice.
    pub fn seal(&self, place: &Place<'_>, value: &str) -> String {
        hex(&encrypt(&self.0, value.as_bytes(), &place.bytes()))
    }

    /// Opens a sealed value; `None` if it was sealed under another key or stands somewhere else.
    pub fn open(&self, place: &Place<'_>, sealed: &str) -> Option<String> {
        let opened = decrypt(&self.0, &unhex(sealed)?, &place.bytes())?;
        String::from_utf8(opened).ok()
    }
}

/// Nonce, ciphertext and tag.
pub(super) fn encrypt(key: &Key, message: &[u8], about: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    OsRng.fill_bytes(&mut nonce);
    let payload = Payload {
        msg: message,
        aad: about,
    };
    let cipher = XChaCha20Poly1305::new(key);
    let encrypted = cipher.encrypt(&XNonce::from(nonce), payload);
    let encrypted = encrypted.expect("a value is shorter than 256 GiB");
    [&nonce[..], &encrypted].concat()
}

pub(super) fn decrypt(key: &Key, sealed: &[u8], about: &[u8]) -> Option<Vec<u8>> {
    let (nonce, encrypted) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload {
        msg: encrypted,
        aad: about,
    };
    let cipher = XChaCha20Poly1305::new(key);
    cipher.decrypt(&XNonce::from(*nonce), payload).ok()
}

/// Parts, each with its length in front: no two lists look the same.
pub(super) fn join(parts: &[&[u8]]) -> Vec<u8> {
    let mut whole = Vec::new();
    joined(parts, |bytes| whole.extend(bytes));
    whole
}

/// What [`join`] gives, piece by piece.
pub(super) fn joined(parts: &[&[u8]], mut take: impl FnMut(&[u8])) {
    for part in parts {
        take(&(part.len() as u64).to_be_bytes());
        take(part);
    }
}

/// Two hexadecimal digits a byte, in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hexadecimal digits say, in either case.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Uuid = Uuid::from_u128(7);

    fn place() -> Place<'static> {
        Place {
            tenant: "t",
            subject: "user:1",
            field: "email",
            event_id: EVENT,
        }
    }

    #[test]
    fn a_value_opens_under_its_key_in_its_place_only() {
        let (key, other) = (SubjectKey::random(), SubjectKey::random());
        let sealed = key.seal(&place(), "ann@example.com");
        assert_eq!(
            key.open(&place(), &sealed).as_deref(),
            Some("ann@example.com")
        );
        assert_eq!(other.open(&place(), &sealed), None);
        let elsewhere = [
            Place {
                tenant: "u",
                ..place()
            },
            Place {
                subject: "user:2",
                ..place()
            },
            Place {
                field: "name",
                ..place()
            },
            Place {
                event_id: Uuid::nil(),
                ..place()
            },
            // The same bytes, cut elsewhere.
            Place {
                tenant: "tu",
                subject: "ser:1",
                ..place()
            },
        ];
        for elsewhere in elsewhere {
            assert_eq!(key.open(&elsewhere, &sealed), None, "{elsewhere:?}");
        }
    }

    #[test]
    fn what_was_changed_or_is_none_does_not_open() {
        let key = SubjectKey::random();
        let sealed = key.seal(&place(), "ann@example.com");
        for n in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[n] = if changed[n] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key.open(&place(), &changed), None, "digit {n}");
        }
        for none in [
            "",
            "0",
            "zz",
            &sealed[..48],
            &sealed[2..],
            &format!("{sealed}0"),
        ] {
            assert_eq!(key.open(&place(), none), None, "{none}");
        }
    }

    #[test]
    fn equal_values_do_not_look_equal_and_hold_nothing_of_what_they_say() {
        let key = SubjectKey::random();
        let (one, other) = (key.seal(&place(), "ann"), key.seal(&place(), "ann"));
        assert_ne!(one, other);
        assert!(!one.contains(&hex(b"ann")));
    }
}
