//! A request's body: its type, its size, its time, and what it asks.

use async_graphql::{Name, Number, Value, Variables};
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use domain::Position;

use super::documents::{Digest, read_digest};
use crate::api;
use crate::api::fault::{Fault, FaultCode};
use crate::config::Http;
use crate::http::json::{self, JsonFlaw, Tree};

/// One operation as asked for: by its text, by the hash of it, or both.
#[derive(Default)]
pub struct Asked {
    /// The document's text.
    pub query: Option<String>,
    /// `extensions.persistedQuery.sha256Hash`: the document's hash.
    pub digest: Option<Digest>,
    /// Which of its operations.
    pub operation_name: Option<String>,
    /// Values of its variables.
    pub variables: Variables,
    /// `extensions.atLeast`: the position the caller insists on seeing.
    pub at_least: Option<Position>,
    /// `extensions.asOf.position`: the position all reads are as of.
    pub as_of: Option<Position>,
}

/// Reads the body: `application/json`, not encoded, not larger and not slower than allowed.
pub async fn read(settings: &Http, headers: &HeaderMap, body: Body) -> Result<Bytes, Fault> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    if headers.get_all(CONTENT_TYPE).iter().count() != 1
        || !text(CONTENT_TYPE).is_some_and(is_json)
        || text(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
    {
        return Err(Fault::of(FaultCode::UnsupportedMediaType));
    }
    collect(settings, headers, body, settings.body_bytes_max.len()).await
}

/// How long the body says it is.
pub fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body of any type, not larger than `limit` bytes and not slower than allowed.
pub async fn collect(
    settings: &Http,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, Fault> {
    let too_large = || Fault::of(FaultCode::PayloadTooLarge).with("limit", limit);
    if content_length(headers).is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    match tokio::time::timeout(settings.body_timeout, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Fault::new(FaultCode::BadRequest, "the body broke off")),
        Err(_) => Err(Fault::of(FaultCode::RequestTimeout)),
    }
}

/// `application/json`, with no parameter but `charset=utf-8`.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let utf8 = |p: &str| {
        p.eq_ignore_ascii_case("charset=utf-8") || p.eq_ignore_ascii_case("charset=\"utf-8\"")
    };
    json && parts.all(utf8)
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What the body asks.
pub fn parse(body: &[u8]) -> Result<Asked, Fault> {
    match json::parse(body).map_err(json_fault)? {
        Value::Object(members) => asked(members),
        Value::List(_) => Err(Fault::of(FaultCode::BatchingDisabled)),
        _ => Err(bad("the body is no JSON object")),
    }
}

/// What the parameters of a URL ask: the members of a body, `variables` and `extensions` as JSON.
pub fn parse_parameters(query: &str) -> Result<Asked, Fault> {
    let mut members = Members::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(text)) = (decoded(name), decoded(text)) else {
            return Err(bad("the query string cannot be read"));
        };
        let value = match name.as_str() {
            "query" | "operationName" if text.contains('\0') => {
                return Err(Fault::of(FaultCode::BadText));
            }
            "query" | "operationName" => Value::String(text),
            "variables" | "extensions" if text.is_empty() => Value::Null,
            "variables" | "extensions" => json::parse(text.as_bytes()).map_err(json_fault)?,
            _ => continue,
        };
        let value = if value == Value::String(String::new()) {
            Value::Null
        } else {
            value
        };
        if !Value::insert(&mut members, &name, value) {
            return Err(Fault::of(FaultCode::DuplicateKey).with("key", name));
        }
    }
    asked(members)
}

/// A part of a query string (`application/x-www-form-urlencoded`); none if it is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(plain).ok()
}

