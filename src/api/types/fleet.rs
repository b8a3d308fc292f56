//! Fleets.

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use projections::vehicles::FleetRow;

use super::int;
use super::vehicle::Vehicle;
use crate::api::page::Paged;
use crate::api::query::vehicle::{VehicleFilter, vehicle_page};
use crate::api::scalars::{DateTime, Position};

/// Does a fleet take members?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum FleetStatus {
    /// It does.
    Active,
    /// It accepts nothing more.
    Archived,
}

/// A named group of vehicles.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Fleet {
    /// The fleet's id, given when it was created; unique among the tenant's fleets.
    pub id: ID,
    /// Its name.
    name: String,
    /// Active or archived.
    status: FleetStatus,
    /// When it was created, by the log's clock.
    created_at: DateTime,
    /// Since when it is archived; null while active.
    archived_at: Option<DateTime>,
    /// How many vehicles are members, retired ones counted.
    vehicle_count: i32,
    /// How many members are in service.
    in_service_count: i32,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    version: i32,
    /// Position of the last event in its stream.
    last_event_position: Position,
}

impl From<FleetRow> for Fleet {
    fn from(row: FleetRow) -> Fleet {
        let status = if row.archived_at.is_some() {
            FleetStatus::Archived
        } else {
            FleetStatus::Active
        };
        Fleet {
            id: ID(row.id),
            name: row.name,
            status,
            created_at: DateTime(row.created_at),
            archived_at: row.archived_at.map(DateTime),
            vehicle_count: int(row.vehicles),
            in_service_count: int(row.vehicles_in_service),
            version: int(row.version),
            last_event_position: Position(row.position),
        }
    }
}

#[ComplexObject]
impl Fleet {
    /// Its members, by ascending id.
    async fn vehicles(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Vehicle>> {
        let filter = VehicleFilter {
            fleet_id: Some(self.id.clone()),
            ..VehicleFilter::default()
        };
        vehicle_page(ctx, filter, first, after.as_deref()).await
    }
}
