//! Position fixes, each of them a record of an event.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject, Value};
use domain::Position as LogPosition;
use projections::positions::{FixRow, LatestRow};
use projections::vehicles;

use super::event::Event;
use super::vehicle::Vehicle;
use crate::api::batch::Batch;
use crate::api::failure::store_fault;
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, H3Cell, Json, Latitude, Longitude, Position};
use crate::store::StoredEvent;

/// One accepted position fix. Units: degrees (WGS 84), metres, metres per second.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct PositionFix {
    /// `position:index`: which record of which event this is.
    id: ID,
    /// Whose fix.
    vehicle_id: ID,
    /// When the receiver had it.
    fix_time: DateTime,
    /// Latitude.
    lat: Latitude,
    /// Longitude.
    lon: Longitude,
    /// The H3 cell of resolution 9 it lies in.
    cell: H3Cell,
    /// The reporter's own id of it, if it declared one.
    fix_id: Option<String>,
    /// When the device sent it, by the device's clock.
    device_time: Option<DateTime>,
    /// Height above the ellipsoid, metres.
    altitude_m: Option<f64>,
    /// Speed over ground, metres per second.
    speed_mps: Option<f64>,
    /// Course over ground, degrees clockwise from north.
    course_deg: Option<f64>,
    /// Radius of 68 % confidence, metres.
    accuracy_m: Option<f64>,
    /// Number of satellites used.
    satellites: Option<i32>,
    /// Horizontal dilution of precision, a ratio.
    hdop: Option<f64>,
    /// Whatever else was reported with it.
    attributes: Json,
    /// Position in the log of the event that carries it.
    position: Position,
    /// Its number in that event, from 0.
    index: i32,
    #[graphql(skip)]
    events: Events,
}

/// A vehicle's latest fix, and how far it is from where the caller looks.
#[derive(SimpleObject)]
pub struct LatestPosition {
    #[graphql(flatten)]
    fix: PositionFix,
    /// Metres from the centre of `near` along the surface; null without `near`.
    distance_m: Option<f64>,
}

/// A vehicle's latest fix, and whether the vehicle is still among those asked for.
#[derive(SimpleObject)]
pub struct VehicleMove {
    #[graphql(flatten)]
    fix: PositionFix,
    /// The vehicle has left the area or the fleet, and nothing more is told of it unless it comes back.
    /// The fix is the latest of it, which is outside if an area was left.
    left: bool,
}

/// The events behind the fixes of a page.
type Events = Arc<Batch<LogPosition, Arc<StoredEvent>>>;

impl PositionFix {
    /// A fix by itself.
    pub fn single(row: FixRow) -> PositionFix {
        let events = Batch::of([row.position]);
        PositionFix::new(row, events)
    }

    /// Makes the fixes of a page, whose events are at these positions and looked up together.
    pub fn page(positions: HashSet<LogPosition>) -> impl Fn(FixRow) -> PositionFix {
        let events: Events = Batch::of(positions);
        move |row| PositionFix::new(row, events.clone())
    }

    fn new(row: FixRow, events: Events) -> PositionFix {
        PositionFix {
            id: ID(format!("{}:{}", row.position, row.index)),
            vehicle_id: ID(row.vehicle_id),
            fix_time: DateTime(row.fix_time),
            lat: Latitude(row.lat),
            lon: Longitude(row.lon),
            cell: H3Cell(row.cell),
            fix_id: row.fix_id,
            device_time: row.device_time.map(DateTime),
            altitude_m: row.altitude_m,
            speed_mps: row.speed_mps,
            course_deg: row.course_deg,
            accuracy_m: row.accuracy_m,
            satellites: row.satellites.map(i32::from),
            hdop: row.hdop,
            attributes: Json(Value::from_json(row.attributes.into()).unwrap_or_default()),
            position: Position(row.position),
            index: row.index,
            events,
        }
    }
}

impl VehicleMove {
    /// One move.
    pub fn new(row: FixRow, left: bool) -> VehicleMove {
        let fix = PositionFix::single(row);
        VehicleMove { fix, left }
    }
}

impl LatestPosition {
    /// Makes the latest positions of a page.
    pub fn page(rows: &[LatestRow]) -> impl Fn(LatestRow) -> LatestPosition + use<> {
        let fix = PositionFix::page(rows.iter().map(|row| row.fix.position).collect());
        move |row| LatestPosition {
            fix: fix(row.fix),
            distance_m: row.distance_m,
        }
    }
}

#[ComplexObject]
impl PositionFix {
    /// The event that carries it, with its metadata: who reported it and when it was recorded.
    async fn event(&self, ctx: &Context<'_>) -> Result<Option<Event>> {
        let operation = Operation::of(ctx);
        let event = self
            .events
            .get(&self.position.0, |at| events(operation, at))
            .await?;
        Ok(event.map(|event| Event::from(&*event)))
    }

    /// The vehicle as it is now; null while it is not yet known to the read model.
    async fn vehicle(&self, ctx: &Context<'_>) -> Result<Option<Vehicle>> {
        let mut snapshot = Operation::of(ctx).read(&[vehicles::NAME]).await?;
        let row = vehicles::vehicle(&mut snapshot, &self.vehicle_id.0).await;
        Ok(snapshot.answer(row)?.map(Vehicle::single))
    }
}

async fn events(
    operation: &Operation,
    positions: &[LogPosition],
) -> Result<HashMap<LogPosition, Arc<StoredEvent>>, Fault> {
    let events = operation
        .parts
        .store
        .read_positions(operation.tenant(), positions)
        .await;
    let events = events.map_err(store_fault)?;
    Ok(events
        .into_iter()
        .map(|event| (event.position, Arc::new(event)))
        .collect())
}
