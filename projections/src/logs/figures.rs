//! What log records add up to. Every figure can be traced to its records: they are those of the same
//! filter and span, or some of these ([`super::LogOnly`]).

pub(super) mod active;
pub(super) mod buckets;
pub(super) mod delay;
pub(super) mod gaps;
pub(super) mod volume;
