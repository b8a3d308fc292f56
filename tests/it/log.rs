//! The log itself: what an append promises, under races, faults and kills, and that breaking it is seen.

mod appending;
mod chains;
mod doors;
mod partitions;
mod plan;
mod scene;
mod stock;
mod walls;
