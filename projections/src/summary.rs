//! What a fleet or a vehicle did over a span: distance, time moving and idle, speeds.

use chrono::{DateTime, Utc};
use domain::Position;

use crate::trends::Scope;
use crate::{Page, ReadError, Snapshot};

/// What was done over a span, by the fixes in it.
///
/// A step is two consecutive fixes of a vehicle inside the span. It is moving if its straight-line
/// speed reaches [`crate::MOVING_FROM_MPS`], else idle; longer than [`crate::STOP_GAP_S`] it is
/// unobserved and adds nothing to distance, moving or idle.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Vehicles with a fix in the span.
    pub active_vehicles: i64,
    /// Number of fixes.
    pub fixes: i64,
    /// Metres along the fixes; `None` without fixes, 0 with one.
    pub distance_m: Option<f64>,
    /// Seconds moving; `None` without fixes.
    pub moving_s: Option<f64>,
    /// Seconds idle; `None` without fixes.
    pub idle_s: Option<f64>,
    /// Number of unobserved steps.
    pub gaps: i64,
    /// Mean reported speed, m/s; `None` if none was reported.
    pub mean_speed_mps: Option<f64>,
    /// Greatest reported speed, m/s; `None` if none was reported.
    pub max_speed_mps: Option<f64>,
    /// Time of the first fix.
    pub first_fix: Option<DateTime<Utc>>,
    /// Time of the last fix.
    pub last_fix: Option<DateTime<Utc>>,
}

/// A span's totals, and what they are as of.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryTotals {
    /// The span counted, from (included): `from` cut down to five minutes.
    pub from: DateTime<Utc>,
    /// The span counted, to (excluded): `to` cut up to five minutes.
    pub to: DateTime<Utc>,
    /// The totals.
    pub summary: Summary,
    /// The log position they are as of.
    pub as_of: Position,
}

/// One vehicle's part.
#[derive(Clone, Debug, PartialEq)]
pub struct VehicleSummary {
    /// Which vehicle.
    pub vehicle_id: String,
    /// Its part.
    pub summary: Summary,
}

/// What a scope did over `[from, to)`.
pub async fn summary(
    _snap: &mut Snapshot,
    _scope: &Scope,
    _from: DateTime<Utc>,
    _to: DateTime<Utc>,
) -> Result<SummaryTotals, ReadError> {
    todo!()
}

/// The same vehicle by vehicle: those with a fix in the span, by ascending id, at most `first`.
pub async fn summary_by_vehicle(
    _snap: &mut Snapshot,
    _scope: &Scope,
    _from: DateTime<Utc>,
    _to: DateTime<Utc>,
    _after: Option<&str>,
    _first: u32,
) -> Result<Page<VehicleSummary>, ReadError> {
    todo!()
}
