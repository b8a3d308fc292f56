//! The one integration binary: a file per subject.

mod support;

mod auth;
mod cache;
mod config;
mod consumers;
mod local;
