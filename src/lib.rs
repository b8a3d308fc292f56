//! The process: assembles the log, the write door, the consumers and the edges around `domain` and
//! `projections`. Modules are listed by rank: each imports only those above it.

pub mod config;
pub mod ops;

pub mod store;
pub mod cache;
pub mod fetch;

pub mod vault;

pub mod analysts;
pub mod commands;
pub mod limits;

pub mod auth;
pub mod consumers;
pub mod intake;

pub mod competitions;
pub mod deployments;
pub mod leaderboards;
pub mod seals;
pub mod slos;

pub mod api;
pub mod export;

pub mod http;

pub mod app;

pub mod cli;
