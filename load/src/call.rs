//! One request: what is sent, and what must come back.

use std::time::Duration;

use serde_json::{Value, json};

/// How something is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// What an answer must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expect {
    /// GraphQL's, without errors, every root field being something.
    Query,
    /// That, and nothing refused as data.
    Mutation,
    /// 2xx and a JSON object, nothing of it rejected.
    Json,
    /// That, and so many records accepted.
    Accepted(u64),
}

/// What becomes of a deployment next.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// It was requested, and may start.
    Requested(String),
    /// It runs, and may end.
    Started(String),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// What the table calls it.
    pub operation: &'static str,
    /// How it is asked.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// What is sent; empty of a GET.
    pub body: String,
    /// Whose log records these are, if they are.
    pub source: Option<String>,
    /// What must come back.
    pub expect: Expect,
    /// How many records it carries, or 1.
    pub units: u64,
    /// What can be asked once this was answered.
    pub then: Option<Stage>,
    /// Which of the vehicles it changes, if subscribers are told of it.
    pub changes: Option<usize>,
}

/// The longest anybody waits for an answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

impl Call {
    fn new(operation: &'static str, method: Method, path: String, body: String) -> Call {
        Call {
            operation,
            method,
            path,
            body,
            source: None,
            expect: Expect::Json,
            units: 1,
            then: None,
            changes: None,
        }
    }

    /// A question of GraphQL.
    pub fn query(operation: &'static str, document: &str, variables: &Value) -> Call {
        let body = json!({ "query": document, "variables": variables }).to_string();
        Call {
            expect: Expect::Query,
            ..Call::new(operation, Method::Post, "/graphql".to_owned(), body)
        }
    }

    /// A mutation of GraphQL whose only variable is its input.
    pub fn mutation(operation: &'static str, document: &str, input: &Value) -> Call {
        Call {
            expect: Expect::Mutation,
            ..Call::query(operation, document, &json!({ "input": input }))
        }
    }

    /// A GET.
    pub fn get(operation: &'static str, path: String) -> Call {
        Call::new(operation, Method::Get, path, String::new())
    }

    /// A POST of JSON.
    pub fn post(operation: &'static str, path: &str, body: &Value) -> Call {
        Call::new(operation, Method::Post, path.to_owned(), body.to_string())
    }

    /// Of so many records, all of which must be accepted.
    pub fn of_records(self, count: usize) -> Call {
        Call {
            expect: Expect::Accepted(count as u64),
            units: count as u64,
            ..self
        }
    }
}