/// What the members of a request ask.
pub fn asked(mut members: Members) -> Result<Asked, Fault> {
    let mut take = |name: &str| {
        members
            .swap_remove(name)
            .filter(|value| *value != Value::Null)
    };
    let query = match take("query") {
        None => None,
        Some(Value::String(query)) => Some(query),
        Some(_) => return Err(bad("`query` is no text")),
    };
    let operation_name = match take("operationName") {
        None => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(bad("`operationName` is no text")),
    };
    let variables = match take("variables") {
        None => Variables::default(),
        Some(object @ Value::Object(_)) => Variables::from_value(object),
        Some(_) => return Err(bad("`variables` is no object")),
    };
    let (at_least, as_of, digest) = match take("extensions") {
        None => (None, None, None),
        Some(Value::Object(extensions)) => (
            extensions.get("atLeast").map(at_least).transpose()?,
            extensions.get("asOf").map(as_of).transpose()?,
            extensions.get("persistedQuery").map(digest).transpose()?,
        ),
        Some(_) => return Err(bad("`extensions` is no object")),
    };
    let digest = digest.flatten();
    if query.is_none() && digest.is_none() {
        return Err(bad("`query` is missing"));
    }
    Ok(Asked {
        query,
        digest,
        operation_name,
        variables,
        at_least: at_least.flatten(),
        as_of: as_of.flatten(),
    })
}

fn at_least(value: &Value) -> Result<Option<Position>, Fault> {
    let position = match value {
        Value::Null => return Ok(None),
        Value::String(text) => api::position(text),
        _ => None,
    };
    position
        .map(Some)
        .ok_or_else(|| Fault::of(FaultCode::BadPosition).with("field", "extensions.atLeast"))
}

/// The position of `{"position": "..."}`.
fn as_of(value: &Value) -> Result<Option<Position>, Fault> {
    let position = match value {
        Value::Null => return Ok(None),
        Value::Object(as_of) => match (as_of.len(), as_of.get("position")) {
            (1, Some(Value::String(text))) => api::position(text),
            _ => None,
        },
        _ => None,
    };
    position
        .map(Some)
        .ok_or_else(|| Fault::of(FaultCode::BadPosition).with("field", "extensions.asOf"))
}

/// The hash of `{"version": 1, "sha256Hash": "..."}`.
fn digest(value: &Value) -> Result<Option<Digest>, Fault> {
    let unreadable = || bad("`extensions.persistedQuery` needs version 1 and a sha256Hash");
    let persisted = match value {
        Value::Null => return Ok(None),
        Value::Object(persisted) => persisted,
        _ => return Err(unreadable()),
    };
    match (persisted.get("version"), persisted.get("sha256Hash")) {
        (Some(Value::Number(version)), Some(Value::String(hash)))
            if version.as_u64() == Some(1) =>
        {
            read_digest(hash).map(Some).ok_or_else(unreadable)
        }
        _ => Err(unreadable()),
    }
}

fn bad(message: &str) -> Fault {
    Fault::new(FaultCode::BadRequest, message)
}

/// A body that is one JSON object, in the words of a route of our own.
pub fn object_of(body: &[u8]) -> Result<serde_json::Value, Fault> {
    match json::parse(body).map_err(json_fault)? {
        object @ Value::Object(_) => object
            .into_json()
            .map_err(|_| Fault::of(FaultCode::BadJson)),
        _ => {
            let message = "the body is one JSON object: the command's fields";
            Err(Fault::new(FaultCode::BadRequest, message))
        }
    }
}

/// What is wrong with a body, as the caller is told.
pub fn json_fault(flaw: JsonFlaw) -> Fault {
    match flaw {
        JsonFlaw::Syntax(said) => Fault::new(FaultCode::BadJson, said),
        JsonFlaw::DuplicateKey(key) => Fault::of(FaultCode::DuplicateKey).with("key", key),
        JsonFlaw::BadText => Fault::of(FaultCode::BadText),
        JsonFlaw::NumberRange => Fault::of(FaultCode::BadNumber),
    }
}

/// The members of a JSON object as GraphQL's own values.
pub type Members = async_graphql::indexmap::IndexMap<Name, Value>;

/// GraphQL's own values: variables need no second conversion.
impl Tree for Value {
    type Members = Members;

    fn null() -> Value {
        Value::Null
    }
    fn boolean(value: bool) -> Value {
        Value::Boolean(value)
    }
    fn number(value: Number) -> Value {
        Value::Number(value)
    }
    fn text(value: String) -> Value {
        Value::String(value)
    }
    fn list(items: Vec<Value>) -> Value {
        Value::List(items)
    }
    fn insert(object: &mut Self::Members, key: &str, value: Value) -> bool {
        object.insert(Name::new(key), value).is_none()
    }
    fn object(object: Self::Members) -> Value {
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expect: &str) {
        let got = parse(body.as_bytes()).map_or_else(|fault| fault.code(), |_| "ok");
        assert_eq!(got, expect, "{body}");
    }

