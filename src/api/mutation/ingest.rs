//! Handing in log records, and taking in after all what was rejected.

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::log_batch::LogReport;

use super::payload::{Conditions, Receipt, Told, settle, user_errors};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::error::UserError;
use crate::api::failure::no_log_room;
use crate::api::operation::Operation;
use crate::api::scalars::{JsonObject, Long};
use crate::api::types::ingest::{LogRecordResult, LogRecordStatus, count, results};
use crate::auth::Role;
use crate::commands::{IngestLogs, LogsReceipt, RecoverRejected};

/// Hands in log records of one source.
#[derive(InputObject)]
struct IngestLogsInput {
    /// Whose records: the source's id. An unknown one is registered if the caller is an operator.
    source: String,
    /// 1 to 1,000 records, in any order. Each is accepted, found to be a duplicate or rejected by itself.
    logs: Vec<LogRecordInput>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// One log record as handed in. A record that is not what it should be is REJECTED, alone, with the code
/// that says why; so these fields take any text.
#[derive(InputObject)]
struct LogRecordInput {
    /// The source's own id of the record, 1 to 128 characters: with it, it is accepted once.
    event_id: Option<String>,
    /// When it happened: RFC 3339 with a zone, within the limits of its source.
    timestamp: String,
    /// What it is about: `behavioral`, `telemetry`, `observability`, `error` or `performance`.
    event_type: String,
    /// What happened, 1 to 200 characters.
    event_name: String,
    /// `normal`, if not said, or `high`.
    priority: Option<String>,
    /// The user's id, 1 to 128 characters. A pseudonym of it is stored.
    user_id: Option<String>,
    /// Which session it belongs to, 1 to 128 characters.
    session_id: Option<String>,
    /// Which version of the program said so, 1 to 64 characters.
    app_version: Option<String>,
    /// Its number within its session, 0 or more.
    sequence_number: Option<Long>,
    /// What the program ran on.
    device_info: Option<JsonObject>,
    /// Anything else.
    properties: Option<JsonObject>,
}

/// Takes a rejected log record in after all, as a batch of its own.
#[derive(InputObject)]
struct RecoverRejectedInput {
    /// The rejected record.
    id: ID,
    /// What it should have said. If not said: what it said, without what is personal in it, since that is
    /// not kept; it must have been kept whole.
    record: Option<LogRecordInput>,
    /// Why; at most 500 characters.
    reason: Option<String>,
    /// Idempotency key, 1 to 255 characters.
    command_id: Option<ID>,
}

/// What became of a batch of log records.
struct IngestLogsPayload(Told<LogsReceipt>);

/// What became of a rejected record.
struct RecoverRejectedPayload(Told<LogsReceipt>);

/// Handing in log records.
#[derive(Default)]
pub struct IngestCommands;

#[Object]
impl IngestCommands {
    /// Takes in log records of one source, all in one transaction. A bad record is rejected alone; the rest
    /// is kept. More than the source takes a minute is RATE_LIMITED as a whole.
    #[graphql(directive = auth::apply(AuthRole::Ingest, to(Scope::LogsWrite)))]
    async fn ingest_logs(
        &self,
        ctx: &Context<'_>,
        input: IngestLogsInput,
    ) -> Result<IngestLogsPayload> {
        let operation = Operation::of(ctx);
        let context = match Conditions::of_new(input.command_id).context(ctx) {
            Ok(context) => context,
            Err(refusal) => return Ok(IngestLogsPayload(Err(refusal.under(["input"])))),
        };
        let records: Vec<_> = input.logs.into_iter().map(LogReport::from).collect();
        let door = &operation.parts.door;
        let bytes = records.iter().map(LogReport::held_bytes).sum();
        let _room = door.log_room(bytes).map_err(no_log_room)?;
        let batch = IngestLogs {
            source: input.source,
            records: records.into_iter().map(Ok).collect(),
            may_register: operation.caller.may(Role::Operator),
        };
        let kept = door.ingest_logs(&context, batch).await;
        let told = settle(ctx, kept, |kept| kept.receipt).await?;
        Ok(IngestLogsPayload(told))
    }

