//! A fleet: a named group of vehicles. Membership is the vehicle's fact, not the fleet's.

use serde::{Deserialize, Serialize};

/// What happened to a fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FleetEvent {
    /// The fleet exists.
    #[serde(rename = "fleet.created")]
    FleetCreated(FleetCreated),
    /// The fleet has another name.
    #[serde(rename = "fleet.renamed")]
    FleetRenamed(FleetRenamed),
    /// The fleet accepts nothing more.
    #[serde(rename = "fleet.archived")]
    FleetArchived(FleetArchived),
}

/// Created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetCreated {
    /// Its name.
    pub name: String,
}

/// Renamed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetRenamed {
    /// Its new name.
    pub name: String,
}

/// Archived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetArchived {}

/// The state a fleet's events fold to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// Created at all?
    pub created: bool,
    /// Archived?
    pub archived: bool,
    /// Latest name.
    pub name: String,
}
