//! How fixes, vehicles, speed and distance change over time.

mod read;

pub use read::{
    Scope, Trend, TrendBucket, TrendCompare, TrendMetric, TrendPoint, TrendQuery, evidence, trend,
};

/// The read model's name.
pub const NAME: &str = "trends";
