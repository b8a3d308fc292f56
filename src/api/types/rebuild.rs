//! Rebuilds of read models, their generations, and what people decided about them.

use async_graphql::{Context, Enum, Object, Result, SimpleObject};
use chrono::TimeDelta;
use domain::Code;

use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, Duration, Long, Position};
use crate::auth::Role;
use crate::consumers;

/// What is told in the place of a reason that is for operators.
const UNTOLD: &str = "it failed; operators are told why";

/// What becomes of the generation that a rebuild builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum RebuildMode {
    /// It takes the place of the one that answers.
    Replace,
    /// It stays beside the one that answers, as of a position: asked with `extensions.asOf`.
    Scratch,
    /// It is compared with the one that answers, and dropped.
    Check,
    /// Nothing is built: the generation that is kept takes its place again.
    RollBack,
}

/// Where a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum RebuildPhase {
    /// The log is folded, range by range, or waits to be.
    Folding,
    /// The new generation follows the log to where the one that answers is, and is compared with it.
    CatchingUp,
    /// The new generation answers.
    Swapped,
    /// The generation as of a position is whole.
    Built,
    /// Somebody ended it.
    Cancelled,
    /// It could not come to its end; `error` tells why to whoever may rebuild.
    Failed,
}

/// A rebuild of a read model, as it is told by who works at it, once a second.
pub struct Rebuild(pub consumers::RebuildStatus);

/// A rebuild of a read model, as it is told by who works at it, once a second.
#[Object]
impl Rebuild {
    /// The read model.
    async fn name(&self) -> &str {
        &self.0.projection
    }

    /// The generation it builds.
    async fn generation(&self) -> i32 {
        self.0.generation
    }

    /// What becomes of that.
    async fn mode(&self) -> RebuildMode {
        match self.0.mode.as_str() {
            "scratch" => RebuildMode::Scratch,
            "check" => RebuildMode::Check,
            "roll_back" => RebuildMode::RollBack,
            _ => RebuildMode::Replace,
        }
    }

    /// Where it is.
    async fn phase(&self) -> RebuildPhase {
        match self.0.phase.as_str() {
            "folding" => RebuildPhase::Folding,
            "catching_up" => RebuildPhase::CatchingUp,
            "swapped" => RebuildPhase::Swapped,
            "built" => RebuildPhase::Built,
            "cancelled" => RebuildPhase::Cancelled,
            _ => RebuildPhase::Failed,
        }
    }

    /// It rests until it is resumed.
    async fn paused(&self) -> bool {
        self.0.paused && !self.0.is_over()
    }

    /// The last position of the log that it folds before it catches up; as of which it is, with SCRATCH.
    async fn up_to_position(&self) -> Position {
        Position(self.0.to_position)
    }

    /// How many events of the log are folded.
    async fn done_events(&self) -> Long {
        Long(self.0.done_events)
    }

    /// How many there are to fold.
    async fn total_events(&self) -> Long {
        Long(self.0.to_position.0)
    }

    /// Events folded per second; null before the first word of it.
    async fn events_per_second(&self) -> Option<f64> {
        self.0.events_per_second
    }

    /// How long folding will still take at that rate; null where that is not known, or not asked any more.
    async fn eta(&self) -> Option<Duration> {
        let ms = i64::try_from(self.0.eta()?.as_millis()).ok()?;
        Some(Duration(TimeDelta::milliseconds(ms)))
    }

    /// How many ranges of the log are folded at once.
    async fn workers(&self) -> i32 {
        self.0.workers
    }

    /// Both generations are compared before the swap.
    async fn compare(&self) -> bool {
        self.0.compare
    }

    /// Who asked for it; null if nobody did: the program's version of the read model had changed.
    async fn asked_by(&self) -> Option<&str> {
        self.0.asked_by.as_deref()
    }

    /// Why they did.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// When it was asked for.
    async fn started_at(&self) -> DateTime {
        DateTime(self.0.started_at)
    }

    /// When it came to its end; null before.
    async fn finished_at(&self) -> Option<DateTime> {
        self.0.finished_at.map(DateTime)
    }

    /// Digest of the old generation, if both were compared.
    async fn digest_before(&self) -> Option<&str> {
        let digests = self.0.digests.as_ref();
        digests.map(|(before, _)| before.as_str())
    }

    /// Digest of the new generation, if both were compared.
    async fn digest_after(&self) -> Option<&str> {
        let digests = self.0.digests.as_ref();
        digests.map(|(_, after)| after.as_str())
    }

    /// The first row that the two generations tell differently; null if they were not compared, or are
    /// equal. Rows of `accounts` tell of persons: FORBIDDEN for whoever is no administrator.
    async fn difference(&self, ctx: &Context<'_>) -> Result<Option<RowDifference>> {
        let Some(difference) = &self.0.difference else {
            return Ok(None);
        };
        if !Operation::of(ctx).caller.may(Role::Admin) {
            let fault = Fault::of(FaultCode::Forbidden);
            return Err(fault.with("role", Role::Admin.as_str()).into());
        }
        Ok(Some(difference.clone().into()))
    }

    /// Why it failed; null otherwise. It may quote rows and events, so whoever is no operator is told only
    /// that there is something to know.
    async fn error(&self, ctx: &Context<'_>) -> Option<&str> {
        why(ctx, self.0.error.as_deref())
    }
}

/// A reason for a failure, as the caller may know it: it may quote what only operators are to see.
pub fn why<'e>(ctx: &Context<'_>, error: Option<&'e str>) -> Option<&'e str> {
    let error = error?;
    Some(match Operation::of(ctx).caller.may(Role::Operator) {
        true => error,
        false => UNTOLD,
    })
}

