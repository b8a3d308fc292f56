//! Passwords that are guessed and what cannot be one, K7 and K8 of `docs/promises.md`.

use std::time::Duration;

use chrono::TimeDelta;
use daybook::auth::Role;
use daybook::config::{Networks, value::Setting as _};
use futures::future::join_all;
use serde_json::{Value, json};

use super::scene::{As, PASSWORD, Scene, clock, email, outcome};

/// K7: whoever keeps an account paused by wrong passwords does not keep its owner out, who signs in from where
/// they did before; nor does the owner's network have more guesses than any.
#[tokio::test]
async fn k7_nobody_is_kept_out_by_others() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |settings| {
        settings.limits.account_attempts = 5;
        settings.http.trusted_proxies = Networks::parse("127.0.0.0/8").unwrap();
    })
    .await;
    scene.register("default", "ann", &[Role::Viewer]).await;
    let from = async |address: &str, password: &str| {
        let body = json!({ "email": email("ann"), "password": password }).to_string();
        let headers = [
            ("content-type", "application/json"),
            ("x-forwarded-for", address),
        ];
        let path = "POST /api/v1/auth/sign-in";
        let reply = scene.send(&As::Nobody, path, &headers, body.as_bytes());
        reply.await.status
    };
    let home = "2001:db8:1:2::1";
    assert_eq!(from(home, PASSWORD).await, 200);
    for n in 0..5 {
        assert_eq!(from(&format!("198.51.100.{n}"), "wrong").await, 401);
    }
    for n in 0..12 {
        let (stranger, neighbour) = (format!("198.51.100.{n}"), format!("2001:db8:1:2::{n}"));
        assert_eq!(from(&stranger, PASSWORD).await, 429, "{n}");
        assert_eq!(from(&neighbour, PASSWORD).await, 200, "{n}");
        hand.advance(TimeDelta::minutes(15));
        assert_eq!(
            from(&stranger, "wrong").await,
            401,
            "{n}: the pause was over"
        );
    }
    assert_eq!(
        from("2001:db8:1:3::1", PASSWORD).await,
        429,
        "another network"
    );
    for _ in 0..5 {
        assert_eq!(from(home, "wrong").await, 401);
    }
    assert_eq!(from(home, PASSWORD).await, 429);
}

/// No hash is worked out: with one at a time and no patience, several at once would get in each other's way.
#[tokio::test]
async fn k8_what_cannot_be_a_password_costs_nothing() {
    let scene = Scene::with(|settings| {
        settings.auth.password_checks_max = 1;
        settings.auth.password_wait = Duration::from_millis(10);
    })
    .await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let admin = scene.admin("default");
    let invite = "mutation($i: RegisterUserInput!) { registerUser(input: $i) {
                  verificationToken userErrors { code } } }";
    let input = json!({ "email": email("invited"), "name": "I" });
    let told = scene.done(&admin, invite, input).await;
    let link = told["verificationToken"].clone();
    let head = scene.app.head().await;
    let long = "x".repeat(128 << 10);
    for (bad, code) in [
        (long.as_str(), "VALIDATION"),
        (&"\u{1f511}".repeat(129), "VALIDATION"),
        ("", "VALIDATION"),
        ("nul\0in the middle of it", "BAD_TEXT"),
    ] {
        let sent: [(&As, &str, &str, Value); 5] = [
            (
                &As::Nobody,
                "signIn",
                "SignIn",
                json!({ "email": ann.email, "password": bad }),
            ),
            (
                &ann.access,
                "changePassword",
                "ChangePassword",
                json!({ "currentPassword": bad, "newPassword": PASSWORD }),
            ),
            (
                &admin,
                "registerUser",
                "RegisterUser",
                json!({ "email": email("new"), "name": "N", "password": bad }),
            ),
            (
                &As::Nobody,
                "verifyEmail",
                "VerifyEmail",
                json!({ "token": link, "password": bad }),
            ),
            (
                &As::Nobody,
                "verifyEmail",
                "VerifyEmail",
                json!({ "token": bad }),
            ),
        ];
        for (who, field, input, value) in sent {
            let query = format!(
                "mutation($i: {input}Input!) {{ {field}(input: $i) {{ userErrors {{ code }} }} }}"
            );
            let at_once = (0..4).map(|_| scene.ask(who, &query, json!({ "i": value })));
            for told in join_all(at_once).await {
                let expected = match value.get("password").or(value.get("currentPassword")) {
                    None if code == "VALIDATION" => "INVALID_TOKEN",
                    _ => code,
                };
                assert_eq!(outcome(&told), expected, "{field} {bad:.20}: {told:.300}");
            }
        }
        // The REST aliases answer 422 to what has the shape of a request.
        let body = json!({ "email": ann.email, "password": bad });
        let reply = scene.post(&As::Nobody, "/api/v1/auth/sign-in", &body).await;
        let status = if code == "BAD_TEXT" { 400 } else { 422 };
        assert_eq!(
            (reply.status, outcome(&reply.json())),
            (status, code),
            "{bad:.20}"
        );
    }
    assert_eq!(scene.app.head().await, head, "nothing was kept");
}
