//! The one integration binary: a file per subject.

mod auth;
mod cache;
mod config;
