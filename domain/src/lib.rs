//! What may happen in Daybook, and why not: aggregates, their commands, events and refusals.
//!
//! Nothing here does I/O, reads a clock, draws a random number or knows a database.
//! Read [`log`] first (what a recorded event is), then [`aggregate`] (how deciding works), then
//! one aggregate: [`vehicle`], [`fleet`], [`track`].

pub mod aggregate;
pub mod event;
pub mod fleet;
pub mod log;
pub mod refusal;
pub mod track;
pub mod upcast;
pub mod values;
pub mod vehicle;

pub use aggregate::Aggregate;
pub use event::{DecodeError, Event};
pub use log::{Actor, ActorKind, Metadata, Position, Recorded, StreamKey};
pub use refusal::{Code, Refusal};
