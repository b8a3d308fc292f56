//! What has happened, shaped for a question: one read model a file, and the [`Reader`] over them.
//!
//! A read model folds events to a delta (pure), merges deltas, and writes a delta with set-based SQL.
//! It never reads the log, never decides anything and owns its tables: they are dropped and rebuilt,
//! never migrated.

mod digest;
mod projection;
mod reader;

pub use digest::digest;
pub use projection::{AnyDelta, AnyProjection, BoxFuture, Poison, Projection, Target};
pub use reader::{Live, ReadError, Reader, Snapshot};

use std::sync::Arc;

/// Every read model, in the order a newcomer should read them.
pub fn all() -> Vec<Arc<dyn AnyProjection>> {
    vec![]
}
