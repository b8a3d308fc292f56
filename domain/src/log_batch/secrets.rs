//! Passwords, keys and tokens that a program has logged by mistake: they do not enter the log.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::{Map, Value};

use super::LogObject;
use crate::values::excerpt;

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Names of secrets, written small and without `-` and `_`. Of a name with dots, such as
/// `http.request.header.cookie`, the last part is looked at.
const NAMES: &[&str] = &[
    "pwd",
    "authorization",
    "proxyauthorization",
    "cookie",
    "setcookie",
    "token",
    "idtoken",
    "csrf",
    "xsrf",
];

/// How names of secrets end, whatever stands before: `db_password`, `X-Api-Key`.
const ENDINGS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secretkey",
    "secretaccesskey",
    "privatekey",
    "apikey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "sessiontoken",
    "csrftoken",
    "xsrftoken",
];

/// The last letters of all of those: few other names end so.
const LAST: &[u8] = b"defnty";

/// How many letters of a name are looked at, from its end: more than any of those has.
const LETTERS: usize = 24;

/// How many bytes before `=` are looked at for a name.
const NAME_BYTES: usize = 64;

/// How many characters of a token must follow what it is known by: keys of Daybook, tokens of Slack
/// (`xoxb-`, `xoxp-`, ...), and what stands behind `Bearer` or `bearer`.
const KEY_LEAST: usize = 8;
const SLACK_LEAST: usize = 6;
const BEARER_LEAST: usize = 16;

/// Whatever is known by how it begins or by a name before it has one of these behind that.
pub(super) const MARKS: [u8; 5] = *b"_- =:";

/// Values that tell nothing.
const NOTHING: [&[u8]; 5] = [b"null", b"none", b"nil", b"true", b"false"];

/// Is this the name of a secret, and the value not just whether there is one?
pub(super) fn is_named(key: &str, value: &Value) -> bool {
    let empty = match value {
        Value::Null | Value::Bool(_) => true,
        Value::String(text) => text.is_empty() || text == REDACTED,
        _ => false,
    };
    !empty && is_name(key)
}

/// Is this the name of a secret?
pub(super) fn is_name(key: &str) -> bool {
    is_name_of(key.as_bytes())
}

fn is_name_of(key: &[u8]) -> bool {
    let (mut letters, mut at) = ([0; LETTERS], LETTERS);
    for byte in key.iter().rev() {
        match byte {
            b'.' | b':' | b'/' => break,
            b'-' | b'_' => {}
            _ if at == 0 => break,
            byte => {
                at -= 1;
                letters[at] = byte.to_ascii_lowercase();
            }
        }
    }
    let name = &letters[at..];
    name.last().is_some_and(|last| LAST.contains(last))
        && (NAMES.iter().any(|known| known.as_bytes() == name)
            || ENDINGS.iter().any(|end| name.ends_with(end.as_bytes())))
}

/// Does the text hold a secret that is known by how it begins, or by a name before it?
pub(super) fn is_within(text: &str) -> bool {
    Secrets { text, at: 0 }.next().is_some()
}

/// The text without its secrets.
pub(super) fn without(text: &str) -> Cow<'_, str> {
    let mut secrets = Secrets { text, at: 0 }.peekable();
    if secrets.peek().is_none() {
        return text.into();
    }
    let (mut kept, mut end) = (String::with_capacity(text.len()), 0);
    for secret in secrets {
        kept.push_str(&text[end..secret.start]);
        kept.push_str(REDACTED);
        end = secret.end;
    }
    (kept + &text[end..]).into()
}

/// Takes the secrets out of texts; adds the name of each that held one to `paths`.
pub(super) fn clean<const N: usize>(
    texts: [(&str, Option<&mut String>); N],
    paths: &mut Vec<String>,
) {
    for (field, text) in texts {
        let Some(text) = text else { continue };
        let clean = match without(text) {
            Cow::Borrowed(_) => continue,
            Cow::Owned(clean) => clean,
        };
        *text = clean;
        paths.push(field.to_owned());
    }
}

/// An id that holds a secret is known by a pseudonym: no two of them may become one.
pub(super) fn clean_id(
    id: Option<&mut String>,
    pseudonym: &dyn Fn(&str) -> String,
    paths: &mut Vec<String>,
) {
    if let Some(id) = id.filter(|id| is_within(id)) {
        *id = format!("{REDACTED}-{}", pseudonym(id));
        paths.push("eventId".to_owned());
    }
}

/// The beginning of what was said, as a refusal may show it.
pub(crate) fn shown(text: &str) -> String {
    excerpt(&without(text))
}

/// Every secret within a text, in their order. Texts come from outside: it is gone over once, however
/// many there are, since what was found to be one is not looked at again.
struct Secrets<'t> {
    text: &'t str,
    /// Where to go on.
    at: usize,
}

