//! Commands on fleets.

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::fleet::{Fleet, FleetCommand};
use domain::values;

use super::payload::{Conditions, FleetPayload, send};
use crate::api::access::{AuthRole, Scope, auth, to};

/// Creates a fleet.
#[derive(InputObject)]
struct CreateFleetInput {
    /// The fleet's id from now on: 1 to 128 characters.
    id: ID,
    /// Its name, for people; at most 200 characters.
    name: String,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// Gives a fleet another name.
#[derive(InputObject)]
struct RenameFleetInput {
    /// Which fleet.
    id: ID,
    /// Its name from now on; at most 200 characters.
    name: String,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the fleet is at this version.
    expected_version: Option<i32>,
}

/// Archives a fleet: it then accepts nothing more.
#[derive(InputObject)]
struct ArchiveFleetInput {
    /// Which fleet.
    id: ID,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
    /// Refuse with VERSION_CONFLICT unless the fleet is at this version.
    expected_version: Option<i32>,
}

/// Commands on fleets.
#[derive(Default)]
pub struct FleetCommands;

#[Object]
impl FleetCommands {
    /// Creates a fleet. An id that is taken is refused.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::VehiclesWrite)))]
    async fn create_fleet(
        &self,
        ctx: &Context<'_>,
        input: CreateFleetInput,
    ) -> Result<FleetPayload> {
        let command = FleetCommand::Create { name: input.name };
        on_fleet(
            ctx,
            Conditions::of_new(input.command_id),
            &input.id,
            command,
        )
        .await
    }

    /// Gives a fleet another name.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::VehiclesWrite)))]
    async fn rename_fleet(
        &self,
        ctx: &Context<'_>,
        input: RenameFleetInput,
    ) -> Result<FleetPayload> {
        let RenameFleetInput {
            id,
            name,
            command_id,
            expected_version,
        } = input;
        let conditions = Conditions {
            command_id,
            expected_version,
        };
        on_fleet(ctx, conditions, &id, FleetCommand::Rename { name }).await
    }

    /// Archives a fleet: it then accepts nothing more. Its members stay members until they leave.
    #[graphql(directive = auth::apply(AuthRole::Operator, to(Scope::VehiclesWrite)))]
    async fn archive_fleet(
        &self,
        ctx: &Context<'_>,
        input: ArchiveFleetInput,
    ) -> Result<FleetPayload> {
        let ArchiveFleetInput {
            id,
            command_id,
            expected_version,
        } = input;
        let conditions = Conditions {
            command_id,
            expected_version,
        };
        on_fleet(ctx, conditions, &id, FleetCommand::Archive).await
    }
}

async fn on_fleet(
    ctx: &Context<'_>,
    conditions: Conditions,
    id: &str,
    command: FleetCommand,
) -> Result<FleetPayload> {
    let id = values::id(id, "id");
    Ok(FleetPayload(
        send::<Fleet>(ctx, conditions, id, command).await?,
    ))
}
