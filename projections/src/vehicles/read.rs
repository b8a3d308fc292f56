//! Reading the directory: one vehicle, one fleet, and lists of them.

use chrono::{DateTime, Utc};
use domain::Position;
use domain::vehicle::VehicleProfile;

use crate::{Page, ReadError, Snapshot};

/// A registered vehicle.
#[derive(Clone, Debug, PartialEq)]
pub struct VehicleRow {
    /// Its id.
    pub id: String,
    /// What is known about it.
    pub profile: VehicleProfile,
    /// When it was registered (recorded time).
    pub registered_at: DateTime<Utc>,
    /// True when a position report registered it.
    pub on_first_report: bool,
    /// Since when it is retired; `None` while in service.
    pub retired_at: Option<DateTime<Utc>>,
    /// Why it was retired, if it is and someone said so.
    pub retired_reason: Option<String>,
    /// Ids of the fleets it is a member of, ascending.
    pub fleets: Vec<String>,
    /// Version of its stream.
    pub version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// Which vehicles; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VehicleFilter {
    /// Members of this fleet.
    pub fleet_id: Option<String>,
    /// Retired or in service.
    pub retired: Option<bool>,
    /// The one with this external id.
    pub external_id: Option<String>,
    /// Those whose id, external id, VIN, plate or name contains this text, whatever its case.
    pub text: Option<String>,
}

/// A fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetRow {
    /// Its id.
    pub id: String,
    /// Its latest name.
    pub name: String,
    /// When it was created (recorded time).
    pub created_at: DateTime<Utc>,
    /// Since when it is archived.
    pub archived_at: Option<DateTime<Utc>>,
    /// How many vehicles are members.
    pub vehicles: i64,
    /// How many of them are not retired.
    pub vehicles_in_service: i64,
    /// Version of its stream.
    pub version: i64,
    /// Position of its last event.
    pub position: Position,
}

/// One vehicle by id.
pub async fn vehicle(_snap: &mut Snapshot, _id: &str) -> Result<Option<VehicleRow>, ReadError> {
    todo!()
}

/// Vehicles by ascending id, those after `after`, at most `first`.
pub async fn vehicles(
    _snap: &mut Snapshot,
    _filter: &VehicleFilter,
    _after: Option<&str>,
    _first: u32,
) -> Result<Page<VehicleRow>, ReadError> {
    todo!()
}

/// One fleet by id.
pub async fn fleet(_snap: &mut Snapshot, _id: &str) -> Result<Option<FleetRow>, ReadError> {
    todo!()
}

/// Fleets by ascending id, those after `after`, at most `first`.
pub async fn fleets(
    _snap: &mut Snapshot,
    _after: Option<&str>,
    _first: u32,
) -> Result<Page<FleetRow>, ReadError> {
    todo!()
}
