//! The directory of vehicles and fleets: who exists, under which names, in which fleets.

mod read;

pub use read::{FleetRow, VehicleFilter, VehicleRow, fleet, fleets, vehicle, vehicles};

/// The read model's name.
pub const NAME: &str = "vehicles";
