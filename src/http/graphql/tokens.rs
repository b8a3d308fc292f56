//! One pass over the text of a document before any parser sees it: bytes, tokens, nesting, escapes.
//!
//! The parser behind recurses on brackets and gives up the thread on half a surrogate pair, so both
//! are refused here. What is merely not GraphQL passes: the parser says so better.

use crate::api::fault::{Fault, FaultCode};
use crate::config::Limits;

/// Deepest nesting of brackets of any kind.
const BRACKETS_MAX: usize = 64;

/// Refuses texts that are too long to be looked at.
pub fn check_length(text: &str, limits: &Limits) -> Result<(), Fault> {
    let limit = limits.query_bytes_max.len();
    if text.len() <= limit {
        return Ok(());
    }
    Err(Fault::of(FaultCode::TokenLimit)
        .with("limit", limit)
        .with("actual", text.len()))
}

/// Checks a document's text. Linear in its length, which is bounded.
pub fn check(text: &str, limits: &Limits) -> Result<(), Fault> {
    check_length(text, limits)?;
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut open) = (0, 0usize, 0usize);
    while let Some(&byte) = bytes.get(at) {
        at = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b'#' => {
                at = ignored(bytes, at);
                continue;
            }
            b'"' => string(bytes, at)?,
            b'.' => skip(bytes, at, |b| b == b'.'),
            b'{' | b'(' | b'[' => {
                open += 1;
                at + 1
            }
            b'}' | b')' | b']' => {
                open = open.saturating_sub(1);
                at + 1
            }
            _ if word(byte) => skip(bytes, at, |b| word(b) || b == b'.'),
            _ => at + 1,
        };
        tokens += 1;
        if open > BRACKETS_MAX {
            return Err(Fault::of(FaultCode::DepthLimit).with("limit", BRACKETS_MAX));
        }
        if tokens > limits.tokens_max {
            return Err(Fault::of(FaultCode::TokenLimit).with("limit", limits.tokens_max));
        }
    }
    Ok(())
}

/// Past white space, or a comment.
fn ignored(bytes: &[u8], at: usize) -> usize {
    if bytes[at] == b'#' {
        skip(bytes, at, |b| b != b'\n' && b != b'\r')
    } else {
        at + 1
    }
}

/// A name's or a number's byte; anything beyond ASCII counts as one.
fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte == b'+' || byte >= 0x80
}

fn skip(bytes: &[u8], from: usize, still: impl Fn(u8) -> bool) -> usize {
    bytes[from..]
        .iter()
        .position(|&b| !still(b))
        .map_or(bytes.len(), |n| from + n)
}

/// Where the string that begins at `from` ends. An unfinished one ends with the document.
fn string(bytes: &[u8], from: usize) -> Result<usize, Fault> {
    let block = bytes[from..].starts_with(b"\"\"\"");
    let mut at = from + if block { 3 } else { 1 };
    while let Some(&byte) = bytes.get(at) {
        match byte {
            0 => return Err(Fault::of(FaultCode::BadText)),
            b'"' if !block => return Ok(at + 1),
            b'"' if bytes[at..].starts_with(b"\"\"\"") => return Ok(at + 3),
            b'\\' if block && bytes[at..].starts_with(b"\\\"\"\"") => at += 4,
            b'\\' if !block => at += escape(bytes, at)?,
            b'\n' | b'\r' if !block => return Ok(at),
            _ => at += 1,
        }
    }
    Ok(at)
}

/// How long an escape sequence is. `\u0000` and surrogates are refused, paired or not: GraphQL text
/// is UTF-8 and needs no pairs.
fn escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    if bytes.get(at + 1) != Some(&b'u') {
        return Ok(2);
    }
    let digits = bytes
        .get(at + 2..at + 6)
        .and_then(|d| std::str::from_utf8(d).ok());
    match digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
        Some(code) if code == 0 || char::from_u32(code).is_none() => {
            Err(Fault::of(FaultCode::BadText))
        }
        _ => Ok(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn check(text: &str, expect: &str) {
        let got = super::check(text, &Settings::default().limits)
            .map_or_else(|fault| fault.code(), |()| "ok");
        assert_eq!(got, expect, "{}", &text[..text.len().min(60)]);
    }

    #[test]
    fn counts_tokens_not_bytes_of_comments() {
        check(
            "query Q($a: Int = -1.5e3) { f(a: $a, s: \"x, y { z\") @include(if: true) { g } }",
            "ok",
        );
        check(&"a ".repeat(2_000), "ok");
        check(&"a ".repeat(2_001), "TOKEN_LIMIT");
        check(&format!("# {}\n{{ a }}", "{ ".repeat(3_000)), "ok");
        check(
            &format!("{{ a(s: \"\"\"{}\"\"\") }}", "{ ".repeat(3_000)),
            "ok",
        );
        check(&format!("{{ {} }}", "a".repeat(16_384)), "TOKEN_LIMIT");
    }

    #[test]
    fn bounds_nesting() {
        check(&"{a".repeat(BRACKETS_MAX), "ok");
        check(&"[".repeat(BRACKETS_MAX + 1), "DEPTH_LIMIT");
        check(&"{}".repeat(500), "ok");
    }

    #[test]
    fn refuses_escapes_that_are_no_characters() {
        for text in [
            r#""\u0000""#,
            r#""\ud800""#,
            r#""\uDFFF""#,
            r#""\ud83d\ude80""#,
            "\"\0\"",
        ] {
            check(text, "BAD_TEXT");
        }
        for text in [
            r#""\u00e9 \\ud800 \" ""#,
            r#""\u12"#,
            r#""""\ud800""""#,
            "\"",
            "\"\"\"",
            "\"\\",
        ] {
            check(text, "ok");
        }
    }
}
