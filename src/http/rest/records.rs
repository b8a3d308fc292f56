//! Log records without GraphQL: the recent ones, those of a filter, how many there are, what they add up to.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use domain::log_batch::LogPriority;
use domain::log_source::LogType;
use domain::{Code, Refusal};
use serde_json::{Map, Value, json};

use super::params::Kind::{Ids, Text, Whole};
use super::params::{self, Param};
use super::{Alias, Shaped, answer, answer_shaped};
use crate::api::fault::Fault;
use crate::http::Edge;

/// What is told of records.
macro_rules! records {
    () => {
        " { nodes { id source timestamp recordedAt eventType eventName priority userId sessionId appVersion
                    sequenceNumber eventId deviceInfo properties }
            pageInfo { hasNextPage endCursor } stopped searchedTo asOfPosition }"
    };
}

/// Records of a page if nothing else is said.
const PAGE_SIZE: i64 = 50;

/// The span of `/api/v1/metrics` if it is not said.
const WINDOW: TimeDelta = TimeDelta::hours(24);

/// `GET /api/v1/logs/recent`
pub async fn recent(State(edge): State<Edge>, request: Request) -> Response {
    const SHAPED: Shaped = Shaped {
        document: concat!("query($first: Int) { logs(first: $first)", records!(), " }"),
        shape: records,
    };
    let variables = |uri: &_| {
        let mut told = params::read(uri, &[Param::may("limit", Whole)])?;
        let first = told.remove("limit").unwrap_or_else(|| PAGE_SIZE.into());
        Ok(Map::from_iter([("first".to_owned(), first)]))
    };
    answer_shaped(&edge, &SHAPED, &variables, request).await
}

/// `GET /api/v1/logs/filter`
pub async fn filter(State(edge): State<Edge>, request: Request) -> Response {
    const SHAPED: Shaped = Shaped {
        document: concat!(
            "query($filter: LogFilterInput, $orderBy: LogOrder = NEWEST_FIRST, $first: Int,
                   $after: String, $offset: Int) {
               logs(filter: $filter, orderBy: $orderBy, first: $first, after: $after, offset: $offset)",
            records!(),
            " }"
        ),
        shape: records,
    };
    let variables = |uri: &_| asked(params::read(uri, PARAMS)?);
    answer_shaped(&edge, &SHAPED, &variables, request).await
}

/// `GET /api/v1/status`
pub async fn status(State(edge): State<Edge>, request: Request) -> Response {
    const ALIAS: Alias = Alias {
        document: "{ logStatus { sources pausedSources records lastAt asOfPosition } }",
        params: &[],
    };
    answer(&edge, &ALIAS, request).await
}

/// `GET /api/v1/metrics`
pub async fn metrics(State(edge): State<Edge>, request: Request) -> Response {
    const SHAPED: Shaped = Shaped {
        document: "query($from: DateTime!, $to: DateTime!, $day: Date!, $filter: LogFilterInput) {
            logStats(filter: $filter, from: $from, to: $to, bucket: WHOLE) {
              from to asOfPosition
              types: volume(by: [TYPE]) { rows { eventType records } }
              versions: volume(by: [VERSION]) { rows { appVersion records } }
              errorShare { rows { records errors share } }
              topNames { rank eventName records }
              visitors { rows { records batches users sessions } }
              ingestionDelay { records p50Seconds p95Seconds }
              notAccepted(limit: 10000) { countedFrom rows { code records } more }
              activeUsers(day: $day) { day daily weekly monthly } } }",
        shape: analytics,
    };
    let now = edge.api.parts().clock.now();
    let variables = |uri: &_| {
        let params = [
            Param::may("source", Text),
            Param::may("start_time", Text),
            Param::may("end_time", Text),
        ];
        let mut told = params::read(uri, &params)?;
        let to = time(&told, "end_time")?.unwrap_or(now);
        let from = time(&told, "start_time")?.unwrap_or(to - WINDOW);
        let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        // The span's last day: its end is not part of it.
        let day = (to - TimeDelta::microseconds(1)).date_naive();
        let variables = json!({ "from": text(from), "to": text(to), "day": day.to_string(),
                                "filter": { "source": told.remove("source") } });
        Ok(object(variables))
    };
    answer_shaped(&edge, &SHAPED, &variables, request).await
}

