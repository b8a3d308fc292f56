//! What every mutation answers: the object, the receipt, or why not.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use domain::{Aggregate, Code, Refusal};
use serde::Serialize;

use crate::api::error::UserError;
use crate::api::failure::auth_refusal_or_fault;
use crate::api::operation::Operation;
use crate::api::query::vehicle::{fleet, vehicle};
use crate::api::scalars::Position;
use crate::api::types::fleet::Fleet;
use crate::api::types::int;
use crate::api::types::vehicle::Vehicle;
use crate::auth::AuthError;
use crate::commands::{self, CommandContext};

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
    told: Told<Receipt>,
}

/// What a kept command's caller is told, or why it was refused.
pub type Told<T> = std::result::Result<T, Refusal>;

/// The conditions every command may carry.
pub struct Conditions {
    /// The caller's idempotency key.
    pub command_id: Option<ID>,
    /// The version the caller saw.
    pub expected_version: Option<i32>,
}

impl Conditions {
    /// Of a command that takes neither.
    pub fn none() -> Conditions {
        Conditions::of_new(None)
    }

    /// Of a command that takes no `expectedVersion`.
    pub fn of_new(command_id: Option<ID>) -> Conditions {
        Conditions {
            command_id,
            expected_version: None,
        }
    }

    /// The context of a command of this operation's caller.
    pub fn context(self, ctx: &Context<'_>) -> Told<CommandContext> {
        let operation = Operation::of(ctx);
        operation.command(self.command_id.map(|id| id.0), self.expected_version)
    }
}

/// Sends a command through the door.
pub async fn send<A>(
    ctx: &Context<'_>,
    conditions: Conditions,
    id: Told<String>,
    command: A::Command,
) -> Result<Outcome>
where
    A: Aggregate,
    A::Command: Serialize + Clone + Send + Sync,
{
    let (context, id) = match (conditions.context(ctx), id) {
        (Ok(context), Ok(id)) => (context, id),
        (Err(refusal), _) | (_, Err(refusal)) => return Ok(Outcome::refused(refusal)),
    };
    let kept = Operation::of(ctx)
        .parts
        .door
        .execute::<A>(&context, &id, command)
        .await;
    Outcome::of(ctx, id, kept).await
}

/// What came of a command, or why it came to nothing.
pub type CommandOutcome<T> = std::result::Result<T, AuthError>;

/// Takes note of what the door said.
pub async fn settle<T, E: Into<AuthError>>(
    ctx: &Context<'_>,
    kept: std::result::Result<T, E>,
    receipt: impl Fn(&T) -> commands::Receipt,
) -> Result<Told<T>> {
    match kept {
        Ok(kept) => {
            Operation::of(ctx).kept(&receipt(&kept)).await;
            Ok(Ok(kept))
        }
        Err(error) => Ok(Err(auth_refusal_or_fault(error.into())?.under(["input"]))),
    }
}

/// What the door said of a command on another log than the caller's tenant has: how far that is says nothing
/// here.
pub fn told<T, E: Into<AuthError>>(kept: std::result::Result<T, E>) -> Result<Told<T>> {
    match kept {
        Ok(kept) => Ok(Ok(kept)),
        Err(error) => Ok(Err(auth_refusal_or_fault(error.into())?.under(["input"]))),
    }
}

/// A number that cannot be negative, nor larger than any bound of the domain.
pub fn whole<N: TryFrom<i32>>(value: i32, field: &str) -> Told<N> {
    N::try_from(value).map_err(|_| {
        let message = format!("{field} is out of its range");
        let refusal = Refusal::new(Code::OutOfRange, message).at([field]);
        refusal.with("min", 0).with("actual", value)
    })
}

/// What a payload says of a refusal.
pub fn user_errors<T>(told: &Told<T>) -> Vec<UserError> {
    let refusal = told.as_ref().err().cloned();
    refusal.map(UserError::from).into_iter().collect()
}

impl Outcome {
    /// What the door said of a command on the object with this id.
    pub async fn of<E: Into<AuthError>>(
        ctx: &Context<'_>,
        id: String,
        kept: std::result::Result<commands::Receipt, E>,
    ) -> Result<Outcome> {
        let told = settle(ctx, kept, |receipt| *receipt)
            .await?
            .map(Receipt::from);
        Ok(Outcome { id, told })
    }

    /// The command did not get as far as the door.
    pub fn refused(refusal: Refusal) -> Outcome {
        Outcome {
            id: String::new(),
            told: Err(refusal.under(["input"])),
        }
    }

    /// The object's id, if the command was kept.
    pub fn id(&self) -> Option<&str> {
        self.told.is_ok().then_some(self.id.as_str())
    }

    /// Proof that it was kept.
    pub fn receipt(&self) -> Option<Receipt> {
        self.told.as_ref().ok().copied()
    }

    /// Why it was refused.
    pub fn errors(&self) -> Vec<UserError> {
        user_errors(&self.told)
    }
}

/// What became of a command on a vehicle.
pub struct VehiclePayload(pub Outcome);

/// What became of a command on a fleet.
pub struct FleetPayload(pub Outcome);

/// What became of a command on a vehicle.
#[Object]
impl VehiclePayload {
    /// The vehicle after the command; null if it was refused.
    async fn vehicle(&self, ctx: &Context<'_>) -> Result<Option<Vehicle>> {
        match self.0.id() {
            Some(id) => vehicle(ctx, id).await,
            None => Ok(None),
        }
    }

    /// Proof that the command was kept; null if it was refused.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.receipt()
    }

    /// Why the command was refused; empty if it was kept.
    async fn user_errors(&self) -> Vec<UserError> {
        self.0.errors()
    }
}

/// What became of a command on a fleet.
#[Object]
impl FleetPayload {
    /// The fleet after the command; null if it was refused.
    async fn fleet(&self, ctx: &Context<'_>) -> Result<Option<Fleet>> {
        match self.0.id() {
            Some(id) => fleet(ctx, id).await,
            None => Ok(None),
        }
    }

    /// Proof that the command was kept; null if it was refused.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.receipt()
    }

    /// Why the command was refused; empty if it was kept.
    async fn user_errors(&self) -> Vec<UserError> {
        self.0.errors()
    }
}
