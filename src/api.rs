//! The schema: GraphQL words for the domain's commands and the read models' questions. No rules here:
//! what may happen is decided behind the write door, what has happened is told by the read models.

mod batch;
mod cursor;
mod error;
pub mod fault;
pub mod feed;
mod mutation;
mod operation;
mod page;
mod query;
mod scalars;
pub mod telling;
mod types;

pub use operation::{Operation, Origin, Pages, Parts, refusal_or_fault};
pub use scalars::position;

use std::sync::Arc;

use async_graphql::{
    EmptySubscription, Request, Response, SDLExportOptions, Schema, SchemaBuilder,
};
use bytes::Bytes;

use mutation::Mutation;
use query::Query;

/// The API: the schema over what it stands on. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    schema: Schema<Query, Mutation, EmptySubscription>,
    parts: Arc<Parts>,
}

impl Api {
    /// The API over these parts. In production nothing is suggested for a misspelt name.
    pub fn new(parts: Parts, production: bool) -> Api {
        let mut builder = schema();
        if production {
            builder = builder.disable_suggestions();
        }
        Api {
            schema: builder.finish(),
            parts: Arc::new(parts),
        }
    }

    /// What the API stands on.
    pub fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Carries out a request whose document has passed the guards, and tells the operation's reach.
    pub async fn execute(&self, operation: Operation, request: Request) -> Answer {
        let operation = Arc::new(operation);
        let response = self.schema.execute(request.data(operation.clone())).await;
        Answer {
            body: Body::Fresh(response),
            position: operation.position(),
        }
    }
}

/// What came of an operation.
pub struct Answer {
    /// Data and errors.
    pub body: Body,
    /// The position to give out with it, if anything was read or written.
    pub position: Option<domain::Position>,
}

/// Data and errors, in one of two forms.
pub enum Body {
    /// As the library gave them.
    Fresh(Response),
    /// Written before, and without errors: the whole JSON object, as it is sent.
    Written(Bytes),
}

/// The schema in GraphQL's own language: what `schema.graphql` holds.
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .include_specified_by()
        .use_space_ident()
        .indent_width(2);
    schema().finish().sdl_with_options(options)
}

fn schema() -> SchemaBuilder<Query, Mutation, EmptySubscription> {
    Schema::build(Query::default(), Mutation::default(), EmptySubscription)
        .register_output_type::<scalars::Date>()
}
