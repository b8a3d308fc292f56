//! How much may be asked, O12 of `docs/promises.md` and what belongs to it: of addresses, callers and
//! points, on every way in.

use chrono::{DateTime, TimeDelta};
use daybook::auth::{Grant, Role};
use daybook::config::{Limits, Networks, value::Setting as _};
use daybook::ops::{Clock, MockClock};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::server::{Server, code, encoded};
use crate::support::{Reply, TestApp, exchange};

/// A clock that stands still.
pub fn clock() -> (Clock, MockClock) {
    Clock::mock(DateTime::from_timestamp(1_800_000_000, 0).unwrap())
}

/// A server that counts, behind a proxy it trusts.
async fn server(change: impl FnOnce(&mut Limits)) -> (Server, MockClock) {
    let (clock, hand) = clock();
    let server = Server::at(clock, |settings| {
        settings.limits.enabled = true;
        settings.http.trusted_proxies = Networks::parse("127.0.0.0/8").unwrap();
        change(&mut settings.limits);
    });
    (server.await, hand)
}

/// Asks for nothing that is there, for somebody.
async fn knock(server: &Server, client: &str) -> Reply {
    let headers = [("x-forwarded-for", client)];
    server.send("GET /nowhere", &headers, b"").await
}

async fn passed(server: &Server, times: usize, client: impl Fn(usize) -> String) -> usize {
    let mut passed = 0;
    for n in 0..times {
        let status = knock(server, &client(n)).await.status;
        assert!([404, 429].contains(&status), "{status}");
        passed += usize::from(status == 404);
    }
    passed
}

/// O12: the 1,001st of an address in a minute, and at the edge of one.
#[tokio::test]
async fn o12_the_thousand_and_first() {
    let (server, hand) = server(|_| ()).await;
    let one = |_| "203.0.113.7".to_owned();
    assert_eq!(passed(&server, 1_001, one).await, 1_000);
    assert_eq!(passed(&server, 1, |_| "203.0.113.8".to_owned()).await, 1);
    // Another minute by the clock on the wall, and not one request more than the time refills.
    hand.advance(TimeDelta::seconds(3));
    assert_eq!(passed(&server, 100, one).await, 50);
}

/// O12: all addresses of a network are one. H10: what a client says of itself changes nothing.
#[tokio::test]
async fn o12_rotation_and_tales() {
    let (server, _) = server(|limits| limits.address_burst = 10).await;
    let rotated = |n: usize| format!("2001:db8:1:2:{n:x}::{n:x}");
    assert_eq!(passed(&server, 20, rotated).await, 10);
    assert_eq!(
        passed(&server, 1, |_| "2001:db8:1:3::1".to_owned()).await,
        1
    );
    // The proxy adds whom it heard from; what stood there before is its client's tale.
    let told = |n: usize| format!("198.51.100.{n}, 203.0.113.7");
    assert_eq!(passed(&server, 20, told).await, 10);

    let (clock, _) = clock();
    let alone = Server::at(clock, |settings| {
        settings.limits.enabled = true;
        settings.limits.address_burst = 10;
    });
    let alone = alone.await;
    let forged = |n: usize| format!("198.51.100.{n}");
    assert_eq!(passed(&alone, 20, forged).await, 10, "nobody is trusted");
}

/// An address is refused before its request's body is there, in what the caller takes.
#[tokio::test]
async fn o12_a_body_is_not_waited_for() {
    let (server, _) = server(|limits| limits.address_burst = 1).await;
    assert_eq!(server.ask("{ hello }").await.status, 200);
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    let reply = exchange(server.address, head.as_bytes()).await;
    assert_eq!((reply.status, code(&reply.json())), (429, "RATE_LIMITED"));
    assert_eq!(reply.json()["errors"][0]["extensions"]["retryAfterMs"], 60);
    let elsewhere = server.send("GET /nowhere", &[], b"").await;
    assert_eq!(
        (elsewhere.status, code(&elsewhere.json())),
        (429, "RATE_LIMITED")
    );
    assert_eq!(elsewhere.header("content-type"), "application/problem+json");
    assert_eq!(elsewhere.json()["quota"], "address");
    assert_eq!(server.engine.executed(), 1);
}

