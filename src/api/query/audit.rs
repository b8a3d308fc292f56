//! Questions of auditors: what became of one thing, and what proves it.

use std::ops::ControlFlow;

use async_graphql::{Context, Object, OneofObject, Result};
use domain::{StreamKey, folded};
use projections::Page;

use super::deployment::AsOfInput;
use super::dora::known_at;
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::{refusal_or_fault, store_fault};
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::page::{AsOf, Ask, Paged};
use crate::api::scalars::{DateTime, Position};
use crate::api::types::history::{AggregateState, AggregateVersion, HistoryAsOf};
use crate::api::types::int;
use crate::api::types::seal::{LogProof, Seal};
use crate::commands::{CommandError, PageBounds};
use crate::seals::{Proof, ProofError, SealError, prove_event, prove_growth, seals_before};

/// A page of versions is cut where their states come to this many bytes of JSON.
const STATES_BYTES_MAX: usize = 4 << 20;

/// Events of a stream that one question for its history folds at most: about a second's work.
const FOLDED_MAX: i64 = 50_000;

/// Events of a stream that are read at once.
const EVENTS_AT_ONCE: i64 = 1_000;

/// As a thing was in the past: by its version, by a place in the log, or by a time.
#[derive(Clone, Debug, OneofObject)]
pub enum VersionInput {
    /// After so many events of its own, 1 or more.
    Version(i32),
    /// As of this position, which the log has reached.
    Position(Position),
    /// As it was recorded by this time.
    Time(DateTime),
}

/// Questions of auditors.
#[derive(Default)]
pub struct AuditQueries;

#[Object]
impl AuditQueries {
    /// Any thing as it was: the state its events fold to. Null if there was none then.
    #[graphql(directive = auth::apply(AuthRole::Auditor, to(Scope::AuditRead)))]
    async fn aggregate(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            name = "type",
            desc = "Kind of stream, such as `vehicle` or `deployment`."
        )]
        kind: String,
        #[graphql(desc = "The stream's key.")] id: String,
        #[graphql(desc = "As it was then; as it is if not said.")] as_of: Option<VersionInput>,
    ) -> Result<Option<AggregateState>> {
        let operation = Operation::of(ctx);
        let stream = stream(&kind, id)?;
        let (up_to, version) = match as_of {
            Some(VersionInput::Version(version)) => (head(operation).await?, Some(version)),
            Some(VersionInput::Position(position)) => (
                known_at(operation, AsOfInput::Position(position)).await?,
                None,
            ),
            Some(VersionInput::Time(time)) => {
                (known_at(operation, AsOfInput::Time(time)).await?, None)
            }
            None => (head(operation).await?, None),
        };
        let asked = version.map(i64::from);
        if asked.is_some_and(|version| version < 1) {
            let fault = Fault::of(FaultCode::BadPosition);
            return Err(fault.with("version", version).into());
        }
        let mut found = None;
        let mut last = None;
        let folding = operation.parts.door.fold_any(
            operation.tenant(),
            &stream,
            up_to,
            asked.unwrap_or(EVENTS_AT_ONCE),
            |event, state| {
                if asked == Some(event.sequence) {
                    found = Some(AggregateState::after(event, state));
                    return ControlFlow::Break(());
                }
                last = Some(event.clone());
                ControlFlow::Continue(())
            },
        );
        let state = folding.await.map_err(command_fault)?;
        operation.touch(up_to);
        // Of a version that it has not come to there is no state.
        let latest = last.zip(state).filter(|_| asked.is_none());
        Ok(found.or_else(|| latest.map(|(event, state)| AggregateState::after(&event, &state))))
    }

    /// Every version of a thing, the first one first: the event that led to it, the state after it, and what
    /// it changed. A page of large states is cut short, and one question folds a bounded number of events: a page
    /// may be empty although there is a next one, and then `foldedThrough` tells how far it came.
    #[graphql(directive = auth::apply(AuthRole::Auditor, to(Scope::AuditRead)))]
    async fn aggregate_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            name = "type",
            desc = "Kind of stream, such as `vehicle` or `deployment`."
        )]
        kind: String,
        #[graphql(desc = "The stream's key.")] id: String,
        #[graphql(desc = "As it was known then; as it is if not said.")] as_of: Option<AsOfInput>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<AggregateVersion, HistoryAsOf>> {
        let operation = Operation::of(ctx);
        let stream = stream(&kind, id)?;
        let list = (&stream, &as_of);
        let ask = Ask::<i64>::read(
            operation,
            "aggregateHistory",
            &list,
            first,
            after.as_deref(),
        )?;
        let up_to = match as_of {
            Some(as_of) => known_at(operation, as_of).await?,
            None => head(operation).await?,
        };
        let bounds = PageBounds {
            versions_max: ask.first as usize,
            bytes_max: STATES_BYTES_MAX,
            folded_max: FOLDED_MAX,
        };
        let (door, after) = (&operation.parts.door, ask.after.unwrap_or_default());
        let history = door.history(operation.tenant(), &stream, (after, up_to), bounds);
        let history = history.await.map_err(command_fault)?;
        operation.touch(up_to);
        let extra = HistoryAsOf {
            as_of_position: Position(up_to),
            folded_through: int(history.folded_through),
        };
        let page = Page {
            items: history.versions,
            has_next: history.has_next,
            as_of: up_to,
        };
        Ok(ask.connection(
            page,
            extra,
            |(event, _)| event.sequence,
            |(event, made)| AggregateVersion::new(&event, made),
        ))
    }

    /// The seals of the log, the last one first. Note the last one's root somewhere else from time to time:
    /// it tells later whether the events before it are still the same.
    #[graphql(directive = auth::apply(AuthRole::Auditor, to(Scope::AuditRead)))]
    async fn seals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Seal>> {
        let operation = Operation::of(ctx);
        let (store, tenant) = (&operation.parts.store, operation.tenant());
        let ask = Ask::<i64>::read(operation, "seals", &(), first, after.as_deref())?;
        let found = seals_before(store, tenant, ask.after, i64::from(ask.first) + 1).await;
        let mut items = found.map_err(seal_fault)?;
        let has_next = items.len() > ask.first as usize;
        items.truncate(ask.first as usize);
        let as_of = head(operation).await?;
        let page = Page {
            items,
            has_next,
            as_of,
        };
        operation.touch(as_of);
        Ok(ask.connection(page, AsOf::from(as_of), |seal| seal.size, Seal::from))
    }

    /// Proves that the event at a position is in the log as it was sealed last; null if it is not sealed yet.
    #[graphql(directive = auth::apply(AuthRole::Auditor, to(Scope::AuditRead)))]
    async fn inclusion_proof(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The event's position.")] position: Position,
    ) -> Result<Option<LogProof>> {
        let operation = Operation::of(ctx);
        let (store, tenant) = (&operation.parts.store, operation.tenant());
        Ok(proof(prove_event(store, tenant, position.0.0).await)?)
    }

    /// Proves that the log as it was sealed last begins with all that it was at an earlier seal; null if no
    /// seal is of this size.
    #[graphql(directive = auth::apply(AuthRole::Auditor, to(Scope::AuditRead)))]
    async fn consistency_proof(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many events the earlier seal is of.")] size: Position,
    ) -> Result<Option<LogProof>> {
        let operation = Operation::of(ctx);
        let (store, tenant) = (&operation.parts.store, operation.tenant());
        Ok(proof(prove_growth(store, tenant, size.0.0).await)?)
    }
}

