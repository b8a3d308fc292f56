//! Every fix of one vehicle, in fix-time order.

use chrono::{DateTime, Utc};
use domain::Position;

use super::FixRow;
use crate::{Page, ReadError, Snapshot};

/// A fix's place in its vehicle's time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FixKey {
    /// When.
    pub fix_time: DateTime<Utc>,
    /// Position of its event.
    pub position: Position,
    /// Its number in the event.
    pub index: i32,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryOrder {
    /// Ascending fix time.
    #[default]
    OldestFirst,
    /// Descending fix time.
    NewestFirst,
}

/// Which fixes: of one vehicle with `from <= fix time < to`.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryQuery {
    /// Whose.
    pub vehicle_id: String,
    /// Included.
    pub from: DateTime<Utc>,
    /// Excluded.
    pub to: DateTime<Utc>,
    /// Which end comes first.
    pub order: HistoryOrder,
}

/// Fixes of one vehicle after `after` in the asked order, at most `first`.
pub async fn history(
    _snap: &mut Snapshot,
    _query: &HistoryQuery,
    _after: Option<&FixKey>,
    _first: u32,
) -> Result<Page<FixRow>, ReadError> {
    todo!()
}
