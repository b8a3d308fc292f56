//! Commands on vehicles.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result};
use domain::values;
use domain::vehicle::{Change, ProfileChanges, Vehicle, VehicleCommand, VehicleProfile};

use super::payload::{Conditions, Outcome, VehiclePayload, send};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::operation::Operation;

/// Makes a vehicle known.
#[derive(InputObject)]
struct RegisterVehicleInput {
    /// The vehicle's id from now on: 1 to 128 characters, no `/`.
    id: ID,
    /// The id under which a feed or device reports it; unique per tenant.
    external_id: Option<String>,
    /// Vehicle identification number; unique per tenant, whatever its case.
    vin: Option<String>,
    /// Licence plate; unique per tenant, whatever its case.
    plate: Option<String>,
    /// A name for people.
    name: Option<String>,
    /// Kind of vehicle in the operator's words, such as `bus`.
    kind: Option<String>,
    /// Idempotency key, 1 to 255 characters: sent again with the same input, it gets the first
    /// receipt again; with another, IDEMPOTENCY_KEY_REUSED.
    command_id: Option<ID>,
}

/// Changes what is known about a vehicle. A field left out stays as it is; null clears it.
#[derive(InputObject)]
struct ChangeVehicleProfileInput {
    /// Which vehicle.
    id: ID,
    /// The id under which a feed or device reports it; unique per tenant.
    external_id: MaybeUndefined<String>,
    /// Vehicle identification number; unique per tenant, whatever its case.
    vin: MaybeUndefined<String>,
    /// Licence plate; unique per tenant, whatever its case.
    plate: MaybeUndefined<String>,
    /// A name for people.
    name: MaybeUndefined<String>,
    /// Kind of vehicle in the operator's words, such as `bus`.
    kind: MaybeUndefined<String>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the vehicle is at this version.
    expected_version: Option<i32>,
}

/// Takes a vehicle out of service: it then accepts nothing but being reinstated.
#[derive(InputObject)]
struct RetireVehicleInput {
    /// Which vehicle.
    id: ID,
    /// Why, for people; at most 500 characters.
    reason: Option<String>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the vehicle is at this version.
    expected_version: Option<i32>,
}

/// Puts a retired vehicle back into service, with profile and fleets as they were.
#[derive(InputObject)]
struct ReinstateVehicleInput {
    /// Which vehicle.
    id: ID,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the vehicle is at this version.
    expected_version: Option<i32>,
}

/// Makes a vehicle a member of a fleet, or ends that.
#[derive(InputObject)]
struct FleetMembershipInput {
    /// Which vehicle.
    vehicle_id: ID,
    /// Which fleet.
    fleet_id: ID,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the vehicle is at this version.
    expected_version: Option<i32>,
}

/// Commands on vehicles.
#[derive(Default)]
pub struct VehicleCommands;

#[Object]
impl VehicleCommands {
    /// Makes a vehicle known. An id or a key that is taken is refused.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::VehiclesWrite)))]
    async fn register_vehicle(
        &self,
        ctx: &Context<'_>,
        input: RegisterVehicleInput,
    ) -> Result<VehiclePayload> {
        let profile = VehicleProfile {
            external_id: input.external_id,
            vin: input.vin,
            plate: input.plate,
            name: input.name,
            kind: input.kind,
        };
        let command = VehicleCommand::Register {
            profile,
            on_first_report: false,
        };
        on_vehicle(
            ctx,
            Conditions::of_new(input.command_id),
            &input.id,
            command,
        )
        .await
    }

    /// Changes what is known about a vehicle. A field left out stays as it is; null clears it.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::VehiclesWrite)))]
    async fn change_vehicle_profile(
        &self,
        ctx: &Context<'_>,
        input: ChangeVehicleProfileInput,
    ) -> Result<VehiclePayload> {
        let changes = ProfileChanges {
            external_id: change(input.external_id),
            vin: change(input.vin),
            plate: change(input.plate),
            name: change(input.name),
            kind: change(input.kind),
        };
        let conditions = conditions(input.command_id, input.expected_version);
        on_vehicle(
            ctx,
            conditions,
            &input.id,
            VehicleCommand::AmendProfile { changes },
        )
        .await
    }

    /// Takes a vehicle out of service: it then accepts nothing but being reinstated.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::VehiclesWrite)))]
    async fn retire_vehicle(
        &self,
        ctx: &Context<'_>,
        input: RetireVehicleInput,
    ) -> Result<VehiclePayload> {
        let conditions = conditions(input.command_id, input.expected_version);
        let command = VehicleCommand::Retire {
            reason: input.reason,
        };
        on_vehicle(ctx, conditions, &input.id, command).await
    }

    /// Puts a retired vehicle back into service, with profile and fleets as they were.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::VehiclesWrite)))]
    async fn reinstate_vehicle(
        &self,
        ctx: &Context<'_>,
        input: ReinstateVehicleInput,
    ) -> Result<VehiclePayload> {
        let conditions = conditions(input.command_id, input.expected_version);
        on_vehicle(ctx, conditions, &input.id, VehicleCommand::Reinstate).await
    }

    /// Makes a vehicle a member of a fleet that is not archived. A member already: nothing happens.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::VehiclesWrite)))]
    async fn join_fleet(
        &self,
        ctx: &Context<'_>,
        input: FleetMembershipInput,
    ) -> Result<VehiclePayload> {
        let conditions = conditions(input.command_id, input.expected_version);
        let ids = values::vehicle_id(&input.vehicle_id, "vehicleId")
            .and_then(|vehicle| Ok((vehicle, values::id(&input.fleet_id, "fleetId")?)));
        let (context, (vehicle, fleet)) = match (conditions.context(ctx), ids) {
            (Ok(context), Ok(ids)) => (context, ids),
            (Err(refusal), _) | (_, Err(refusal)) => {
                return Ok(VehiclePayload(Outcome::refused(refusal)));
            }
        };
        let kept = Operation::of(ctx)
            .parts
            .door
            .join_fleet(&context, &vehicle, &fleet)
            .await;
        Ok(VehiclePayload(Outcome::of(ctx, vehicle, kept).await?))
    }

    /// Ends a vehicle's membership of a fleet, archived or not.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::VehiclesWrite)))]
    async fn leave_fleet(
        &self,
        ctx: &Context<'_>,
        input: FleetMembershipInput,
    ) -> Result<VehiclePayload> {
        let conditions = conditions(input.command_id, input.expected_version);
        let id = values::vehicle_id(&input.vehicle_id, "vehicleId");
        let command = VehicleCommand::LeaveFleet {
            fleet_id: input.fleet_id.0,
        };
        Ok(VehiclePayload(
            send::<Vehicle>(ctx, conditions, id, command).await?,
        ))
    }
}

async fn on_vehicle(
    ctx: &Context<'_>,
    conditions: Conditions,
    id: &str,
    command: VehicleCommand,
) -> Result<VehiclePayload> {
    let id = values::vehicle_id(id, "id");
    Ok(VehiclePayload(
        send::<Vehicle>(ctx, conditions, id, command).await?,
    ))
}

fn conditions(command_id: Option<ID>, expected_version: Option<i32>) -> Conditions {
    Conditions {
        command_id,
        expected_version,
    }
}

fn change(field: MaybeUndefined<String>) -> Change {
    match field {
        MaybeUndefined::Undefined => Change::Keep,
        MaybeUndefined::Null => Change::Clear,
        MaybeUndefined::Value(value) => Change::Set(value),
    }
}
