//! What has happened, shaped for a question: one read model a file, and the [`Reader`] over them.
//!
//! A read model folds events to a delta (pure), merges deltas, and writes a delta with set-based SQL.
//! It never reads the log, never decides anything and owns its tables: they are dropped and rebuilt,
//! never migrated.

mod projection;
mod begin;
mod reader;
pub mod vehicles;
pub mod positions;
pub mod heatmap;
pub mod trends;
pub mod accounts;
pub mod deployments;
pub mod dora;
pub mod slos;
pub mod slo;
pub mod summary;
pub mod logs;
pub mod competitions;
pub mod activities;
pub mod evidence;
mod geo;
mod grain;
mod zone;
mod hash;
mod copy;
mod filling;
mod latest;
mod columns;
mod upsert;
mod difference;
mod digest;
#[cfg(test)]
mod testing;

pub use begin::begin;
pub use difference::{Cell, Change, Difference, first_difference};
pub use digest::digest;
pub use filling::Filling;
pub use geo::{
    BASE_RESOLUTION, BoundingBox, EARTH_RADIUS_M, H3Cell, InvalidCell, Near, haversine_m,
};
use projection::Erased;
pub use projection::{AnyDelta, AnyProjection, BoxFuture, Poison, Projection, Swept, Target};
pub use reader::{Live, Page, ReadError, Reader, Snapshot};

use std::sync::Arc;

/// The base grain of time: figures are kept in buckets of this many seconds.
pub const GRAIN_S: i64 = 300;
/// A reported speed below this, in m/s, is counted as stopped (1.8 km/h: what a standing receiver's
/// noise looks like).
pub const STOPPED_BELOW_MPS: f64 = 0.5;
/// A step whose straight-line speed reaches this, in m/s, is moving; below it is idle.
pub const MOVING_FROM_MPS: f64 = 0.5;
/// A step between two fixes longer than this, in seconds, is unobserved: neither moving nor idle.
pub const STOP_GAP_S: i64 = 3_600;
/// A trend has at most this many points.
pub const TREND_POINTS_MAX: usize = 2_000;
/// A moving average spans at most this many points.
pub const TREND_WINDOW_MAX: u32 = 500;

/// Every read model, in the order a newcomer should read them.
pub fn all() -> Vec<Arc<dyn AnyProjection>> {
    vec![
        Arc::new(Erased::<vehicles::Vehicles>::new()),
        Arc::new(Erased::<positions::Positions>::new()),
        Arc::new(Erased::<heatmap::HeatmapCells>::new()),
        Arc::new(Erased::<trends::TrackBuckets>::new()),
        Arc::new(Erased::<accounts::Accounts>::new()),
        Arc::new(Erased::<deployments::Deployments>::new()),
        Arc::new(Erased::<slos::Slos>::new()),
        Arc::new(Erased::<logs::Logs>::new()),
        Arc::new(Erased::<competitions::Competitions>::new()),
        Arc::new(Erased::<activities::Activities>::new()),
    ]
}
