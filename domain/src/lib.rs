//! What may happen in Daybook, and why not: aggregates, their commands, events and refusals.
//!
//! Nothing here does I/O, reads a clock, draws a random number or knows a database.
//! Read [`log`] first (what a recorded event is), then [`aggregate`] (how deciding works), then
//! one aggregate: [`vehicle`], [`fleet`], [`track`]. Who may do what is in [`tenant`], [`user`],
//! [`admins`], [`session`], [`signing_keys`] and [`api_key`]. What is put into service, and what comes
//! of it, is in [`deployment`], [`environment`], [`incident`] and [`slo`]. What programs say of
//! themselves and of their users is in [`log_source`], [`log_batch`], [`log_person`] and [`rejected_record`];
//! [`log_format`] reads it. Who is better than whom is in [`competition`], [`entry`] and
//! [`activity_log`]; [`score`], [`period`], [`standing`], [`board`], [`prize`] and [`activity`] say what
//! that means. [`folded`] is the history of anything, whatever its kind.

pub mod log;
pub mod aggregate;
pub mod refusal;
pub mod values;
pub mod attributes;
pub mod vehicle;
pub mod fleet;
pub mod track;
pub mod personal;
mod words;
mod digest;
pub mod external;
pub mod zone;
pub mod approval;
pub mod deployment;
pub mod environment;
pub mod incident;
pub mod slo;
pub mod log_source;
pub mod log_batch;
pub mod log_person;
pub mod rejected_record;
pub mod log_format;
pub mod decimal;
pub mod score;
pub mod period;
pub mod standing;
pub mod board;
pub mod prize;
pub mod competition;
pub mod entry;
pub mod activity;
pub mod activity_log;
pub mod scope;
pub mod tenant;
pub mod user;
pub mod admins;
pub mod session;
pub mod token;
pub mod signing_keys;
pub mod api_key;
pub mod event;
pub mod upcast;
pub mod folded;
#[cfg(test)]
mod given;

pub use aggregate::{Aggregate, ClaimChange, Shape};
pub use attributes::Attributes;
pub use event::{DecodeError, Event};
pub use external::ExternalRef;
pub use log::{Actor, ActorKind, Metadata, Position, Recorded, StreamKey};
pub use personal::{Personal, PersonalField};
pub use refusal::{Code, Refusal};
pub use scope::Scope;
pub use zone::Zone;