/// The names are those that programs know which ask for such pages; of a property, `path=value`.
const PARAMS: &[Param] = &[
    Param::may("source", Text),
    Param::may("event_type", Ids),
    Param::may("event_name", Text),
    Param::may("user_id", Text),
    Param::may("session_id", Text),
    Param::may("app_version", Text),
    Param::may("priority", Text),
    Param::may("provider_name", Text),
    Param::may("start_time", Text),
    Param::may("end_time", Text),
    Param::may("text", Text),
    Param::may("property", Text),
    Param::may("sort_by", Text),
    Param::may("sort_order", Text),
    Param::may("page", Whole),
    Param::may("page_size", Whole),
    Param::may("after", Text),
];

/// Parameters that are fields of the filter, as they are.
const FIELDS: &[(&str, &str)] = &[
    ("source", "source"),
    ("event_name", "name"),
    ("user_id", "user"),
    ("session_id", "session"),
    ("app_version", "version"),
    ("provider_name", "provider"),
    ("start_time", "from"),
    ("end_time", "to"),
    ("text", "text"),
];

/// The variables of the question for a filter.
fn asked(mut told: Map<String, Value>) -> Result<Map<String, Value>, Fault> {
    let mut filter = Map::new();
    for (param, field) in FIELDS {
        if let Some(value) = told.remove(*param) {
            filter.insert((*field).to_owned(), value);
        }
    }
    if let Some(types) = told.remove("event_type") {
        let types = types.as_array().into_iter().flatten();
        let types =
            types.map(|word| enum_of(word, "event_type", |w| LogType::of_word(w).is_some()));
        filter.insert("types".to_owned(), types.collect::<Result<_, _>>()?);
    }
    if let Some(word) = told.remove("priority") {
        let known = |word: &str| LogPriority::of_word(word).is_some();
        filter.insert("priority".to_owned(), enum_of(&word, "priority", known)?);
    }
    if let Some(property) = told.remove("property") {
        let property = property.as_str().and_then(property_of);
        let property = property.ok_or_else(|| invalid("property", "not `path=value`"))?;
        filter.insert("properties".to_owned(), json!([property]));
    }
    let size = told.remove("page_size");
    let size = size.as_ref().and_then(Value::as_i64).unwrap_or(PAGE_SIZE);
    let mut variables = object(json!({
        "filter": filter, "orderBy": order(&told)?, "first": size, "after": told.remove("after")
    }));
    if let Some(page) = told.get("page").and_then(Value::as_i64) {
        // What is beyond any page, or before the first, is refused as a place that is none.
        let offset = page.saturating_sub(1).saturating_mul(size);
        let offset = i32::try_from(offset).unwrap_or(i32::MAX);
        variables.insert("offset".to_owned(), offset.into());
    }
    Ok(variables)
}

fn order(told: &Map<String, Value>) -> Result<&'static str, Fault> {
    let word = |param: &str| told.get(param).and_then(Value::as_str);
    let ascending = match word("sort_order") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(invalid("sort_order", "asc or desc")),
    };
    match (word("sort_by"), ascending) {
        (None | Some("timestamp"), false) => Ok("NEWEST_FIRST"),
        (None | Some("timestamp"), true) => Ok("OLDEST_FIRST"),
        (Some("priority"), false) => Ok("MOST_URGENT_FIRST"),
        (Some("priority"), true) => Ok("LEAST_URGENT_FIRST"),
        (Some(_), _) => Err(invalid("sort_by", "timestamp or priority")),
    }
}

/// A word of the domain as the schema writes it.
fn enum_of(word: &Value, param: &str, known: impl Fn(&str) -> bool) -> Result<Value, Fault> {
    let word = word.as_str().filter(|word| known(word));
    let word = word.ok_or_else(|| invalid(param, "not a word of the list"))?;
    Ok(word.to_uppercase().into())
}

/// `cart.items.0=2`: names with dots between them, then JSON, or else a text.
fn property_of(said: &str) -> Option<Value> {
    let (path, value) = said.split_once('=')?;
    let path: Vec<&str> = path.split('.').collect();
    let equals = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Some(json!({ "path": path, "equals": equals }))
}

fn time(told: &Map<String, Value>, param: &str) -> Result<Option<DateTime<Utc>>, Fault> {
    let Some(text) = told.get(param).and_then(Value::as_str) else {
        return Ok(None);
    };
    let time = domain::values::timestamp(text, param);
    Ok(Some(time?))
}

