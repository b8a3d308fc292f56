//! `logTail`: every record once and in order, wherever one begins, however often one is cut off.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use daybook::auth::Role;
use daybook::ops::Clock;
use serde_json::{Value, json};

use super::sources::sealing;
use super::{counts, now, record, send, started, text};
use crate::support::Dice;
use crate::support::TestApp;
use crate::transport::client::Socket;

const SHOWN: &str = "id source records { id eventName properties }";

async fn socket(app: &TestApp) -> Socket {
    socket_at(app.address(), app.own_token()).await
}

pub(super) async fn socket_at(address: SocketAddr, token: &str) -> Socket {
    let mut socket = Socket::open(address, &[]).await;
    let init = json!({ "type": "connection_init", "payload": { "token": token } });
    socket.send(&init).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    socket
}

/// What comes behind a place, of a filter. Who asks for the same filter is of one group.
async fn tail_of(app: &TestApp, filter: &str, after: Option<&str>) -> Socket {
    let mut socket = socket(app).await;
    let query = format!(
        "subscription($after: String) {{ logTail(filter: {filter}, after: $after) {{ {SHOWN} }} }}"
    );
    let payload = json!({ "query": query, "variables": { "after": after } });
    let message = json!({ "id": "1", "type": "subscribe", "payload": payload });
    socket.send(&message).await;
    socket
}

async fn tail(app: &TestApp, after: &str) -> Socket {
    tail_of(app, "{}", Some(after)).await
}

/// The next item; where it says it ends is where its position says so too.
pub(super) async fn next(socket: &mut Socket) -> Value {
    let mut said = socket.next().await;
    assert_eq!(said["type"], "next", "{said}");
    let item = said["payload"]["data"]["logTail"].take();
    assert_eq!(said["payload"]["extensions"]["position"], item["id"]);
    item
}

pub(super) fn ids(item: &Value) -> Vec<String> {
    let records = item["records"].as_array().unwrap().iter();
    records
        .map(|record| record["id"].as_str().unwrap().to_owned())
        .collect()
}

/// So many records more, in one batch.
async fn more(app: &TestApp, name: &str, records: usize) {
    let one = |n: usize| {
        let mut record = record(None);
        record["event_name"] = json!(format!("{name}_{}", n % 3));
        record["properties"] = json!({ "n": n });
        record
    };
    let records: Vec<Value> = (0..records).map(one).collect();
    let (status, told) = send(app, &records, &[]).await;
    assert_eq!(
        (status, counts(&told)[0]),
        (200, records.len() as i64),
        "{told}"
    );
}

/// Every record of the log by its id, in order.
pub(super) async fn all(app: &TestApp) -> Vec<String> {
    let batches: Vec<(i64, i64)> = sqlx::query_as(
        "select position, (select count(*) from json_array_elements(payload->'eventName'))
         from events where event_type = 'log_batch.accepted' order by position",
    )
    .fetch_all(app.db().pool())
    .await
    .unwrap();
    let of = |(position, records): (i64, i64)| (0..records).map(move |n| format!("{position}:{n}"));
    batches.into_iter().flat_map(of).collect()
}

async fn cutting(at: DateTime<Utc>, records: usize) -> TestApp {
    TestApp::at(Clock::mock(at).0, |settings| {
        settings.feeds.tail_records_max = records;
    })
    .await
}

