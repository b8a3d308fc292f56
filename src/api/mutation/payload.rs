//! What every mutation answers: the object, the receipt, or why not.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use domain::{Aggregate, Refusal};
use serde::Serialize;

use crate::api::error::UserError;
use crate::api::fault::Fault;
use crate::api::operation::{Operation, refusal_or_fault};
use crate::api::query::vehicle::{fleet, vehicle};
use crate::api::scalars::Position;
use crate::api::types::fleet::Fleet;
use crate::api::types::int;
use crate::api::types::vehicle::Vehicle;
use crate::auth::Role;
use crate::commands::{self, CommandContext, CommandError};

/// Proof that a command was kept. It is durable when this is given out.
#[derive(Clone, Copy, SimpleObject)]
pub struct Receipt {
    /// Position in the log of the command's last event. A query sent with it as `atLeast` sees what
    /// the command did.
    position: Position,
    /// The object's version after the command; 0 if it wrote several streams.
    version: i32,
    /// True if this is the first answer given again: the command had been kept before.
    replayed: bool,
}

impl From<commands::Receipt> for Receipt {
    fn from(receipt: commands::Receipt) -> Receipt {
        Receipt {
            position: Position(receipt.position),
            version: int(receipt.version),
            replayed: receipt.replayed,
        }
    }
}

/// What became of a command on the object with this id.
pub struct Outcome {
    id: String,
    told: Result<Receipt, Refusal>,
}

/// The conditions every command may carry.
#[derive(Default)]
pub struct Conditions {
    /// The caller's idempotency key.
    pub command_id: Option<ID>,
    /// The version the caller saw.
    pub expected_version: Option<i32>,
}

/// Sends a command through the door as the caller of this operation.
pub async fn send<A>(
    ctx: &Context<'_>,
    conditions: Conditions,
    id: Result<String, Refusal>,
    command: A::Command,
) -> Result<Outcome>
where
    A: Aggregate,
    A::Command: Serialize + Clone + Send + Sync,
{
    carry_out(ctx, conditions, id, async |command_context, id| {
        Operation::of(ctx).parts.door.execute::<A>(command_context, id, command).await
    })
    .await
}
