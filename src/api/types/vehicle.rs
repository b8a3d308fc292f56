//! Vehicles.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use projections::positions::{self, FixRow, LatestFilter};
use projections::vehicles::VehicleRow;

use super::fix::PositionFix;
use super::int;
use crate::api::batch::Batch;
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, Position};

/// May a vehicle report and join?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum VehicleStatus {
    /// In service.
    Active,
    /// Out of service: it accepts nothing but being reinstated.
    Retired,
}

/// A vehicle of the tenant.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Vehicle {
    /// The vehicle's id, given when it was registered; unique among the tenant's vehicles.
    pub id: ID,
    /// The id under which a feed or device reports it; unique per tenant.
    external_id: Option<String>,
    /// Vehicle identification number; unique per tenant.
    vin: Option<String>,
    /// Licence plate; unique per tenant.
    plate: Option<String>,
    /// A name for people.
    name: Option<String>,
    /// Kind of vehicle in the operator's words, such as `bus`.
    kind: Option<String>,
    /// In service or retired.
    status: VehicleStatus,
    /// When it was registered, by the log's clock.
    registered_at: DateTime,
    /// True when a position report registered it, false when a command did so on purpose.
    on_first_report: bool,
    /// Since when it is retired; null while in service.
    retired_at: Option<DateTime>,
    /// Why it was retired, if someone said so.
    retired_reason: Option<String>,
    /// The fleets it is a member of, by ascending id.
    fleet_ids: Vec<ID>,
    /// Number of events in its stream: what `expectedVersion` is compared with.
    version: i32,
    /// Position of the last event in its stream.
    last_event_position: Position,
    #[graphql(skip)]
    latest: Latest,
}

/// The latest fixes of the vehicles of a page.
type Latest = Arc<Batch<String, FixRow>>;

impl Vehicle {
    /// A vehicle by itself.
    pub fn single(row: VehicleRow) -> Vehicle {
        let latest = Batch::of([row.id.clone()]);
        Vehicle::new(row, latest)
    }

    /// Makes the vehicles of a page, which look up their latest fixes together.
    pub fn page(rows: &[VehicleRow]) -> impl Fn(VehicleRow) -> Vehicle + use<> {
        let latest: Latest = Batch::of(rows.iter().map(|row| row.id.clone()));
        move |row| Vehicle::new(row, latest.clone())
    }

    fn new(row: VehicleRow, latest: Latest) -> Vehicle {
        let status = if row.retired_at.is_some() {
            VehicleStatus::Retired
        } else {
            VehicleStatus::Active
        };
        Vehicle {
            id: ID(row.id),
            external_id: row.profile.external_id,
            vin: row.profile.vin,
            plate: row.profile.plate,
            name: row.profile.name,
            kind: row.profile.kind,
            status,
            registered_at: DateTime(row.registered_at),
            on_first_report: row.on_first_report,
            retired_at: row.retired_at.map(DateTime),
            retired_reason: row.retired_reason,
            fleet_ids: row.fleets.into_iter().map(ID).collect(),
            version: int(row.version),
            last_event_position: Position(row.position),
            latest,
        }
    }
}

#[ComplexObject]
impl Vehicle {
    /// Its fix with the greatest fix time; null if it never reported.
    async fn latest_position(&self, ctx: &Context<'_>) -> Result<Option<PositionFix>> {
        let operation = Operation::of(ctx);
        let fix = self
            .latest
            .get(&self.id.0, |ids| latest_fixes(operation, ids))
            .await?;
        Ok(fix.map(PositionFix::single))
    }
}

async fn latest_fixes(
    operation: &Operation,
    ids: &[String],
) -> Result<HashMap<String, FixRow>, Fault> {
    let filter = LatestFilter {
        vehicle_ids: Some(ids.to_vec()),
        ..LatestFilter::default()
    };
    let mut snapshot = operation.read(&[positions::NAME]).await?;
    let page = positions::latest(&mut snapshot, &filter, None, ids.len() as u32).await;
    let page = snapshot.answer(page)?;
    Ok(page
        .items
        .into_iter()
        .map(|row| (row.fix.vehicle_id.clone(), row.fix))
        .collect())
}
