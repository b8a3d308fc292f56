//! Commands on sources of log records.

use std::collections::BTreeMap;

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::log_source::{self, LogLimits, LogRetention, LogSourceCommand, PersonalFields};
use domain::{Code, Refusal, values};
use projections::logs;

use super::deployment::input::head_of;
use super::payload::{Conditions, Outcome, Receipt, Told, send, whole};
use crate::api::access::{AuthRole, auth};
use crate::api::error::UserError;
use crate::api::operation::Operation;
use crate::api::types::logs::{LogPersonalRule, LogSource, LogType};

/// What the records of a source may be; what is not said is as by default.
#[derive(InputObject)]
struct LogLimitsInput {
    /// Bytes that one record may take, 1,024 to 262,144.
    #[graphql(default = 65_536)]
    record_bytes_max: i32,
    /// Records a minute, 1 to 100,000,000, all of which may come at once; what the caller's own quota allows
    /// if not said. One too many refuses the whole batch.
    records_per_minute_max: Option<i32>,
    /// Seconds that a record's time may be behind the server's clock, a minute to ten years.
    #[graphql(default = 604_800)]
    age_seconds_max: i32,
    /// Seconds that it may be ahead, at most a day.
    #[graphql(default = 300)]
    ahead_seconds_max: i32,
}

/// How long what a source handed in can be asked for. The log itself is not touched by it.
#[derive(InputObject)]
struct LogRetentionInput {
    /// Days a record can be found after it was recorded; for ever if not said.
    days: Option<i32>,
    /// Other days for records of some types, each once.
    days_by_type: Option<Vec<LogTypeRetentionInput>>,
    /// Days a declared id is remembered from its record's acceptance on, at least as long as the limits set
    /// now accept records; for ever if not said. Ids accepted under fewer days are forgotten on their day all
    /// the same.
    id_days: Option<i32>,
}

/// Days for records of one type.
#[derive(InputObject)]
struct LogTypeRetentionInput {
    /// Which.
    event_type: LogType,
    /// Days a record can be found.
    days: i32,
}

/// A field of log records that tells who somebody is.
#[derive(InputObject)]
struct PersonalFieldInput {
    /// `userId`, or `properties.` or `deviceInfo.` and a name.
    path: String,
    /// What is done with it.
    #[graphql(default_with = "LogPersonalRule::Seal")]
    rule: LogPersonalRule,
}

/// Makes a source of log records known.
#[derive(InputObject)]
struct RegisterLogSourceInput {
    /// What it is called, 1 to 128 characters.
    id: ID,
    /// What its records may be.
    limits: Option<LogLimitsInput>,
    /// How long they are kept.
    retention: Option<LogRetentionInput>,
    /// What in them tells who somebody is; at most 50.
    personal_fields: Option<Vec<PersonalFieldInput>>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

head_of! {
    /// Has a source take nothing for now.
    PauseLogSourceInput {
        /// Why, for those who are turned away; 1 to 500 characters.
        reason: String,
    }
}
head_of! {
    /// Has a source take records again.
    ResumeLogSourceInput {}
}
head_of! {
    /// Has a source take other records from now on.
    SetLogLimitsInput {
        /// All of its limits.
        limits: LogLimitsInput,
    }
}
head_of! {
    /// Keeps the records of a source for another time.
    SetLogRetentionInput {
        /// All that is said of it.
        retention: LogRetentionInput,
    }
}
head_of! {
    /// Looks for other personal fields in the records of a source from now on. What is in the log stays as it
    /// is.
    SetPersonalFieldsInput {
        /// All of them; at most 50.
        personal_fields: Vec<PersonalFieldInput>,
    }
}

/// What became of a command on a source.
struct LogSourcePayload(Outcome);

/// What became of a command on a source.
#[Object]
impl LogSourcePayload {
    /// The source after the command; null if it was refused.
    async fn log_source(&self, ctx: &Context<'_>) -> Result<Option<LogSource>> {
        let Some(id) = self.0.id() else {
            return Ok(None);
        };
        let mut snapshot = Operation::of(ctx).read(&[logs::NAME]).await?;
        let row = logs::log_source(&mut snapshot, id).await;
        Ok(snapshot.answer(row)?.map(LogSource::from))
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

/// Commands on sources of log records.
#[derive(Default)]
pub struct LogSourceCommands;

#[Object]
impl LogSourceCommands {
    /// Makes a source of log records known, with its limits, its retention and its personal fields.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn register_log_source(
        &self,
        ctx: &Context<'_>,
        input: RegisterLogSourceInput,
    ) -> Result<LogSourcePayload> {
        let limits = input.limits.map_or(Ok(LogLimits::default()), limits);
        let retention = input
            .retention
            .map_or(Ok(LogRetention::default()), retention);
        let fields = personal_fields(input.personal_fields.unwrap_or_default());
        let command = limits.and_then(|limits| {
            Ok(LogSourceCommand::Register {
                limits,
                retention: retention?,
                personal_fields: fields?,
                on_first_batch: false,
            })
        });
        on_source(
            ctx,
            (Conditions::of_new(input.command_id), input.id),
            command,
        )
        .await
    }

    /// Has a source take nothing for now: whoever hands records in is told STREAM_PAUSED.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn pause_log_source(
        &self,
        ctx: &Context<'_>,
        input: PauseLogSourceInput,
    ) -> Result<LogSourcePayload> {
        let head = input.head();
        let reason = input.reason;
        on_source(ctx, head, Ok(LogSourceCommand::Pause { reason })).await
    }

