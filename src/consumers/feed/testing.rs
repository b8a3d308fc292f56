//! Events for the tests of the feed.

use std::sync::Arc;

use chrono::DateTime;
use domain::Event;
use domain::Position;
use domain::track::{Fix, PositionsReported, TrackEvent};
use domain::vehicle::{VehicleEvent, VehicleJoinedFleet};

use crate::consumers::LogEvent;
use crate::store::StoredEvent;

/// An event as it stands in the log.
pub fn event(at: i64, kind: &str, id: &str, event: impl Into<Event>) -> Arc<LogEvent> {
    let event = event.into();
    let stored = StoredEvent {
        tenant: "default".into(),
        position: Position(at),
        aggregate_type: kind.into(),
        aggregate_id: id.into(),
        sequence: at,
        event_type: event.event_type().into(),
        event_version: event.event_version().into(),
        event_id: uuid::Uuid::nil(),
        recorded_at: DateTime::UNIX_EPOCH,
        payload: event.payload().expect("an event can be written"),
        metadata: r#"{"actor":"user:ann","command_id":"c"}"#.to_owned(),
    };
    Arc::new(LogEvent {
        position: stored.position,
        aggregate_type: stored.aggregate_type.clone(),
        recorded_at: stored.recorded_at,
        weight_bytes: 100,
        body: Ok(stored.decode().expect("what was written can be read")),
        stored,
    })
}

/// A vehicle joins a fleet.
pub fn joined(at: i64, vehicle: &str, fleet: &str) -> Arc<LogEvent> {
    let fleet_id = fleet.to_owned();
    let joined = VehicleEvent::VehicleJoinedFleet(VehicleJoinedFleet { fleet_id });
    event(at, "vehicle", vehicle, joined)
}

/// A vehicle reports where it was, so many seconds after 1970.
pub fn reported(at: i64, vehicle: &str, places: &[(i64, f64, f64)]) -> Arc<LogEvent> {
    let fix = |(time, lat, lon): &(i64, f64, f64)| Fix {
        fix_time: DateTime::from_timestamp(*time, 0).expect("a time"),
        lat: *lat,
        lon: *lon,
        fix_id: None,
        device_time: None,
        altitude_m: None,
        speed_mps: None,
        course_deg: None,
        accuracy_m: None,
        satellites: None,
        hdop: None,
        attributes: Default::default(),
    };
    let fixes = places.iter().map(fix).collect();
    let vehicle_id = vehicle.to_owned();
    let reported = TrackEvent::PositionsReported(PositionsReported { vehicle_id, fixes });
    event(at, "track", &format!("{vehicle}/1970-01-01"), reported)
}
