//! Asks a running Daybook for a while, as many users would, and tells how it did: the library behind the
//! program `daybook-load`, which tests run in process, and the sockets that benchmarks use.

mod answer;
mod call;
mod calls;
mod chance;
mod claims;
mod client;
mod clock;
mod descriptors;
mod figures;
mod histogram;
mod interrupt;
mod latency;
mod meter;
mod options;
mod pacing;
pub mod report;
mod resources;
mod run;
mod scenario;
mod server;
mod session;
mod setup;
pub mod sockets;
mod subscribers;
mod summary;
mod target;
mod world;

pub use chance::Chance;
pub use claims::Of;
pub use interrupt::run as run_until_told;
pub use latency::Latency;
pub use options::Options;
pub use resources::Taken;
pub use scenario::Scenario;
pub use session::run;
pub use subscribers::Deliveries;
pub use summary::{Beside, Line, Summary};
