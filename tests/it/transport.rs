//! The GraphQL transport over a schema of the tests: the same code that serves the product.

pub mod client;
mod conformance;
mod cop;
mod cors;
mod documents;
mod figures;
mod http;
mod limits;
mod overtime;
mod product;
mod rates;
mod resuming;
mod schema;
pub mod server;
mod sockets;
mod streams;
