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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The n-th fix of a bus that says where it is every half minute, and no more.
    pub(super) fn fix(n: i64) -> Fix {
        Fix {
            fix_time: at(1_425_744_000 + 30 * n),
            lat: 30.25,
            lon: -97.75,
            fix_id: None,
            device_time: None,
            altitude_m: None,
            speed_mps: None,
            course_deg: None,
            accuracy_m: None,
            satellites: None,
            hdop: None,
            attributes: Attributes::default(),
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    /// Any fix that can be accepted, of one UTC day.
    pub(super) fn any_fix() -> impl Strategy<Value = Fix> {
        let time = (0i64..86_400_000_000).prop_map(|us| {
            DateTime::from_timestamp_micros(1_425_686_400_000_000 + us).expect("a time")
        });
        let attributes = prop_oneof![
            Just(json!({})),
            Just(json!({"routeId": "320", "tripId": 1_388_007})),
            Just(json!({"ignition": true, "io": {"239": [1, 2.5, null]}})),
        ]
        .prop_map(|value| serde_json::from_value::<Attributes>(value).expect("an object"));
        let number = |min: f64, max: f64| prop::option::of(min..max);
        (
            (
                time.clone(),
                -90.0..=90.0,
                -180.0..=180.0,
                prop::option::of("[a-z]{1,3}"),
            ),
            (
                prop::option::of(time),
                number(-10.0, 9e3),
                number(0.0, 99.0),
                number(0.0, 360.0),
            ),
            (
                number(0.0, 1e3),
                prop::option::of(0u16..50),
                number(0.0, 99.0),
                attributes,
            ),
        )
            .prop_map(|(place, motion, quality)| Fix {
                fix_time: place.0,
                lat: place.1,
                lon: place.2,
                fix_id: place.3,
                device_time: motion.0,
                altitude_m: motion.1,
                speed_mps: motion.2,
                course_deg: motion.3,
                accuracy_m: quality.0,
                satellites: quality.1,
                hdop: quality.2,
                attributes: quality.3,
            })
    }

    #[test]
    fn a_track_is_of_one_utc_day() {
        let fix = |seconds| Fix {
            fix_time: at(seconds),
            ..fix(0)
        };
        let midnight = 1_425_686_400;
        assert_eq!(
            track_id("2228", day_of(&fix(midnight - 1))),
            "2228/2015-03-06"
        );
        assert_eq!(track_id("2228", day_of(&fix(midnight))), "2228/2015-03-07");
    }
}
