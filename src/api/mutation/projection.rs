//! Deciding about read models: rebuild, pause, resume, cancel, roll back, drop, skip. Each decision is kept
//! with who made it, when and why.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use domain::values::{TextRule, optional_text, text};
use domain::{Code, Refusal};

use super::payload::{Conditions, Told, user_errors};
use crate::api::access::{AuthRole, auth};
use crate::api::error::UserError;
use crate::api::failure::{consumer_fault, consumer_refusal_or_fault, rebuild_refusal_or_fault};
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::query::deployment::AsOfInput;
use crate::api::scalars::Position;
use crate::api::types::projection::ProjectionStatus;
use crate::api::types::rebuild::Rebuild;
use crate::commands::check_command_id;
use crate::consumers::{
    ConsumerError, Decider, Mode, RANGE_EVENTS, RebuildOptions, RebuildStatus, WORKERS_MAX,
};

/// What is to become of a generation that is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
enum RebuildAs {
    /// It takes the place of the one that answers.
    Replace,
    /// It stays beside the one that answers, as of `upTo`: asked with `extensions.asOf`.
    Scratch,
    /// It is compared with the one that answers, and dropped: the first difference is told by `rebuilds`.
    Check,
}

/// Rebuilds a read model from the log.
#[derive(InputObject)]
struct RebuildProjectionInput {
    /// The read model.
    name: String,
    /// What is to become of the new generation.
    #[graphql(default_with = "RebuildAs::Replace")]
    mode: RebuildAs,
    /// As of when; with SCRATCH, and only with that. A time is the last event's that was recorded by then.
    up_to: Option<AsOfInput>,
    /// How many ranges of the log are folded at once, 1 to 16.
    #[graphql(default = 2)]
    workers: i32,
    /// At most so many events in a range, 1,000 to 10,000,000.
    #[graphql(default = 100_000)]
    range_events: i32,
    /// Compare both generations before the swap, and keep the old one if they differ. Not with SCRATCH.
    #[graphql(default)]
    compare: bool,
    /// Why, for people; at most 500 characters. Kept.
    reason: Option<String>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// Decides about a read model, or about its rebuild.
#[derive(InputObject)]
struct ProjectionInput {
    /// The read model.
    name: String,
    /// Why, for people; at most 500 characters. Kept.
    reason: Option<String>,
}

/// Goes back to the generation that is kept.
#[derive(InputObject)]
struct RollBackProjectionInput {
    /// The read model.
    name: String,
    /// The generation to go away from; refused if it is not the one that answers. Without it: whichever is.
    generation: Option<i32>,
    /// Why, for people; at most 500 characters. Kept.
    reason: Option<String>,
    /// Idempotency key, 1 to 255 characters: sent again, it does not go back and forth.
    command_id: Option<ID>,
}

/// Drops a generation.
#[derive(InputObject)]
struct DropGenerationInput {
    /// The read model.
    name: String,
    /// Which generation of it.
    generation: i32,
    /// Why, for people; at most 500 characters. Kept.
    reason: Option<String>,
}

/// Tries an event again that a read model is stopped at.
#[derive(InputObject)]
struct RetryFailedEventInput {
    /// The read model.
    name: String,
    /// The event it is stopped at.
    position: Position,
    /// Why, for people; at most 500 characters. Kept.
    reason: Option<String>,
}

/// Goes on without an event that a read model is stopped at.
#[derive(InputObject)]
struct SkipFailedEventInput {
    /// The read model.
    name: String,
    /// The event it is stopped at.
    position: Position,
    /// Why, for people; at most 500 characters. Kept.
    reason: String,
}

/// What became of a decision about a rebuild.
#[derive(SimpleObject)]
struct RebuildPayload {
    /// The rebuild; null if it was refused.
    rebuild: Option<Rebuild>,
    /// Why it was refused; empty if it was not.
    user_errors: Vec<UserError>,
}

/// What became of a decision about a read model.
#[derive(SimpleObject)]
struct ProjectionPayload {
    /// The read model as it stands now; null if it was refused.
    projection: Option<ProjectionStatus>,
    /// Why it was refused; empty if it was not.
    user_errors: Vec<UserError>,
}

/// Decisions about read models.
#[derive(Default)]
pub struct ProjectionCommands;

#[Object]
impl ProjectionCommands {
    /// Has a read model built anew from the log, by whichever process takes it up. Until the swap the old
    /// generation answers, and is kept behind it to be rolled back to. Asked for as of a position that there
    /// is a generation of, it is that one.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn rebuild_projection(
        &self,
        ctx: &Context<'_>,
        input: RebuildProjectionInput,
    ) -> Result<RebuildPayload> {
        let asked = match input.asked(ctx).await? {
            Ok(asked) => asked,
            Err(refusal) => return Ok(rebuild_payload(Err(refusal))),
        };
        ask(ctx, asked).await
    }

