//! Where vehicles are and were: the latest fix of each, and every fix.

mod history;
mod latest;

pub use history::{FixKey, HistoryOrder, HistoryQuery, history};
pub use latest::{AsOf, LatestCursor, LatestFilter, LatestRow, latest};

use chrono::{DateTime, Utc};
use domain::Position;
use serde_json::{Map, Value};

use crate::H3Cell;

/// The read model's name.
pub const NAME: &str = "positions";

/// One accepted fix. Units: degrees (WGS 84), metres, metres per second.
#[derive(Clone, Debug, PartialEq)]
pub struct FixRow {
    /// Whose.
    pub vehicle_id: String,
    /// When the receiver had it.
    pub fix_time: DateTime<Utc>,
    /// Position of the event that carries it.
    pub position: Position,
    /// Its number in that event, from 0.
    pub index: i32,
    /// Latitude.
    pub lat: f64,
    /// Longitude.
    pub lon: f64,
    /// The base cell it lies in.
    pub cell: H3Cell,
    /// The reporter's own id of it.
    pub fix_id: Option<String>,
    /// When the device sent it, by the device's clock.
    pub device_time: Option<DateTime<Utc>>,
    /// Metres above the ellipsoid.
    pub altitude_m: Option<f64>,
    /// Speed over ground.
    pub speed_mps: Option<f64>,
    /// Course over ground, degrees clockwise from north.
    pub course_deg: Option<f64>,
    /// Radius of 68 % confidence.
    pub accuracy_m: Option<f64>,
    /// Satellites used.
    pub satellites: Option<u16>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f64>,
    /// Anything else, as reported.
    pub attributes: Map<String, Value>,
}

impl FixRow {
    /// Its place in time order.
    pub fn key(&self) -> FixKey {
        FixKey {
            fix_time: self.fix_time,
            position: self.position,
            index: self.index,
        }
    }
}
