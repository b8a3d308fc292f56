//! How many fixes, vehicles and how much speed in each cell and time.

mod read;

pub use read::{Heatmap, HeatmapCell, HeatmapMetric, HeatmapQuery, HeatmapSpan, evidence, heatmap};

/// The read model's name.
pub const NAME: &str = "heatmap";