    /// Has the generation that is kept follow the log to where the one that answers is, and take its place
    /// again: nobody is shown an earlier position. It can be gone back from in the same way.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn roll_back_projection(
        &self,
        ctx: &Context<'_>,
        input: RollBackProjectionInput,
    ) -> Result<RebuildPayload> {
        match input.asked(ctx) {
            Ok(asked) => ask(ctx, asked).await,
            Err(refusal) => Ok(rebuild_payload(Err(refusal))),
        }
    }

    /// Lets a rebuild rest, in whatever process it runs: within a second.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn pause_rebuild(
        &self,
        ctx: &Context<'_>,
        input: ProjectionInput,
    ) -> Result<RebuildPayload> {
        let consumers = &Operation::of(ctx).parts.consumers;
        on_rebuild(ctx, input, async |tenant, name, by| {
            consumers.pause_rebuild(tenant, name, by).await
        })
        .await
    }

    /// Lets a paused rebuild go on where it was, in whichever process takes it up.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn resume_rebuild(
        &self,
        ctx: &Context<'_>,
        input: ProjectionInput,
    ) -> Result<RebuildPayload> {
        let consumers = &Operation::of(ctx).parts.consumers;
        on_rebuild(ctx, input, async |tenant, name, by| {
            consumers.resume_rebuild(tenant, name, by).await
        })
        .await
    }

    /// Ends a rebuild, in whatever process it runs: within a second. The old generation answers on.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn cancel_rebuild(
        &self,
        ctx: &Context<'_>,
        input: ProjectionInput,
    ) -> Result<RebuildPayload> {
        let consumers = &Operation::of(ctx).parts.consumers;
        on_rebuild(ctx, input, async |tenant, name, by| {
            consumers.cancel_rebuild(tenant, name, by).await
        })
        .await
    }

    /// Drops a generation that does not answer: one as of a position, or the one that is kept.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn drop_generation(
        &self,
        ctx: &Context<'_>,
        input: DropGenerationInput,
    ) -> Result<ProjectionPayload> {
        let (consumers, generation) = (&Operation::of(ctx).parts.consumers, input.generation);
        let about = (input.name, input.reason);
        on_projection(ctx, about, async |tenant, name, by| {
            consumers
                .drop_generation(tenant, name, generation, by)
                .await
        })
        .await
    }

    /// Stops keeping a read model up to date: it answers as of where it is.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn pause_projection(
        &self,
        ctx: &Context<'_>,
        input: ProjectionInput,
    ) -> Result<ProjectionPayload> {
        let consumers = &Operation::of(ctx).parts.consumers;
        let about = (input.name, input.reason);
        on_projection(ctx, about, async |tenant, name, by| {
            consumers.pause(tenant, name, by).await
        })
        .await
    }

    /// Has a read model follow the log again; one that is stopped at an event, or has parked streams, tries
    /// again.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn resume_projection(
        &self,
        ctx: &Context<'_>,
        input: ProjectionInput,
    ) -> Result<ProjectionPayload> {
        let consumers = &Operation::of(ctx).parts.consumers;
        let about = (input.name, input.reason);
        on_projection(ctx, about, async |tenant, name, by| {
            consumers.resume(tenant, name, by).await
        })
        .await
    }

    /// Has a read model try the event again that it is stopped at, or that it has parked a stream at: then all
    /// of the stream from there on is taken in.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn retry_failed_event(
        &self,
        ctx: &Context<'_>,
        input: RetryFailedEventInput,
    ) -> Result<ProjectionPayload> {
        let (consumers, at) = (&Operation::of(ctx).parts.consumers, input.position.0);
        let about = (input.name, input.reason);
        on_projection(ctx, about, async |tenant, name, by| {
            consumers.retry(tenant, name, at, by).await
        })
        .await
    }

    /// Has a read model, or a parked stream, go on without the event it is stopped at. Rebuilds try it again, and only then go on
    /// without it as well.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn skip_failed_event(
        &self,
        ctx: &Context<'_>,
        input: SkipFailedEventInput,
    ) -> Result<ProjectionPayload> {
        let (consumers, at) = (&Operation::of(ctx).parts.consumers, input.position.0);
        let reason = match text(TextRule::Reason, &input.reason, "reason") {
            Ok(reason) => reason.to_owned(),
            Err(refusal) => return projection_payload(ctx, Err(refusal)).await,
        };
        let about = (input.name, Some(reason.clone()));
        on_projection(ctx, about, async |tenant, name, decider| {
            let by = &decider.by;
            consumers.skip(tenant, name, at, by, &reason).await
        })
        .await
    }
}

