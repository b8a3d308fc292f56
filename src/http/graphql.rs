//! GraphQL over HTTP.

mod guard;
mod tokens;
