//! Deployments without GraphQL: the board, one of them, asking for one, and votes.

use axum::extract::{Request, State};
use axum::response::Response;
use domain::{Code, Refusal};
use serde_json::{Map, Value};

use super::command::{self, Command};
use super::named::Named;
use super::params::Kind::{Ids, Text, Whole};
use super::params::Param;
use super::{Alias, answer, answer_one};
use crate::api::fault::Fault;
use crate::http::Edge;

/// What is told of a deployment.
macro_rules! deployment {
    () => {
        "id project service environment tier version previousVersion reason changeType description
         team remedies external { source id } requestedBy { kind id } revision status knownAt
         requestedAt approvedAt startedAt succeededAt failedAt rolledBackAt rolledBackTo closedAt
         streamVersion lastEventPosition"
    };
}

/// What is told of a command on one.
macro_rules! command_on {
    ($mutation:literal, $input:literal) => {
        concat!(
            "mutation($input: ",
            $input,
            "!) { ",
            $mutation,
            "(input: $input) { deployment { ",
            deployment!(),
            " } receipt { position version replayed }
              userErrors { code message path retryable ... on RefusalError { details }
                           ... on ValidationError { details } } } }"
        )
    };
}

/// `GET /api/deployments`
pub async fn list(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: concat!(
            "query($project: String, $service: String, $environment: String, $tier: EnvironmentTier,
                   $status: [DeploymentStatus!], $version: String, $from: DateTime, $to: DateTime,
                   $first: Int, $after: String) {
               deployments(filter: { project: $project, service: $service, environment: $environment,
                   tier: $tier, status: $status, version: $version, from: $from, to: $to },
                   first: $first, after: $after) { nodes { ",
            deployment!(),
            " } pageInfo { hasNextPage endCursor } asOfPosition } }"
        ),
        params: &[
            Param::may("project", Text),
            Param::may("service", Text),
            Param::may("environment", Text),
            Param::may("tier", Text),
            Param::may("status", Ids),
            Param::may("version", Text),
            Param::may("from", Text),
            Param::may("to", Text),
            Param::may("first", Whole),
            Param::may("after", Text),
        ],
    };
    answer(&edge, &ALIAS, request).await
}

/// `GET /api/deployments/{id}`
pub async fn one(State(edge): State<Edge>, id: Named, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: concat!(
            "query($id: ID!) { deployment(id: $id) { ",
            deployment!(),
            " approval { askedAt waitUntil expiresAt missing overridden
                         policy { rules { group members required } preventSelfReview waitMinutes
                                  expiryDays }
                         votes { userId agrees group comment at } } } }"
        ),
        params: &[],
    };
    answer_one(&edge, &ALIAS, ("id", id), request).await
}

/// `GET /api/stats`
pub async fn stats(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: "query($project: String, $from: DateTime, $to: DateTime) {
            applicationStats(project: $project, from: $from, to: $to) {
              deployments byStatus { status deployments } approvalWaitingSince
              approvalWait { deployments p50 p95 } deploymentDuration { deployments p50 p95 }
              requestToProduction { deployments p50 p95 } openIncidents asOfPosition } }",
        params: &[
            Param::may("project", Text),
            Param::may("from", Text),
            Param::may("to", Text),
        ],
    };
    answer(&edge, &ALIAS, request).await
}

/// `POST /api/deployments`
pub async fn request(State(edge): State<Edge>, request: Request) -> Response {
    let document = command_on!("requestDeployment", "RequestDeploymentInput");
    command::answer(&edge, request, |input| Ok(on(document, input))).await
}

/// `PUT /api/deployments/{id}/approval`: `decision` says which way.
pub async fn decide(State(edge): State<Edge>, id: Named, request: Request) -> Response {
    command::answer(&edge, request, |body| decision(id.read()?, body)).await
}

fn decision(id: &str, mut input: Map<String, Value>) -> Result<Command, Fault> {
    let decision = input.remove("decision");
    let document = match decision.as_ref().and_then(Value::as_str) {
        Some("approve") => command_on!("approveDeployment", "ApproveDeploymentInput"),
        Some("reject") => command_on!("rejectDeployment", "RejectDeploymentInput"),
        _ => {
            let refusal = Refusal::new(Code::Validation, "decision is approve or reject");
            return Err(refusal.at(["decision"]).into());
        }
    };
    if input.insert("id".to_owned(), id.into()).is_some() {
        let refusal = Refusal::new(Code::Validation, "id: the path says which deployment");
        return Err(refusal.at(["id"]).into());
    }
    Ok(on(document, input))
}

fn on(document: &'static str, input: Map<String, Value>) -> Command {
    Command {
        document,
        input,
        whole: None,
    }
}
