//! Boards without GraphQL: a page, somebody and who is around them, handing a score in.

use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::Response;
use domain::{Code, Refusal};
use serde_json::{Map, Value, json};

use super::command::{self, Command};
use super::named::{Named, NamedTwo};
use super::params::Kind::{AsOf, Ids, Text, Whole};
use super::params::{self, Param};
use super::{Shaped, Variables, put, told};
use crate::api::fault::{Fault, FaultCode};
use crate::http::Edge;
use crate::http::context::Id;
use crate::http::meter::Meter;

/// What is told of lines.
macro_rules! lines {
    () => {
        "{ rank userId score subScore achievedAt }"
    };
}

/// What is told of a board.
macro_rules! of {
    () => {
        "competitionId period { key start end sealedAt closed { asOfPosition standingsHash } }
         size asOfPosition"
    };
}

/// What a body's members are called in the mutation's input. A header stands as `commandId` already.
const MEMBERS: &[(&str, &str)] = &[
    ("competition_id", "competition"),
    ("user_id", "user"),
    ("score", "score"),
    ("sub_score", "subScore"),
    ("achieved_at", "achievedAt"),
    ("submission_id", "submissionId"),
    ("source", "source"),
    ("manual", "manual"),
    ("command_id", "commandId"),
];

/// `POST /api/v1/leaderboard/update`
pub async fn update(State(edge): State<Edge>, request: Request) -> Response {
    let document = "mutation($input: SubmitScoreInput!) { submitScore(input: $input) {
        entry { competitionId userId joinedAt excluded streamVersion }
        period { key score subScore achievedAt attempts waiting { attempt score achievedAt } }
        receipt { position version replayed }
        userErrors { code message path retryable ... on RefusalError { details }
                     ... on ValidationError { details } } } }";
    command::answer(&edge, request, |body| {
        Ok(Command {
            document,
            input: input(body)?,
            whole: None,
        })
    })
    .await
}

/// A body's members by the names of the mutation's input.
fn input(body: Map<String, Value>) -> Result<Map<String, Value>, Fault> {
    let mut input = Map::new();
    for (name, value) in body {
        let known = MEMBERS.iter().find(|(member, _)| *member == name);
        let meant = match known {
            Some((_, meant)) => (*meant).to_owned(),
            // From the header.
            None if name == "commandId" => name,
            None => {
                let refusal = Refusal::new(Code::Validation, "a member is not known here");
                let known: Vec<&str> = MEMBERS.iter().map(|(member, _)| *member).collect();
                return Err(refusal.at([name]).with("known", known).into());
            }
        };
        if input.insert(meant, value).is_some() {
            let message = "Idempotency-Key and command_id were both sent";
            return Err(Fault::new(FaultCode::BadRequest, message));
        }
    }
    for (member, meant) in [("competition_id", "competition"), ("score", "score")] {
        if !input.contains_key(meant) {
            let refusal = Refusal::new(Code::Validation, format!("{member}: missing"));
            return Err(refusal.at([member]).into());
        }
    }
    Ok(input)
}

/// `GET /api/v1/leaderboard/{competition}`
pub async fn board(State(edge): State<Edge>, id: Named, request: Request) -> Response {
    const SHAPED: Shaped = Shaped {
        document: concat!(
            "query($competition: ID!, $period: String, $among: AmongInput, $first: Int,
                   $after: String, $rank: Int, $asOf: AsOfInput) {
               leaderboard(competition: $competition, period: $period, among: $among,
                   first: $first, after: $after, rank: $rank, asOf: $asOf) { nodes ",
            lines!(),
            " pageInfo { hasNextPage endCursor } ",
            of!(),
            " } }"
        ),
        shape: page,
    };
    const PARAMS: &[Param] = &[
        Param::may("period", Text),
        Param::may("group", Text),
        Param::may("users", Ids),
        Param::may("first", Whole),
        Param::may("after", Text),
        Param::may("rank", Whole),
        Param::may("as_of", AsOf),
    ];
    let variables = |uri: &Uri| {
        let competition = id.read()?;
        asked(params::read(uri, PARAMS)?, &[("competition", competition)])
    };
    answer(&edge, &SHAPED, &variables, request).await
}

/// `GET /api/v1/leaderboard/{competition}/users/{user}`
pub async fn user(State(edge): State<Edge>, ids: NamedTwo, request: Request) -> Response {
    const SHAPED: Shaped = Shaped {
        document: concat!(
            "query($competition: ID!, $user: ID!, $period: String, $among: AmongInput,
                   $eachSide: Int = 5, $asOf: AsOfInput) {
               leaderboardAround(competition: $competition, user: $user, period: $period,
                   among: $among, eachSide: $eachSide, asOf: $asOf) { line ",
            lines!(),
            " lines ",
            lines!(),
            of!(),
            " } }"
        ),
        shape: around,
    };
    const PARAMS: &[Param] = &[
        Param::may("period", Text),
        Param::may("group", Text),
        Param::may("users", Ids),
        Param::may("around", Whole),
        Param::may("as_of", AsOf),
    ];
    let variables = |uri: &Uri| {
        let (competition, user) = ids.read()?;
        let mut told = params::read(uri, PARAMS)?;
        if let Some(around) = told.remove("around") {
            told.insert("eachSide".to_owned(), around);
        }
        asked(told, &[("competition", competition), ("user", user)])
    };
    answer(&edge, &SHAPED, &variables, request).await
}

/// Parameters as variables, and what the path names.
fn asked(
    mut told: Map<String, Value>,
    named: &[(&str, &str)],
) -> Result<Map<String, Value>, Fault> {
    let among = match (told.remove("group"), told.remove("users")) {
        (None, None) => None,
        (Some(group), None) => Some(json!({ "group": group })),
        (None, Some(users)) => Some(json!({ "users": users })),
        (Some(_), Some(_)) => {
            let message = "users: ask for a group or for users, not both";
            return Err(Refusal::new(Code::Validation, message).at(["users"]).into());
        }
    };
    let as_of = told.remove("as_of");
    let variables = [("among", among), ("asOf", as_of)];
    let variables = variables.into_iter().filter_map(|(n, v)| Some((n, v?)));
    told.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    let named = named
        .iter()
        .map(|(name, id)| ((*name).to_owned(), (*id).into()));
    told.extend(named);
    Ok(told)
}

/// Sends what is asked for; that there is none is told by the status.
async fn answer(
    edge: &Edge,
    shaped: &Shaped,
    variables: Variables<'_>,
    request: Request,
) -> Response {
    let (id, meter) = (Id::of(&request), Meter::of(&request));
    let (head, _) = request.into_parts();
    let asked = put(edge, shaped, variables, &head, (&id, &meter)).await;
    let found = asked.and_then(|told| match &*told.body {
        b"null" => {
            let why = "there is no such competition, or they are not on its board";
            Err(Refusal::new(Code::NotFound, why).into())
        }
        _ => Ok(told),
    });
    told(found, &id)
}

/// A page of a board: `items`, `next`, and which board it is.
fn page(body: Value) -> Value {
    let mut of = body.clone();
    if let Some(of) = of.as_object_mut() {
        of.remove("nodes");
        of.remove("pageInfo");
        if let Some(page) = super::page(body).as_object() {
            of.extend(page.clone());
        }
    }
    of
}

/// Somebody's line and those around it; nothing if they are not on the board.
fn around(body: Value) -> Value {
    match body["line"] {
        Value::Null => Value::Null,
        _ => body,
    }
}
