//! Carrying out an operation: what is kept and guards before, a clock and a net around.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Variables};
use axum::body::Bytes;
use domain::Position;
use futures::FutureExt as _;
use metrics::counter;
use serde_json::{Map, Value};

use super::answer::{self, fault_of};
use super::body::{self, Asked};
use super::{guard, tokens};
use crate::api::fault::{Fault, FaultCode, FaultKind};
use crate::api::{Answer, Asking, Given, Operation, Origin, Pages, Question};
use crate::auth::Caller;
use crate::config::Limits;
use crate::http::Edge;
use crate::ops::metrics as names;

/// Who asks, and how.
pub struct Asker {
    /// Who.
    pub caller: Arc<Caller>,
    /// The position its header insists on.
    pub at_least: Option<Position>,
    /// How long pages are.
    pub pages: Pages,
    /// Where the request came from.
    pub origin: Origin,
}

/// A request whose document has passed the guards.
struct Checked {
    request: Request,
    kind: &'static str,
    at_least: Option<Position>,
    /// If its answer can be kept.
    question: Option<Question>,
}

/// What GraphQL's answers are written as.
const SHAPE: &str = "graphql";

/// Answers a request's body. One that was checked before, and whose answer is kept, is not even
/// parsed.
pub async fn answer(edge: &Edge, asker: Asker, raw: &[u8]) -> Result<Given, Fault> {
    let (answers, limits) = (edge.api.answers(), &edge.settings.limits);
    if let Some(question) = answers.recall(SHAPE, raw) {
        let execute = || async {
            let checked = body::parse(raw).and_then(|asked| checked(asked, limits))?;
            carry_out(edge, &asker, checked.at_least, checked.request).await
        };
        return give(edge, &asker, &question, execute, answer::body).await;
    }
    let checked = body::parse(raw).and_then(|asked| checked(asked, limits));
    let checked = checked.inspect_err(|_| count("unknown", "refused"))?;
    let Checked {
        request,
        kind,
        at_least,
        question,
    } = checked;
    let Some(question) = question else {
        let made = within(edge, carry_out(edge, &asker, at_least, request)).await;
        count(kind, outcome(&made));
        return Ok(Given::Made(Box::new(made)));
    };
    let question = Arc::new(question);
    answers.remember(SHAPE, raw, question.clone());
    let execute = || carry_out(edge, &asker, at_least, request);
    give(edge, &asker, &question, execute, answer::body).await
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
}

/// What GraphQL's answers are not written as: their bytes depend on the route.
const ALIAS_SHAPE: &str = "alias";

/// Answers one of our own documents: what is sent of its root field, or the first thing that failed.
pub async fn ask(
    edge: &Edge,
    asker: Asker,
    alias: Alias<'_>,
) -> Result<(Bytes, Option<Position>), Fault> {
    let write = |answer: &Answer| {
        let field = match serde_json::to_value(&answer.response.data) {
            Ok(Value::Object(data)) => data.into_iter().next().map(|(_, field)| field),
            _ => None,
        };
        (alias.shape)(field.unwrap_or(Value::Null))
            .to_string()
            .into_bytes()
    };
    let answers = edge.api.answers();
    let variables = || (alias.variables)().map(|told| Variables::from_json(told.into()));
    let question = match answers.recall(ALIAS_SHAPE, alias.url.as_bytes()) {
        Some(question) => Some(question),
        None => {
            let document =
                parse_query(alias.document).map_err(|_| Fault::of(FaultCode::Internal))?;
            let text = alias.document;
            let question = Question::of(ALIAS_SHAPE, text, &document, None, &variables()?);
            let question = question.map(Arc::new);
            if let Some(question) = &question {
                answers.remember(ALIAS_SHAPE, alias.url.as_bytes(), question.clone());
            }
            question
        }
    };
    let execute = || async {
        let request = Request::new(alias.document).variables(variables()?);
        carry_out(edge, &asker, None, request).await
    };
    let made = match question {
        Some(question) => match give(edge, &asker, &question, execute, write).await? {
            Given::Kept(body) => {
                let position = body.position();
                return Ok((Bytes::from_owner(body), Some(position)));
            }
            Given::Made(made) => *made,
        },
        None => within(edge, execute()).await,
    };
    let answer = made?;
    match answer.response.errors.first() {
        Some(error) => Err(fault_of(error)),
        None => Ok((write(&answer).into(), answer.position)),
    }
}

