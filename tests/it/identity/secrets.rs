//! Secrets are seen nowhere, N7 of `docs/promises.md`: what is said in the log, kept in tables, told and counted
//! in a scene of everything that is done with them.

use daybook::config::Environment;
use serde_json::{Value, json};

use super::scene::{As, Person, SESSION, Scene, email, outcome, person};
use crate::support::Heard;

/// Secrets of a scene, and what they are of.
struct Planted(Vec<(&'static str, String)>);

impl Planted {
    fn session(&mut self, person: &Person) {
        self.0
            .push(("access token", person.access.secret().to_owned()));
        self.0.push(("refresh token", person.refresh.clone()));
    }

    /// Those that are found in a text.
    fn found_in(&self, text: &str) -> Vec<&str> {
        let in_text = |secret: &str| {
            // Of a token the part that proves it will do for whoever finds it.
            let proof = secret.rsplit('.').next().unwrap_or(secret);
            text.contains(secret) || text.contains(proof)
        };
        let found = self.0.iter().filter(|(_, secret)| in_text(secret));
        found.map(|(what, _)| *what).collect()
    }
}

/// N7, N6, N14, N16: a scene of everything that is done with secrets: none of them is said at any level the
/// process can be set to for looking into something, or kept in any table, or told again; and no address.
#[tokio::test]
async fn n7_secrets_are_seen_nowhere() {
    let heard = Heard::listen();
    let scene = Scene::with(|settings| settings.process.env = Environment::Production).await;
    let admin = scene.admin("default");
    let mut planted = Planted(vec![("administrator's token", admin.secret().to_owned())]);
    let secret = |what: &str| format!("planted-{what}-horse-battery-staple");
    let one = |field: &str, input: &str, of: &str| {
        format!(
            "mutation($i: {input}Input!) {{ {field}(input: $i) {{ {of} userErrors {{ code message }} }} }}"
        )
    };

    // A link, a first password by it, and wrong ones.
    let invited = json!({ "email": email("quillfeather"), "name": "Q", "roles": ["VIEWER"] });
    let told = scene
        .done(
            &admin,
            &one("registerUser", "RegisterUser", "verificationToken"),
            invited,
        )
        .await;
    let link = told["verificationToken"].as_str().unwrap().to_owned();
    planted.0.push(("link", link.clone()));
    for what in ["first", "second", "third", "guessed", "weak"] {
        planted.0.push(("password", secret(what)));
    }
    let by_link = json!({ "token": link, "password": secret("first") });
    scene
        .done(&As::Nobody, &one("verifyEmail", "VerifyEmail", ""), by_link)
        .await;
    let address = email("quillfeather");
    let wrong = scene
        .try_sign_in("default", &address, &secret("guessed"))
        .await;
    assert_eq!(outcome(&wrong), "SIGN_IN_FAILED");
    let told = scene
        .try_sign_in("default", &address, &secret("first"))
        .await;
    let ann = person(&told["data"]["signIn"]["session"], "quillfeather");
    planted.session(&ann);
    let told = scene.refresh(&ann.refresh).await;
    let next = person(&told["data"]["refreshSession"]["session"], "quillfeather");
    planted.session(&next);
    let change = json!({ "currentPassword": secret("first"), "newPassword": secret("second") });
    let told = scene
        .done(
            &next.access,
            &one(
                "changePassword",
                "ChangePassword",
                "session { userId sessionId accessToken refreshToken }",
            ),
            change,
        )
        .await;
    let changed = person(&told["session"], "quillfeather");
    planted.session(&changed);
    // Somebody with a password from the start, and what is refused with one in it.
    let with_password =
        json!({ "email": email("eve"), "name": "Eve", "password": secret("third") });
    scene
        .done(
            &admin,
            &one("registerUser", "RegisterUser", ""),
            with_password,
        )
        .await;
    for bad in [
        json!({ "email": "none", "name": "N", "password": secret("weak") }),
        json!({ "email": email("eve"), "name": "N", "password": secret("weak") }),
        json!({ "email": email("x"), "name": "N", "password": secret("weak"), "role": secret("weak") }),
    ] {
        let query = one("registerUser", "RegisterUser", "");
        let told = scene.ask(&admin, &query, json!({ "i": bad })).await;
        assert_ne!(outcome(&told), "ok");
        assert_eq!(
            planted.found_in(&told.to_string()),
            Vec::<&str>::new(),
            "{told}"
        );
    }
    // Keys: issued, rotated, used, wrong, in the wrong place.
    let order = json!({ "name": "k", "scopes": ["vehicles:read"] });
    let told = scene
        .done(
            &changed.access,
            &one("issueApiKey", "IssueApiKey", "apiKey { id } secret"),
            order,
        )
        .await;
    let key = As::Key(told["secret"].as_str().unwrap().to_owned());
    planted.0.push(("API key", key.secret().to_owned()));
    let id = json!({ "id": told["apiKey"]["id"] });
    let told = scene
        .done(&key, &one("rotateApiKey", "RotateApiKey", "secret"), id)
        .await;
    let rotated = As::Key(told["secret"].as_str().unwrap().to_owned());
    planted
        .0
        .push(("rotated API key", rotated.secret().to_owned()));
    for who in [&key, &rotated, &changed.access, &admin] {
        assert_eq!(scene.standing(who).await, "ok");
    }
    let spoilt = As::Token(format!("{}x", changed.access.secret()));
    assert_eq!(scene.standing(&spoilt).await, "UNAUTHENTICATED");
    for (_, secret) in &planted.0 {
        let json = [
            ("content-type", "application/json"),
            ("traceparent", secret),
        ];
        let baggage = [
            json[0],
            json[1],
            ("baggage", secret),
            ("x-correlation-id", "sane"),
        ];
        let document = format!("{{ me {{ id }} }} # {secret}");
        let body = json!({ "query": document, "password": secret }).to_string();
        scene
            .send(&As::Nobody, "POST /graphql", &baggage, body.as_bytes())
            .await;
        let path = format!("GET /api/v1/auth/me?token={}", secret.len());
        scene.send(&As::Key(secret.clone()), &path, &[], b"").await;
    }
    // By REST, and over a socket.
    let sign_in = json!({ "email": address, "password": secret("second") });
    let told = scene
        .post(&As::Nobody, "/api/v1/auth/sign-in", &sign_in)
        .await
        .json();
    planted.session(&person(&told, "quillfeather"));
    let query = format!("mutation($i: SignInInput!) {{ signIn(input: $i) {{ {SESSION} }} }}");
    let mut socket = crate::transport::client::Socket::open(scene.app.address(), &[]).await;
    let init =
        json!({ "type": "connection_init", "payload": { "token": changed.access.secret() } });
    socket.send(&init).await;
    socket.next().await;
    let payload = json!({ "query": query, "variables": { "i": sign_in } });
    socket
        .send(&json!({ "id": "1", "type": "subscribe", "payload": payload }))
        .await;
    let told = socket.next().await;
    planted.session(&person(
        &told["payload"]["data"]["signIn"]["session"],
        "quillfeather",
    ));

    // What an administrator can read of it all.
    let lists = "{ events(first: 200) { nodes { payload metadata { actor commandId correlationId traceparent } } }
                   apiKeys { nodes { id name lastFour } } }";
    let told = scene.settled(&admin, "default", lists, json!({})).await;
    assert_eq!(told["errors"], Value::Null);
    let metrics = scene.send(&admin, "GET /metrics", &[], b"").await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    let dump = scene.app.db().dump().await;
    let said: Vec<String> = heard.take().into_iter().map(|said| said.text).collect();
    assert!(said.len() > 200, "{}", said.len());
    assert!(dump.contains("user.registered") && dump.contains("$argon2id$"));
    let told = told.to_string();
    assert_eq!(planted.found_in(&format!("a {link}, b")), ["link"]);
    for text in said.iter().chain([&told, &metrics, &dump]) {
        assert_eq!(planted.found_in(text), Vec::<&str>::new(), "{text:.3000}");
        assert!(
            !text.to_lowercase().contains("quillfeather"),
            "{text:.3000}"
        );
    }
}
