//! Consumers: every event once and in order, whoever is killed; shared work; poison; rebuilds.

mod faults;
mod following;
mod models;
mod pausing;
mod poison;
mod rebuilding;
pub mod scene;
mod sharing;
pub mod tally;
