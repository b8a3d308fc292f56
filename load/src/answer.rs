//! What an answer says: that all is well, or the code of why not.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::call::Expect;

/// The code of an answer that cannot be understood.
const UNREADABLE: &str = "UNREADABLE";

/// The longest code that is told as it is, in characters.
const CODE_CHARS_MAX: usize = 64;

/// What GraphQL answers, of it what matters here.
#[derive(Deserialize)]
struct Told<D> {
    #[serde(default)]
    errors: Vec<Error>,
    data: Option<HashMap<String, Option<D>>>,
}

#[derive(Deserialize)]
struct Error {
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Default, Deserialize)]
struct Extensions {
    code: Option<String>,
}

/// A mutation's field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(default)]
    user_errors: Vec<Coded>,
    accepted: Option<u64>,
}

#[derive(Deserialize)]
struct Coded {
    code: Option<String>,
}

/// What REST answers, of it what matters here.
#[derive(Deserialize)]
struct Plain {
    code: Option<String>,
    accepted: Option<u64>,
    #[serde(default)]
    results: Vec<Outcome>,
    #[serde(default, rename = "userErrors")]
    user_errors: Vec<Coded>,
}

#[derive(Deserialize)]
struct Outcome {
    status: Option<String>,
    error: Option<Coded>,
}

/// Whether the answer is what it must be; if not, the code of why.
pub fn judge(expect: Expect, status: u16, body: &[u8]) -> Result<(), String> {
    let told = match expect {
        Expect::Query => query(body),
        Expect::Mutation => mutation(body),
        Expect::Json => plain(body, None),
        Expect::Accepted(count) => plain(body, Some(count)),
    };
    let is_well = (200..300).contains(&status);
    match told {
        // A status that is no success is none, whatever the body is.
        Err(code) if !is_well && code == UNREADABLE => Err(format!("HTTP_{status}")),
        Ok(()) if !is_well => Err(format!("HTTP_{status}")),
        told => told.map_err(|code| code.chars().take(CODE_CHARS_MAX).collect()),
    }
}

fn query(body: &[u8]) -> Result<(), String> {
    let told: Told<IgnoredAny> = read(body)?;
    without_errors(&told)?;
    let data = told.data.ok_or(UNREADABLE)?;
    match data.is_empty() || data.values().any(Option::is_none) {
        true => Err("EMPTY".to_owned()),
        false => Ok(()),
    }
}

fn mutation(body: &[u8]) -> Result<(), String> {
    let told: Told<Payload> = read(body)?;
    without_errors(&told)?;
    for payload in told.data.ok_or(UNREADABLE)?.into_values() {
        let payload = payload.ok_or("EMPTY")?;
        refused(&payload.user_errors)?;
        if payload.accepted == Some(0) {
            return Err("NOT_ACCEPTED".to_owned());
        }
    }
    Ok(())
}

fn plain(body: &[u8], accepted: Option<u64>) -> Result<(), String> {
    let told: Plain = read(body)?;
    if let Some(code) = told.code {
        return Err(code);
    }
    refused(&told.user_errors)?;
    if let Some(error) = told
        .results
        .iter()
        .find_map(|outcome| outcome.error.as_ref())
    {
        return Err(code_of(error));
    }
    let differs = accepted.is_some() && told.accepted != accepted;
    match differs {
        false => Ok(()),
        true => {
            let mut statuses = told
                .results
                .into_iter()
                .filter_map(|outcome| outcome.status);
            let other = statuses.find(|status| status != "ACCEPTED");
            Err(other.unwrap_or_else(|| "NOT_ACCEPTED".to_owned()))
        }
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|_| UNREADABLE.to_owned())
}

fn without_errors<D>(told: &Told<D>) -> Result<(), String> {
    match told.errors.first() {
        None => Ok(()),
        Some(error) => Err(error
            .extensions
            .code
            .clone()
            .unwrap_or_else(|| "ERROR".to_owned())),
    }
}

fn refused(errors: &[Coded]) -> Result<(), String> {
    errors.first().map_or(Ok(()), |error| Err(code_of(error)))
}

fn code_of(error: &Coded) -> String {
    error.code.clone().unwrap_or_else(|| "REFUSED".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (Expect, u16, &'static str, Result<(), &'static str>);

    fn check(cases: &[Case]) {
        for (expect, status, body, judged) in cases {
            let told = judge(*expect, *status, body.as_bytes());
            let told = told.as_ref().copied().map_err(String::as_str);
            assert_eq!(told, *judged, "{expect:?} {status} {body}");
        }
    }

    #[test]
    fn graphql_is_answered_without_errors_and_refusals_or_says_why_not() {
        check(&[
            (Expect::Query, 200, r#"{"data":{"a":[1],"b":{}}}"#, Ok(())),
            (Expect::Query, 200, r#"{"data":{"a":null}}"#, Err("EMPTY")),
            (Expect::Query, 200, r#"{"data":{}}"#, Err("EMPTY")),
            (
                Expect::Query,
                200,
                r#"{"data":{"a":1,"b":null},"errors":[{"message":"m","extensions":{"code":"STALE_READ"}}]}"#,
                Err("STALE_READ"),
            ),
            (
                Expect::Query,
                429,
                r#"{"errors":[{"message":"m","extensions":{"code":"RATE_LIMITED"}}]}"#,
                Err("RATE_LIMITED"),
            ),
            (Expect::Query, 200, r#"{"errors":[{}]}"#, Err("ERROR")),
            (Expect::Query, 200, "<html>", Err("UNREADABLE")),
            (Expect::Query, 502, "<html>", Err("HTTP_502")),
            (Expect::Query, 500, r#"{"data":{"a":1}}"#, Err("HTTP_500")),
            (
                Expect::Mutation,
                200,
                r#"{"data":{"a":{"userErrors":[]}}}"#,
                Ok(()),
            ),
            (
                Expect::Mutation,
                200,
                r#"{"data":{"a":{"userErrors":[]},"b":{"userErrors":[{"code":"NOT_FOUND"}]}}}"#,
                Err("NOT_FOUND"),
            ),
            (
                Expect::Mutation,
                200,
                r#"{"data":{"a":null}}"#,
                Err("EMPTY"),
            ),
            (
                Expect::Mutation,
                200,
                r#"{"data":{"a":{"accepted":0,"userErrors":[]}}}"#,
                Err("NOT_ACCEPTED"),
            ),
        ]);
    }

    #[test]
    fn rest_is_answered_with_all_records_accepted_or_says_why_not() {
        check(&[
            (Expect::Json, 200, r#"{"items":[]}"#, Ok(())),
            (
                Expect::Json,
                404,
                r#"{"title":"t","status":404,"code":"NOT_FOUND"}"#,
                Err("NOT_FOUND"),
            ),
            (Expect::Json, 503, "", Err("HTTP_503")),
            (
                Expect::Accepted(2),
                200,
                r#"{"accepted":2,"results":[]}"#,
                Ok(()),
            ),
            (
                Expect::Accepted(2),
                200,
                r#"{"accepted":1,"results":[{"status":"ACCEPTED"},{"status":"DUPLICATE"}]}"#,
                Err("DUPLICATE"),
            ),
            (
                Expect::Accepted(2),
                207,
                r#"{"accepted":1,"results":[{"status":"REJECTED","error":{"code":"BAD_TEXT"}}]}"#,
                Err("BAD_TEXT"),
            ),
            (
                Expect::Accepted(2),
                200,
                r#"{"accepted":3}"#,
                Err("NOT_ACCEPTED"),
            ),
        ]);
    }
}
