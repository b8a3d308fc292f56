//! Pages of other origins, O1, O2 and S8 of `docs/promises.md`: which may read answers, what a browser is told
//! that asks for them, and who is given a socket.

use std::time::Duration;

use daybook::config::{Origins, Settings, value::Setting as _};
use serde_json::json;

use super::client::handshake;
use super::rates::clock;
use super::server::{Server, code};
use crate::support::{Reply, TestApp};

const PAGE: &str = "https://app.example";

/// Lets pages of these origins in.
fn origins(text: &'static str) -> impl FnOnce(&mut Settings) {
    move |settings| settings.http.cors_origins = Origins::parse(text).unwrap()
}

/// A query from a page.
async fn from(server: &Server, origin: &str) -> Reply {
    let headers = [("content-type", "application/json"), ("origin", origin)];
    server
        .send("POST /graphql", &headers, br#"{"query":"{ hello }"}"#)
        .await
}

/// What a browser asks on behalf of a page.
async fn preflight(server: &Server, origin: &str) -> Reply {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    server.send("OPTIONS /graphql", &headers, b"").await
}

/// What an answer lets a page of another origin do.
fn told(reply: &Reply) -> [&str; 4] {
    [
        "access-control-allow-origin",
        "access-control-allow-credentials",
        "access-control-expose-headers",
        "cross-origin-resource-policy",
    ]
    .map(|name| reply.header(name))
}

const EXPOSED: &str = "RateLimit, RateLimit-Policy, Retry-After, Daybook-Position, Daybook-Parked, X-Request-Id, X-Correlation-Id";

/// Nobody: the answer is for the process's own pages.
const NOTHING: [&str; 4] = ["", "", "", "same-origin"];

/// Origins that are not `https://app.example`, each for a reason of its own.
const OTHERS: &[&str] = &[
    "https://evil.example",
    "https://evil-app.example",
    "https://app.example.evil.example",
    "https://sub.app.example",
    "https://app.example.",
    "https://app.example:8443",
    "https://app.example:443",
    "https://app.example/",
    "https://APP.example",
    "http://app.example",
    "https://app.example, https://evil.example",
    "app.example",
    "null",
    "*",
    "",
];

#[tokio::test]
async fn o1_without_origins_nothing_is_said() {
    let server = Server::start().await;
    for origin in OTHERS.iter().chain(&[PAGE]) {
        let reply = from(&server, origin).await;
        assert_eq!((reply.status, told(&reply)), (200, NOTHING), "{origin}");
        assert_eq!(reply.list("vary"), "accept", "{origin}");
        let reply = preflight(&server, origin).await;
        assert_eq!((reply.status, told(&reply)), (405, NOTHING), "{origin}");
        assert_eq!(reply.list("vary"), "", "{origin}");
    }
}

#[tokio::test]
async fn o1_an_origin_is_let_in_to_the_letter() {
    let server = Server::with(origins("https://app.example, http://localhost:3000")).await;
    for page in [PAGE, "http://localhost:3000"] {
        let let_in = [page, "", EXPOSED, "cross-origin"];
        let reply = from(&server, page).await;
        assert_eq!((reply.status, told(&reply)), (200, let_in));
        assert_eq!(reply.list("vary"), "accept, origin");

        let reply = preflight(&server, page).await;
        assert_eq!((reply.status, told(&reply)), (204, let_in));
        assert_eq!(reply.body, b"");
        assert_eq!(reply.list("vary"), "origin");
        assert_eq!(reply.header("access-control-max-age"), "600");
        assert_eq!(
            reply.header("access-control-allow-methods"),
            "GET, HEAD, POST, PUT"
        );
        let allowed: Vec<&str> = reply
            .header("access-control-allow-headers")
            .split(", ")
            .collect();
        for name in [
            "authorization",
            "content-type",
            "x-api-key",
            "idempotency-key",
        ] {
            assert!(allowed.contains(&name), "{name}: {allowed:?}");
        }
        assert!(!allowed.contains(&"*") && !allowed.contains(&"x-forwarded-for"));
        // A page is told its faults too.
        let headers = [("origin", page)];
        let reply = server.send("GET /nowhere", &headers, b"").await;
        assert_eq!((reply.status, told(&reply)), (404, let_in));
    }
    for origin in OTHERS {
        let reply = from(&server, origin).await;
        assert_eq!((reply.status, told(&reply)), (200, NOTHING), "{origin}");
        assert_eq!(reply.list("vary"), "accept, origin", "{origin}");
        let reply = preflight(&server, origin).await;
        assert_eq!((reply.status, told(&reply)), (405, NOTHING), "{origin}");
        assert_eq!(reply.header("access-control-allow-methods"), "", "{origin}");
    }
    // Of two headers neither counts, and a program has none.
    let two = [("origin", PAGE), ("origin", "https://evil.example")];
    for headers in [&two[..], &[]] {
        let reply = server
            .send("GET /graphql?query={hello}", headers, b"")
            .await;
        assert_eq!((reply.status, told(&reply)), (200, NOTHING));
    }
    // OPTIONS without the question is a method like others.
    let reply = server
        .send("OPTIONS /graphql", &[("origin", PAGE)], b"")
        .await;
    assert_eq!(
        (reply.status, reply.header("allow")),
        (405, "GET, HEAD, POST")
    );
}

#[tokio::test]
async fn o1_credentials_are_for_named_origins_and_all_have_none() {
    let server = Server::with(|settings| {
        origins("https://app.example")(settings);
        settings.http.cors_credentials = true;
        settings.http.cors_max_age = Duration::ZERO;
    })
    .await;
    let let_in = [PAGE, "true", EXPOSED, "cross-origin"];
    assert_eq!(told(&from(&server, PAGE).await), let_in);
    let reply = preflight(&server, PAGE).await;
    assert_eq!(told(&reply), let_in);
    assert_eq!(reply.header("access-control-max-age"), "0");
    for origin in OTHERS {
        assert_eq!(told(&from(&server, origin).await), NOTHING, "{origin}");
    }

    let server = Server::with(origins("*")).await;
    for origin in [PAGE, "https://evil.example", "null"] {
        let reply = from(&server, origin).await;
        assert_eq!(told(&reply), ["*", "", EXPOSED, "cross-origin"], "{origin}");
        assert_eq!(reply.list("vary"), "accept", "it is the same for all");
        assert_eq!(preflight(&server, origin).await.status, 204, "{origin}");
    }
}

#[tokio::test]
async fn o1_what_is_refused_early_is_told_the_page_as_well_and_asking_is_counted() {
    let (clock, _) = clock();
    let server = Server::at(clock, |settings| {
        origins(PAGE)(settings);
        settings.limits.enabled = true;
        settings.limits.address_burst = 5;
    })
    .await;
    for _ in 0..5 {
        assert_eq!(preflight(&server, PAGE).await.status, 204);
    }
    let reply = preflight(&server, PAGE).await;
    assert_eq!((reply.status, told(&reply)[0]), (429, PAGE));
    assert_eq!(code(&reply.json()), "RATE_LIMITED");
    let reply = from(&server, PAGE).await;
    assert_eq!((reply.status, told(&reply)[0]), (429, PAGE));
}

/// The routes of the product answer pages as the transport does.
#[tokio::test]
async fn o1_every_route() {
    let app = TestApp::with(origins(PAGE)).await;
    for (line, status) in [
        ("GET /livez", 200),
        ("GET /api/vehicles/latest", 401),
        ("POST /api/vehicles/positions", 401),
        ("GET /graphql?query={__typename}", 401),
    ] {
        let nobody = ("authorization", "");
        let reply = app.send(line, &[nobody, ("origin", PAGE)], b"").await;
        assert_eq!((reply.status, told(&reply)[0]), (status, PAGE), "{line}");
        let evil = [nobody, ("origin", "https://evil.example")];
        let evil = app.send(line, &evil, b"").await;
        assert_eq!((evil.status, told(&evil)), (status, NOTHING), "{line}");
        let path = line.split(' ').nth(1).unwrap();
        let asks = [("origin", PAGE), ("access-control-request-method", "GET")];
        let reply = app.send(&format!("OPTIONS {path}"), &asks, b"").await;
        assert_eq!((reply.status, told(&reply)[0]), (204, PAGE), "{line}");
    }
}

/// O2: what a form can send without being asked, a cookie beside it, is not carried out.
#[tokio::test]
async fn o2_forms() {
    let server = Server::start().await;
    let document = r#"{"query":"mutation { increment }"}"#;
    let form = "query=mutation%20%7B%20increment%20%7D";
    let parts = "--x\r\ncontent-disposition: form-data; name=\"query\"\r\n\r\nmutation { increment }\r\n--x--";
    for (media, body) in [
        ("application/x-www-form-urlencoded", form),
        ("multipart/form-data; boundary=x", parts),
        ("text/plain", document),
        ("text/plain; charset=application/json", document),
        ("", document),
    ] {
        let headers = [
            ("content-type", media),
            ("cookie", "session=1; token=anyone"),
            ("origin", "https://evil.example"),
        ];
        // Without a type there is no header at all.
        let headers = &headers[usize::from(media.is_empty())..];
        let reply = server.send("POST /graphql", headers, body.as_bytes()).await;
        assert_eq!((reply.status, told(&reply)), (415, NOTHING), "{media}");
    }
    // What a link or a picture can send.
    let cookie = [("cookie", "token=anyone")];
    let line = format!("GET /graphql?{form}");
    assert_eq!(server.send(&line, &cookie, b"").await.status, 405);
}

/// S8: browsers let any page open a socket to anybody. There is no cookie that it could borrow, and still it is
/// given none unless it is ours or let in; a program says of no page that it comes from it.
#[tokio::test]
async fn s8_sockets_of_foreign_pages() {
    let closed = Server::start().await;
    let open = Server::with(origins(PAGE)).await;
    let all = Server::with(origins("*")).await;
    for (host, origin, expect) in [
        ("test", "", [101, 101, 101]),
        ("test", PAGE, [403, 101, 101]),
        ("test", "http://test", [101, 101, 101]),
        ("test", "https://test", [101, 101, 101]),
        ("test:8080", "http://test:8080", [101, 101, 101]),
        ("test", "http://test:8080", [403, 403, 101]),
        ("test", "http://test.", [403, 403, 101]),
        ("test", "http://eviltest", [403, 403, 101]),
        ("test", "http://test.evil.example", [403, 403, 101]),
        ("test", "https://evil.example", [403, 403, 101]),
        ("test", "chrome-extension://test", [403, 403, 101]),
        ("test", "test", [403, 403, 101]),
        ("test", "null", [403, 403, 101]),
    ] {
        for (server, expect) in [&closed, &open, &all].into_iter().zip(expect) {
            let headers = [
                ("host", host),
                ("origin", origin),
                ("cookie", "token=anyone"),
            ];
            let (_, status, head) = handshake(server.address, &headers).await;
            assert_eq!(status, expect, "{host} {origin}: {head}");
        }
    }
    let cases: Vec<(&str, &str)> = vec![("origin", PAGE), ("origin", "http://test")];
    let (_, status, _) = handshake(open.address, &cases).await;
    assert_eq!(status, 403, "of two headers neither counts");
}

#[tokio::test]
async fn tls_is_asked_for_where_it_is_set() {
    let plain = Server::start().await;
    let secure =
        Server::with(|s| s.http.hsts_max_age = Some(Duration::from_secs(31_536_000))).await;
    let ask = json!({ "query": "{ hello }" });
    for (server, expect) in [(plain, ""), (secure, "max-age=31536000")] {
        let reply = server.post("application/json", &ask).await;
        assert_eq!(reply.header("strict-transport-security"), expect);
        let reply = server.send("GET /nowhere", &[], b"").await;
        assert_eq!(reply.header("strict-transport-security"), expect);
    }
}
