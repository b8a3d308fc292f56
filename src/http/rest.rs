//! REST aliases: the questions of GraphQL asked by GET, and fixes and log records in bulk by POST. Thin: each question
//! is one document of ours and the parameters that become its variables.

mod command;
pub mod deployments;
mod fixes;
pub mod identity;
pub mod leaderboards;
pub mod logs;
mod named;
mod params;
pub mod records;
mod report;
pub mod slos;
pub mod webhooks;

pub use report::report;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use domain::{Code, Position, Refusal};
use serde_json::{Map, Value, json};

use super::context::Id;
use super::meter::Meter;
use super::{Edge, caller, graphql, problem};
use crate::api::Pages;
use crate::api::fault::{Fault, FaultCode, FaultKind};
use graphql::Told;
use named::Named;
use params::Kind::{Bbox, Ids, Near, Text, Whole};
use params::Param;

/// One alias.
struct Alias {
    /// Its question.
    document: &'static str,
    /// What may stand in the URL.
    params: &'static [Param],
}

/// One whose variables and shape are its own.
struct Shaped {
    /// Its question.
    document: &'static str,
    /// Makes what is sent of what is answered.
    shape: fn(Value) -> Value,
}

/// Makes variables of what stands in a URL.
type Variables<'v> = &'v (dyn Fn(&Uri) -> Result<Map<String, Value>, Fault> + Sync);

/// `GET /api/vehicles/latest`
pub async fn latest(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: "query($bbox: BoundingBox, $near: Near, $vehicleIds: [ID!], $fleetId: ID,
                $since: DateTime, $first: Int, $after: String) {
            latestPositions(bbox: $bbox, near: $near, vehicleIds: $vehicleIds, fleetId: $fleetId,
                since: $since, first: $first, after: $after) {
              nodes { id vehicleId fixTime lat lon altitudeM speedMps courseDeg accuracyM attributes
                      distanceM }
              pageInfo { hasNextPage endCursor } asOfPosition } }",
        params: &[
            Param::may("bbox", Bbox),
            Param::may("near", Near),
            Param::may("vehicleIds", Ids),
            Param::may("fleetId", Text),
            Param::may("since", Text),
            Param::may("first", Whole),
            Param::may("after", Text),
        ],
    };
    answer(&edge, &ALIAS, request).await
}

/// `GET /api/vehicles/history`
pub async fn history(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: "query($vehicleId: ID!, $from: DateTime!, $to: DateTime!,
                $order: HistoryOrder = OLDEST_FIRST, $first: Int, $after: String) {
            positionHistory(vehicleId: $vehicleId, from: $from, to: $to, order: $order,
                first: $first, after: $after) {
              nodes { id vehicleId fixTime lat lon altitudeM speedMps courseDeg accuracyM attributes }
              pageInfo { hasNextPage endCursor } asOfPosition } }",
        params: &[
            Param::must("vehicleId", Text),
            Param::must("from", Text),
            Param::must("to", Text),
            Param::may("order", Text),
            Param::may("first", Whole),
            Param::may("after", Text),
        ],
    };
    answer(&edge, &ALIAS, request).await
}

/// `GET /api/analytics/heatmap`
pub async fn heatmap(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document:
            "query($from: DateTime!, $to: DateTime!, $resolution: Int = 9, $bbox: BoundingBox,
                $span: HeatmapSpan = WHOLE, $zone: String, $metric: HeatmapMetric = FIXES,
                $minVehicles: Int = 1, $limit: Int) {
            heatmap(from: $from, to: $to, resolution: $resolution, bbox: $bbox, span: $span,
                zone: $zone, metric: $metric, minVehicles: $minVehicles, limit: $limit) {
              from to resolution suppressed more asOfPosition
              cells { cell start fixes vehicles densityPerKm2 meanSpeedMps stopped value } } }",
        params: &[
            Param::must("from", Text),
            Param::must("to", Text),
            Param::may("resolution", Whole),
            Param::may("bbox", Bbox),
            Param::may("span", Text),
            Param::may("zone", Text),
            Param::may("metric", Text),
            Param::may("minVehicles", Whole),
            Param::may("limit", Whole),
        ],
    };
    answer(&edge, &ALIAS, request).await
}

/// `GET /api/analytics/trend`
pub async fn trend(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: "query($metric: TrendMetric!, $from: DateTime!, $to: DateTime!,
                $bucket: TrendBucket!, $zone: String, $vehicleId: ID, $fleetId: ID,
                $window: Int = 1, $compare: TrendCompare = PREVIOUS_BUCKET) {
            trend(metric: $metric, from: $from, to: $to, bucket: $bucket, zone: $zone,
                vehicleId: $vehicleId, fleetId: $fleetId, window: $window, compare: $compare) {
              zone median p95 slopePerBucket asOfPosition
              points { start end value previous changePercent movingAverage complete } } }",
        params: &[
            Param::must("metric", Text),
            Param::must("from", Text),
            Param::must("to", Text),
            Param::must("bucket", Text),
            Param::may("zone", Text),
            Param::may("vehicleId", Text),
            Param::may("fleetId", Text),
            Param::may("window", Whole),
            Param::may("compare", Text),
        ],
    };
    answer(&edge, &ALIAS, request).await
}

/// `GET /api/jwt/status`
pub async fn token_status(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: "{ tokenStatus { kind subject tenant roles scopes tokenId sessionId issuedAt
                     expiresAt expiresInS } }",
        params: &[],
    };
    answer(&edge, &ALIAS, request).await
}