    /// Takes a rejected log record in after all: once, and by what its source accepts today. It is not late
    /// if it came in time when it was rejected.
    #[graphql(directive = auth::apply(AuthRole::Operator, None))]
    async fn recover_rejected(
        &self,
        ctx: &Context<'_>,
        input: RecoverRejectedInput,
    ) -> Result<RecoverRejectedPayload> {
        let context = match Conditions::of_new(input.command_id).context(ctx) {
            Ok(context) => context,
            Err(refusal) => return Ok(RecoverRejectedPayload(Err(refusal.under(["input"])))),
        };
        let recover = RecoverRejected {
            id: input.id.0,
            record: input.record.map(LogReport::from),
            reason: input.reason,
        };
        let door = &Operation::of(ctx).parts.door;
        let kept = door.recover_rejected(&context, recover).await;
        let told = settle(ctx, kept, |kept| kept.receipt).await?;
        Ok(RecoverRejectedPayload(told))
    }
}

/// What became of a batch of log records.
#[Object]
impl IngestLogsPayload {
    /// The batch, for asking for its receipt later; null if the whole batch was refused.
    async fn batch_id(&self) -> Option<ID> {
        self.0.as_ref().ok().map(|kept| ID(kept.batch_id.clone()))
    }

    /// What became of each record, in the batch's order; null if the whole batch was refused.
    async fn results(&self) -> Option<Vec<LogRecordResult>> {
        self.0.as_ref().ok().map(|kept| results(kept, &["input"]))
    }

    /// How many records were accepted.
    async fn accepted(&self) -> i32 {
        self.count(LogRecordStatus::Accepted)
    }

    /// How many records were duplicates.
    async fn duplicates(&self) -> i32 {
        self.count(LogRecordStatus::Duplicate)
    }

    /// How many records were rejected.
    async fn rejected(&self) -> i32 {
        self.count(LogRecordStatus::Rejected)
    }

    /// Proof that the batch was taken in; null if the whole batch was refused.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.as_ref().ok().map(|kept| kept.receipt.into())
    }

    /// Why the whole batch was refused; empty if it was taken in.
    async fn user_errors(&self) -> Vec<UserError> {
        user_errors(&self.0)
    }
}

impl IngestLogsPayload {
    fn count(&self, wanted: LogRecordStatus) -> i32 {
        self.0.as_ref().map_or(0, |kept| count(kept, wanted))
    }
}

/// What became of a rejected record.
#[Object]
impl RecoverRejectedPayload {
    /// The batch that carries it; null if it was refused.
    async fn batch_id(&self) -> Option<ID> {
        self.0.as_ref().ok().map(|kept| ID(kept.batch_id.clone()))
    }

    /// What became of it: ACCEPTED, or DUPLICATE if its id is known by now, and then it is not recovered;
    /// null if it was refused.
    async fn result(&self) -> Option<LogRecordResult> {
        results(self.0.as_ref().ok()?, &["input"]).pop()
    }

    /// Proof that the command was kept; null if it was refused.
    async fn receipt(&self) -> Option<Receipt> {
        self.0.as_ref().ok().map(|kept| kept.receipt.into())
    }

    /// Why it was refused, or rejected again; empty if it was kept.
    async fn user_errors(&self) -> Vec<UserError> {
        user_errors(&self.0)
    }
}

impl From<LogRecordInput> for LogReport {
    fn from(said: LogRecordInput) -> LogReport {
        let object = |object: Option<JsonObject>| object.map(|o| o.0.into()).unwrap_or_default();
        LogReport {
            event_id: said.event_id,
            timestamp: said.timestamp,
            event_type: said.event_type,
            event_name: said.event_name,
            priority: said.priority,
            user_id: said.user_id,
            session_id: said.session_id,
            app_version: said.app_version,
            sequence_number: said.sequence_number.map(|n| n.0),
            device_info: object(said.device_info),
            properties: object(said.properties),
        }
    }
}
