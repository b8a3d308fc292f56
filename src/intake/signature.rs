//! Who sent a webhook: the sender and we share a secret, and the raw body is signed with it.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// How long a signature is: the scheme's name and 32 bytes in hexadecimal.
const PREFIX: &str = "sha256=";

/// Is this the signature of `body` under one of these secrets, as `X-Hub-Signature-256` carries it? Takes as
/// long for a wrong one as for the right one.
pub fn is_signed(secrets: &[&[u8]], body: &[u8], signature: &str) -> bool {
    let Some(signature) = signature.strip_prefix(PREFIX).and_then(unhex) else {
        return false;
    };
    let signed = secrets.iter().filter(|secret| {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length is a key");
        mac.chain_update(body).verify_slice(&signature).is_ok()
    });
    signed.count() > 0
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
}
