//! A vehicle's track of one UTC day: position fixes, each accepted once.
//!
//! The stream's key is `{vehicle}/{YYYY-MM-DD}`; it bounds the stream whatever the vehicle's age.
//! A report walks through here once: [`judge`] turns what was said into a [`Fix`] or a refusal, the
//! caller groups the fixes by [`track_id`], and [`Track::admit`] tells the new from the known.

mod admit;
mod digest;
mod packed;
mod report;
mod seen;

pub use admit::{Admission, Admitted, FIX_ID_SCOPE, Track, TrackCommand, fix_id_claim};
pub use report::{FixReport, FixRules, judge};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;

/// What happened on a track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrackEvent {
    /// A batch of fixes was accepted.
    #[serde(rename = "track.positions_reported")]
    PositionsReported(PositionsReported),
}

/// Accepted fixes of one vehicle and one UTC day, in the order they were reported.
/// A fix's identity in the log is `position:index`.
///
/// Stored by column: smaller and several times faster to replay than one object a fix.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionsReported {
    /// Whose fixes.
    pub vehicle_id: String,
    /// At least one.
    pub fixes: Vec<Fix>,
}

/// One accepted position fix. Units: degrees (WGS 84), metres, metres per second.
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    /// When the receiver had the fix, to the microsecond.
    pub fix_time: DateTime<Utc>,
    /// Latitude, -90..=90.
    pub lat: f64,
    /// Longitude, -180..=180.
    pub lon: f64,
    /// The reporter's own id of this fix, if it declares one.
    pub fix_id: Option<String>,
    /// When the device sent it, by the device's clock.
    pub device_time: Option<DateTime<Utc>>,
    /// Metres above the ellipsoid.
    pub altitude_m: Option<f64>,
    /// Speed over ground.
    pub speed_mps: Option<f64>,
    /// Course over ground, degrees clockwise from north, 0..360.
    pub course_deg: Option<f64>,
    /// Radius of 68 % confidence.
    pub accuracy_m: Option<f64>,
    /// Satellites used.
    pub satellites: Option<u16>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f64>,
    /// Anything else, stored as given (route, trip, ignition, ...).
    pub attributes: Attributes,
}

/// How many fixes one report may carry.
pub const FIXES_MAX: usize = 1_000;

/// The UTC day a fix belongs to.
pub fn day_of(fix: &Fix) -> NaiveDate {
    fix.fix_time.date_naive()
}

/// The key of a vehicle's track of one UTC day.
pub fn track_id(vehicle_id: &str, day: NaiveDate) -> String {
    format!("{vehicle_id}/{}", day.format("%Y-%m-%d"))
}
