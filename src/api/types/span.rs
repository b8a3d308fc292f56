//! What questions about figures have in common: a span of time, whose fixes, an area.

use std::str::FromStr;

use async_graphql::{ID, InputObject, SimpleObject};
use chrono::{DateTime as Instant, Utc};
use chrono_tz::Tz;
use domain::{Code, Refusal};
use projections::trends::Scope;

use crate::api::fault::Fault;
use crate::api::scalars::{DateTime, Latitude, Longitude};

/// A rectangle of latitudes and longitudes, edges included. It crosses the antimeridian when `west`
/// is greater than `east`.
#[derive(Clone, Copy, Debug, InputObject)]
pub struct BoundingBox {
    /// Lowest latitude.
    south: Latitude,
    /// Western longitude.
    west: Longitude,
    /// Highest latitude, not below `south`.
    north: Latitude,
    /// Eastern longitude.
    east: Longitude,
}

impl BoundingBox {
    /// The rectangle in the read models' words.
    pub fn checked(self) -> Result<projections::BoundingBox, Fault> {
        let BoundingBox {
            south,
            west,
            north,
            east,
        } = self;
        projections::BoundingBox::new(south.0, west.0, north.0, east.0)
            .ok_or_else(|| invalid("bbox", "north is below south"))
    }
}

/// A circle on the earth's surface, edge included.
#[derive(Clone, Copy, Debug, InputObject)]
pub struct Near {
    /// Latitude of its centre.
    lat: Latitude,
    /// Longitude of its centre.
    lon: Longitude,
    /// Its radius in metres, 0 or more.
    radius_m: f64,
}

impl Near {
    /// The circle in the read models' words.
    pub fn checked(self) -> Result<projections::Near, Fault> {
        projections::Near::new(self.lat.0, self.lon.0, self.radius_m)
            .ok_or_else(|| invalid("near", "the radius is negative"))
    }
}

/// A place on WGS 84.
#[derive(Clone, Copy, SimpleObject)]
pub struct Place {
    /// Latitude.
    lat: Latitude,
    /// Longitude.
    lon: Longitude,
}

impl From<(f64, f64)> for Place {
    fn from((lat, lon): (f64, f64)) -> Place {
        Place {
            lat: Latitude(lat),
            lon: Longitude(lon),
        }
    }
}

/// A refusal of an argument.
pub fn invalid(argument: &str, message: &str) -> Fault {
    Refusal::new(Code::Validation, message)
        .at([argument])
        .into()
}

/// Checks that a span of time does not end before it begins.
pub fn span(from: DateTime, to: DateTime) -> Result<(Instant<Utc>, Instant<Utc>), Fault> {
    if from.0 >= to.0 {
        return Err(invalid("to", "the span is empty: `to` is not after `from`"));
    }
    Ok((from.0, to.0))
}

/// A zone of the IANA database.
pub fn zone(name: Option<String>) -> Result<String, Fault> {
    let name = name.unwrap_or_else(|| "UTC".to_owned());
    match Tz::from_str(&name) {
        Ok(zone) => Ok(zone.name().to_owned()),
        Err(_) => Err(invalid("zone", "not a zone of the IANA database")),
    }
}

/// Whose fixes: of one vehicle, of a fleet's present members, or all.
pub fn scope(vehicle_id: Option<ID>, fleet_id: Option<ID>) -> Result<Scope, Fault> {
    match (vehicle_id, fleet_id) {
        (None, None) => Ok(Scope::All),
        (Some(id), None) => Ok(Scope::Vehicle(id.0)),
        (None, Some(id)) => Ok(Scope::Fleet(id.0)),
        (Some(_), Some(_)) => Err(invalid("fleetId", "ask for a vehicle or a fleet, not both")),
    }
}

/// The read models behind figures about a scope.
pub fn scope_models(own: &'static str, scope: &Scope) -> Vec<&'static str> {
    match scope {
        Scope::Fleet(_) => vec![own, projections::vehicles::NAME],
        Scope::All | Scope::Vehicle(_) => vec![own],
    }
}