#[tokio::test]
async fn a_batch_is_cut_and_any_record_can_be_gone_on_from() {
    let app = cutting(now(), 4).await;
    more(&app, "old", 2).await;
    let head = app.head().await.to_string();
    let mut live = tail(&app, &head).await;
    let mut past = tail(&app, "0").await;
    assert_eq!(ids(&next(&mut past).await).len(), 2);
    more(&app, "new", 10).await;
    let mut parts = Vec::new();
    for _ in 0..3 {
        let item = next(&mut live).await;
        assert_eq!(next(&mut past).await, item);
        parts.push(item);
    }
    let position = app.head().await;
    let told = parts
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned());
    let expect = [
        format!("{position}:3"),
        format!("{position}:7"),
        position.to_string(),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expect);
    let sent: Vec<String> = parts.iter().flat_map(ids).collect();
    let whole: Vec<String> = (0..10).map(|n| format!("{position}:{n}")).collect();
    assert_eq!(sent, whole);
    assert_eq!(parts[0]["records"][1]["properties"], json!({ "n": 1 }));
    // While the group has it, and once there is none.
    for held in [Some((live, past)), None] {
        for from in 0..9 {
            let mut again = tail(&app, &format!("{position}:{from}")).await;
            let mut rest = Vec::new();
            while rest.len() < 9 - from {
                rest.extend(ids(&next(&mut again).await));
            }
            assert_eq!(rest, whole[from + 1..], "after {from}");
        }
        drop(held);
    }
    let mut end = tail(&app, &format!("{position}:9")).await;
    more(&app, "last", 1).await;
    let last = format!("{}:0", position + 1);
    assert_eq!(ids(&next(&mut end).await), [last]);
}

#[tokio::test]
async fn a_filter_lets_its_own_through() {
    let app = cutting(now(), 100).await;
    type Matches = fn(usize) -> bool;
    let cases: &[(&str, Matches)] = &[
        ("{ name: \"a_1\" }", |n| n % 3 == 1),
        ("{ text: \"A_2\" }", |n| n % 3 == 2),
        ("{ properties: [{ path: [\"n\"], equals: 4.0 }] }", |n| {
            n == 4
        }),
        (
            "{ user: \"ann@example.org\", types: [BEHAVIORAL], source: \"default\" }",
            |_| true,
        ),
        ("{ source: \"other\" }", |_| false),
        ("{ user: \"bob\" }", |_| false),
        ("{ priority: HIGH }", |_| false),
    ];
    more(&app, "a", 10).await;
    let position = app.head().await;
    // What everybody is told: those who had nothing before it were told nothing.
    let mut last = record(None);
    last["event_name"] = json!("a_1 a_2");
    for (filter, matches) in cases {
        let mut socket = tail_of(&app, filter, Some("0")).await;
        let expect = (0..10).filter(|n| matches(*n));
        let expect: Vec<String> = expect.map(|n| format!("{position}:{n}")).collect();
        if !expect.is_empty() {
            assert_eq!(ids(&next(&mut socket).await), expect, "{filter}");
        }
    }
    let (status, _) = send(&app, &[last], &[]).await;
    assert_eq!(status, 200);
    let mut socket = tail_of(&app, "{ text: \"a_1 a_2\" }", Some("0")).await;
    assert_eq!(
        ids(&next(&mut socket).await),
        [format!("{}:0", position + 1)]
    );
}