/// A rebuild that is asked for.
struct Asked {
    name: String,
    options: RebuildOptions,
    command_id: Option<String>,
}

impl RollBackProjectionInput {
    /// What is asked for, checked.
    fn asked(self, ctx: &Context<'_>) -> Told<Asked> {
        if let Some(id) = &self.command_id {
            check_command_id(id)?;
        }
        let options = RebuildOptions {
            mode: Mode::RollBack,
            away_from: self.generation,
            decider: Some(decider(ctx, self.reason.as_deref())?),
            ..RebuildOptions::default()
        };
        Ok(Asked {
            name: self.name,
            options,
            command_id: self.command_id.map(|id| id.0),
        })
    }
}

impl RebuildProjectionInput {
    /// What is asked for, checked.
    async fn asked(self, ctx: &Context<'_>) -> Result<Told<Asked>, Fault> {
        let checked = self.checked(ctx);
        let (workers, decider) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let operation = Operation::of(ctx);
        let (store, tenant) = (&operation.parts.store, operation.tenant());
        let mode = match self.up_to {
            None if self.mode == RebuildAs::Check => Mode::Check,
            None => Mode::Replace,
            Some(AsOfInput::Position(Position(up_to))) => Mode::Scratch { up_to },
            Some(AsOfInput::Time(time)) => {
                let reached = store.reached_by(tenant, time.0).await;
                let up_to = reached.map_err(|error| consumer_fault(error.into()))?;
                Mode::Scratch { up_to }
            }
        };
        let options = RebuildOptions {
            mode,
            workers,
            range_events: i64::from(self.range_events),
            compare: self.compare,
            decider: Some(decider),
            ..RebuildOptions::default()
        };
        Ok(Ok(Asked {
            name: self.name,
            options,
            command_id: self.command_id.map(|id| id.0),
        }))
    }

    fn checked(&self, ctx: &Context<'_>) -> Told<(usize, Decider)> {
        if let Some(id) = &self.command_id {
            check_command_id(id)?;
        }
        let invalid = |field: &str, why: &str| Refusal::new(Code::Validation, why).at([field]);
        match (self.mode, &self.up_to) {
            (RebuildAs::Scratch, None) => {
                return Err(invalid("upTo", "SCRATCH needs to know as of when"));
            }
            (RebuildAs::Replace | RebuildAs::Check, Some(_)) => {
                return Err(invalid("upTo", "only SCRATCH is as of a position"));
            }
            (RebuildAs::Scratch, Some(_)) if self.compare => {
                return Err(invalid("compare", "SCRATCH is compared with nothing"));
            }
            _ => {}
        }
        let outside = |field: &str, min: i64, max: i64, actual: i32| {
            let why = format!("{field} is {min} to {max}");
            let refusal = Refusal::new(Code::OutOfRange, why).at([field]);
            refusal
                .with("min", min)
                .with("max", max)
                .with("actual", actual)
        };
        if !RANGE_EVENTS.contains(&i64::from(self.range_events)) {
            let (min, max) = (*RANGE_EVENTS.start(), *RANGE_EVENTS.end());
            return Err(outside("rangeEvents", min, max, self.range_events));
        }
        let workers = usize::try_from(self.workers).unwrap_or_default();
        if !(1..=WORKERS_MAX).contains(&workers) {
            let max = i64::try_from(WORKERS_MAX).unwrap_or(i64::MAX);
            return Err(outside("workers", 1, max, self.workers));
        }
        Ok((workers, decider(ctx, self.reason.as_deref())?))
    }
}

