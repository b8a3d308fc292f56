//! `POST /api/vehicles/positions`: position fixes in bulk, for devices and feeds.
//!
//! The same command as the mutation `reportPositions`. The body is decoded into fixes without the tree
//! that GraphQL's variables need, and the answer names only what was not accepted: for a thousand fixes
//! that is most of the work of a request.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;
use serde_json::{Value, json};

use super::fixes;
use crate::api::fault::Fault;
use crate::api::{Operation, Pages, refusal_or_fault};
use crate::auth::Role;
use crate::commands::{FixOutcome, PositionsReceipt, ReportPositions};
use crate::http::context::Id;
use crate::http::meter::Meter;
use crate::http::{Edge, caller, graphql, problem};

/// Takes the fixes in: 200 if none was rejected, 207 if some were; the answer tells of each fix that was
/// not accepted.
pub async fn report(State(edge): State<Edge>, request: Request) -> Response {
    let id = Id::of(&request);
    match take_in(&edge, request, &id).await {
        Ok(kept) => answer(&kept),
        Err(fault) => problem::problem(&fault, &id),
    }
}

async fn take_in(edge: &Edge, request: Request, id: &Id) -> Result<PositionsReceipt, Fault> {
    let meter = Meter::of(&request);
    let (head, body) = request.into_parts();
    let caller = caller::admit(edge.transport.engine(), &meter, &head.headers).await?;
    edge.api
        .rules()
        .of_mutation("reportPositions")
        .admit(&caller)?;
    // One field of a mutation, however many fixes: those are bounded by the body.
    meter.operation(&caller, 1)?;
    // Nothing is read here, but what cannot be meant is refused wherever it is said.
    let at_least = caller::at_least(&head.headers)?;
    caller::of_the_present(&head.headers)?;
    let bytes = graphql::read_body(&edge.settings.http, &head.headers, body).await?;
    let body = fixes::decode(&bytes)?;
    let pages = Pages {
        default: edge.settings.limits.page_default as u32,
        max: edge.settings.http.page_max as u32,
    };
    let parts = edge.api.parts().clone();
    let may_register = caller.may(Role::Operator);
    let operation = Operation::new(parts, caller, id.origin(), at_least, pages);
    let context = operation.command(body.command_id, None)?;
    let report = ReportPositions {
        fixes: body.fixes,
        may_register,
    };
    let kept = edge
        .api
        .parts()
        .door
        .report_positions(&context, report)
        .await;
    kept.map_err(|error| refusal_or_fault(error).map_or_else(|fault| fault, Fault::from))
}

fn answer(kept: &PositionsReceipt) -> Response {
    let (mut duplicates, mut rejected, mut results) = (0, 0, Vec::new());
    for (index, outcome) in kept.outcomes.iter().enumerate() {
        match outcome {
            FixOutcome::Accepted => {}
            FixOutcome::Duplicate { differs } => {
                duplicates += 1;
                results.push(json!({"index": index, "status": "DUPLICATE", "differs": differs}));
            }
            FixOutcome::Rejected(refusal) => {
                rejected += 1;
                results.push(rejection(index, refusal));
            }
        }
    }
    let receipt = &kept.receipt;
    let body = json!({
        "receipt": {
            "position": receipt.position.to_string(),
            "version": receipt.version,
            "replayed": receipt.replayed,
        },
        "accepted": kept.outcomes.len() - duplicates - rejected,
        "duplicates": duplicates,
        "rejected": rejected,
        "results": results,
    });
    let status = if rejected == 0 {
        StatusCode::OK
    } else {
        StatusCode::MULTI_STATUS
    };
    let mut answer = problem::answer(status, "application/json", body.to_string());
    super::tell(&mut answer, receipt.position);
    answer
}

fn rejection(index: usize, refusal: &Refusal) -> Value {
    json!({
        "index": index,
        "status": "REJECTED",
        "error": {
            "code": refusal.code.as_str(),
            "message": refusal.message,
            "path": refusal.path,
            "details": refusal.details,
        },
    })
}
