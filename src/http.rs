//! The edge: routes, limits, the GraphQL transport, REST aliases, probes.

pub(crate) mod graphql;
pub(crate) mod json;
mod probes;

pub use probes::{Parts, serve};
