//! Answers over HTTP: media types and status codes.

use async_graphql::Response as Executed;
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;

use crate::api::fault::{Fault, FaultCode, FaultKind};
use crate::api::telling::{self, Telling, is_refusal};
use crate::api::{Answer, Given};
use crate::http::problem;

/// What an answer is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`: a request that could be read is answered 200, whatever came of it.
    Json,
    /// `application/graphql-response+json`: a request that could not be carried out is answered 400.
    GraphqlResponse,
    /// `text/event-stream`: every result is an event.
    EventStream,
}

/// What the caller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What it likes best.
    pub best: MediaType,
    /// Does it take event streams, however reluctantly?
    pub streams: bool,
}

impl Accepted {
    /// The best liked of ours; `application/json` when the caller does not say.
    pub fn negotiate(headers: &HeaderMap) -> Result<Accepted, Fault> {
        let mut best: Option<(f32, MediaType)> = None;
        let (mut asked, mut streams) = (false, false);
        for value in headers.get_all(ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                asked = true;
                let Some((quality, media)) = read_range(range) else {
                    continue;
                };
                streams |= media == MediaType::EventStream;
                if best.is_none_or(|(most, _)| quality > most) {
                    best = Some((quality, media));
                }
            }
        }
        match best {
            Some((_, best)) => Ok(Accepted { best, streams }),
            None if !asked => Ok(Accepted {
                best: MediaType::Json,
                streams,
            }),
            None => Err(Fault::of(FaultCode::NotAcceptable)),
        }
    }
}

impl MediaType {
    fn as_str(self) -> &'static str {
        match self {
            MediaType::Json => "application/json; charset=utf-8",
            MediaType::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            MediaType::EventStream => "text/event-stream; charset=utf-8",
        }
    }
}

/// A media range of ours with its quality; none if it is another's or unwanted (`q=0`).
fn read_range(range: &str) -> Option<(f32, MediaType)> {
    let mut parts = range
        .split(';')
        .map(|part| part.trim().to_ascii_lowercase());
    let media = match parts.next()?.as_str() {
        "application/graphql-response+json" => MediaType::GraphqlResponse,
        "application/json" | "application/*" | "*/*" => MediaType::Json,
        "text/event-stream" => MediaType::EventStream,
        _ => return None,
    };
    let mut quality = 1.0;
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("q", q)) => {
                quality = q.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q))?
            }
            Some(("charset", charset)) if charset.trim_matches('"') != "utf-8" => return None,
            _ => {}
        }
    }
    (quality > 0.0).then_some((quality, media))
}

/// What came of an operation, as every path sends it.
pub enum Written {
    /// It was carried out.
    Result {
        /// The whole JSON object.
        body: Bytes,
        /// Are there errors beside the data?
        partial: bool,
        /// Nothing could be answered for now, for this reason.
        busy: Option<Fault>,
    },
    /// It was not: these are the errors.
    Refused {
        /// The first of them.
        fault: Fault,
        /// All, as they are told.
        errors: Vec<Value>,
    },
}

impl Written {
    /// An answer, kept or made.
    pub fn given(given: Given, telling: &Telling) -> Written {
        match given {
            Given::Kept(body) => Written::Result {
                body: Bytes::from_owner(body),
                partial: false,
                busy: None,
            },
            Given::Made(made) => match *made {
                Ok(answer) => Written::of(&answer, telling),
                Err(fault) => Written::failed(fault, telling),
            },
        }
    }

    /// Writes an answer.
    fn of(answer: &Answer, telling: &Telling) -> Written {
        let response = &answer.response;
        if is_refusal(response) {
            return Written::Refused {
                fault: Fault::of_error(&response.errors[0]),
                errors: telling.errors(response),
            };
        }
        Written::Result {
            body: telling
                .result(response, answer.position.map(Into::into))
                .into(),
            partial: !response.errors.is_empty(),
            busy: busy(response),
        }
    }

    /// What came of an operation that did not come to an answer.
    pub fn failed(fault: Fault, telling: &Telling) -> Written {
        let errors = vec![telling.fault(&fault)];
        match fault.kind {
            // Late or broken, but an operation: told as the result of one.
            FaultKind::Fault(FaultCode::Timeout | FaultCode::Internal) => Written::Result {
                body: telling::null_for(&errors),
                partial: true,
                busy: None,
            },
            _ => Written::Refused { fault, errors },
        }
    }
}

