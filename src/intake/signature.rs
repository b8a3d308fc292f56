//! Who sent a webhook: the sender and we share a secret, and the raw body is signed with it.

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What begins a signature in hexadecimal.
const PREFIX: &str = "sha256=";

/// What begins a symmetric signature of Standard Webhooks.
const VERSION: &str = "v1,";

/// Signatures of one delivery that are looked at; a sender that rotates its secret sends two.
const SIGNATURES_MAX: usize = 5;

/// What a delivery shows: it was read, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What stands before the body in what was signed.
    before: String,
    /// Any of them will do.
    claimed: Vec<[u8; 32]>,
}

impl Signature {
    /// As `X-Hub-Signature-256` carries it; `None` if it is none.
    pub fn of_github(text: &str) -> Option<Signature> {
        Some(Signature {
            before: String::new(),
            claimed: vec![text.strip_prefix(PREFIX).and_then(unhex)?],
        })
    }

    /// As `webhook-signature` carries it, for a delivery with this id and time; `None` if it is none.
    /// Signatures of other kinds beside it are passed over.
    pub fn of_standard(id: &str, timestamp: &str, text: &str) -> Option<Signature> {
        let signatures: Vec<&str> = text.split(' ').collect();
        let ours = signatures.iter().filter_map(|s| s.strip_prefix(VERSION));
        let claimed: Option<Vec<_>> = ours.map(unbase64).collect();
        let claimed = claimed.filter(|claimed| !claimed.is_empty())?;
        (signatures.len() <= SIGNATURES_MAX).then(|| Signature {
            before: format!("{id}.{timestamp}."),
            claimed,
        })
    }

    /// Is this the signature of `body` under one of these secrets? Takes as long for a wrong one as for
    /// the right one.
    pub fn is_of(&self, secrets: &[&[u8]], body: &[u8]) -> bool {
        let signed = secrets.iter().map(|secret| {
            let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length is a key");
            let mac = mac.chain_update(&self.before).chain_update(body);
            let fits = |claimed: &&[u8; 32]| mac.clone().verify_slice(&claimed[..]).is_ok();
            self.claimed.iter().filter(fits).count()
        });
        signed.sum::<usize>() > 0
    }
}

fn unbase64(text: &str) -> Option<[u8; 32]> {
    Base64::decode_vec(text).ok()?.try_into().ok()
}

/// 32 bytes of lower-case hexadecimal; nothing else is one.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const VECTORS: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/webhooks_github/signature_vectors.json"
    ));

    fn is_signed(secrets: &[&[u8]], body: &[u8], signature: &str) -> bool {
        Signature::of_github(signature).is_some_and(|signature| signature.is_of(secrets, body))
    }

    #[test]
    fn the_published_vectors_hold() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let text = |name: &str| case[name].as_str().unwrap();
            let secrets: [&[u8]; 1] = [text("secret").as_bytes()];
            let signed = is_signed(&secrets, text("body").as_bytes(), text("signature"));
            assert_eq!(signed, case["valid"].as_bool().unwrap(), "{case}");
        }
    }

    #[test]
    fn nothing_but_the_signature_of_these_bytes_will_do() {
        let (secret, body): (&[u8], &[u8]) = (b"mysecret", br#"{"foo":"bar"}"#);
        let right = "sha256=4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3";
        assert!(is_signed(&[secret], body, right));
        assert!(is_signed(&[b"the next one", secret], body, right));
        assert!(!is_signed(&[], body, right));
        assert!(!is_signed(&[b"the next one"], body, right));
        assert!(!is_signed(&[secret], br#"{"foo": "bar"}"#, right));
        let wrong = [
            right.to_uppercase(),
            right.replace("sha256=", "sha1="),
            right.replace("sha256=", ""),
            right[..right.len() - 2].to_owned(),
            format!("{right}00"),
            right.replace('4', "5"),
            right.replace('a', "\u{e4}"),
            String::new(),
        ];
        for signature in wrong {
            assert!(!is_signed(&[secret], body, &signature), "{signature}");
        }
    }

    /// The vector that the libraries of Standard Webhooks share.
    #[test]
    fn a_standard_signature_covers_id_time_and_body() {
        let secret = Base64::decode_vec("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        let (body, own) = (
            br#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        );
        let check = |id: &str, at: &str, body: &[u8], text: &str| {
            let signature = Signature::of_standard(id, at, text);
            signature.is_some_and(|signature| signature.is_of(&[&secret], body))
        };
        let other = format!("v1,{}", Base64::encode_string(&[7; 32]));
        assert!(check(id, at, body, own));
        assert!(check(id, at, body, &format!("{other} v1a,AAAA {own}")));
        assert!(!check("msg_p", at, body, own));
        assert!(!check(id, "1614265331", body, own));
        assert!(!check(id, at, br#"{"test":2432232314}"#, own));
        assert!(!check(id, at, body, &other));
        assert!(!check(id, at, body, &[own; 6].join(" ")));
        for none in [
            "",
            "v1,",
            "v1",
            "v1,g0hM9SsE",
            "v1a,g0hM",
            &own[3..],
            &own.to_uppercase(),
        ] {
            assert!(!check(id, at, body, none), "{none}");
        }
    }
}