impl Iterator for Secrets<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            let secret = match byte {
                b'_' => key(bytes, self.at),
                b'-' => slack(bytes, self.at),
                b' ' => bearer(bytes, self.at),
                b'=' | b':' => named(bytes, self.at),
                _ => None,
            };
            if let Some(secret) = secret {
                self.at = secret.end;
                return Some(secret);
            }
        }
        None
    }
}

/// `dbk_...`, of which so much was read.
fn key(bytes: &[u8], read: usize) -> Option<Range<usize>> {
    let start = mark(bytes, read, b"dbk_")?;
    token(bytes, read, KEY_LEAST).map(|end| start..end)
}

/// `xoxb-...`
fn slack(bytes: &[u8], read: usize) -> Option<Range<usize>> {
    let kind = read.checked_sub(2)?;
    let start = mark(bytes, kind, b"xox")?;
    let end = bytes[kind].is_ascii_lowercase().then_some(read)?;
    token(bytes, end, SLACK_LEAST).map(|end| start..end)
}

/// `Bearer ...`: the token is the secret, not the word.
fn bearer(bytes: &[u8], read: usize) -> Option<Range<usize>> {
    mark(bytes, read, b"Bearer ").or_else(|| mark(bytes, read, b"bearer "))?;
    token(bytes, read, BEARER_LEAST).map(|end| read..end)
}

/// Where the mark begins that ends here, unless that is within a word.
fn mark(bytes: &[u8], end: usize, mark: &[u8]) -> Option<usize> {
    let before = bytes[..end].strip_suffix(mark)?;
    let within = before.last().is_some_and(u8::is_ascii_alphanumeric);
    (!within).then_some(before.len())
}

/// Where the token ends that begins here, if it is one.
fn token(bytes: &[u8], start: usize, least: usize) -> Option<usize> {
    let is_of_token = |byte: &&u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    };
    let length = bytes[start..].iter().take_while(is_of_token).count();
    (length >= least).then_some(start + length)
}

/// What stands behind `name=`, `name = ` or `"name":`, of which so much was read, if the name is that of
/// a secret.
fn named(bytes: &[u8], read: usize) -> Option<Range<usize>> {
    let before = &bytes[..read - 1];
    let (before, spaced) = match bytes[read - 1] {
        b'=' => match before.strip_suffix(b" ") {
            Some(before) => (before, true),
            None => (before, false),
        },
        _ => {
            let before = before.strip_suffix(b"\"")?;
            (before.strip_suffix(b"\\").unwrap_or(before), true)
        }
    };
    let is_of_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let last = before.iter().rev().take(NAME_BYTES);
    let length = last.take_while(is_of_name).count();
    if !is_name_of(&before[before.len() - length..]) {
        return None;
    }
    let spaces = bytes[read..].iter().take_while(|b| **b == b' ').count();
    value(bytes, read + if spaced { spaces } else { 0 })
}

/// The value that begins here, without its quotes, unless it tells nothing. Of one whose quote is not
/// closed that is all there is.
fn value(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = &bytes[at..];
    let (quote, start) = match rest {
        [b'\\', quote @ (b'"' | b'\''), ..] => (Some((*quote, true)), at + 2),
        [quote @ (b'"' | b'\''), ..] => (Some((*quote, false)), at + 1),
        _ => (None, at),
    };
    let rest = &bytes[start..];
    if rest.starts_with(REDACTED.as_bytes()) || rest.starts_with(b"=") {
        return None;
    }
    let length = match quote {
        Some((quote, escaped)) => closed(rest, quote, escaped),
        None => rest.iter().position(|byte| {
            byte.is_ascii_whitespace() || matches!(byte, b'&' | b';' | b',' | b'"' | b'\'')
        }),
    };
    let value = &rest[..length.unwrap_or(rest.len())];
    let tells = !value.is_empty() && !NOTHING.iter().any(|word| value.eq_ignore_ascii_case(word));
    tells.then_some(start..start + value.len())
}

/// How long what is quoted is; where the quotes themselves are written `\"`, up to the next of those.
fn closed(rest: &[u8], quote: u8, escaped: bool) -> Option<usize> {
    let mut behind_backslash = false;
    for (at, byte) in rest.iter().enumerate() {
        if *byte == quote && behind_backslash == escaped {
            return Some(at - usize::from(escaped));
        }
        behind_backslash = *byte == b'\\' && !behind_backslash;
    }
    None
}

/// The object without its secrets; adds the path of each to `paths`.
pub(super) fn redact(object: &LogObject, field: &str, paths: &mut Vec<String>) -> LogObject {
    let mut path = field.to_owned();
    map(object, &mut path, paths).into()
}