/// A row that two generations of a read model tell differently. Values are cut to 200 characters.
#[derive(SimpleObject)]
pub struct RowDifference {
    /// The table.
    table: String,
    /// The columns of the row's key, and what they say.
    key: Vec<ColumnValue>,
    /// The columns that differ.
    columns: Vec<ColumnChange>,
}

/// What a column says.
#[derive(SimpleObject)]
pub struct ColumnValue {
    /// The column.
    column: String,
    /// Its value as text.
    value: Option<String>,
}

/// What a column says in two generations.
#[derive(SimpleObject)]
pub struct ColumnChange {
    /// The column.
    column: String,
    /// In the old one; null where that lacks the row, or says nothing.
    before: Option<String>,
    /// In the new one.
    after: Option<String>,
}

impl From<projections::Difference> for RowDifference {
    fn from(difference: projections::Difference) -> RowDifference {
        let value = |cell: projections::Cell| ColumnValue {
            column: cell.column,
            value: cell.value,
        };
        let change = |change: projections::Change| ColumnChange {
            column: change.column,
            before: change.before,
            after: change.after,
        };
        RowDifference {
            table: difference.table,
            key: difference.key.into_iter().map(value).collect(),
            columns: difference.columns.into_iter().map(change).collect(),
        }
    }
}

/// What a generation of a read model is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum GenerationState {
    /// A rebuild fills it.
    Building,
    /// It answers.
    Live,
    /// It answered before, and can be rolled back to until the next rebuild; or its rebuild was ended.
    Kept,
    /// It is as of a position, for questions about then.
    Scratch,
}

/// The tables of a read model, built once.
#[derive(SimpleObject)]
pub struct Generation {
    /// The read model.
    name: String,
    /// Its number.
    generation: i32,
    /// Version of the logic that built it.
    version: i32,
    /// What it is there for.
    state: GenerationState,
    /// It shows every event up to here and none after.
    position: Position,
    /// When it was begun.
    created_at: DateTime,
}

impl From<consumers::Generation> for Generation {
    fn from(row: consumers::Generation) -> Generation {
        Generation {
            name: row.projection,
            generation: row.generation,
            version: row.version,
            state: match row.state.as_str() {
                "building" => GenerationState::Building,
                "live" => GenerationState::Live,
                "scratch" => GenerationState::Scratch,
                _ => GenerationState::Kept,
            },
            position: Position(row.position),
            created_at: DateTime(row.created_at),
        }
    }
}

/// An event that a read model could not take in.
#[derive(SimpleObject)]
pub struct FailedEvent {
    /// The read model.
    name: String,
    /// Which generation of it.
    generation: i32,
    /// The event.
    position: Position,
    /// How often it was tried.
    attempts: i32,
    /// What was said.
    error: String,
    /// When it failed first.
    failed_at: DateTime,
    /// The read model is stopped there until somebody decides: `retryFailedEvent` or `skipFailedEvent`.
    blocks: bool,
    /// The event's stream is parked there until somebody decides in the same way: nothing of it is taken in
    /// from there on. All other streams are.
    parked: bool,
    /// What kind of stream is parked; null if none is.
    aggregate_type: Option<String>,
    /// Which stream of that kind.
    aggregate_id: Option<String>,
    /// Who decided to go on without it; null if nobody did.
    skipped_by: Option<String>,
    /// Why they did.
    skip_reason: Option<String>,
    /// When they did.
    skipped_at: Option<DateTime>,
}

impl From<consumers::FailedEvent> for FailedEvent {
    fn from(row: consumers::FailedEvent) -> FailedEvent {
        let (by, why, at) = match row.skipped {
            Some((by, why, at)) => (Some(by), Some(why), Some(DateTime(at))),
            None => (None, None, None),
        };
        let (aggregate_type, aggregate_id) = row.parked.unzip();
        FailedEvent {
            name: row.projection,
            generation: row.generation,
            position: Position(row.position),
            attempts: row.attempts,
            error: row.error,
            failed_at: DateTime(row.failed_at),
            blocks: row.blocks,
            parked: aggregate_type.is_some(),
            aggregate_type,
            aggregate_id,
            skipped_by: by,
            skip_reason: why,
            skipped_at: at,
        }
    }
}

/// What somebody decided about a read model.
#[derive(SimpleObject)]
pub struct ProjectionDecision {
    /// The read model.
    name: String,
    /// Which generation of it, where that matters.
    generation: Option<i32>,
    /// What: `pause`, `resume`, `skip`, `rebuild`, `pause_rebuild`, `resume_rebuild`, `cancel_rebuild`,
    /// `roll_back` or `drop`.
    action: String,
    /// At which event, or up to which, where that matters.
    position: Option<Position>,
    /// Who.
    decided_by: String,
    /// Why, if they said so.
    reason: Option<String>,
    /// When.
    decided_at: DateTime,
}

impl From<consumers::Decision> for ProjectionDecision {
    fn from(row: consumers::Decision) -> ProjectionDecision {
        ProjectionDecision {
            name: row.projection,
            generation: row.generation,
            action: row.action,
            position: row.position.map(Position),
            decided_by: row.by,
            reason: row.reason,
            decided_at: DateTime(row.at),
        }
    }
}

/// A refusal of the name of no read model, as a fault of a question.
pub async fn must_be_known(
    operation: &Operation,
    name: Option<&str>,
) -> std::result::Result<(), Fault> {
    let Some(name) = name else {
        return Ok(());
    };
    let consumers = &operation.parts.consumers;
    let known = consumers.check_known(operation.tenant(), name).await;
    known.map_err(|error| match error.refusal() {
        Some(refusal) => refusal.into(),
        None => domain::Refusal::new(Code::ReadModelUnknown, "no such read model").into(),
    })
}
