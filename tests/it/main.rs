//! The one integration binary: a file per subject.

#![expect(
    clippy::unwrap_used,
    reason = "in tests, and in what they stand on, a panic names the line"
)]
#![expect(
    clippy::too_many_lines,
    reason = "a story is told in one piece, and a table of cases is as long as it is"
)]

mod support;

mod analyst;
mod answers;
mod audit;
mod api;
mod auth;
mod bad_input;
mod bell;
mod bulk;
mod cache;
mod cli;
mod competitions;
mod config;
mod consumers;
mod deployments;
mod export;
mod feeds;
mod fetch;
mod identity;
mod import;
mod intake;
mod limits;
mod load;
mod local;
mod log;
mod logs;
mod oidc;
mod projections;
mod proof;
mod reads;
mod redis_faults;
mod replay;
mod rest;
mod schema;
mod seals;
mod slos;
mod tidy;
mod transport;
mod truth;
mod vault;
