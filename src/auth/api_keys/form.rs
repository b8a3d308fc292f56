//! How a key of ours is written: what was mistyped or made up is told without asking anybody.

use crate::vault::random_bytes;

/// What a key of ours begins with.
const PREFIX: &str = "dbk_live_";

/// Letters and digits drawn at random: 178 bits.
const RANDOM_CHARS: usize = 30;

/// Letters and digits that follow from the others.
const CHECK_CHARS: usize = 6;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new key.
pub fn random_key() -> String {
    let key = PREFIX.to_owned() + &random_digits(RANDOM_CHARS);
    let check = check_of(&key);
    key + &check
}

/// A password that nobody guesses, for a machine to make and a person to type once.
pub fn random_word() -> String {
    random_digits(20)
}

fn random_digits(count: usize) -> String {
    let mut digits = String::with_capacity(count);
    while digits.len() < count {
        let bytes: [u8; 32] = random_bytes();
        // What would make some digits likelier than others is drawn again.
        let fair = bytes.into_iter().filter(|byte| *byte < 248);
        let wanted = fair.take(count - digits.len());
        digits.extend(wanted.map(|byte| char::from(DIGITS[usize::from(byte % 62)])));
    }
    digits
}

/// The six digits that follow from the rest of a key.
fn check_of(rest: &str) -> String {
    let mut sum = crc32fast::hash(rest.as_bytes());
    let mut digits = [0; CHECK_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(sum % 62) as usize];
        sum /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// Is it written as our keys are?
pub fn has_our_form(key: &str) -> bool {
    let length = PREFIX.len() + RANDOM_CHARS + CHECK_CHARS;
    key.len() == length
        && key.starts_with(PREFIX)
        && key.is_char_boundary(length - CHECK_CHARS)
        && check_of(&key[..length - CHECK_CHARS]) == key[length - CHECK_CHARS..]
}

/// The last four letters and digits, for people to know it by.
pub fn last_four(key: &str) -> String {
    let plain: Vec<char> = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let last: String = plain[plain.len().saturating_sub(4)..].iter().collect();
    format!("{last:0>4}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_form() {
        for _ in 0..100 {
            let key = random_key();
            assert!(has_our_form(&key), "{key}");
            let mut other = key.clone().into_bytes();
            let at = PREFIX.len() + 7;
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            assert!(!has_our_form(&String::from_utf8(other).unwrap()));
            assert!(!has_our_form(&key[1..]));
            assert!(!has_our_form(&format!("{key}0")));
        }
        for none in ["", "dbk_live_", "dbk_live_\u{e9}", &"\u{e9}".repeat(23)] {
            assert!(!has_our_form(none), "{none}");
        }
        assert_eq!(last_four("dbk-ab!c"), "kabc");
        assert_eq!(last_four("-a-"), "000a");
    }
}