    #[test]
    fn bodies() {
        check(r#"{"query":"{a}"}"#, "ok");
        check(
            r#"{"query":"{a}","variables":null,"operationName":null,"extensions":null}"#,
            "ok",
        );
        check(
            r#"{"query":"{a}","variables":{"a":1},"extensions":{"atLeast":"7","other":1}}"#,
            "ok",
        );
        for missing in [
            "{}",
            r#"{"query":null}"#,
            r#"{"query":1}"#,
            r#"{"query":["{a}"]}"#,
            "1",
            "null",
        ] {
            check(missing, "BAD_REQUEST");
        }
        for wrong in [
            r#""variables":[]"#,
            r#""variables":"x""#,
            r#""operationName":1"#,
            r#""extensions":[]"#,
        ] {
            check(&format!(r#"{{"query":"{{a}}",{wrong}}}"#), "BAD_REQUEST");
        }
        for wrong in ["7", "\"-1\"", "\"x\"", "\"\"", "1.5", "[]"] {
            let body = format!(r#"{{"query":"{{a}}","extensions":{{"atLeast":{wrong}}}}}"#);
            check(&body, "BAD_POSITION");
        }
        let hash = "0".repeat(64);
        for (persisted, expect) in [
            (format!(r#"{{"version":1,"sha256Hash":"{hash}"}}"#), "ok"),
            ("null".to_owned(), "BAD_REQUEST"),
            (
                format!(r#"{{"version":2,"sha256Hash":"{hash}"}}"#),
                "BAD_REQUEST",
            ),
            (format!(r#"{{"sha256Hash":"{hash}"}}"#), "BAD_REQUEST"),
            (
                r#"{"version":1,"sha256Hash":"abc"}"#.to_owned(),
                "BAD_REQUEST",
            ),
            ("7".to_owned(), "BAD_REQUEST"),
        ] {
            check(
                &format!(r#"{{"extensions":{{"persistedQuery":{persisted}}}}}"#),
                expect,
            );
        }
        check("[]", "BATCHING_DISABLED");
        check(r#"[{"query":"{a}"},{"query":"{a}"}]"#, "BATCHING_DISABLED");
        check(r#"{"query":"{a}","query":"{b}"}"#, "DUPLICATE_KEY");
        check(r#"{"query":"{a}","variables":{"a":"\u0000"}}"#, "BAD_TEXT");
        check(r#"{"query":"{a}","variables":{"a":1e400}}"#, "BAD_NUMBER");
        check(r#"{"query":"{a}""#, "BAD_JSON");
    }

    #[test]
    fn urls() {
        for (params, expect) in [
            ("query=%7Ba%7D", "ok"),
            (
                "query=%7Ba%7D&variables=%7B%22a%22%3A1%7D&operationName=&extensions=",
                "ok",
            ),
            ("query=%7Ba%7D&utm=1", "ok"),
            ("query=%7Ba%7D&query=%7Bb%7D", "DUPLICATE_KEY"),
            ("query=%7Ba%7D&variables=%7B%22a%22", "BAD_JSON"),
            ("query=%7Ba%7D&variables=%5B%5D", "BAD_REQUEST"),
            ("query=%00", "BAD_TEXT"),
            ("query=%ff", "BAD_REQUEST"),
            ("query=%7", "BAD_REQUEST"),
            ("query=%zz", "BAD_REQUEST"),
            ("query=%7Ba+b%7D&&", "ok"),
            ("query=", "BAD_REQUEST"),
            ("", "BAD_REQUEST"),
        ] {
            let got = parse_parameters(params).map_or_else(|fault| fault.code(), |_| "ok");
            assert_eq!(got, expect, "{params}");
        }
    }

    #[test]
    fn content_types() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "text/plain",
            "application/json; charset=latin1",
            "application/graphql",
            "multipart/form-data",
            "",
            "application/jsonx",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
