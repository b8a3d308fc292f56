//! Made-up buses that drive as real ones do: a fix every ten seconds, six decimals, a route and a trip.

use chrono::{DateTime, TimeDelta, Utc};
use daybook::ops::Clock;
pub use daybook_load::Chance;
use domain::Attributes;
use domain::track::{Fix, FixReport};

/// Seconds between two fixes of a vehicle.
const STEP_S: i64 = 10;

/// Now.
pub fn now() -> DateTime<Utc> {
    Clock::system().now()
}

/// A bus on its way through Austin. Deterministic: the same seed drives the same way.
#[derive(Clone, Debug)]
pub struct Bus {
    /// Its id.
    pub id: String,
    at: DateTime<Utc>,
    lat: f64,
    lon: f64,
    course_deg: f64,
    attributes: Attributes,
    chance: Chance,
}

impl Bus {
    /// The n-th bus; its first fix is at `from`.
    pub fn new(n: u64, from: DateTime<Utc>) -> Bus {
        let mut bus = Bus {
            id: format!("bus-{n:05}"),
            at: from,
            lat: 30.27,
            lon: -97.74,
            course_deg: 0.0,
            attributes: Attributes::default(),
            chance: Chance::new(n),
        };
        bus.lat += bus.chance.within(-0.2, 0.2);
        bus.lon += bus.chance.within(-0.2, 0.2);
        bus.course_deg = bus.chance.within(0.0, 360.0);
        let route = (n % 83).to_string();
        bus.attributes = Attributes::from_iter([
            ("routeId".to_owned(), route.into()),
            ("tripId".to_owned(), (1_600_000 + n).into()),
        ]);
        bus
    }

    /// Its next fix.
    pub fn fix(&mut self) -> Fix {
        self.at += TimeDelta::seconds(STEP_S);
        self.course_deg = (self.course_deg + self.chance.within(-20.0, 20.0)).rem_euclid(360.0);
        let speed_mps = self.chance.within(0.0, 20.0);
        let metres = speed_mps * STEP_S as f64;
        let (sin, cos) = self.course_deg.to_radians().sin_cos();
        self.lat = rounded(self.lat + metres * cos / 111_320.0, 6);
        self.lon = rounded(self.lon + metres * sin / 96_000.0, 6);
        Fix {
            fix_time: self.at,
            lat: self.lat,
            lon: self.lon,
            fix_id: None,
            device_time: None,
            altitude_m: None,
            speed_mps: Some(rounded(speed_mps, 2)),
            course_deg: Some(rounded(self.course_deg, 1)),
            accuracy_m: None,
            satellites: None,
            hdop: None,
            attributes: self.attributes.clone(),
        }
    }
}

/// Fixes sent together, by vehicle.
pub type Batch = Vec<(String, Vec<Fix>)>;

/// How many fixes these are.
pub fn count(batches: &[Batch]) -> f64 {
    let fixes = batches.iter().flatten().map(|(_, fixes)| fixes.len());
    fixes.sum::<usize>() as f64
}

/// A fix as it is reported.
pub fn report_of(vehicle: &str, fix: &Fix) -> FixReport {
    FixReport {
        vehicle: vehicle.to_owned(),
        fix_time: fix.fix_time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        lat: fix.lat,
        lon: fix.lon,
        speed_mps: fix.speed_mps,
        course_deg: fix.course_deg,
        attributes: fix.attributes.clone(),
        ..FixReport::default()
    }
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}
