//! A vehicle's track of one UTC day: position fixes, each accepted once.
//!
//! The stream's key is `{vehicle}/{YYYY-MM-DD}`; it bounds the stream whatever the vehicle's age.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
/// Stored by column (`PackedFixes`): smaller and several times faster to replay than one object a fix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PositionsReported {
    /// Whose fixes.
    pub vehicle_id: String,
    /// At least one.
    pub fixes: Vec<Fix>,
}

/// One accepted position fix. Units: degrees (WGS 84), metres, metres per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
    pub attributes: Map<String, Value>,
}

/// How many fixes one report may carry.
pub const FIXES_MAX: usize = 1_000;

/// One fix as reported, unchecked: what [`judge`] turns into a [`Fix`] or a refusal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FixReport {
    /// The vehicle's id, or its external id.
    pub vehicle: String,
    /// RFC 3339 with a zone.
    pub fix_time: String,
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// See [`Fix::fix_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_id: Option<String>,
    /// RFC 3339 with a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_time: Option<String>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altitude_m: Option<f64>,
    /// Metres per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_mps: Option<f64>,
    /// Degrees clockwise from north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course_deg: Option<f64>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_m: Option<f64>,
    /// Count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub satellites: Option<u16>,
    /// Ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdop: Option<f64>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}
