//! Questions of analysts in SQL.

use async_graphql::{Context, Object, Result};
use domain::{Code, Refusal};

use crate::analysts::{AnalystError, Question};
use crate::api::access::{AuthRole, Scope, auth, to};
use crate::api::failure::{not_built_as_of, store_fault};
use crate::api::fault::{Fault, FaultCode, MESSAGE_CHARS_MAX, cut};
use crate::api::operation::Operation;
use crate::api::types::analyst::AnalystAnswer;

/// Questions of analysts in SQL.
#[derive(Default)]
pub struct AnalystQueries;

#[Object]
impl AnalystQueries {
    /// Answers one SELECT over the tables of the tenant's own projections (`daybook projection add`). It runs with
    /// no right but to read them, for a bounded time. With `extensions.asOf` it is asked of generations that were
    /// built as of that position, by `rebuildProjection` with SCRATCH.
    #[graphql(directive = auth::apply(AuthRole::Auditor, to(Scope::AuditRead)))]
    async fn analyst_query(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "One SELECT.")] sql: String,
        #[graphql(
            desc = "What stands for `$1`, `$2`, ...: at most 32, each as text; cast it: `$1::date`."
        )]
        params: Option<Vec<Option<String>>>,
        #[graphql(
            desc = "At most this many rows, up to the setting `analyst.rows_max`; as many as that if not said."
        )]
        rows: Option<i32>,
    ) -> Result<AnalystAnswer> {
        let operation = Operation::of(ctx);
        let question = Question {
            sql,
            parameters: params.unwrap_or_default(),
            first: rows.map(|n| usize::try_from(n).unwrap_or(0)),
            as_of: operation.as_of,
        };
        let Some(analysts) = operation.parts.consumers.analysts() else {
            return Err(Fault::from(no_analysts()).into());
        };
        let answered = analysts.ask(operation.tenant(), &question).await;
        Ok(answered.map_err(analyst_fault)?.into())
    }
}

fn no_analysts() -> Refusal {
    Refusal::new(Code::NoAnalysts, Code::NoAnalysts.doc())
}

/// What a client is told of SQL that was not answered.
fn analyst_fault(error: AnalystError) -> Fault {
    match error {
        AnalystError::Refused(refused) => {
            Refusal::new(Code::SqlRefused, cut(&refused.0, MESSAGE_CHARS_MAX)).into()
        }
        AnalystError::Failed(said) => {
            Refusal::new(Code::SqlFailed, cut(&said, MESSAGE_CHARS_MAX)).into()
        }
        AnalystError::TooLong(limit) => {
            let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            Refusal::new(Code::SqlTooLong, "the SQL took longer than it may")
                .with("limitMs", limit_ms)
                .into()
        }
        AnalystError::NoLogin(why) => {
            tracing::error!("analysts' SQL cannot be run: {why}");
            no_analysts().into()
        }
        AnalystError::Busy => Fault::of(FaultCode::Overloaded).with("retryAfterMs", 1_000),
        AnalystError::NotBuiltAsOf { name, position } => not_built_as_of(&name, position),
        AnalystError::Store(error) => store_fault(error),
        AnalystError::Database(error) => store_fault(error.into()),
    }
}