/// Reads while two nodes write, and is cut off a hundred times; the records it saw, and all there are.
async fn cut_off(says_where: bool) -> (Vec<String>, Vec<String>) {
    let mut dice = Dice::from_env("tail kills");
    let first = cutting(now(), 3).await;
    let second = first
        .beside(|settings| settings.feeds.tail_records_max = 5)
        .await;
    let nodes = [&first, &second];
    let writing = async {
        let write = async |node: &TestApp, name: &str| {
            for n in 0..60 {
                more(node, name, 1 + n % 9).await;
            }
        };
        tokio::join!(write(&first, "a"), write(&second, "b"));
    };
    let reading = async {
        let (mut seen, mut last) = (Vec::new(), "0".to_owned());
        for kill in 0..100 {
            let after = says_where.then_some(&*last);
            let mut socket = tail_of(nodes[kill % 2], "{}", after).await;
            for _ in 0..dice.below(7) {
                let item = next(&mut socket);
                let item = tokio::time::timeout(std::time::Duration::from_millis(200), item).await;
                let Ok(item) = item else { break };
                last = item["id"].as_str().unwrap().to_owned();
                seen.extend(ids(&item));
            }
        }
        (seen, last)
    };
    let ((), (mut seen, last)) = tokio::join!(writing, reading);
    let all = all(&first).await;
    if says_where {
        let mut socket = tail(&second, &last).await;
        while seen.len() < all.len() {
            seen.extend(ids(&next(&mut socket).await));
        }
    }
    (seen, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_a_hundred_times_every_record_is_seen_once_in_order() {
    let (seen, all) = cut_off(true).await;
    assert_eq!(all.len(), 2 * (0..60).map(|n| 1 + n % 9).sum::<usize>());
    assert_eq!(seen, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_say_where_it_was_misses_some() {
    let (seen, all) = cut_off(false).await;
    assert_ne!(seen, all);
}

#[tokio::test]
async fn what_makes_no_sense_and_who_may_not_is_refused() {
    let app = started().await;
    more(&app, "a", 2).await;
    let refused = async |filter: &str, after: &str| {
        let mut socket = tail_of(&app, filter, Some(after)).await;
        let said = socket.next().await;
        assert_eq!(said["type"], "error", "{filter} {after}: {said}");
        let code = said["payload"][0]["extensions"]["code"].as_str();
        code.unwrap().to_owned()
    };
    for after in ["99", "99:0", "0:0", "1:", "1:-1", "1:01", "x", ""] {
        assert_eq!(refused("{}", after).await, "BAD_POSITION", "{after}");
    }
    for filter in ["{ text: \"\" }", "{ user: \"a\", pseudonym: \"b\" }"] {
        assert_eq!(refused(filter, "0").await, "VALIDATION", "{filter}");
    }
    // A place within an event is one of log records alone.
    let mut socket = socket(&app).await;
    socket
        .subscribe("1", "subscription { events(after: \"1:0\") { id } }")
        .await;
    let said = socket.next().await;
    assert_eq!(
        said["payload"][0]["extensions"]["code"], "BAD_POSITION",
        "{said}"
    );
    // Who hands records in may not ask for them.
    let bearer = format!("Bearer {}", app.token(&[Role::Ingest], "default"));
    let body = json!({ "query": "subscription { logTail { id } }" }).to_string();
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "text/event-stream"),
    ];
    let reply = app.post(body.as_bytes(), &headers).await;
    let told = String::from_utf8(reply.body).unwrap();
    assert!(told.contains("FORBIDDEN"), "{told}");
    assert_eq!(text(now()), "2026-01-05T00:00:00.000000Z");
}

#[tokio::test]
async fn no_tail_tells_what_is_personal() {
    let app = started().await;
    sealing(&app, &["properties.phone"]).await;
    let from = app.head().await.to_string();
    let query = format!(
        "subscription {{ logTail(after: \"{from}\") {{ id records {{ id personal {{ properties }} }} }} }}"
    );
    let tail = async |roles: &[Role]| {
        let mut socket = socket_at(app.address(), &app.token(roles, "default")).await;
        socket.subscribe("1", &query).await;
        socket
    };
    // What a tail tells is kept for those who resume, and must not outlive an erasure.
    let all = [
        (Role::Viewer, "FORBIDDEN"),
        (Role::Operator, "FORBIDDEN"),
        (Role::Auditor, "FORBIDDEN"),
        (Role::Admin, "BAD_REQUEST"),
    ];
    // Before it is recorded, and from the past.
    let mut tails = Vec::new();
    for (role, code) in all {
        tails.push((tail(&[role]).await, code));
    }
    let mut said = record(None);
    said["properties"] = json!({ "phone": "+49 30 1", "total": 3 });
    let (_, told) = send(&app, &[said], &[("daybook-log-source", "web-shop")]).await;
    assert_eq!(counts(&told), [1, 0, 0], "{told}");
    for (role, code) in all {
        tails.push((tail(&[role]).await, code));
    }
    for (mut socket, code) in tails {
        let said = socket.next().await;
        let refused = &said["payload"]["errors"][0]["extensions"]["code"];
        assert_eq!(refused, code, "{said}");
        assert!(!said.to_string().contains("+49"), "{said}");
    }
}
