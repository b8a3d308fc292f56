//! Carrying out an operation: the one seam through which queries and mutations of every path go. What is
//! kept comes first; a clock and a net are around the rest.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::{Request, Response, Value as GraphqlValue, Variables};
use bytes::Bytes;
use domain::Position;
use futures::FutureExt as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::documents::{Digest, write_digest};
use super::engine::{Asking, Engine};
use super::guard;
use crate::api::fault::{Fault, FaultCode, FaultKind};
use crate::api::{Answer, Found, Given, Lookup, Question};
use crate::config::Limits;
use crate::http::meter::Meter;

/// What the answers of queries are written as, whichever way they were asked.
pub const GRAPHQL: &str = "graphql";

/// What answers under a route of our own are written as.
const ALIAS: &str = "alias";

/// The kept answer to a question, or the one that `execute` makes; nothing is kept where there is no
/// question. `write` makes the bytes of an answer without errors.
pub async fn give<F>(
    engine: &dyn Engine,
    limits: &Limits,
    question: Option<&Question>,
    asking: Asking,
    execute: impl FnOnce(Asking) -> F,
    write: impl Fn(&Answer) -> Vec<u8>,
) -> Result<Given, Fault>
where
    F: Future<Output = Result<Answer, Fault>>,
{
    // Nothing that is as of a position is kept: what is known of read models is known of the present.
    let question = question.filter(|_| asking.as_of.is_none());
    let Some((answers, question)) = engine.answers().zip(question) else {
        let made = Box::pin(within(limits, execute(asking))).await?;
        return Ok(Given::Made(Box::new(Ok(made))));
    };
    let caller = asking.caller.clone();
    let lookup = Lookup {
        question,
        caller: &caller,
        at_least: asking.at_least.max(question.at_least),
        pages: asking.pages,
    };
    let missing = match within(limits, async { Ok(answers.find(&lookup).await) }).await? {
        Found::Kept(body) => return Ok(Given::Kept(body)),
        Found::Missing(missing) => missing,
    };
    // Who makes an answer for others has its own clock: when it runs out, another makes it. Boxed, so
    // that the many requests whose answer is kept do not carry about the room for making one.
    let making = async {
        let execute = || execute(asking);
        Ok(answers.make(&lookup, missing, execute, write).await)
    };
    Box::pin(within(limits, making)).await
}

/// Carries something out within the operation's time. A panic is told as a fault; the process lives.
async fn within<T>(
    limits: &Limits,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let work = AssertUnwindSafe(work).catch_unwind();
    match tokio::time::timeout(limits.operation_timeout, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => {
            tracing::error!("an operation panicked");
            Err(Fault::of(FaultCode::Internal))
        }
        Err(_) => Err(Fault::of(FaultCode::Timeout)),
    }
}

/// Tells in the log which document could not be carried out for our fault.
pub fn blame(fault: &Fault, document: Option<&Digest>) {
    if let FaultKind::Fault(FaultCode::Internal | FaultCode::Timeout) = fault.kind {
        let document = document.map(write_digest);
        tracing::warn!(
            document,
            code = fault.code(),
            "an operation came to no answer"
        );
    }
}

/// One of our own documents, asked by the parameters of a URL.
pub struct Alias<'a> {
    /// The URL, as it came.
    pub url: &'a str,
    /// The document; it has one root field.
    pub document: &'static str,
    /// The variables that the URL tells.
    pub variables: &'a (dyn Fn() -> Result<Map<String, Value>, Fault> + Sync),
    /// Makes what is sent of the root field.
    pub shape: fn(Value) -> Value,
    /// What the caller pays with.
    pub meter: &'a Meter,
}