fn busy(response: &Executed) -> Option<Fault> {
    if response.data != async_graphql::Value::Null {
        return None;
    }
    response
        .errors
        .first()
        .map(Fault::of_error)
        .filter(|fault| {
            let kind = FaultKind::Fault;
            [kind(FaultCode::Unavailable), kind(FaultCode::Overloaded)].contains(&fault.kind)
        })
}

/// How answers are sent to one caller.
#[derive(Clone, Copy)]
pub struct Manner {
    /// What they are written in.
    pub media: MediaType,
    /// With the status codes of the newer draft?
    pub draft: bool,
}

impl Manner {
    /// What came of an operation.
    pub fn answer(self, written: Written) -> Response {
        match written {
            Written::Result {
                body,
                partial,
                busy: None,
            } => self.send(self.done(partial), body),
            Written::Result {
                body,
                busy: Some(fault),
                ..
            } => {
                let mut answer = self.send(StatusCode::SERVICE_UNAVAILABLE, body);
                problem::mark(&mut answer, &fault);
                answer
            }
            Written::Refused { fault, errors } => {
                let status = match fault.status() {
                    // It could be read, and does not fit the schema or its limits.
                    422 => self.unfit(),
                    // A resolver's fault of the whole operation is one of the request as well.
                    status => StatusCode::from_u16(status).expect("the catalogue has real codes"),
                };
                let mut answer = self.send(status, telling::errors_alone(&errors));
                problem::mark(&mut answer, &fault);
                answer
            }
        }
    }

    fn done(self, partial: bool) -> StatusCode {
        if self.draft && partial && self.media == MediaType::GraphqlResponse {
            return StatusCode::from_u16(294).expect("three digits");
        }
        StatusCode::OK
    }

    fn unfit(self) -> StatusCode {
        match (self.media, self.draft) {
            (MediaType::GraphqlResponse, true) => StatusCode::UNPROCESSABLE_ENTITY,
            (MediaType::GraphqlResponse, false) => StatusCode::BAD_REQUEST,
            (MediaType::Json | MediaType::EventStream, _) => StatusCode::OK,
        }
    }

    fn send(self, status: StatusCode, body: Bytes) -> Response {
        // Whoever takes event streams alone is told in JSON that none will come.
        let media = match self.media {
            MediaType::EventStream => MediaType::Json,
            media => media,
        };
        let mut answer = problem::answer(status, media.as_str(), body);
        vary(&mut answer);
        answer
    }
}

/// The head of an event stream.
pub fn event_stream(body: axum::body::Body) -> Response {
    let mut answer = problem::answer(StatusCode::OK, MediaType::EventStream.as_str(), body);
    vary(&mut answer);
    answer
}

fn vary(answer: &mut Response) {
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(accept: &[&'static str]) -> Option<(MediaType, bool)> {
        let headers = accept.iter().map(|a| (ACCEPT, HeaderValue::from_static(a)));
        let accepted = Accepted::negotiate(&headers.collect()).ok();
        accepted.map(|accepted| (accepted.best, accepted.streams))
    }

    #[test]
    fn the_better_liked_media_type_is_served() {
        let (json, graphql) = (MediaType::Json, MediaType::GraphqlResponse);
        let streams = MediaType::EventStream;
        for (accept, expect) in [
            (&[][..], Some((json, false))),
            (&["*/*"], Some((json, false))),
            (&["application/json"], Some((json, false))),
            (
                &["application/graphql-response+json"],
                Some((graphql, false)),
            ),
            (
                &[
                    "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
                ],
                Some((graphql, false)),
            ),
            (
                &["application/json;q=0.9, application/graphql-response+json"],
                Some((graphql, false)),
            ),
            (
                &["application/json, application/graphql-response+json;q=0.9"],
                Some((json, false)),
            ),
            (&["text/html", "application/json"], Some((json, false))),
            (&["text/event-stream"], Some((streams, true))),
            (
                &["text/event-stream;q=0.1, application/json"],
                Some((json, true)),
            ),
            (
                &["text/event-stream, application/json;q=0.5"],
                Some((streams, true)),
            ),
            (&["text/event-stream;q=0, */*"], Some((json, false))),
            (&["text/html, image/png"], None),
            (&["application/json;q=0"], None),
            (&["application/json; charset=latin1"], None),
            (&[""], None),
        ] {
            assert_eq!(negotiate(accept), expect, "{accept:?}");
        }
    }
}
