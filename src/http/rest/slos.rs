//! Objectives without GraphQL: the list, one of them, defining one.

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::command::{self, Command};
use super::params::Kind::{Flag, Text, Whole};
use super::params::Param;
use super::{Alias, answer, answer_one};
use crate::http::Edge;

/// What is told of an objective.
macro_rules! slo {
    () => {
        "id objective { name sli project service environment objectivePpm window { kind days zone }
         method { kind sliceMinutes sliceObjectivePpm } thresholdSeconds percentilePpm minEvents }
         revision definedAt revisedAt retiredAt retiredReason
         alerts { rule { longMinutes shortMinutes factorMilli } rates { longMilli shortMilli position }
                  raisedAt sincePosition }
         streamVersion lastEventPosition"
    };
}

/// `GET /api/slos`
pub async fn list(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: concat!(
            "query($project: String, $service: String, $sli: ServiceLevelIndicator, $retired: Boolean,
                   $first: Int, $after: String) {
               slos(project: $project, service: $service, sli: $sli, retired: $retired,
                   first: $first, after: $after) { nodes { ",
            slo!(),
            " } pageInfo { hasNextPage endCursor } asOfPosition } }"
        ),
        params: &[
            Param::may("project", Text),
            Param::may("service", Text),
            Param::may("sli", Text),
            Param::may("retired", Flag),
            Param::may("first", Whole),
            Param::may("after", Text),
        ],
    };
    answer(&edge, &ALIAS, request).await
}

/// `GET /api/slos/{id}`
pub async fn one(State(edge): State<Edge>, Path(id): Path<String>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: concat!("query($id: ID!) { slo(id: $id) { ", slo!(), " } }"),
        params: &[],
    };
    answer_one(&edge, &ALIAS, ("id", id), request).await
}

/// `POST /api/slos`
pub async fn define(State(edge): State<Edge>, request: Request) -> Response {
    let document = concat!(
        "mutation($input: DefineSloInput!) { defineSlo(input: $input) { slo { ",
        slo!(),
        " } receipt { position version replayed }
          userErrors { code message path retryable ... on RefusalError { details }
                       ... on ValidationError { details } } } }"
    );
    command::answer(&edge, request, |input| {
        Ok(Command {
            document,
            input,
            whole: None,
        })
    })
    .await
}