/// What answers tell, to the letter.
#[tokio::test]
async fn headers_of_answers() {
    let (server, hand) = server(|limits| limits.user_burst = 2).await;
    let policy = r#""address";q=1000;w=60, "user";q=600;w=60, "cost";q=10000;w=60"#;
    for left in [
        r#""address";r=999;t=1, "user";r=1;t=1, "cost";r=9999;t=1"#,
        r#""address";r=998;t=1, "user";r=0;t=1, "cost";r=9998;t=1"#,
    ] {
        let reply = server.ask("{ hello }").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("ratelimit"), left);
        assert_eq!(reply.header("ratelimit-policy"), policy);
        assert_eq!(reply.header("retry-after"), "");
    }
    let refused = server.ask("{ hello }").await;
    let told = &refused.json()["errors"][0]["extensions"];
    assert_eq!(
        (refused.status, &told["code"]),
        (429, &json!("RATE_LIMITED"))
    );
    assert_eq!(
        (&told["retryAfterMs"], &told["quota"]),
        (&json!(100), &json!("user"))
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(
        refused.header("ratelimit"),
        r#""address";r=997;t=1, "user";r=0;t=1"#
    );
    assert_eq!(refused.header("ratelimit-policy"), policy);
    let anonymous = knock(&server, "203.0.113.7").await;
    assert_eq!(anonymous.header("ratelimit"), r#""address";r=999;t=1"#);
    assert_eq!(
        anonymous.header("ratelimit-policy"),
        r#""address";q=1000;w=60"#
    );
    // Whoever waits as long as it was told is let through.
    hand.advance(TimeDelta::milliseconds(100));
    assert_eq!(server.ask("{ hello }").await.status, 200);
    assert_eq!(server.engine.executed(), 3);
}

/// One caller's requests count together, whichever way they come; another's do not.
#[tokio::test]
async fn every_way_in_counts() {
    let (server, hand) = server(|limits| limits.user_burst = 1).await;
    let post = |name: &'static str, accept: &'static str| {
        let (server, bearer) = (&server, format!("Bearer {name}"));
        async move {
            let headers = [
                ("content-type", "application/json"),
                ("accept", accept),
                ("authorization", bearer.as_str()),
            ];
            let body = br#"{"query":"{ hello }"}"#;
            server.send("POST /graphql", &headers, body).await
        }
    };
    let get = |name: &'static str, accept: &'static str, query: &'static str| {
        let (server, bearer) = (&server, format!("Bearer {name}"));
        async move {
            let headers = [("accept", accept), ("authorization", bearer.as_str())];
            let line = format!("GET /graphql?query={}", encoded(query));
            server.send(&line, &headers, b"").await
        }
    };
    let (json, events) = ("application/json", "text/event-stream");
    assert_eq!(post("a", json).await.status, 200);
    for refused in [
        post("a", json).await,
        post("a", events).await,
        get("a", json, "{ hello }").await,
        get("a", events, "subscription { counter(to: 1) }").await,
    ] {
        assert_eq!(
            (refused.status, code(&refused.json())),
            (429, "RATE_LIMITED")
        );
        assert_eq!(refused.header("retry-after"), "1");
    }
    assert_eq!(post("b", events).await.status, 200);
    assert_eq!(get("c", json, "{ hello }").await.status, 200);
    assert_eq!(
        get("d", events, "subscription { counter(to: 1) }")
            .await
            .status,
        200
    );

    // Over a socket the operation is refused, and the socket stays.
    let mut socket = server.socket_of("a").await;
    socket.subscribe("1", "{ hello }").await;
    let refused = socket.next().await;
    assert_eq!(
        (&refused["type"], &refused["id"]),
        (&json!("error"), &json!("1"))
    );
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    assert_eq!(refused["payload"][0]["extensions"]["retryAfterMs"], 100);
    hand.advance(TimeDelta::milliseconds(100));
    socket
        .subscribe("1", "subscription { counter(to: 1) }")
        .await;
    assert_eq!(socket.next().await["type"], "next");
    assert_eq!(
        post("a", json).await.status,
        429,
        "what came over the socket counts"
    );
    assert_eq!(server.engine.executed(), 5);
}