fn invalid(param: &str, message: &str) -> Fault {
    let refusal = Refusal::new(Code::Validation, format!("{param}: {message}"));
    refusal.at([param]).into()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A page of records; where a search stopped, `next` goes on from there.
fn records(body: Value) -> Value {
    let stopped = body["stopped"] == true;
    let next = match stopped {
        true => body["searchedTo"].clone(),
        false => Value::Null,
    };
    let mut page = super::page(body);
    page["stopped"] = stopped.into();
    if stopped {
        page["next"] = next;
    }
    page
}

fn analytics(body: Value) -> Value {
    let visitors = &body["visitors"]["rows"][0];
    let errors = &body["errorShare"]["rows"][0];
    let of = |row: &Value, field: &str| match &row[field] {
        Value::Null => json!(0),
        value => value.clone(),
    };
    json!({
        "from": body["from"], "to": body["to"],
        "records": of(errors, "records"), "errors": of(errors, "errors"), "errorShare": errors["share"],
        "byType": body["types"]["rows"], "appVersions": body["versions"]["rows"],
        "topEvents": body["topNames"],
        "users": of(visitors, "users"), "sessions": of(visitors, "sessions"),
        "batches": of(visitors, "batches"), "recordsInBatches": of(visitors, "records"),
        "activeUsers": body["activeUsers"], "ingestionDelay": body["ingestionDelay"],
        "notAccepted": not_accepted(&body["notAccepted"]),
        "asOfPosition": body["asOfPosition"],
    })
}

/// Duplicates, and what was refused by code, whatever the hour and the source.
fn not_accepted(told: &Value) -> Value {
    let mut codes: BTreeMap<&str, i64> = BTreeMap::new();
    for row in told["rows"].as_array().into_iter().flatten() {
        let code = row["code"].as_str().unwrap_or_default();
        *codes.entry(code).or_default() += row["records"].as_i64().unwrap_or_default();
    }
    let duplicate = |code: &str| matches!(code, "DUPLICATE" | "DUPLICATE_DIFFERS");
    let of = |wanted: bool| {
        let codes = codes.iter();
        codes.filter(move |(code, _)| duplicate(code) == wanted)
    };
    let refused: Vec<Value> = of(false)
        .map(|(code, records)| json!({ "code": code, "records": records }))
        .collect();
    json!({
        "countedFrom": told["countedFrom"], "more": told["more"],
        "duplicates": of(true).map(|(_, records)| records).sum::<i64>(),
        "rejected": of(false).map(|(_, records)| records).sum::<i64>(),
        "rejectedByCode": refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_a_filter_an_order_and_a_page() {
        let told = json!({ "event_type": ["error", "telemetry"], "priority": "high", "user_id": "ann",
                           "property": "cart.items.0=2", "sort_by": "priority", "page": 3,
                           "page_size": 20 });
        let expect = json!({
            "filter": { "types": ["ERROR", "TELEMETRY"], "priority": "HIGH", "user": "ann",
                        "properties": [{ "path": ["cart", "items", "0"], "equals": 2 }] },
            "orderBy": "MOST_URGENT_FIRST", "first": 20, "after": null, "offset": 40 });
        assert_eq!(asked(object(told)).map(Value::from), Ok(expect));
    }

    #[test]
    fn what_was_not_accepted_is_added_up_by_code() {
        let row = |code: &str, records: i64| json!({ "code": code, "records": records });
        let told = json!({ "countedFrom": "2026-01-04T00:00:00Z", "more": false, "rows": [
            row("DUPLICATE", 3), row("TOO_LARGE", 1), row("DUPLICATE", 2), row("DUPLICATE_DIFFERS", 1),
            row("BAD_TIMESTAMP", 4), row("TOO_LARGE", 1)] });
        let expect = json!({ "countedFrom": "2026-01-04T00:00:00Z", "more": false, "duplicates": 6,
                             "rejected": 6,
                             "rejectedByCode": [row("BAD_TIMESTAMP", 4), row("TOO_LARGE", 2)] });
        assert_eq!(not_accepted(&told), expect);
    }

    #[test]
    fn a_property_is_json_or_text() {
        let equals = |said: &str| property_of(said).map(|property| property["equals"].clone());
        assert_eq!(equals("a=true"), Some(json!(true)));
        assert_eq!(equals("a=\"true\""), Some(json!("true")));
        assert_eq!(equals("a=b=c"), Some(json!("b=c")));
        assert_eq!(equals("a"), None);
    }
}
