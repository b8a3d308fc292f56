//! GraphQL words.
pub mod fault;
