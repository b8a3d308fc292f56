//! The one integration binary: a file per subject.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, and the panic names the line"
)]

mod auth;
mod cache;
mod config;
mod tidy;
