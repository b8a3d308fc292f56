//! The commands of `daybook`.
pub mod import;
pub mod progress;
