//! What log records add up to. Every figure can be traced to its records: they are those of the same
//! filter and span.

pub(super) mod active;
pub(super) mod delay;
pub(super) mod gaps;
pub(super) mod volume;
