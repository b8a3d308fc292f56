//! `logs`: every filter, both orders, pages both ways, users by their ids, what is personal, and what is
//! refused.

use chrono::TimeDelta;
use daybook::auth::Role;
use serde_json::{Value, json};

use super::erasing::erase;
use super::sources::sealing;
use super::{counts, now, send, started, text};
use crate::support::TestApp;

/// Records of two sources, one every minute before now, the newest last.
const N: i64 = 60;
const TYPES: [&str; 5] = [
    "behavioral",
    "telemetry",
    "observability",
    "error",
    "performance",
];

fn record(n: i64) -> Value {
    let of = |every: i64, value: String| (n % every != 0).then_some(value);
    let which = usize::try_from(n).unwrap() % TYPES.len();
    json!({
        "event_id": format!("e-{n}"), "timestamp": text(now() - TimeDelta::minutes(N - n)),
        "event_type": TYPES[which], "event_name": format!("Page_{}", n % 7),
        "priority": if n % 10 == 0 { "high" } else { "normal" },
        "user_id": of(2, format!("user{}@example.org", n % 3)),
        "session_id": of(5, format!("session{}", n % 4)), "app_version": of(3, format!("1.{}", n % 3)),
        "sequence_number": n,
        "properties": { "n": n, "cart": { "items": [n % 4, "Tea_cup 100%"] },
                        "provider_name": format!("p{}", n % 6) },
    })
}

/// A process with these records: of `web` the even twenties, of `app` the odd ones.
pub(super) async fn filled() -> TestApp {
    let app = started().await;
    let records: Vec<Value> = (0..N).map(record).collect();
    for (records, source) in records.chunks(20).zip(["web", "app"].into_iter().cycle()) {
        let (status, told) = send(&app, records, &[("daybook-log-source", source)]).await;
        assert_eq!((status, counts(&told)), (200, [20, 0, 0]), "{told}");
    }
    app
}

/// The records of a filter, as the numbers they say they have.
async fn found(app: &TestApp, filter: &str) -> Vec<i64> {
    let query =
        format!("{{ logs(filter: {filter}, first: 200) {{ nodes {{ properties }} stopped }} }}");
    let told = app.settled(&query, json!({})).await;
    assert_eq!(told["logs"]["stopped"], false);
    numbers(&told["logs"]["nodes"])
}