impl Alias<'_> {
    fn variables(&self) -> Result<Variables, Fault> {
        (self.variables)().map(|told| Variables::from_json(told.into()))
    }

    /// What it asks, if the answer can be kept, and what that costs: as remembered, or found out and
    /// remembered. Refuses callers who may not ask it.
    fn question(
        &self,
        engine: &dyn Engine,
        asking: &Asking,
        limits: &Limits,
    ) -> Result<(Option<Arc<Question>>, u64), Fault> {
        let (answers, url) = (engine.answers(), self.url.as_bytes());
        if let Some(question) = answers.and_then(|kept| kept.recall(ALIAS, url)) {
            question.access.admit(&asking.caller)?;
            let cost = question.cost;
            return Ok((Some(question), cost));
        }
        let document = parse_query(self.document).map_err(|_| Fault::of(FaultCode::Internal))?;
        let access = engine.access(&document, None)?;
        access.admit(&asking.caller)?;
        let variables = self.variables()?;
        // Our own pages are longer than those of a document.
        let limits = Limits {
            page_max: asking.pages.max as usize,
            ..limits.clone()
        };
        let cost = guard::cost(&document, &variables, &limits);
        let Some(answers) = answers else {
            return Ok((None, cost));
        };
        let question = Question::of(ALIAS, self.document, &document, None, &variables);
        let question = question.map(|mut question| {
            question.cost = cost;
            question.access = access;
            Arc::new(question)
        });
        if let Some(question) = &question {
            answers.remember(ALIAS, url, question.clone());
        }
        Ok((question, cost))
    }

    /// What is sent of an answer.
    fn write(&self, answer: &Answer) -> Vec<u8> {
        let field = match serde_json::to_value(&answer.response.data) {
            Ok(Value::Object(data)) => data.into_iter().next().map(|(_, field)| field),
            _ => None,
        };
        let sent = (self.shape)(field.unwrap_or(Value::Null));
        sent.to_string().into_bytes()
    }
}

/// What is sent of an answer to one of our own documents.
pub struct Told {
    /// What its root field says.
    pub body: Bytes,
    /// How far it is, if it was read.
    pub position: Option<Position>,
    /// Read models it rests on that go on without some streams.
    pub parked: Vec<String>,
}

impl Told {
    /// Nothing that goes on without a stream is in it.
    fn whole(body: Bytes, position: Option<Position>) -> Told {
        Told {
            body,
            position,
            parked: Vec::new(),
        }
    }
}

/// Answers one of our own documents: what is sent of its root field, or the first thing that failed.
pub async fn ask(
    engine: &dyn Engine,
    limits: &Limits,
    asking: Asking,
    alias: Alias<'_>,
) -> Result<Told, Fault> {
    let (question, cost) = alias.question(engine, &asking, limits)?;
    alias.meter.operation(&asking.caller, cost)?;
    let execute = |asking| {
        let request = Request::new(alias.document);
        async {
            let request = request.variables(alias.variables()?);
            Ok(engine.execute(asking, request).await)
        }
    };
    let write = |answer: &Answer| alias.write(answer);
    let given = give(engine, limits, question.as_deref(), asking, execute, write).await;
    let given =
        given.inspect_err(|fault| blame(fault, Some(&Sha256::digest(alias.document).into())))?;
    let answer = match given {
        Given::Kept(body) => {
            let position = body.position();
            return Ok(Told::whole(Bytes::from_owner(body), Some(position)));
        }
        Given::Made(made) => (*made)?,
    };
    match answer.response.errors.first() {
        Some(error) => Err(Fault::of_error(error)),
        None => Ok(Told {
            parked: parked(&answer.response),
            ..Told::whole(alias.write(&answer).into(), answer.position)
        }),
    }
}

/// The read models that `extensions.parked` lists.
fn parked(response: &Response) -> Vec<String> {
    let Some(GraphqlValue::List(names)) = response.extensions.get("parked") else {
        return Vec::new();
    };
    let name = |name: &GraphqlValue| match name {
        GraphqlValue::String(name) => Some(name.clone()),
        _ => None,
    };
    names.iter().filter_map(name).collect()
}
