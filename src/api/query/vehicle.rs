//! Questions about vehicles and fleets.

use async_graphql::{Context, ID, InputObject, Interface, Object, Result};
use projections::vehicles;

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::types::fleet::Fleet;
use crate::api::types::vehicle::{Vehicle, VehicleStatus};

/// An object with an id of its own.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "&ID",
    desc = "The object's id, unique among objects of its type."
))]
pub enum Node {
    /// A vehicle.
    Vehicle(Vehicle),
    /// A fleet.
    Fleet(Fleet),
}

/// Which vehicles; conditions add up.
#[derive(Clone, Debug, Default, InputObject)]
pub struct VehicleFilter {
    /// Members of this fleet.
    pub fleet_id: Option<ID>,
    /// In service, or retired.
    pub status: Option<VehicleStatus>,
    /// The one with this external id.
    pub external_id: Option<String>,
    /// Those whose id, external id, VIN, plate or name contains this text, whatever its case.
    pub text: Option<String>,
}

/// Questions about vehicles and fleets.
#[derive(Default)]
pub struct VehicleQueries;

#[Object]
impl VehicleQueries {
    /// One vehicle; null if there is none with this id.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn vehicle(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The vehicle's id.")] id: ID,
    ) -> Result<Option<Vehicle>> {
        vehicle(ctx, &id).await
    }

    /// Vehicles by ascending id.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn vehicles(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<VehicleFilter>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Vehicle>> {
        vehicle_page(ctx, filter.unwrap_or_default(), first, after.as_deref()).await
    }

    /// One fleet; null if there is none with this id.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn fleet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The fleet's id.")] id: ID,
    ) -> Result<Option<Fleet>> {
        fleet(ctx, &id).await
    }

    /// Fleets by ascending id, archived ones too.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn fleets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Fleet>> {
        let operation = Operation::of(ctx);
        let ask = Ask::<String>::read(operation, "fleets", &(), first, after.as_deref())?;
        let mut snapshot = operation.read(&[vehicles::NAME]).await?;
        let page = vehicles::fleets(&mut snapshot, ask.after.as_deref(), ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        Ok(ask.connection(page, as_of, |row| row.id.clone(), Fleet::from))
    }

    /// One object by its id; null if there is none. A vehicle is looked for before a fleet: where
    /// both have the id, write `vehicle:ID` or `fleet:ID`.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id, or `vehicle:ID`, or `fleet:ID`.")] id: ID,
    ) -> Result<Option<Node>> {
        node(ctx, &id).await
    }

    /// Objects by their ids, in the order asked; null where there is none. See `node`.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 200.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        let mut nodes = Vec::with_capacity(ids.len());
        for id in &ids {
            nodes.push(node(ctx, id).await?);
        }
        Ok(nodes)
    }
}

/// A page of the vehicles a filter lets through.
pub async fn vehicle_page(
    ctx: &Context<'_>,
    filter: VehicleFilter,
    first: Option<i32>,
    after: Option<&str>,
) -> Result<Paged<Vehicle>> {
    let operation = Operation::of(ctx);
    let ask = Ask::<String>::read(operation, "vehicles", &filter, first, after)?;
    let filter = vehicles::VehicleFilter {
        fleet_id: filter.fleet_id.map(|id| id.0),
        retired: filter.status.map(|status| status == VehicleStatus::Retired),
        external_id: filter.external_id,
        text: filter.text,
    };
    let mut snapshot = operation.read(&[vehicles::NAME]).await?;
    let after = ask.after.as_deref();
    let page = vehicles::vehicles(&mut snapshot, &filter, after, ask.first).await;
    let page = snapshot.answer(page)?;
    let (as_of, node) = (page.as_of.into(), Vehicle::page(&page.items));
    Ok(ask.connection(page, as_of, |row| row.id.clone(), node))
}

/// One vehicle.
pub async fn vehicle(ctx: &Context<'_>, id: &str) -> Result<Option<Vehicle>> {
    let mut snapshot = Operation::of(ctx).read(&[vehicles::NAME]).await?;
    let row = vehicles::vehicle(&mut snapshot, id).await;
    Ok(snapshot.answer(row)?.map(Vehicle::single))
}

/// One fleet.
pub async fn fleet(ctx: &Context<'_>, id: &str) -> Result<Option<Fleet>> {
    let mut snapshot = Operation::of(ctx).read(&[vehicles::NAME]).await?;
    let row = vehicles::fleet(&mut snapshot, id).await;
    Ok(snapshot.answer(row)?.map(Fleet::from))
}

async fn node(ctx: &Context<'_>, id: &str) -> Result<Option<Node>> {
    if let Some(id) = id.strip_prefix("fleet:") {
        return Ok(fleet(ctx, id).await?.map(Node::Fleet));
    }
    if let Some(vehicle) = vehicle(ctx, id.strip_prefix("vehicle:").unwrap_or(id)).await? {
        return Ok(Some(Node::Vehicle(vehicle)));
    }
    Ok(fleet(ctx, id).await?.map(Node::Fleet))
}
