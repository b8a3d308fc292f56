//! Passwords, keys and tokens that a program has logged by mistake: they do not enter the log.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::attributes::Attributes;

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Names of secrets, written small and without `-` and `_`.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "clientsecret",
    "secretkey",
    "privatekey",
    "authorization",
    "proxyauthorization",
    "cookie",
    "setcookie",
    "token",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "authtoken",
    "apikey",
    "xapikey",
];

/// How a secret begins within a text, and how many characters must follow for it to be one: keys of
/// Daybook, tokens of Slack (`xoxb-`, `xoxp-`, ...), and what stands behind `Bearer` or `bearer`.
const MARKS: &[(&str, usize)] = &[(KEY, 8), (SLACK, 8), (BEARER, 16)];
const KEY: &str = "dbk_";
const SLACK: &str = "xox";
const BEARER: &str = "earer ";

/// Is this the name of a secret, and the value not just whether there is one?
pub(super) fn is_named(key: &str, value: &Value) -> bool {
    let empty = match value {
        Value::Null | Value::Bool(_) => true,
        Value::String(text) => text.is_empty() || text == REDACTED,
        _ => false,
    };
    !empty && NAMES.iter().any(|name| same(key, name))
}

fn same(key: &str, name: &str) -> bool {
    let letters = key.bytes().filter(|b| !matches!(b, b'-' | b'_'));
    letters.map(|b| b.to_ascii_lowercase()).eq(name.bytes())
}

/// Does the text hold a secret that is known by how it begins?
pub(super) fn is_within(text: &str) -> bool {
    within(text).next().is_some()
}

/// Every secret within a text, mark by mark. Once over the text for each mark, however many there
/// are: texts come from outside.
fn within(text: &str) -> impl Iterator<Item = Range<usize>> {
    MARKS.iter().flat_map(move |(mark, least)| {
        let places = text.match_indices(mark);
        places.filter_map(move |(at, _)| secret_at(text, at, mark, *least))
    })
}

