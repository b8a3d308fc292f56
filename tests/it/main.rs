//! The one integration binary: a file per subject.

#![expect(
    clippy::unwrap_used,
    reason = "in tests, and in what they stand on, a panic names the line"
)]

mod support;

mod auth;
mod cache;
mod cli;
mod config;
mod consumers;
mod local;
mod log;
mod tidy;
mod truth;