/// `GET /api/v1/auth/me`
pub async fn me(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: "{ me { id tenant roles user { id email name roles status emailVerified
                     registeredAt version } } }",
        params: &[],
    };
    answer(&edge, &ALIAS, request).await
}

/// `GET /api/analytics/history`
pub async fn summary(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: "query($from: DateTime!, $to: DateTime!, $vehicleId: ID, $fleetId: ID) {
            fleetSummary(from: $from, to: $to, vehicleId: $vehicleId, fleetId: $fleetId) {
              from to activeVehicles fixes distanceM moving idle gaps meanSpeedMps maxSpeedMps
              firstFix lastFix asOfPosition } }",
        params: &[
            Param::must("from", Text),
            Param::must("to", Text),
            Param::may("vehicleId", Text),
            Param::may("fleetId", Text),
        ],
    };
    answer(&edge, &ALIAS, request).await
}

const POSITION: HeaderName = HeaderName::from_static("daybook-position");

const PARKED: HeaderName = HeaderName::from_static("daybook-parked");

async fn answer(edge: &Edge, alias: &'static Alias, request: Request) -> Response {
    let (id, meter) = (Id::of(&request), Meter::of(&request));
    let (head, _) = request.into_parts();
    told(ask(edge, alias, None, &head, (&id, &meter)).await, &id)
}

/// The same for one object, which the path names; that there is none is told by the status.
async fn answer_one(
    edge: &Edge,
    alias: &'static Alias,
    named: (&'static str, Named),
    request: Request,
) -> Response {
    let (id, meter) = (Id::of(&request), Meter::of(&request));
    let (head, _) = request.into_parts();
    let asked = ask(edge, alias, Some(named), &head, (&id, &meter)).await;
    let found = asked.and_then(|told| match &*told.body {
        b"null" => Err(Refusal::new(Code::NotFound, "there is none with this id").into()),
        _ => Ok(told),
    });
    told(found, &id)
}

async fn answer_shaped(
    edge: &Edge,
    shaped: &Shaped,
    variables: Variables<'_>,
    request: Request,
) -> Response {
    let (id, meter) = (Id::of(&request), Meter::of(&request));
    let (head, _) = request.into_parts();
    told(
        put(edge, shaped, variables, &head, (&id, &meter)).await,
        &id,
    )
}

fn told(asked: Result<Told, Fault>, id: &Id) -> Response {
    match asked {
        Ok(told) => {
            let mut answer = problem::answer(StatusCode::OK, "application/json", told.body);
            if let Some(position) = told.position {
                tell(&mut answer, position);
            }
            tell_parked(&mut answer, &told.parked);
            answer
        }
        Err(fault) => problem::problem(&fault, id),
    }
}

/// Tells how far an answer is, as `extensions.position` does in GraphQL.
fn tell(answer: &mut Response, position: Position) {
    let value = HeaderValue::try_from(position.to_string()).expect("digits");
    answer.headers_mut().insert(POSITION, value);
}

/// Tells which read models an answer rests on that go on without some streams, as `extensions.parked` does
/// in GraphQL.
fn tell_parked(answer: &mut Response, parked: &[String]) {
    if parked.is_empty() {
        return;
    }
    let value = HeaderValue::try_from(parked.join(", ")).expect("names of read models");
    answer.headers_mut().insert(PARKED, value);
}

async fn ask(
    edge: &Edge,
    alias: &'static Alias,
    named: Option<(&'static str, Named)>,
    head: &Parts,
    by: (&Id, &Meter),
) -> Result<Told, Fault> {
    let shaped = Shaped {
        document: alias.document,
        shape: page,
    };
    let variables = |uri: &Uri| {
        let mut variables = params::read(uri, alias.params)?;
        if let Some((name, value)) = &named {
            variables.insert((*name).to_owned(), value.read()?.into());
        }
        Ok(variables)
    };
    put(edge, &shaped, &variables, head, by).await
}

async fn put(
    edge: &Edge,
    shaped: &Shaped,
    variables: Variables<'_>,
    head: &Parts,
    (id, meter): (&Id, &Meter),
) -> Result<Told, Fault> {
    let engine = edge.transport.engine();
    let asking = graphql::Asking {
        caller: caller::admit(engine, meter, &head.headers).await?,
        at_least: caller::at_least(&head.headers)?,
        as_of: caller::as_of(&head.headers)?,
        pages: Pages {
            default: edge.settings.limits.page_default as u32,
            max: edge.settings.http.page_max as u32,
        },
        origin: id.origin(),
    };
    let question = graphql::Alias {
        url: head.uri.path_and_query().map_or("", |url| url.as_str()),
        document: shaped.document,
        variables: &|| variables(&head.uri),
        shape: shaped.shape,
        meter,
    };
    let answer = graphql::ask(engine, &edge.settings.limits, asking, question).await;
    answer.map_err(as_parameter)
}

/// The document is ours: what does not fit is a parameter.
fn as_parameter(fault: Fault) -> Fault {
    match fault.kind {
        FaultKind::Fault(FaultCode::ValidationFailed) => {
            Refusal::new(Code::Validation, fault.message).into()
        }
        _ => fault,
    }
}

/// A connection as a plain page: `items`, and in `next` the cursor to send as `after`.
fn page(body: Value) -> Value {
    let (Some(nodes), Some(info)) = (body.get("nodes"), body.get("pageInfo")) else {
        return body;
    };
    let next = if info["hasNextPage"] == true {
        &info["endCursor"]
    } else {
        &Value::Null
    };
    json!({ "items": nodes, "next": next, "asOfPosition": body["asOfPosition"] })
}