/// Who decides, and why. Refused for a tenant that is suspended.
fn decider(ctx: &Context<'_>, reason: Option<&str>) -> Told<Decider> {
    let context = Conditions::none().context(ctx)?;
    let reason = optional_text(TextRule::Reason, reason, "reason")?;
    Ok(Decider::of(context.actor.to_string()).because(reason))
}

async fn ask(ctx: &Context<'_>, asked: Asked) -> Result<RebuildPayload> {
    let operation = Operation::of(ctx);
    let recorded = operation.parts.consumers.ask_rebuild(
        operation.tenant(),
        &asked.name,
        asked.options,
        asked.command_id.as_deref(),
    );
    Ok(rebuild_payload(match recorded.await {
        Ok(rebuild) => Ok(rebuild),
        Err(error) => Err(rebuild_refusal_or_fault(error)?),
    }))
}

async fn on_rebuild(
    ctx: &Context<'_>,
    input: ProjectionInput,
    act: impl AsyncFnOnce(&str, &str, &Decider) -> std::result::Result<RebuildStatus, ConsumerError>,
) -> Result<RebuildPayload> {
    let decider = match decider(ctx, input.reason.as_deref()) {
        Ok(decider) => decider,
        Err(refusal) => return Ok(rebuild_payload(Err(refusal))),
    };
    let tenant = Operation::of(ctx).tenant();
    Ok(rebuild_payload(
        match act(tenant, &input.name, &decider).await {
            Ok(rebuild) => Ok(rebuild),
            Err(error) => Err(consumer_refusal_or_fault(error)?),
        },
    ))
}

async fn on_projection(
    ctx: &Context<'_>,
    (name, reason): (String, Option<String>),
    act: impl AsyncFnOnce(&str, &str, &Decider) -> std::result::Result<(), ConsumerError>,
) -> Result<ProjectionPayload> {
    let decider = match decider(ctx, reason.as_deref()) {
        Ok(decider) => decider,
        Err(refusal) => return projection_payload(ctx, Err(refusal)).await,
    };
    let told = match act(Operation::of(ctx).tenant(), &name, &decider).await {
        Ok(()) => Ok(name),
        Err(error) => Err(consumer_refusal_or_fault(error)?),
    };
    projection_payload(ctx, told).await
}

fn rebuild_payload(told: Told<RebuildStatus>) -> RebuildPayload {
    let told = told.map_err(|refusal| refusal.under(["input"]));
    RebuildPayload {
        user_errors: user_errors(&told),
        rebuild: told.ok().map(Rebuild),
    }
}

async fn projection_payload(ctx: &Context<'_>, told: Told<String>) -> Result<ProjectionPayload> {
    let told = told.map_err(|refusal| refusal.under(["input"]));
    let user_errors = user_errors(&told);
    let projection = match told {
        Err(_) => None,
        Ok(name) => {
            let operation = Operation::of(ctx);
            let all = operation.parts.consumers.status(operation.tenant()).await;
            let mut all = all.map_err(consumer_fault)?.into_iter();
            let found = all.find(|status| status.name == name);
            found.map(ProjectionStatus::from)
        }
    };
    Ok(ProjectionPayload {
        projection,
        user_errors,
    })
}
