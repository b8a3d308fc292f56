//! E-mail addresses: a strict subset of what RFC 5321 and 6531 allow, and when two are one.

use unicode_normalization::UnicodeNormalization;

use super::text::is_bad;
use super::too_large;
use crate::refusal::{Code, Refusal};

/// How many bytes an address may have (RFC 5321, 4.5.3.1.3, without its angle brackets).
pub const EMAIL_BYTES_MAX: usize = 254;
/// How many bytes the part before the `@` may have.
pub const EMAIL_LOCAL_BYTES_MAX: usize = 64;
/// How many bytes one label of the domain may have.
const LABEL_BYTES_MAX: usize = 63;

/// The address as it will be stored: trimmed and in Unicode's form NFC, otherwise as it was sent.
///
/// Accepted are `dot-atom@label.label`, with letters and digits of any script. Quoted local parts,
/// comments, addresses of hosts (`[192.0.2.1]`) and single labels (`localhost`) are not: nobody is
/// reached by them from here. No refusal repeats the address.
pub fn email(value: &str, field: &str) -> Result<String, Refusal> {
    let trimmed = value.trim();
    within(trimmed, EMAIL_BYTES_MAX, field)?;
    let address: String = trimmed.nfc().collect();
    within(&address, EMAIL_BYTES_MAX, field)?;
    let Some((local, domain)) = address.split_once('@') else {
        return Err(invalid(field, "has no @"));
    };
    within(local, EMAIL_LOCAL_BYTES_MAX, field)?;
    if !local.split('.').all(is_atom) {
        return Err(invalid(field, "has a local part that is not accepted"));
    }
    if !is_domain(domain) {
        return Err(invalid(field, "has no domain name after its @"));
    }
    Ok(address)
}

/// What makes two addresses one: neither case nor Unicode's composition. An internationalised
/// domain and its ASCII spelling (`xn--`) stay two.
pub fn email_canonical(address: &str) -> String {
    let lower = address.nfc().flat_map(char::to_lowercase);
    lower.nfc().collect()
}

fn is_atom(atom: &str) -> bool {
    !atom.is_empty()
        && atom
            .chars()
            .all(|c| is_letter_or_digit(c) || "!#$%&'*+-/=?^_`{|}~".contains(c))
}

fn is_domain(domain: &str) -> bool {
    let mut labels = domain.split('.');
    let last = domain.rsplit('.').next().unwrap_or_default();
    domain.contains('.') && labels.all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| is_letter_or_digit(c) || c == '-')
}

/// Some characters count as letters and are invisible all the same.
fn is_letter_or_digit(c: char) -> bool {
    c.is_alphanumeric() && !is_bad(c)
}

fn within(text: &str, limit: usize, field: &str) -> Result<(), Refusal> {
    if text.len() > limit {
        return Err(too_large(text.len(), limit, "bytes", field));
    }
    Ok(())
}

fn invalid(field: &str, what: &str) -> Refusal {
    Refusal::new(Code::Validation, format!("{field} {what}")).at([field])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(value: &str) -> Option<Code> {
        email(value, "email").err().map(|refusal| {
            assert_eq!(refusal.path, ["email"]);
            refusal.code
        })
    }

    #[test]
    fn addresses_people_have_are_accepted_as_sent() {
        let cases = [
            "ada@example.org",
            "Ada.Lovelace+daybook@Mail.Example.ORG",
            "o'hara@example.co.uk",
            "_-~@a.b",
            "1@2.x3",
            "j\u{f6}rg@m\u{fc}ller.de",
            "\u{738b}@\u{4f8b}\u{5b50}.\u{4e2d}\u{56fd}",
            "a@xn--mller-kva.de",
            "a@a-b.c-d",
        ];
        for address in cases {
            assert_eq!(email(address, "email"), Ok(address.to_owned()));
        }
        assert_eq!(email(" a@b.c\t", "email"), Ok("a@b.c".to_owned()));
        assert_eq!(
            email("jo\u{308}rg@b.c", "email"),
            Ok("j\u{f6}rg@b.c".to_owned()),
            "composed"
        );
    }

    #[test]
    fn what_reaches_nobody_is_refused() {
        let cases = [
            "",
            " ",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "a@b@c.d",
            "ada@example",
            "ada@localhost",
            "ada@example.",
            "ada@.org",
            "ada@a..b",
            ".ada@example.org",
            "ada.@example.org",
            "a..b@example.org",
            "a b@example.org",
            "ada@exa mple.org",
            "ada@-a.org",
            "ada@a-.org",
            "ada@a_b.org",
            "ada@192.0.2.1",
            "ada@[192.0.2.1]",
            "\"ada\"@example.org",
            "ada(x)@example.org",
            "Ada <ada@example.org>",
            "ada@example.org,eve@example.org",
            "a\0@example.org",
            "a\r\nBcc:eve@example.org",
            "a\u{200b}@example.org",
            "a\u{3164}@example.org",
            "a@ex\u{115f}ample.org",
            "a@ex\u{202e}ample.org",
            "a@\u{1f68c}.org",
            "a\u{ff20}example.org",
        ];
        for address in cases {
            assert_eq!(code(address), Some(Code::Validation), "{address:?}");
        }
    }

    #[test]
    fn lengths_are_counted_in_bytes() {
        let local = |bytes: usize| format!("{}@example.org", "x".repeat(bytes));
        assert_eq!(code(&local(64)), None);
        assert_eq!(code(&local(65)), Some(Code::TooLarge));
        let label = |bytes: usize| format!("a@{}.org", "x".repeat(bytes));
        assert_eq!(code(&label(63)), None);
        assert_eq!(code(&label(64)), Some(Code::Validation));
        let longest = format!("aa@{}bc.de", "x.".repeat(123));
        assert_eq!((longest.len(), code(&longest)), (254, None));
        let refusal = email(&format!("a{longest}"), "email").expect_err("255 bytes");
        assert_eq!(refusal.code, Code::TooLarge);
        assert_eq!(
            (&refusal.details["limit"], &refusal.details["actual"]),
            (&254.into(), &255.into())
        );
        assert_eq!(code(&"x@".repeat(1 << 20)), Some(Code::TooLarge));
    }

    #[test]
    fn case_and_composition_do_not_make_two_addresses() {
        let one = email_canonical("j\u{f6}rg@example.org");
        for spelling in [
            "J\u{d6}RG@EXAMPLE.ORG",
            "jo\u{308}rg@Example.org",
            "JO\u{308}rg@example.org",
        ] {
            assert_eq!(email_canonical(spelling), one, "{spelling}");
        }
        assert_ne!(email_canonical("jorg@example.org"), one);
        assert_ne!(email_canonical("j\u{f6}rg@example.com"), one);
    }

    proptest! {
        #[test]
        fn accepted_addresses_are_in_their_final_form(
            value in "[a-zA-Z.\u{e4}\u{130}\u{301}\\-+]{1,9}@[a-z\u{df}.\\-]{1,9}\\.[A-Z]{2}|\\PC{0,20}",
        ) {
            if let Ok(address) = email(&value, "email") {
                prop_assert_eq!(email(&address, "email"), Ok(address.clone()));
                let canonical = email_canonical(&address);
                prop_assert_eq!(email_canonical(&canonical), canonical);
            }
        }
    }
}
