//! The latest position of each vehicle, now or as of a time, everywhere or in a place.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::FixRow;
use crate::{BoundingBox, Near, Page, ReadError, Snapshot};

/// A vehicle's latest fix: greatest fix time, on ties greatest (position, index).
#[derive(Clone, Debug, PartialEq)]
pub struct LatestRow {
    /// The fix.
    pub fix: FixRow,
    /// Metres from the centre asked for, if one was.
    pub distance_m: Option<f64>,
}

/// Which vehicles; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatestFilter {
    /// These.
    pub vehicle_ids: Option<Vec<String>>,
    /// Members of this fleet.
    pub fleet_id: Option<String>,
    /// Those in this rectangle.
    pub area: Option<BoundingBox>,
    /// Those in this circle. The list is then ordered by distance, then vehicle id.
    pub near: Option<Near>,
    /// Those heard of at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// Each vehicle's latest fix at that time, instead of now.
    pub as_of: Option<AsOf>,
}

/// A moment in fix time and how far back to look: `at - window < fix time <= at`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AsOf {
    /// The moment, included.
    pub at: DateTime<Utc>,
    /// How far back, excluded.
    pub window: Duration,
}

/// Where a page of latest positions ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestCursor {
    /// The last row's distance, if the list is ordered by distance.
    pub distance_m: Option<f64>,
    /// The last row's vehicle.
    pub vehicle_id: String,
}

impl LatestRow {
    /// Where a page that ends with this row goes on.
    pub fn cursor(&self) -> LatestCursor {
        LatestCursor {
            distance_m: self.distance_m,
            vehicle_id: self.fix.vehicle_id.clone(),
        }
    }
}

/// Latest positions by ascending vehicle id (with `near`: by distance), at most `first`.
pub async fn latest(
    _snap: &mut Snapshot,
    _filter: &LatestFilter,
    _after: Option<&LatestCursor>,
    _first: u32,
) -> Result<Page<LatestRow>, ReadError> {
    todo!()
}
