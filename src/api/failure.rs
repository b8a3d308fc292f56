//! What a client is told of a failure: of the read models, of the store, of a command.

use domain::{Code, Position, Refusal};
use metrics::counter;
use projections::ReadError;

use super::fault::{Fault, FaultCode};
use crate::auth::AuthError;
use crate::commands::CommandError;
use crate::competitions::CompetitionsError;
use crate::consumers::{ConsumerError, RebuildError};
use crate::deployments::DeploymentsError;
use crate::limits::Exceeded;
use crate::ops::metrics as names;
use crate::store::StoreError;

/// What a client is told whose read models have not come as far as it insists on.
pub fn stale_read(reached: &[(&'static str, Position)], at_least: Position) -> Fault {
    counter!(names::STALE_READS_TOTAL).increment(1);
    let lowest = reached.iter().map(|r| r.1).min().unwrap_or_default();
    let models: serde_json::Map<_, _> = reached
        .iter()
        .map(|(name, at)| ((*name).to_owned(), at.to_string().into()))
        .collect();
    Fault::of(FaultCode::StaleRead)
        .with("appliedPosition", lowest.to_string())
        .with("atLeast", at_least.to_string())
        .with("readModels", models)
}

/// What a client is told of a question that was not answered.
pub fn read_fault(error: ReadError) -> Fault {
    match error {
        ReadError::NotBuilt(name) => {
            Fault::of(FaultCode::ReadModelBuilding).with("readModel", name)
        }
        ReadError::NotBuiltAsOf { model, position } => not_built_as_of(model, position),
        ReadError::Database(error) => store_fault(error.into()),
        callers => Refusal::new(Code::Validation, callers.to_string()).into(),
    }
}

/// What a client is told who asks a read model as of a position that it was not built for.
pub fn not_built_as_of(model: &str, position: Position) -> Fault {
    let message = format!(
        "read model {model} has no generation as of position {position}: build it with \
         rebuildProjection(input: {{ name: \"{model}\", mode: SCRATCH, \
         upTo: {{ position: \"{position}\" }} }})"
    );
    let fault = Fault::new(FaultCode::AsOfNotBuilt, message);
    fault
        .with("readModel", model)
        .with("asOf", position.to_string())
}

/// What a client is told of a fault of the store. What it was is logged here, once.
pub fn store_fault(error: StoreError) -> Fault {
    if error.is_unavailable() {
        tracing::warn!(error = %error, "a read found no database: {error}");
        return Fault::of(FaultCode::Unavailable);
    }
    if let StoreError::Archived { missing, first } = &error {
        // Nothing has gone wrong: the operator has taken them away.
        return Fault::of(FaultCode::Archived)
            .with("missing", missing.to_string())
            .with("first", first.map(|position| position.to_string()));
    }
    tracing::error!(error = %error, "a read failed: {error}");
    Fault::of(FaultCode::Internal)
}

/// Splits what became of a decision about a read model: a refusal is data, the rest a fault.
pub fn consumer_refusal_or_fault(error: ConsumerError) -> Result<Refusal, Fault> {
    if let Some(refusal) = error.refusal() {
        return Ok(refusal);
    }
    Err(match error {
        ConsumerError::Store(error) => store_fault(error),
        ConsumerError::Database(error) => store_fault(error.into()),
        error => {
            tracing::error!(error = %error, "a read model's bookkeeping failed: {error}");
            Fault::of(FaultCode::Internal)
        }
    })
}

/// The same of a rebuild that was asked for.
pub fn rebuild_refusal_or_fault(error: RebuildError) -> Result<Refusal, Fault> {
    if let Some(refusal) = error.refusal() {
        return Ok(refusal);
    }
    Err(match error {
        RebuildError::Store(error) => store_fault(error),
        RebuildError::Database(error) => store_fault(error.into()),
        RebuildError::Bookkeeping(error) => consumer_fault(error),
        error => {
            tracing::error!(error = %error, "a rebuild was not recorded: {error}");
            Fault::of(FaultCode::Internal)
        }
    })
}

/// What a client is told of a question about read models' bookkeeping that was not answered.
pub fn consumer_fault(error: ConsumerError) -> Fault {
    consumer_refusal_or_fault(error).map_or_else(|fault| fault, Fault::from)
}

/// Splits what became of a command: a refusal is data, the rest a fault.
pub fn refusal_or_fault(error: CommandError) -> Result<Refusal, Fault> {
    match error {
        CommandError::Refused(refusal) => Ok(refusal),
        CommandError::Overloaded { retry_after_ms } => {
            Err(Fault::of(FaultCode::Overloaded).with("retryAfterMs", retry_after_ms))
        }
        CommandError::Limited(exceeded) => Err(limited(exceeded)),
        CommandError::Unavailable(error) => {
            tracing::warn!(error = %error, "a command found no database: {error}");
            Err(Fault::of(FaultCode::Unavailable))
        }
        CommandError::Fault(error @ StoreError::Archived { .. }) => Err(store_fault(error)),
        error @ (CommandError::Fault(_)
        | CommandError::Sealing(_)
        | CommandError::Unreadable { .. }) => {
            tracing::error!(error = %error, "a command failed: {error}");
            Err(Fault::of(FaultCode::Internal))
        }
    }
}

/// Splits what became of something about deployments: what the door said, the rest a fault.
pub fn command_or_fault(error: DeploymentsError) -> Result<CommandError, Fault> {
    match error {
        DeploymentsError::Command(error) => Ok(error),
        DeploymentsError::Forbidden(role) => {
            Err(Fault::of(FaultCode::Forbidden).with("role", role.as_str()))
        }
        DeploymentsError::Behind { reached, head } => Err(left_behind(reached, head)),
        DeploymentsError::Read(error) => Err(read_fault(error)),
    }
}

/// Splits what became of something about competitions: what the door said, the rest a fault.
pub fn competition_or_fault(error: CompetitionsError) -> Result<CommandError, Fault> {
    match error {
        CompetitionsError::Command(error) => Ok(error),
        CompetitionsError::Forbidden(role) => {
            Err(Fault::of(FaultCode::Forbidden).with("role", role.as_str()))
        }
        CompetitionsError::Behind { reached, head } => Err(left_behind(reached, head)),
        CompetitionsError::Read(error) => Err(read_fault(error)),
    }
}

/// What a client is told whose command needs to know what its read model does not.
fn left_behind(reached: Position, head: Position) -> Fault {
    tracing::warn!(%reached, %head, "a command found its read model behind the log");
    Fault::of(FaultCode::Unavailable)
        .with("appliedPosition", reached.to_string())
        .with("atLeast", head.to_string())
}

/// What a client is told of a question about competitions that was not answered.
pub fn competitions_fault(error: CompetitionsError) -> Fault {
    match competition_or_fault(error).and_then(refusal_or_fault) {
        Ok(refusal) => refusal.into(),
        Err(fault) => fault,
    }
}

/// What a client is told of a question about deployments that was not answered.
pub fn deployments_fault(error: DeploymentsError) -> Fault {
    match command_or_fault(error).and_then(refusal_or_fault) {
        Ok(refusal) => refusal.into(),
        Err(fault) => fault,
    }
}

/// What a client is told that asked too much.
pub fn limited(exceeded: Exceeded) -> Fault {
    // Rounded up: whoever waits so long is let through.
    let after_ms = exceeded.retry_after.as_nanos().div_ceil(1_000_000);
    Fault::of(FaultCode::RateLimited)
        .with("quota", exceeded.standing.kind.as_str())
        .with("retryAfterMs", u64::try_from(after_ms).unwrap_or(u64::MAX))
}

/// What a client is told whose log records find no room.
pub fn no_log_room(error: CommandError) -> Fault {
    match error {
        CommandError::Overloaded { retry_after_ms } => Fault::of(FaultCode::RateLimited)
            .with("quota", "log_bytes")
            .with("retryAfterMs", retry_after_ms),
        error => refusal_or_fault(error).map_or_else(|fault| fault, Fault::from),
    }
}

/// Splits what became of something about identity: a refusal is data, the rest a fault.
pub fn auth_refusal_or_fault(error: AuthError) -> Result<Refusal, Fault> {
    match error {
        AuthError::Command(error) => refusal_or_fault(error),
        AuthError::Limited(exceeded) => Err(limited(exceeded)),
        AuthError::Busy => Err(Fault::of(FaultCode::Overloaded).with("retryAfterMs", 1_000)),
        AuthError::Database(error) => Err(store_fault(error.into())),
        error @ (AuthError::Grant(_)
        | AuthError::NoKey
        | AuthError::Vault(_)
        | AuthError::Certificates(_)) => {
            tracing::error!(error = %error, "a matter of identity failed: {error}");
            Err(Fault::of(FaultCode::Internal))
        }
    }
}
