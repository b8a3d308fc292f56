//! The schema: GraphQL words for the domain's commands and the read models' questions. No rules here:
//! what may happen is decided behind the write door, what has happened is told by the read models.

mod access;
mod answers;
mod as_of;
mod batch;
mod cursor;
mod document;
mod error;
mod failure;
pub mod fault;
pub mod feed;
mod mutation;
mod operation;
mod page;
mod query;
mod scalars;
mod subscription;
pub mod telling;
mod types;

pub use answers::{Answers, Found, Given, Lookup, Question};
pub use document::operation_of;
pub use failure::{
    auth_refusal_or_fault, deployments_fault, limited, no_log_room, refusal_or_fault,
};
pub use feed::{FeedCounts, FeedItem, FeedStream};
pub use operation::{Correlation, Operation, Origin, Pages, Parts};
pub use scalars::position;

use std::sync::Arc;

use async_graphql::{
    Error, Pos, Request, Response, SDLExportOptions, Schema, SchemaBuilder, Value,
};

pub use access::{Access, Rules};
use feed::Groups;
use mutation::Mutation;
use query::Query;
use subscription::Subscription;

/// The schema's three roots.
type SchemaOf = Schema<Query, Mutation, Subscription>;

/// The API: the schema over what it stands on. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    schema: SchemaOf,
    parts: Arc<Parts>,
    answers: Arc<Answers>,
    groups: Arc<Groups>,
    rules: Arc<Rules>,
}

impl Api {
    /// The API over these parts. In production nothing is suggested for a misspelt name.
    pub fn new(parts: Parts, production: bool) -> Api {
        let mut builder = schema();
        if production {
            builder = builder.disable_suggestions();
        }
        let schema = builder.finish();
        Api {
            rules: Arc::new(Rules::of_schema(&sdl())),
            answers: Arc::new(Answers::new(&parts)),
            groups: Arc::new(Groups::new(schema.clone(), &parts)),
            schema,
            parts: Arc::new(parts),
        }
    }

    /// What the API stands on.
    pub fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Who may ask what.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whole answers, kept.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Carries out a request whose document has passed the guards, and tells the operation's reach.
    pub async fn execute(&self, operation: Operation, request: Request) -> Answer {
        let mut request = request;
        if operation.as_of.is_some()
            && let Err(fault) = as_of::admit(&mut request)
        {
            let error = Error::new_with_source(fault).into_server_error(Pos::default());
            return Answer::new(Response::from_errors(vec![error]), None);
        }
        let operation = Arc::new(operation);
        let watched = operation.watched();
        let mut response = self.schema.execute(request.data(operation.clone())).await;
        watched.done();
        let parked = operation.parked().await;
        if !parked.is_empty() {
            let parked = parked.into_iter().map(Value::from).collect();
            response
                .extensions
                .insert("parked".to_owned(), Value::List(parked));
        }
        operation.conclude().await;
        Answer {
            response,
            position: operation.position(),
            moment: operation.moment().await,
        }
    }
}

/// What came of an operation.
pub struct Answer {
    /// Data and errors.
    pub response: Response,
    /// The position to give out with it, if anything was read or written.
    pub position: Option<domain::Position>,
    /// The one moment of the read models that it shows, if it is one.
    moment: Option<operation::Moment>,
}

impl Answer {
    /// An answer that is nobody's to keep.
    pub fn new(response: Response, position: Option<domain::Position>) -> Answer {
        Answer {
            response,
            position,
            moment: None,
        }
    }
}

/// The schema in GraphQL's own language: what `schema.graphql` holds.
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .include_specified_by()
        .use_space_ident()
        .indent_width(2);
    schema().finish().sdl_with_options(options)
}

fn schema() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription)
        .register_output_type::<scalars::Date>()
}