fn stream(kind: &str, id: String) -> Result<StreamKey, Fault> {
    let known = folded::kind_of(kind);
    let aggregate_type = known.ok_or_else(|| {
        let message = format!(
            "no such kind of stream; there are {}",
            folded::KINDS.join(", ")
        );
        Fault::from(domain::Refusal::new(domain::Code::Validation, message).at(["type"]))
    })?;
    Ok(StreamKey {
        aggregate_type,
        aggregate_id: id.into(),
    })
}

async fn head(operation: &Operation) -> Result<domain::Position, Fault> {
    let head = operation.parts.store.head(operation.tenant()).await;
    head.map_err(store_fault)
}

/// A proof as it is told; none where there is nothing to prove it by.
fn proof(made: Result<Proof, ProofError>) -> Result<Option<LogProof>, Fault> {
    let held = match made {
        Ok(proof) => proof.check(None).map(|held| LogProof::new(&proof, held)),
        Err(error) => Err(error),
    };
    match held {
        Ok(proof) => Ok(Some(proof)),
        Err(ProofError::NoSeal(_) | ProofError::NoEvent(_)) => Ok(None),
        Err(ProofError::Seal(error)) => Err(seal_fault(error)),
        Err(error) => Err(unproved(&error)),
    }
}

fn seal_fault(error: SealError) -> Fault {
    match error {
        SealError::Database(error) => store_fault(error.into()),
        SealError::Store(error) => store_fault(error),
        error => unproved(&error),
    }
}

/// What is stored does not prove what it should: the log, or its seals, are not as they were.
fn unproved(error: &dyn std::error::Error) -> Fault {
    tracing::error!(%error, "the log cannot be proved; run `daybook verify`: {error}");
    Fault::of(FaultCode::NotProved)
}

fn command_fault(error: CommandError) -> Fault {
    refusal_or_fault(error).map_or_else(|fault| fault, Fault::from)
}