fn numbers(nodes: &Value) -> Vec<i64> {
    let nodes = nodes.as_array().unwrap().iter();
    nodes
        .map(|node| node["properties"]["n"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn every_filter_finds_its_records_and_no_others() {
    let app = filled().await;
    type Matches = fn(i64) -> bool;
    let cases: &[(&str, Matches)] = &[
        ("{}", |_| true),
        (r#"{ source: "app" }"#, |n| (20..40).contains(&n)),
        ("{ types: [ERROR, TELEMETRY] }", |n| {
            n % 5 == 3 || n % 5 == 1
        }),
        (r#"{ name: "Page_4" }"#, |n| n % 7 == 4),
        (r#"{ user: "user1@example.org" }"#, |n| {
            n % 2 == 1 && n % 3 == 1
        }),
        (r#"{ session: "session2" }"#, |n| n % 5 != 0 && n % 4 == 2),
        (r#"{ version: "1.2" }"#, |n| n % 3 == 2),
        (r#"{ version: "" }"#, |n| n % 3 == 0),
        ("{ priority: HIGH }", |n| n % 10 == 0),
        (r#"{ provider: "p4" }"#, |n| n % 6 == 4),
        (
            r#"{ from: "2026-01-04T23:10:00Z", to: "2026-01-04T23:40:00Z" }"#,
            |n| (10..40).contains(&n),
        ),
        (r#"{ text: "pAGE_3" }"#, |n| n % 7 == 3),
        (r#"{ text: "tea_CUP 100%" }"#, |_| true),
        (
            r#"{ properties: [{ path: ["cart", "items", "0"], equals: 2.0 }] }"#,
            |n| n % 4 == 2,
        ),
        (
            r#"{ types: [BEHAVIORAL], source: "web", text: "page", provider: "p0" }"#,
            |n| n % 5 == 0 && n % 6 == 0 && !(20..40).contains(&n),
        ),
    ];
    for (filter, matches) in cases {
        let expect: Vec<i64> = (0..N).rev().filter(|n| matches(*n)).collect();
        assert_eq!(found(&app, filter).await, expect, "{filter}");
    }
    // J26: what means something to others means itself.
    for text in ["tea%cup", "page.3", "(a+)+$", r"Page\\_3", "_"] {
        let expect: Vec<i64> = match text {
            "_" => (0..N).rev().collect(),
            _ => Vec::new(),
        };
        assert_eq!(
            found(&app, &format!("{{ text: \"{text}\" }}")).await,
            expect,
            "{text}"
        );
    }
    // N1: in each text of the filter.
    for field in [
        "source",
        "name",
        "user",
        "pseudonym",
        "session",
        "version",
        "provider",
        "text",
    ] {
        let filter = format!("{{ {field}: \"'; drop table events;--\" }}");
        assert_eq!(found(&app, &filter).await, Vec::<i64>::new(), "{field}");
    }
    let path =
        r#"{ properties: [{ path: ["'; drop table events;--", "{}"], equals: "' or 1=1" }] }"#;
    assert_eq!(found(&app, path).await, Vec::<i64>::new());
    assert_eq!(found(&app, "{}").await.len(), 60, "all is still there");
}

#[tokio::test]
async fn a_user_is_asked_for_by_id_and_shown_by_a_pseudonym() {
    let app = filled().await;
    let query = "query($f: LogFilterInput) { logs(filter: $f, first: 1) {
                   nodes { id userId eventId sequenceNumber source priority eventType index position } } }";
    let told = app
        .settled(query, json!({ "f": { "user": "user1@example.org" } }))
        .await;
    let node = &told["logs"]["nodes"][0];
    let pseudonym = node["userId"].as_str().unwrap();
    assert_eq!((pseudonym.len(), pseudonym.contains('@')), (32, false));
    let expect = json!({
        "id": format!("{}:15", node["position"].as_str().unwrap()), "userId": pseudonym,
        "eventId": "e-55", "sequenceNumber": 55, "source": "web", "priority": "NORMAL",
        "eventType": "BEHAVIORAL", "index": 15, "position": node["position"] });
    assert_eq!(*node, expect);
    let by = format!("{{ pseudonym: \"{pseudonym}\" }}");
    let by_id = found(&app, r#"{ user: "user1@example.org" }"#).await;
    assert_eq!(found(&app, &by).await, by_id);
    assert!(!app.db().dump().await.contains("user1@example.org"));
}

#[tokio::test]
async fn pages_both_ways_are_the_list() {
    let app = filled().await;
    let query = "query($o: LogOrder!, $first: Int, $after: String, $last: Int, $before: String, $skip: Int) {
        logs(filter: { text: \"page\" }, orderBy: $o, first: $first, after: $after, last: $last,
             before: $before, offset: $skip) {
          nodes { properties }
          pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }";
    for (order, urgent, ascending) in [
        ("NEWEST_FIRST", false, false),
        ("OLDEST_FIRST", false, true),
        ("MOST_URGENT_FIRST", true, false),
        ("LEAST_URGENT_FIRST", true, true),
    ] {
        let mut whole: Vec<i64> = (0..N).collect();
        whole.sort_by_key(|n| (urgent && n % 10 == 0, *n));
        if !ascending {
            whole.reverse();
        }
        let ask = async |with: Value| {
            let mut variables = json!({ "o": order });
            variables
                .as_object_mut()
                .unwrap()
                .extend(with.as_object().unwrap().clone());
            let mut told = app.settled(query, variables).await;
            let page = told["logs"].take();
            (numbers(&page["nodes"]), page["pageInfo"].clone())
        };
        let (mut forth, mut after) = (Vec::new(), Value::Null);
        loop {
            let (page, info) = ask(json!({ "first": 7, "after": after })).await;
            assert_eq!(info["hasPreviousPage"], !forth.is_empty());
            forth.extend(page);
            after = info["endCursor"].clone();
            if info["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(forth, whole, "{order}");
        let (mut back, mut before) = (Vec::new(), Value::Null);
        loop {
            let (page, info) = ask(json!({ "last": 7, "before": before })).await;
            assert_eq!(info["hasNextPage"], !back.is_empty());
            back = [page, back].concat();
            before = info["startCursor"].clone();
            if info["hasPreviousPage"] == false {
                break;
            }
        }
        assert_eq!(back, whole, "{order} backwards");
        let (third, info) = ask(json!({ "first": 7, "skip": 14 })).await;
        assert_eq!(
            (&third[..], &info["hasPreviousPage"]),
            (&whole[14..21], &json!(true))
        );
    }
}

async fn refusal(app: &TestApp, logs: &str) -> String {
    let told = app
        .ask(&format!("{{ logs{logs} {{ nodes {{ id }} }} }}"), json!({}))
        .await;
    let code = told["errors"][0]["extensions"]["code"].as_str();
    code.unwrap_or("ok").to_owned()
}

/// J28, J29 and their kind.
#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    let app = filled().await;
    let told = app
        .settled("{ logs(first: 2) { pageInfo { endCursor } } }", json!({}))
        .await;
    let cursor = told["logs"]["pageInfo"]["endCursor"].as_str().unwrap();
    let touched = cursor.replace(
        &cursor[20..22],
        if &cursor[20..22] == "00" { "11" } else { "00" },
    );
    let long = "x".repeat(201);
    let many = vec![r#"{ path: ["a"], equals: 1 }"#; 21].join(",");
    let cases = [
        (format!("(first: 2, after: \"{cursor}\")"), "ok"),
        (format!("(first: 9, before: \"{cursor}\")"), "VALIDATION"),
        (format!("(after: \"{touched}\")"), "BAD_CURSOR"),
        (
            format!("(orderBy: OLDEST_FIRST, after: \"{cursor}\")"),
            "BAD_CURSOR",
        ),
        (
            format!("(filter: {{ source: \"web\" }}, after: \"{cursor}\")"),
            "BAD_CURSOR",
        ),
        ("(after: \"\")".to_owned(), "BAD_CURSOR"),
        (format!("(offset: 1, after: \"{cursor}\")"), "VALIDATION"),
        ("(offset: -1)".to_owned(), "BAD_CURSOR"),
        ("(offset: 10001)".to_owned(), "BAD_CURSOR"),
        ("(offset: 10000)".to_owned(), "ok"),
        ("(first: 0)".to_owned(), "PAGE_LIMIT"),
        ("(first: 201)".to_owned(), "PAGE_LIMIT"),
        ("(last: 201)".to_owned(), "PAGE_LIMIT"),
        ("(last: 2, first: 2)".to_owned(), "VALIDATION"),
        (
            "(filter: { from: \"2026-01-02T00:00:00Z\", to: \"2026-01-01T00:00:00Z\" })".to_owned(),
            "VALIDATION",
        ),
        (
            "(filter: { from: \"1970-01-01T00:00:00Z\", to: \"2070-01-01T00:00:00Z\" })".to_owned(),
            "VALIDATION",
        ),
        // One end leaves the list as it is without any, and a page of it is as far as is looked.
        (
            "(filter: { from: \"1970-01-01T00:00:00Z\" })".to_owned(),
            "ok",
        ),
        (
            "(filter: { to: \"2070-01-01T00:00:00Z\" })".to_owned(),
            "ok",
        ),
        ("(filter: { text: \"\" })".to_owned(), "VALIDATION"),
        (format!("(filter: {{ text: \"{long}\" }})"), "TOO_LARGE"),
        (format!("(filter: {{ properties: [{many}] }})"), "TOO_LARGE"),
        (
            "(filter: { properties: [{ path: [], equals: 1 }] })".to_owned(),
            "VALIDATION",
        ),
        (
            format!("(filter: {{ properties: [{{ path: [\"{long}\"], equals: 1 }}] }})"),
            "TOO_LARGE",
        ),
        (
            "(filter: { user: \"a\", pseudonym: \"b\" })".to_owned(),
            "VALIDATION",
        ),
        (
            "(filter: { types: [Error] })".to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("(orderBy: id)".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
    ];
    for (logs, expect) in cases {
        assert_eq!(refusal(&app, &logs).await, expect, "{logs:.120}");
    }
    // Another tenant's cursor is none.
    let create = r#"mutation { createTenant(input: { id: "south", name: "South" }) { userErrors { code } } }"#;
    assert_eq!(
        app.data(create, json!({})).await["createTenant"]["userErrors"],
        json!([])
    );
    let other = app.token(&[Role::Admin], "south");
    let query = format!("{{ logs(after: \"{cursor}\") {{ nodes {{ id }} }} }}");
    let body = json!({ "query": query }).to_string();
    let bearer = format!("Bearer {other}");
    let reply = app
        .post(body.as_bytes(), &[("authorization", &bearer)])
        .await;
    assert_eq!(
        reply.json()["errors"][0]["extensions"]["code"],
        "BAD_CURSOR"
    );
}

#[tokio::test]
async fn what_is_personal_opens_for_administrators_until_it_is_erased() {
    let app = started().await;
    sealing(&app, &["userId", "properties.phone"]).await;
    let mut said = super::record(Some("a"));
    said["properties"] = json!({ "phone": "+49 30 1", "total": 3 });
    let (_, told) = send(&app, &[said], &[("daybook-log-source", "web-shop")]).await;
    assert_eq!(counts(&told), [1, 0, 0], "{told}");
    let query =
        "{ logs { nodes { userId properties personal { erased userId properties deviceInfo } } } }";
    let shown = app.settled(query, json!({})).await;
    let node = &shown["logs"]["nodes"][0];
    assert_eq!(node["properties"], json!({ "total": 3 }));
    let personal = json!({ "erased": false, "userId": "ann@example.org",
                           "properties": { "phone": "+49 30 1" }, "deviceInfo": {} });
    assert_eq!(node["personal"], personal);
    let viewer = format!(
        "Bearer {}",
        app.token(&[Role::Auditor, Role::Analyst], "default")
    );
    let body = json!({ "query": query }).to_string();
    let reply = app
        .post(body.as_bytes(), &[("authorization", &viewer)])
        .await;
    let told = reply.json();
    assert_eq!(
        told["errors"][0]["extensions"]["code"], "FORBIDDEN",
        "{told}"
    );
    assert!(!told.to_string().contains("+49") && !told.to_string().contains("ann@"));
    erase(&app, json!({ "user": "ann@example.org" })).await;
    let shown = app.settled(query, json!({})).await;
    let nothing = json!({ "erased": true, "userId": null, "properties": {}, "deviceInfo": {} });
    assert_eq!(shown["logs"]["nodes"][0]["personal"], nothing);
}
