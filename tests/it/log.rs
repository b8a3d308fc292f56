//! The log itself: what an append promises, under races, faults and kills, and that breaking it is seen.

mod appending;
mod broken;
mod chains;
mod child;
mod doors;
mod faults;
mod journal;
mod kills;
pub mod load;
mod mutants;
mod partitions;
mod plan;
mod replies;
mod room;
pub mod scene;
mod snapshots;
mod stock;
mod torture;
mod wakes;
mod walls;
