//! How credentials are written into headers, T20, T21 and K15 of `docs/promises.md`: to the letter, and what is
//! written otherwise is not passed over.

use serde_json::json;

use super::scene::{As, Scene, outcome};

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