fn map(
    object: &Map<String, Value>,
    path: &mut String,
    paths: &mut Vec<String>,
) -> Map<String, Value> {
    let entries = object.iter().map(|(key, inner)| {
        let (length, name) = (path.len(), without(key));
        path.push('.');
        path.push_str(&name);
        let redacted = if is_named(key, inner) {
            paths.push(path.clone());
            Value::from(REDACTED)
        } else {
            if let Cow::Owned(_) = name {
                paths.push(path.clone());
            }
            value_of(inner, path, paths)
        };
        path.truncate(length);
        (name.into_owned(), redacted)
    });
    entries.collect()
}

fn value_of(value: &Value, path: &mut String, paths: &mut Vec<String>) -> Value {
    match value {
        Value::String(text) => match without(text) {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => {
                paths.push(path.clone());
                text.into()
            }
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| value_of(item, path, paths));
            items.collect()
        }
        Value::Object(inner) => Value::Object(map(inner, path, paths)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn redacted(value: Value) -> (Value, Vec<String>) {
        let object: LogObject = serde_json::from_value(value).expect("an object");
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

    /// Each of these would take hours if the rest of the text were gone over from every mark in it.
    #[test]
    fn a_text_is_gone_over_once() {
        let cases = [
            ("dbk_", "[redacted]"),
            ("xoxa-", "[redacted]"),
            ("password=", "password="),
            ("token=\"", "token=\"[redacted]\""),
        ];
        for (mark, kept) in cases {
            let text = mark.repeat(1 << 20);
            assert!(without(&text).starts_with(kept), "{mark}");
        }
        for mark in [
            "secret='[redacted]",
            "_",
            "=",
            "Bearer ",
            "token:\\\"",
            "\"token\":\\",
        ] {
            without(&mark.repeat(1 << 18));
        }
    }

    #[test]
    fn what_stands_behind_a_secret_s_name_is_cut_out_alone() {
        let cases = [
            (
                "GET /cb?access_token=a.b&x=1",
                "GET /cb?access_token=[redacted]&x=1",
            ),
            ("db.password = hunter2, ok", "db.password = [redacted], ok"),
            ("PGPASSWORD='hun ter' psql", "PGPASSWORD='[redacted]' psql"),
            (
                r#"{"user": "ann", "password": "a\"b", "n": 1}"#,
                r#"{"user": "ann", "password": "[redacted]", "n": 1}"#,
            ),
            (
                r#"{\"apiKey\":\"k\",\"n\":1}"#,
                r#"{\"apiKey\":\"[redacted]\",\"n\":1}"#,
            ),
            ("client-secret=\"never closed", "client-secret=\"[redacted]"),
        ];
        for (said, kept) in cases {
            assert_eq!(without(said), kept);
            assert_eq!(without(kept), kept, "once is enough");
        }
        for said in [
            "password=&user=ann",
            "password= user=ann",
            "password = null",
            "token==x",
            "next_page_token=7",
            "a token: 7",
            "tokens=7",
            "password=true",
            "secretary=ann",
            "=7",
            "\"note\": \"7\"",
        ] {
            assert_eq!(without(said), said);
        }
    }

    #[test]
    fn a_name_is_a_secret_s_by_its_last_part_or_by_its_end() {
        for name in [
            "http.request.header.authorization",
            "http.request.header.set-cookie",
            "db.password",
            "aws_secret_access_key",
            "userPassword",
            "x-auth-token",
            "X-CSRF-Token",
            "csrf",
            "header/cookie",
            "Client-Secret",
            "stripe_api_key",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "password.length",
            "cookie.count",
            "",
            ".",
            "secretary",
            "tokenizer",
            "bid_token",
        ] {
            assert!(!is_name(name), "{name}");
        }
        let longest = NAMES.iter().chain(ENDINGS).map(|name| name.len()).max();
        assert!(longest < Some(LETTERS));
        let all = NAMES.iter().chain(ENDINGS);
        assert!(
            all.flat_map(|name| name.bytes().last())
                .all(|last| LAST.contains(&last))
        );
    }

    #[test]
    fn a_name_that_is_itself_a_secret_is_cut_out() {
        let (kept, paths) = redacted(json!({"a": {"dbk_live_0123456789": 7}}));
        assert_eq!(kept, json!({"a": {REDACTED: 7}}));
        assert_eq!(paths, ["properties.a.[redacted]"]);
    }

    proptest! {
        /// Once is enough: what was redacted holds no secret, and nothing panics.
        #[test]
        fn nothing_is_left_over(
            parts in prop::collection::vec(
                prop_oneof!["\\PC{0,6}", Just("xoxb-".into()), Just("dbk_".into()),
                            Just("Bearer ".into()), Just("token=".into()),
                            Just("\"secret\":".into()), Just("\\\"".into()),
                            "[a-zA-Z0-9=/_-]{8,20}"], 0..12),
        ) {
            let said = parts.concat();
            let kept = without(&said);
            prop_assert!(!is_within(&kept), "{kept:?}");
        }
    }
}
