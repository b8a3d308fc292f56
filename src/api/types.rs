//! Objects of the schema, one read model's words a file.

pub mod activity;
pub mod analyst;
pub mod api_key;
pub mod behind;
pub mod competition;
pub mod deployment;
pub mod dora;
pub mod environment;
pub mod event;
pub mod evidence;
pub mod fix;
pub mod fleet;
pub mod heatmap;
pub mod history;
pub mod incident;
pub mod ingest;
pub mod logs;
pub mod projection;
pub mod rebuild;
pub mod seal;
pub mod sla;
pub mod slo;
pub mod span;
pub mod statistics;
pub mod summary;
pub mod tenant;
pub mod trend;
pub mod user;
pub mod vehicle;

/// A version or count as `Int`: none of them comes near its limit of 2,147,483,647.
pub(super) fn int(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