/// The kept answer to a question, or a new one.
async fn give<F>(
    edge: &Edge,
    asker: &Asker,
    question: &Question,
    execute: impl FnOnce() -> F,
    write: impl Fn(&Answer) -> Vec<u8>,
) -> Result<Given, Fault>
where
    F: Future<Output = Result<Answer, Fault>>,
{
    let asking = Asking {
        question,
        caller: &asker.caller,
        at_least: asker.at_least.max(question.at_least),
        pages: asker.pages,
    };
    // Who makes an answer for others has its own clock: when it runs out, another makes it.
    let giving = async { Ok(edge.api.answers().give(asking, execute, write).await) };
    let given = within(edge, giving).await;
    count(
        "query",
        match &given {
            Ok(Given::Kept(_)) => "ok",
            Ok(Given::Made(made)) => outcome(made),
            Err(fault) => failure(fault),
        },
    );
    given
}

/// A request whose document has passed the guards.
fn checked(asked: Asked, limits: &Limits) -> Result<Checked, Fault> {
    tokens::check(&asked.query, limits)?;
    let document = parse_query(&asked.query)
        .map_err(|error| Fault::new(FaultCode::ParseFailed, error.to_string()))?;
    let name = asked.operation_name.as_deref();
    let operation = guard::check(&document, name, &asked.variables, limits)?;
    let kind = match operation.ty {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    };
    let mut question = Question::of(SHAPE, &asked.query, &document, name, &asked.variables);
    if let Some(question) = &mut question {
        question.at_least = asked.at_least;
    }
    let mut request = Request::new(asked.query).variables(asked.variables);
    // The library takes a name only for one of several operations.
    request.operation_name = asked
        .operation_name
        .filter(|_| document.operations.iter().len() > 1);
    request.set_parsed_query(document);
    Ok(Checked {
        request,
        kind,
        at_least: asked.at_least,
        question,
    })
}

async fn carry_out(
    edge: &Edge,
    asker: &Asker,
    at_least: Option<Position>,
    request: Request,
) -> Result<Answer, Fault> {
    let operation = Operation::new(
        Arc::clone(edge.api.parts()),
        asker.caller.clone(),
        asker.origin.clone(),
        asker.at_least.max(at_least),
        asker.pages,
    );
    Ok(edge.api.execute(operation, request).await)
}

/// Carries something out within the operation's time. A panic is told as a fault; the process lives.
async fn within<T>(edge: &Edge, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let work = AssertUnwindSafe(work).catch_unwind();
    match tokio::time::timeout(edge.settings.limits.operation_timeout, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => {
            tracing::error!("an operation panicked");
            Err(Fault::of(FaultCode::Internal))
        }
        Err(_) => Err(Fault::of(FaultCode::Timeout)),
    }
}

/// What became of an operation, in one of a few words.
fn outcome(made: &Result<Answer, Fault>) -> &'static str {
    match made {
        Ok(answer) if answer.response.errors.is_empty() => "ok",
        Ok(_) => "errors",
        Err(fault) => failure(fault),
    }
}

fn failure(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::Fault(FaultCode::Timeout) => "timeout",
        FaultKind::Fault(FaultCode::Internal) => "panic",
        _ => "refused",
    }
}

fn count(kind: &'static str, outcome: &'static str) {
    counter!(names::OPERATIONS_TOTAL, "kind" => kind, "outcome" => outcome).increment(1);
}
