//! How credentials are written into headers, T20, T21 and K15 of `docs/promises.md`: to the letter, and what is
//! written otherwise is not passed over.

use serde_json::json;

use super::scene::{As, Scene, outcome};
use crate::transport::client::Socket;

const OK: &str = "ok";
const NOBODY: &str = "UNAUTHENTICATED";
const BOTH: &str = "AMBIGUOUS_AUTH";

/// Headers, one a line, and what is told of them. `TOKEN` and `APIKEY` stand for good ones, `~` for a space that
/// is all there is.
const WRITTEN: &[(&str, &str)] = &[
    ("authorization: Bearer TOKEN", OK),
    ("authorization: bearer TOKEN", OK),
    ("AUTHORIZATION: BEARER TOKEN", OK),
    ("Authorization: bEaReR TOKEN", OK),
    ("authorization: Bearer APIKEY", OK),
    ("authorization: Bearer  TOKEN", NOBODY),
    ("authorization: Bearer\tTOKEN", NOBODY),
    ("authorization: Bearer", NOBODY),
    ("authorization: BearerTOKEN", NOBODY),
    ("authorization: Bearer: TOKEN", NOBODY),
    ("authorization: Bearer=TOKEN", NOBODY),
    ("authorization: Bearer \"TOKEN\"", NOBODY),
    ("authorization: Bearer TOKEN,Bearer TOKEN", NOBODY),
    ("authorization: Bearer TOKEN, TOKEN", NOBODY),
    ("authorization: Bearer TOKEN TOKEN", NOBODY),
    ("authorization: Token TOKEN", NOBODY),
    ("authorization: Basic TOKEN", NOBODY),
    ("authorization: DPoP TOKEN", NOBODY),
    ("authorization: TOKEN", NOBODY),
    ("authorization: ~", NOBODY),
    (
        "authorization: Bearer TOKEN\nAuthorization: Bearer TOKEN",
        NOBODY,
    ),
    (
        "authorization: Bearer TOKEN\nAUTHORIZATION: Basic x",
        NOBODY,
    ),
    ("authorization: ~\nAuthorization: Bearer TOKEN", NOBODY),
    ("x-api-key: APIKEY", OK),
    ("X-API-KEY: APIKEY", OK),
    ("x-api-key: ~", NOBODY),
    ("x-api-key: TOKEN", NOBODY),
    ("x-api-key: APIKEY APIKEY", NOBODY),
    ("x-api-key: APIKEY,APIKEY", NOBODY),
    ("x-api-key: Bearer APIKEY", NOBODY),
    ("x-api-key: k\u{e9}y", NOBODY),
    ("x-api-key: APIKEY\nX-API-Key: APIKEY", BOTH),
    ("x-api-key: ~\nX-Api-Key: APIKEY", BOTH),
    ("authorization: Bearer TOKEN\nx-api-key: APIKEY", BOTH),
    ("authorization: Bearer TOKEN\nX-Api-Key: ~", BOTH),
    ("x_api_key: APIKEY", NOBODY),
    ("proxy-authorization: Bearer TOKEN", NOBODY),
    ("x-authorization: Bearer TOKEN", NOBODY),
    ("cookie: authorization=TOKEN; x-api-key=APIKEY", NOBODY),
];

#[tokio::test]
async fn t21_credentials_are_written_one_way() {
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let (_, key) = scene.key(&admin, &["vehicles:read"]).await;
    for (written, expected) in WRITTEN {
        let written = written
            .replace("TOKEN", admin.secret())
            .replace("APIKEY", key.secret());
        let lines = written.replace('~', "\t").replace('\n', "\r\n");
        let request = format!(
            "GET /api/jwt/status HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{lines}\r\n\r\n"
        );
        let reply = scene.app.raw(request.as_bytes()).await;
        let body = reply.json();
        assert_eq!(outcome(&body), *expected, "{written}: {body}");
        let challenge = reply.header("www-authenticate");
        if *expected == OK {
            assert_eq!((reply.status, challenge), (200, ""), "{written}");
        } else {
            assert_eq!(reply.status, 401, "{written}");
            assert!(challenge.starts_with("Bearer"), "{written}: {challenge}");
        }
    }
}

