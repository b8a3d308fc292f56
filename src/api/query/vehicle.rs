//! Questions about vehicles and fleets.

use async_graphql::{Context, ID, InputObject, Interface, Object, Result};
use projections::vehicles;

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::query::deployment::{deployment, incident};
use crate::api::types::deployment::Deployment;
use crate::api::types::fleet::Fleet;
use crate::api::types::incident::Incident;
use crate::api::types::vehicle::{Vehicle, VehicleStatus};
use crate::auth::Credential;

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
    /// A deployment.
    Deployment(Box<Deployment>),
    /// An incident.
    Incident(Incident),
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

    /// One object by its id; null if there is none. Vehicles are looked for first, then fleets,
    /// deployments and incidents: where several have the id, write `vehicle:ID`, `fleet:ID`,
    /// `deployment:ID` or `incident:ID`. API keys find deployments and incidents with
    /// `deployments:read` beside.
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::VehiclesRead)))]
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id, or its kind and id, such as `fleet:ID`.")] id: ID,
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

/// Kinds of objects, in the order in which they are looked for.
const KINDS: [&str; 4] = ["vehicle", "fleet", "deployment", "incident"];

async fn node(ctx: &Context<'_>, id: &str) -> Result<Option<Node>> {
    let named = id.split_once(':').filter(|(kind, _)| KINDS.contains(kind));
    if let Some((kind, id)) = named
        && let Some(node) = node_of(ctx, kind, id).await?
    {
        return Ok(Some(node));
    }
    for kind in KINDS {
        if let Some(node) = node_of(ctx, kind, id).await? {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

async fn node_of(ctx: &Context<'_>, kind: &str, id: &str) -> Result<Option<Node>> {
    let caller = &Operation::of(ctx).caller;
    let is_key = caller.credential == Credential::ApiKey;
    let closed = is_key && !caller.has_scope(Scope::DeploymentsRead.as_str());
    Ok(match kind {
        "vehicle" => vehicle(ctx, id).await?.map(Node::Vehicle),
        "fleet" => fleet(ctx, id).await?.map(Node::Fleet),
        _ if closed => None,
        "deployment" => deployment(ctx, id)
            .await?
            .map(Box::new)
            .map(Node::Deployment),
        _ => incident(ctx, id).await?.map(Node::Incident),
    })
}
