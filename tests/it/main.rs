//! The one integration binary: a file per subject.

mod support;

mod auth;
mod cache;
mod config;
mod local;
mod tidy;