/// Whatever is answered 401 says what would be taken: a wrong password and a spent refresh token as well.
#[tokio::test]
async fn every_401_names_its_scheme() {
    let scene = Scene::start().await;
    let email = json!({ "email": "nobody@people.example", "password": "wrong" });
    for (path, body) in [
        ("/api/v1/auth/sign-in", email),
        ("/api/jwt/refresh", json!({ "refreshToken": "dbr.x" })),
        ("/api/v1/auth/change-password", json!({})),
    ] {
        let reply = scene.post(&As::Nobody, path, &body).await;
        assert_eq!(reply.status, 401, "{path}: {}", reply.json());
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, "Bearer realm=\"daybook\"", "{path}");
    }
}

/// Where nobody need be known, bad credentials are bad all the same.
#[tokio::test]
async fn what_anybody_may_do_is_not_done_with_bad_credentials() {
    let scene = Scene::start().await;
    let sign_in = "mutation { signIn(input: { email: \"a@b.example\", password: \"p\" }) {
                   userErrors { code } } }";
    let body = json!({ "query": sign_in }).to_string();
    for (name, value) in [
        ("authorization", "Bearer x"),
        ("authorization", "\t"),
        ("x-api-key", "\t"),
        ("x-api-key", "x"),
    ] {
        let nothing = ("authorization", "");
        let mut headers = vec![("content-type", "application/json"), (name, value)];
        headers.extend((name != "authorization").then_some(nothing));
        let reply = scene
            .app
            .send("POST /graphql", &headers, body.as_bytes())
            .await;
        assert_eq!(
            (reply.status, outcome(&reply.json())),
            (401, NOBODY),
            "{name}: {value}"
        );
    }
}

/// K15: a socket takes one credential as well, whether it is shown in the handshake or in the first message.
#[tokio::test]
async fn k15_a_socket_takes_one_credential() {
    let scene = Scene::start().await;
    let (one, other) = (scene.admin("default"), scene.admin("default"));
    let (_, key) = scene.key(&one, &["vehicles:read"]).await;
    let bearer = format!("Bearer {}", one.secret());
    let (by_token, by_key) = (
        ("authorization", bearer.as_str()),
        ("x-api-key", key.secret()),
    );
    let token = |who: &As| json!({ "token": who.secret() });
    for (headers, payload, taken) in [
        (&[by_token][..], json!(null), true),
        (&[by_token], token(&one), true),
        (&[by_token], token(&other), false),
        (&[by_token], token(&key), false),
        (&[by_token], json!({ "token": "x" }), false),
        (&[by_key], json!(null), true),
        (&[by_key], token(&one), false),
        (&[by_key], token(&key), false),
        (&[by_token, by_key], json!(null), false),
        (
            &[],
            json!({ "token": one.secret(), "authorization": bearer }),
            false,
        ),
    ] {
        let mut socket = Socket::open(scene.app.address(), headers).await;
        socket
            .send(&json!({ "type": "connection_init", "payload": payload }))
            .await;
        let said = socket.next().await;
        let expected = match taken {
            true => json!({ "type": "connection_ack" }),
            false => json!({ "closed": 4403, "reason": "forbidden" }),
        };
        assert_eq!(said, expected, "{headers:?} {payload}");
    }
}

/// Signing out needs no body.
#[tokio::test]
async fn a_session_is_ended_without_a_body() {
    let scene = Scene::start().await;
    for headers in [
        &[][..],
        &[("content-type", "application/json")],
        &[("content-length", "0")],
    ] {
        let who = scene.admin("default");
        let reply = scene.send(&who, "POST /api/jwt/revoke", headers, b"").await;
        assert_eq!(reply.status, 200, "{headers:?}: {}", reply.json());
        assert_eq!(scene.standing(&who).await, NOBODY);
    }
    let who = scene.admin("default");
    let reply = scene
        .send(&who, "POST /api/jwt/revoke", &[], b"not json")
        .await;
    assert_eq!(reply.status, 415);
    assert_eq!(scene.standing(&who).await, OK);
}