/// A point is a field that may be returned; what was spent does not depend on the way.
#[tokio::test]
async fn points() {
    let (server, hand) = server(|limits| limits.cost_burst = 100).await;
    let query = "{ vehicles(first: 9) { nodes { id } } }";
    assert_eq!(left(&server.ask("{ hello }").await), 99);
    assert_eq!(left(&server.ask("{ hello count }").await), 97);
    // One list, and of each of nine items itself and its id.
    assert_eq!(left(&server.ask(query).await), 97 - 19);
    let got = server.get("application/json", &[("query", query)]).await;
    assert_eq!(left(&got), 97 - 38);
    let mut socket = server.socket().await;
    for n in 0..3 {
        socket.subscribe(&n.to_string(), query).await;
        let answers = socket.until_end(&n.to_string()).await;
        assert_eq!(answers[0]["type"], "next", "{n}");
    }
    let refused = server.ask(query).await;
    assert_eq!(
        (refused.status, code(&refused.json())),
        (429, "RATE_LIMITED")
    );
    let told = &refused.json()["errors"][0]["extensions"];
    assert_eq!(
        (&told["quota"], &told["retryAfterMs"]),
        (&json!("cost"), &json!(102))
    );
    // What is refused by the guards costs nothing, what is dearer than all there is takes all.
    let wide = "{ vehicles(first: 200) { nodes { id } } }";
    hand.advance(TimeDelta::seconds(1));
    assert_eq!(
        code(
            &server
                .ask("{ vehicles(first: 201) { nodes { id } } }")
                .await
                .json()
        ),
        "PAGE_LIMIT"
    );
    assert_eq!(left(&server.ask(wide).await), 0);
    assert_eq!(server.ask(wide).await.status, 429);
}

/// The aliases, bulk reports and kept answers of the product count like any other.
#[tokio::test]
async fn the_product_counts_too() {
    let (clock, hand) = clock();
    hand.set(Clock::system().now());
    let app = TestApp::at(clock, |settings| {
        settings.limits.enabled = true;
        settings.limits.user_burst = 4;
        settings.limits.user_per_minute = 1;
    })
    .await;
    let bearer = |subject: &str| {
        let grant = Grant {
            subject: subject.to_owned(),
            tenant: "default".to_owned(),
            roles: vec![Role::Admin],
            scopes: Vec::new(),
            ttl: None,
            session: None,
        };
        format!("Bearer {}", app.app().auth.mint(&grant).unwrap())
    };
    let path = "GET /api/vehicles/latest?first=10";
    let (alias, bulk) = (bearer("alias"), bearer("bulk"));
    let fix = json!({ "fixes": [{ "vehicle": "v", "lat": 30.0, "lon": -97.0,
                                  "fixTime": "2016-01-04T00:00:00Z" }] });
    let mut seen = Vec::new();
    for n in 0..6 {
        let asked = app.send(path, &[("authorization", &alias)], b"").await;
        let headers = [
            ("authorization", bulk.as_str()),
            ("content-type", "application/json"),
        ];
        let body = fix.to_string();
        let sent = app
            .send("POST /api/vehicles/positions", &headers, body.as_bytes())
            .await;
        let expect = if n < 4 { 200 } else { 429 };
        assert_eq!(
            [asked.status, sent.status],
            [expect; 2],
            "{n} {asked:?} {sent:?}"
        );
        if n < 4 {
            seen.push(left(&asked));
            assert_eq!(left(&sent), 9_999 - n);
        } else {
            assert_eq!(asked.json()["code"], "RATE_LIMITED");
            assert_eq!(asked.header("retry-after"), "60");
        }
    }
    let spent: Vec<u64> = [10_000]
        .iter()
        .chain(&seen)
        .zip(&seen)
        .map(|(a, b)| a - b)
        .collect();
    assert!(spent[0] > 100, "ten items of eleven fields: {spent:?}");
    assert!(
        spent.iter().all(|points| *points == spent[0]),
        "kept or made: {spent:?}"
    );

    // Kept answers of GraphQL cost what they did when they were made.
    let asker = bearer("asker");
    let body = br#"{"query":"{ vehicles(first: 3) { nodes { id } } }"}"#;
    let headers = [("authorization", asker.as_str())];
    for expect in [9_993, 9_986, 9_979] {
        assert_eq!(left(&app.post(body, &headers).await), expect);
    }
}

/// How many points are left.
fn left(reply: &Reply) -> u64 {
    let told = reply.header("ratelimit");
    let (_, left) = told
        .split_once(r#""cost";r="#)
        .unwrap_or_else(|| panic!("{told}"));
    left.split_once(';').unwrap().0.parse().unwrap()
}

/// A guess at tokens is paid by the address, and a connection kept open is no way round.
#[tokio::test]
async fn guesses_are_counted_by_address() {
    let (server, _) = server(|limits| limits.address_burst = 20).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let guess =
        "POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer bad\r\ncontent-length: 0\r\n";
    let request = format!("{guess}\r\n").repeat(29) + guess + "connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answers = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answers)
        .await
        .unwrap();
    let count = |status: &str| answers.matches(&format!("HTTP/1.1 {status}")).count();
    assert_eq!((count("401"), count("429")), (20, 10), "{answers}");
}
