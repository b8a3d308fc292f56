//! How long things took, as reports tell it.

use serde::Serialize;

use crate::histogram::Histogram;

/// Milliseconds; none where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// The least.
    pub min_ms: Option<f64>,
    /// The mean.
    pub mean_ms: Option<f64>,
    /// Half of them took no longer.
    pub p50_ms: Option<f64>,
    /// 95 of 100.
    pub p95_ms: Option<f64>,
    /// 99 of 100.
    pub p99_ms: Option<f64>,
    /// The most.
    pub max_ms: Option<f64>,
}

/// What columns of [`Latency::columns`] are called.
pub const HEADS: [&str; 6] = ["min ms", "avg ms", "p50 ms", "p95 ms", "p99 ms", "max ms"];

impl Latency {
    /// What a histogram holds.
    pub fn of(took: &Histogram) -> Latency {
        let ms = |us: u64| us as f64 / 1_000.0;
        let percentile = |percent| took.percentile_us(percent).map(ms);
        Latency {
            min_ms: took.min_us().map(ms),
            mean_ms: took.mean_us().map(|us| us / 1_000.0),
            p50_ms: percentile(50.0),
            p95_ms: percentile(95.0),
            p99_ms: percentile(99.0),
            max_ms: took.max_us().map(ms),
        }
    }

    /// In the order of [`HEADS`].
    pub fn columns(&self) -> [Option<f64>; 6] {
        [
            self.min_ms,
            self.mean_ms,
            self.p50_ms,
            self.p95_ms,
            self.p99_ms,
            self.max_ms,
        ]
    }
}
