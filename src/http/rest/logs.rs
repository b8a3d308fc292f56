//! Log records: one, a batch as JSON or NDJSON, or an export of OpenTelemetry; with a receipt for each.
//!
//! Whose they are is said by the header `Daybook-Log-Source`.

mod answer;
mod body;
mod otlp;
mod reports;

pub use otlp::export;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use domain::scope::Scope;
use domain::{Code, Refusal};

use super::command::idempotency_key;
use crate::api::fault::{Fault, FaultCode};
use crate::api::{Access, Operation, Pages, refusal_or_fault};
use crate::auth::{Needs, Role, Rule};
use crate::commands::{CommandContext, IngestLogs, LogsReceipt, RecordOutcome};
use crate::http::context::Id;
use crate::http::meter::Meter;
use crate::http::{Edge, caller, problem};
use answer::answer;
use body::{Media, Took};

/// Says whose records a request carries.
const LOG_SOURCE: HeaderName = HeaderName::from_static("daybook-log-source");

/// Whose they are where nothing is said.
const DEFAULT_SOURCE: &str = "default";

/// Who may hand records in.
const RULE: Rule = Rule {
    needs: Needs::Role(Role::Ingest),
    scope: Some(Scope::LogsWrite),
};

/// `POST /api/v1/ingest`: one record; if it is rejected, the answer is why.
pub async fn one(State(edge): State<Edge>, request: Request) -> Response {
    let id = Id::of(&request);
    let told = async {
        let (sender, body) = admit(&edge, request, &id).await?;
        let read_as = |media: Media, bytes: &[u8], took: &mut Took| {
            media.must_be(&[Media::Json])?;
            reports::one(bytes, &mut |bytes| took.hold(bytes))
        };
        let (read, _took) = body::read(&edge, &sender.head.headers, body, read_as).await?;
        let command_id = idempotency_key(&sender.head.headers)?;
        let kept = sender.ingest(&edge, vec![read], command_id).await?;
        match &kept.outcomes[..] {
            [RecordOutcome::Rejected(refusal)] => Err(alone(refusal.clone()).into()),
            _ => Ok(answer(&kept)),
        }
    };
    told.await
        .unwrap_or_else(|fault| problem::problem(&fault, &id))
}

/// `POST /api/v1/batch-ingest`: 200 if none was rejected, 207 if some were.
pub async fn batch(State(edge): State<Edge>, request: Request) -> Response {
    let id = Id::of(&request);
    let told = async {
        let (sender, body) = admit(&edge, request, &id).await?;
        let read_as = |media: Media, bytes: &[u8], took: &mut Took| {
            media.must_be(&[Media::Json, Media::Ndjson])?;
            let hold: reports::Hold<'_> = &mut |bytes| took.hold(bytes);
            match media {
                Media::Ndjson => reports::lines(bytes, hold),
                _ => reports::batch(bytes, hold),
            }
        };
        let (read, _took) = body::read(&edge, &sender.head.headers, body, read_as).await?;
        let command_id = match (idempotency_key(&sender.head.headers)?, read.command_id) {
            (Some(_), Some(_)) => {
                let message = "Idempotency-Key and commandId were both sent";
                return Err(Fault::new(FaultCode::BadRequest, message));
            }
            (header, member) => header.or(member),
        };
        let kept = sender.ingest(&edge, read.records, command_id).await?;
        Ok(answer(&kept))
    };
    told.await
        .unwrap_or_else(|fault| problem::problem(&fault, &id))
}

/// Who hands records in.
struct Sender {
    operation: Operation,
    head: Parts,
    source: String,
    may_register: bool,
}

/// Lets in who may hand records in, before any of the body is read.
async fn admit(
    edge: &Edge,
    request: Request,
    id: &Id,
) -> Result<(Sender, axum::body::Body), Fault> {
    let meter = Meter::of(&request);
    let (head, body) = request.into_parts();
    let caller = caller::admit(edge.transport.engine(), &meter, &head.headers).await?;
    Access::of(RULE).admit(&caller)?;
    meter.operation(&caller, 1)?;
    let mut said = head.headers.get_all(LOG_SOURCE).iter();
    let source = said.next().map(HeaderValue::to_str).transpose();
    let source = source.ok().filter(|_| said.next().is_none());
    let source = source.ok_or_else(|| {
        let why = "Daybook-Log-Source is one text of ASCII";
        Refusal::new(Code::BadText, why).at(["source"])
    })?;
    let source = source.unwrap_or(DEFAULT_SOURCE).to_owned();
    let at_least = caller::at_least(&head.headers)?;
    caller::of_the_present(&head.headers)?;
    let pages = Pages {
        default: edge.settings.limits.page_default as u32,
        max: edge.settings.http.page_max as u32,
    };
    let may_register = caller.may(Role::Operator);
    let parts = edge.api.parts().clone();
    let operation = Operation::new(parts, caller, id.origin(), at_least, pages);
    let sender = Sender {
        operation,
        head,
        source,
        may_register,
    };
    Ok((sender, body))
}

impl Sender {
    /// Hands a batch in.
    async fn ingest(
        &self,
        edge: &Edge,
        records: Vec<reports::Read>,
        command_id: Option<String>,
    ) -> Result<LogsReceipt, Fault> {
        let context: CommandContext = self.operation.command(command_id, None)?;
        let batch = IngestLogs {
            source: self.source.clone(),
            records,
            may_register: self.may_register,
        };
        let kept = edge.api.parts().door.ingest_logs(&context, batch).await;
        kept.map_err(|error| refusal_or_fault(error).map_or_else(|fault| fault, Fault::from))
    }
}

/// The refusal of a record that is no part of a batch.
fn alone(mut refusal: Refusal) -> Refusal {
    refusal.path.drain(..refusal.path.len().min(2));
    refusal
}