    /// Has a source take records again.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn resume_log_source(
        &self,
        ctx: &Context<'_>,
        input: ResumeLogSourceInput,
    ) -> Result<LogSourcePayload> {
        on_source(ctx, input.head(), Ok(LogSourceCommand::Resume)).await
    }

    /// Has a source take other records from now on; its limits are said as a whole.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn set_log_limits(
        &self,
        ctx: &Context<'_>,
        input: SetLogLimitsInput,
    ) -> Result<LogSourcePayload> {
        let head = input.head();
        let command = limits(input.limits).map(|limits| LogSourceCommand::SetLimits { limits });
        on_source(ctx, head, command).await
    }

    /// Keeps the records of a source for another time; its retention is said as a whole.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn set_log_retention(
        &self,
        ctx: &Context<'_>,
        input: SetLogRetentionInput,
    ) -> Result<LogSourcePayload> {
        let head = input.head();
        let command = retention(input.retention);
        let command = command.map(|retention| LogSourceCommand::SetRetention { retention });
        on_source(ctx, head, command).await
    }

    /// Looks for other personal fields in the records of a source from now on; they are said as a whole.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn set_personal_fields(
        &self,
        ctx: &Context<'_>,
        input: SetPersonalFieldsInput,
    ) -> Result<LogSourcePayload> {
        let head = input.head();
        let fields = personal_fields(input.personal_fields);
        let command =
            fields.map(|personal_fields| LogSourceCommand::SetPersonalFields { personal_fields });
        on_source(ctx, head, command).await
    }
}

async fn on_source(
    ctx: &Context<'_>,
    (conditions, id): (Conditions, ID),
    command: Told<LogSourceCommand>,
) -> Result<LogSourcePayload> {
    let command = match command {
        Ok(command) => command,
        Err(refusal) => return Ok(LogSourcePayload(Outcome::refused(refusal))),
    };
    let id = values::id(&id, "id");
    let outcome = send::<log_source::LogSource>(ctx, conditions, id, command).await?;
    Ok(LogSourcePayload(outcome))
}

fn limits(said: LogLimitsInput) -> Told<LogLimits> {
    let read = || {
        let per_minute = said.records_per_minute_max;
        let per_minute = per_minute.map(|n| whole(n, "recordsPerMinuteMax"));
        Ok(LogLimits {
            record_bytes_max: whole(said.record_bytes_max, "recordBytesMax")?,
            records_per_minute_max: per_minute.transpose()?,
            age_seconds_max: whole(said.age_seconds_max, "ageSecondsMax")?,
            ahead_seconds_max: whole(said.ahead_seconds_max, "aheadSecondsMax")?,
        })
    };
    read().map_err(|refusal: Refusal| refusal.under(["limits"]))
}

fn retention(said: LogRetentionInput) -> Told<LogRetention> {
    let read = || {
        let days = |days: Option<i32>, field| days.map(|n| whole(n, field)).transpose();
        let mut days_by_type = BTreeMap::new();
        for (n, of_type) in said.days_by_type.iter().flatten().enumerate() {
            let place = ["daysByType".to_owned(), n.to_string()];
            let of_days = whole(of_type.days, "days");
            let of_days: u32 = of_days.map_err(|refusal: Refusal| refusal.under(place.clone()))?;
            let log_type = log_source::LogType::from(of_type.event_type);
            if days_by_type.insert(log_type, of_days).is_some() {
                return Err(twice("a type").at(place));
            }
        }
        Ok(LogRetention {
            days: days(said.days, "days")?,
            days_by_type,
            id_days: days(said.id_days, "idDays")?,
        })
    };
    read().map_err(|refusal: Refusal| refusal.under(["retention"]))
}

fn personal_fields(said: Vec<PersonalFieldInput>) -> Told<PersonalFields> {
    let mut fields = BTreeMap::new();
    for (n, field) in said.into_iter().enumerate() {
        if fields.insert(field.path, field.rule.into()).is_some() {
            let place = ["personalFields".to_owned(), n.to_string()];
            return Err(twice("a path").at(place));
        }
    }
    Ok(PersonalFields(fields))
}

fn twice(what: &str) -> Refusal {
    Refusal::new(Code::DuplicateKey, format!("{what} is named twice"))
}
