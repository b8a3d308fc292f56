//! The fixes behind a figure: what any aggregate of positions can be traced back to.

use chrono::{DateTime, Utc};
use domain::Position;

use crate::positions::FixRow;

/// A page of the fixes behind a figure, by (fix time, vehicle, position, index).
/// A fix is the record `index` of the event at `position`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidencePage {
    /// The fixes.
    pub fixes: Vec<FixRow>,
    /// Are there more?
    pub has_next: bool,
    /// The log position up to which fixes are listed: that of the figure's read model.
    pub as_of: Position,
    /// False while the history of positions has not come as far as the figure: fixes may be missing.
    pub complete: bool,
}

/// Where a page of evidence ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceCursor {
    /// When.
    pub fix_time: DateTime<Utc>,
    /// Whose.
    pub vehicle_id: String,
    /// Position of its event.
    pub position: Position,
    /// Its number in the event.
    pub index: i32,
}

impl From<&FixRow> for EvidenceCursor {
    fn from(fix: &FixRow) -> EvidenceCursor {
        EvidenceCursor {
            fix_time: fix.fix_time,
            vehicle_id: fix.vehicle_id.clone(),
            position: fix.position,
            index: fix.index,
        }
    }
}
