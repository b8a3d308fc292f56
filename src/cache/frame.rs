//! How an answer stands in Redis: with a code that only our processes can make (RFC 2104), bound to
//! its key. What somebody else wrote there, or what belongs under another key, is not believed.

use sha2::{Digest, Sha256};

use super::CacheKey;

/// Changes when the layout does.
const MAGIC: &[u8; 4] = b"DBC1";

/// What a frame takes beside the answer.
pub const OVERHEAD_BYTES: usize = MAGIC.len() + 32;

/// What is put before every name in Redis: processes with another secret, and those that serve
/// another database, share neither entries nor messages.
pub fn tag(secret: &[u8; 32]) -> String {
    let digest = Sha256::new_with_prefix(b"daybook cache tag")
        .chain_update(secret)
        .finalize();
    digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The answer with its code.
pub fn seal(secret: &[u8; 32], key: &CacheKey, answer: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(OVERHEAD_BYTES + answer.len());
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&code(secret, key.digest(), answer));
    frame.extend_from_slice(answer);
    frame
}

/// The answer, if it was sealed under this key by one of us.
pub fn open<'a>(secret: &[u8; 32], key: &CacheKey, frame: &'a [u8]) -> Option<&'a [u8]> {
    let rest = frame.strip_prefix(MAGIC)?;
    let (given, answer) = rest.split_at_checked(32)?;
    let expected = code(secret, key.digest(), answer);
    is_same(given, &expected).then_some(answer)
}

/// Is a code, or the first part of one, what was expected? Every byte is looked at, so that the time taken
/// tells nothing.
pub fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let differing = given
        .iter()
        .zip(expected)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    differing == 0
}

/// HMAC-SHA-256 of what something is bound to and what it says. The first is of one length.
pub fn code(secret: &[u8; 32], to: &[u8], said: &[u8]) -> [u8; 32] {
    let keyed = |pad: u8| {
        let mut block = [pad; 64];
        block
            .iter_mut()
            .zip(secret)
            .for_each(|(byte, secret)| *byte ^= secret);
        Sha256::new_with_prefix(block)
    };
    let inner = keyed(0x36).chain_update(to).chain_update(said).finalize();
    keyed(0x5c).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(question: &str) -> CacheKey {
        CacheKey::new("default", &[], "", question.as_bytes())
    }

    #[test]
    fn only_what_was_sealed_under_the_key_is_believed() {
        let (secret, other) = ([7; 32], [8; 32]);
        let frame = seal(&secret, &key("a"), b"answer");
        assert_eq!(open(&secret, &key("a"), &frame), Some(b"answer".as_slice()));
        assert_eq!(
            open(&secret, &key("a"), &seal(&secret, &key("a"), b"")),
            Some(b"".as_slice())
        );
        assert_eq!(open(&other, &key("a"), &frame), None);
        assert_eq!(open(&secret, &key("b"), &frame), None);
        for at in 0..frame.len() {
            let mut bent = frame.clone();
            bent[at] ^= 1;
            assert_eq!(open(&secret, &key("a"), &bent), None, "byte {at}");
            assert_eq!(open(&secret, &key("a"), &frame[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn the_code_is_that_of_the_standard() {
        // HMAC-SHA-256 with key 0x0b * 32, over the digest of the key and `answer`, computed by
        // the definition H(K ^ opad || H(K ^ ipad || m)) written out once more.
        let secret = [0x0b; 32];
        let pad = |byte: u8| {
            let mut block = vec![byte ^ 0x0b; 32];
            block.extend([byte; 32]);
            block
        };
        let message = [key("a").digest().as_slice(), b"answer"].concat();
        let inner = Sha256::digest([pad(0x36), message].concat());
        let outer = Sha256::digest([pad(0x5c), inner.to_vec()].concat());
        assert_eq!(code(&secret, key("a").digest(), b"answer")[..], outer[..]);
    }
}
