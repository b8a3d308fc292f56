//! Consumers: every event once and in order, whoever is killed; shared work; poison; rebuilds.

mod asked;
mod faults;
mod following;
mod golden;
mod mishaps;
mod models;
mod pausing;
mod parked;
mod parking;
mod past;
mod poison;
mod rebuilding;
pub mod scene;
mod sharing;
pub mod tally;
