//! Who may do what, proved against bad input: sections T, K, Z, N and S of `docs/promises.md`, as far as they
//! are about identity.

mod api_keys;
mod foreign;
mod forged;
mod headers;
mod injection;
mod matrix;
mod passwords;
mod races;
mod reach;
pub mod scene;
mod schema;
mod secrets;
mod signing_in;
mod streams;
mod tenants;
mod tokens;