/// The secret that this mark begins, unless the mark is within a word or too little follows.
fn secret_at(text: &str, at: usize, mark: &str, least: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let follows = at + mark.len();
    let (word, start) = match mark {
        // The token is the secret, not the word.
        BEARER => (at.checked_sub(1)?, follows),
        _ => (at, at),
    };
    let begins = match mark {
        BEARER => matches!(bytes[word], b'B' | b'b'),
        SLACK => matches!(bytes.get(follows..follows + 2), Some([b'a'..=b'z', b'-'])),
        _ => true,
    };
    if !begins || (word > 0 && bytes[word - 1].is_ascii_alphanumeric()) {
        return None;
    }
    let rest = &bytes[follows..];
    let length = rest.iter().take_while(|b| is_of_token(**b)).count();
    (length >= least).then_some(start..follows + length)
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// The object without its secrets; adds the path of each to `paths`.
pub(super) fn redact(object: &Attributes, field: &str, paths: &mut Vec<String>) -> Attributes {
    let mut path = field.to_owned();
    map(object, &mut path, paths).into()
}

fn map(
    object: &Map<String, Value>,
    path: &mut String,
    paths: &mut Vec<String>,
) -> Map<String, Value> {
    let entries = object.iter().map(|(key, inner)| {
        let length = path.len();
        path.push('.');
        path.push_str(key);
        let redacted = if is_named(key, inner) {
            paths.push(path.clone());
            Value::from(REDACTED)
        } else {
            value(inner, path, paths)
        };
        path.truncate(length);
        (key.clone(), redacted)
    });
    entries.collect()
}

fn value(value_: &Value, path: &mut String, paths: &mut Vec<String>) -> Value {
    match value_ {
        Value::String(text) if is_within(text) => {
            paths.push(path.clone());
            Value::from(without(text))
        }
        Value::Array(items) => items.iter().map(|item| value(item, path, paths)).collect(),
        Value::Object(inner) => Value::Object(map(inner, path, paths)),
        other => other.clone(),
    }
}

fn without(text: &str) -> String {
    let mut secrets: Vec<_> = within(text).collect();
    secrets.sort_by_key(|secret| secret.start);
    let (mut kept, mut end) = (String::with_capacity(text.len()), 0);
    for secret in secrets {
        if secret.start >= end {
            kept.push_str(&text[end..secret.start]);
            kept.push_str(REDACTED);
        }
        end = end.max(secret.end);
    }
    kept + &text[end..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn redacted(value: Value) -> (Value, Vec<String>) {
        let object: Attributes = serde_json::from_value(value).expect("an object");
        let mut paths = Vec::new();
        let kept = redact(&object, "properties", &mut paths);
        (Value::Object((*kept).clone()), paths)
    }

    /// N7
    #[test]
    fn what_is_named_a_secret_is_one() {
        let said = json!({
            "password": "hunter2", "X-Api-Key": "k", "ACCESS_TOKEN": 17,
            "headers": [{"Authorization": ["Basic", "x"], "Accept": "*/*"}],
        });
        let (kept, mut paths) = redacted(said);
        let expected = json!({
            "password": REDACTED, "X-Api-Key": REDACTED, "ACCESS_TOKEN": REDACTED,
            "headers": [{"Authorization": REDACTED, "Accept": "*/*"}],
        });
        assert_eq!(kept, expected);
        paths.sort();
        let expected = [
            "properties.ACCESS_TOKEN",
            "properties.X-Api-Key",
            "properties.headers.Authorization",
            "properties.password",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn what_only_sounds_like_a_secret_stays() {
        let said = json!({
            "passwordLength": 9, "token_count": 512, "tokens": ["a"], "password": true, "secret": null,
            "cookie": "", "title": "Authentication using Bearer Token", "file": "boxox-12345678",
            "key": "dbk_short", "word": "xoxoxoxoxoxoxoxo", "id": "adbk_live_0123456789",
        });
        assert_eq!(redacted(said.clone()), (said, Vec::new()));
    }

    #[test]
    fn a_token_within_a_text_is_cut_out_alone() {
        let cases = [
            ("sent xoxb-123456789012-abc to it", "sent [redacted] to it"),
            (
                "dbk_live_0123456789 and dbk_live_9876543210.",
                "[redacted] and [redacted]",
            ),
            (
                "Authorization: Bearer eyJhbGciOiJFZERTQSJ9.e30, ok",
                "Authorization: Bearer [redacted], ok",
            ),
            (
                "bearer 0123456789abcdef \u{1f68c}",
                "bearer [redacted] \u{1f68c}",
            ),
            ("key=\u{e9}dbk_live_0123456789", "key=\u{e9}[redacted]"),
        ];
        for (said, kept) in cases {
            assert!(is_within(said), "{said}");
            assert_eq!(without(said), kept);
        }
    }

    #[test]
    fn secrets_that_touch_are_all_cut_out() {
        let cases = [
            (
                "dbk_0123456789/Bearer 0123456789abcdef.",
                "[redacted] [redacted]",
            ),
            ("Bearer dbk_live_0123456789", "Bearer [redacted]"),
            ("xoxb-dbk_0123456789", "[redacted]"),
        ];
        for (said, kept) in cases {
            assert_eq!(without(said), kept);
        }
        let many = "dbk_0123456789 ".repeat(5_000);
        assert_eq!(without(&many), format!("{REDACTED} ").repeat(5_000));
    }

    proptest! {
        /// Once is enough: what was redacted holds no secret, and nothing panics.
        #[test]
        fn nothing_is_left_over(
            parts in prop::collection::vec(
                prop_oneof!["\\PC{0,6}", Just("xoxb-".into()), Just("dbk_".into()),
                            Just("Bearer ".into()), "[a-zA-Z0-9=/_-]{8,20}"], 0..12),
        ) {
            let kept = without(&parts.concat());
            prop_assert!(!is_within(&kept), "{kept:?}");
        }
    }
}
