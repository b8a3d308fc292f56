//! What running a process takes: telemetry, metrics, health, shutdown, clock, open files.

mod clock;
pub mod descriptors;
mod health;
pub mod metrics;
mod shutdown;
pub mod telemetry;
mod trace;

pub use clock::{Clock, MockClock};
pub use health::{Check, ComponentReport, Health, Probed, Report, State};
pub use metrics::Metrics;
pub use shutdown::{Shutdown, ShutdownTrigger, on_signals};
pub use trace::TraceContext;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
