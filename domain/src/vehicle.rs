//! A vehicle: registered once, known by its external ids, member of fleets, one day retired.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What happened to a vehicle. Variant names are what a stock `postgres_es` reader sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum VehicleEvent {
    /// The vehicle became known.
    #[serde(rename = "vehicle.registered")]
    VehicleRegistered(VehicleRegistered),
    /// Name, plate, VIN or description changed.
    #[serde(rename = "vehicle.profile_changed")]
    VehicleProfileChanged(VehicleProfileChanged),
    /// The vehicle became a member of a fleet.
    #[serde(rename = "vehicle.joined_fleet")]
    VehicleJoinedFleet(VehicleJoinedFleet),
    /// The vehicle is no longer a member of a fleet.
    #[serde(rename = "vehicle.left_fleet")]
    VehicleLeftFleet(VehicleLeftFleet),
    /// The vehicle accepts nothing more.
    #[serde(rename = "vehicle.retired")]
    VehicleRetired(VehicleRetired),
    /// A retired vehicle is in service again.
    #[serde(rename = "vehicle.reinstated")]
    VehicleReinstated(VehicleReinstated),
}

/// What is known about a vehicle beside its id. Every field is optional; absent means unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleProfile {
    /// The id under which a feed or device reports; unique per tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Vehicle identification number; unique per tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vin: Option<String>,
    /// Licence plate; unique per tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate: Option<String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Kind of vehicle in the operator's words, such as `bus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The vehicle became known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleRegistered {
    /// What is known about it.
    pub profile: VehicleProfile,
    /// True when a position report registered it, false when a person or program did so on purpose.
    pub on_first_report: bool,
}

/// The profile after the change, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleProfileChanged {
    /// The new profile; it replaces the old one.
    pub profile: VehicleProfile,
}

/// Joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleJoinedFleet {
    /// Which fleet.
    pub fleet_id: String,
}

/// Left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleLeftFleet {
    /// Which fleet.
    pub fleet_id: String,
}

/// Retired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleRetired {
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// In service again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VehicleReinstated {}

/// The state a vehicle's events fold to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vehicle {
    /// Registered at all?
    pub registered: bool,
    /// In service or not.
    pub retired: bool,
    /// Latest profile.
    pub profile: VehicleProfile,
    /// Fleets it is a member of.
    pub fleets: BTreeSet<String>,
}
