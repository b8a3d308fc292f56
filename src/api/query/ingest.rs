//! Questions about log records that were handed in: receipts, and what was rejected.

use async_graphql::{Context, ID, InputObject, Object, Result};
use domain::{Code, Refusal};
use projections::Page;
use uuid::Uuid;

use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::{refusal_or_fault, store_fault};
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::DateTime;
use crate::api::types::ingest::{IngestReceipt, RejectedRecord};
use crate::commands::{CommandError, RejectedOf};

/// Which rejected log records; conditions add up.
#[derive(Debug, Default, InputObject)]
pub struct RejectedRecordFilterInput {
    /// Those of this source.
    source: Option<String>,
    /// Those rejected for this, such as `TIMESTAMP_TOO_OLD`.
    code: Option<String>,
    /// Those rejected from then on.
    from: Option<DateTime>,
    /// Those rejected before then.
    to: Option<DateTime>,
}

impl RejectedRecordFilterInput {
    fn read(&self) -> std::result::Result<RejectedOf, Refusal> {
        let code = self.code.as_deref().map(|word| {
            let unknown = || Refusal::new(Code::Validation, "there is no such code");
            Code::of_word(word).ok_or_else(|| unknown().at(["filter", "code"]))
        });
        if let (Some(from), Some(to)) = (&self.from, &self.to)
            && from.0 > to.0
        {
            let why = "the span ends before it begins";
            return Err(Refusal::new(Code::Validation, why).at(["filter", "to"]));
        }
        Ok(RejectedOf {
            source: self.source.clone(),
            code: code.transpose()?,
            from: self.from.map(|at| at.0),
            to: self.to.map(|at| at.0),
        })
    }
}

/// Questions about what was handed in.
#[derive(Default)]
pub struct IngestQueries;

#[Object]
impl IngestQueries {
    /// The receipt that was given for a batch of log records; null if there was no such batch, or it is not
    /// remembered any more (`commands.idempotency_retention`).
    #[graphql(directive = auth::apply(AuthRole::Ingest, to(Scope::LogsWrite)))]
    async fn ingest_receipt(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The batch, as its receipt called it.")] batch_id: ID,
    ) -> Result<Option<IngestReceipt>> {
        let Ok(batch_id) = Uuid::parse_str(&batch_id) else {
            return Ok(None);
        };
        let operation = Operation::of(ctx);
        let door = &operation.parts.door;
        let found = door.ingest_receipt(operation.tenant(), batch_id).await;
        let found = found.map_err(fault)?;
        Ok(found.map(|(source, receipt)| IngestReceipt::new(source, receipt)))
    }

    /// Log records that were rejected, the last first, as long as they are kept
    /// (`commands.rejected_retention`, `commands.rejected_records_max`).
    #[graphql(directive = auth::apply(AuthRole::Viewer, to(Scope::LogsRead)))]
    async fn rejected_records(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<RejectedRecordFilterInput>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<RejectedRecord>> {
        let operation = Operation::of(ctx);
        let filter = filter.unwrap_or_default();
        let ask = Ask::<Uuid>::read(
            operation,
            "rejectedRecords",
            &filter,
            first,
            after.as_deref(),
        )?;
        let of = filter.read().map_err(Fault::from)?;
        let head = operation.parts.store.head(operation.tenant()).await;
        let as_of = head.map_err(store_fault)?;
        let door = &operation.parts.door;
        let kept = door.rejected_logs(operation.tenant(), &of, ask.after, ask.first + 1);
        let mut items = kept.await.map_err(fault)?;
        let has_next = items.len() > ask.first as usize;
        items.truncate(ask.first as usize);
        operation.touch(as_of);
        let page = Page {
            items,
            has_next,
            as_of,
        };
        Ok(ask.connection(page, as_of.into(), |kept| kept.id, RejectedRecord::from))
    }
}

fn fault(error: CommandError) -> Fault {
    refusal_or_fault(error).map_or_else(|fault| fault, Fault::from)
}
