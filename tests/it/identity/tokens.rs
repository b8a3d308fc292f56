//! Access tokens end to end, section T of `docs/promises.md`, as far as they are good by what the log says;
//! what a token must look like is in `auth.rs`.

use chrono::TimeDelta;
use daybook::auth::{Grant, Role};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::scene::{As, PASSWORD, Person, SOUTH, Scene, clock, outcome, person};
use crate::support::{Heard, TestApp, eventually};

/// What can befall a caller, and what they are answered from then on when they ask for a fleet to be made.
const ENDINGS: &[(&str, &str)] = &[
    ("signed out", "UNAUTHENTICATED"),
    ("signed out everywhere", "UNAUTHENTICATED"),
    ("session ended by an administrator", "UNAUTHENTICATED"),
    ("password changed elsewhere", "UNAUTHENTICATED"),
    ("deactivated", "UNAUTHENTICATED"),
    ("deactivated and back", "UNAUTHENTICATED"),
    ("erased", "UNAUTHENTICATED"),
    ("refresh token used again", "UNAUTHENTICATED"),
    ("role taken", "FORBIDDEN"),
    ("tenant suspended", "TENANT_SUSPENDED"),
];

const FLEET: &str =
    "mutation($i: CreateFleetInput!) { createFleet(input: $i) { userErrors { code } } }";

/// Has it befall somebody of the tenant `south`.
async fn befall(scene: &Scene, what: &str, who: &Person) {
    let (admin, house) = (scene.admin(SOUTH), scene.admin("default"));
    let user = json!({ "userId": who.id });
    let done = async |by: &As, mutation: &str, input: &str, value: Value| {
        let query = format!(
            "mutation($i: {input}!) {{ {mutation}(input: $i) {{ userErrors {{ code message }} }} }}"
        );
        scene.done(by, &query, value).await;
    };
    match what {
        "signed out" => done(&who.access, "signOut", "SignOutInput", json!({})).await,
        "signed out everywhere" => {
            let everywhere = json!({ "everywhere": true });
            done(&who.access, "signOut", "SignOutInput", everywhere).await;
        }
        "session ended by an administrator" => {
            let session = json!({ "sessionId": who.session });
            done(&admin, "signOut", "SignOutInput", session).await;
        }
        "password changed elsewhere" => {
            let elsewhere = scene.sign_in(SOUTH, who.name()).await;
            let new =
                json!({ "currentPassword": PASSWORD, "newPassword": "another horse altogether" });
            done(
                &elsewhere.access,
                "changePassword",
                "ChangePasswordInput",
                new,
            )
            .await;
        }
        "deactivated" => done(&admin, "deactivateUser", "DeactivateUserInput", user).await,
        "deactivated and back" => {
            done(
                &admin,
                "deactivateUser",
                "DeactivateUserInput",
                user.clone(),
            )
            .await;
            done(&admin, "reactivateUser", "UserInput", user).await;
        }
        "erased" => done(&admin, "erasePersonalData", "UserInput", user).await,
        "refresh token used again" => {
            let second = scene.refresh(&who.refresh).await;
            let second = person(&second["data"]["refreshSession"]["session"], who.name());
            scene.refresh(&second.refresh).await;
            assert_eq!(
                outcome(&scene.refresh(&who.refresh).await),
                "REFRESH_REUSED"
            );
        }
        "role taken" => {
            let role = json!({ "userId": who.id, "role": "OPERATOR" });
            done(&admin, "revokeRole", "UserRoleInput", role).await;
        }
        "tenant suspended" => {
            let tenant = json!({ "id": SOUTH });
            done(&house, "suspendTenant", "SuspendTenantInput", tenant).await;
        }
        other => panic!("{other}?"),
    }
}

/// T15: what is taken back is good for nothing, here and on another node, which remember what they knew for
/// `auth.recheck`.
#[tokio::test]
async fn t15_what_is_taken_back_ends() {
    let remembering = |settings: &mut daybook::config::Settings| {
        settings.auth.recheck = std::time::Duration::from_millis(100);
    };
    for (n, (what, expected)) in ENDINGS.iter().enumerate() {
        let here = Scene::with(remembering).await;
        here.tenant(SOUTH).await;
        let there = Scene {
            app: here
                .app
                .beside(|settings| {
                    super::scene::at_leisure(settings);
                    remembering(settings);
                })
                .await,
        };
        let who = here
            .person(SOUTH, &format!("p{n}"), &[Role::Operator])
            .await;
        let try_it = async |scene: &Scene, id: &str| {
            let input = json!({ "i": { "id": id, "name": "F" } });
            let told = scene.ask(&who.access, FLEET, input).await;
            outcome(&told).to_owned()
        };
        for scene in [&here, &there] {
            assert_eq!(scene.standing(&who.access).await, "ok", "{what}");
        }
        assert_eq!(try_it(&here, "before").await, "ok", "{what}");
        befall(&here, what, &who).await;
        for scene in [&here, &there] {
            eventually(what, async || try_it(scene, "before").await == *expected).await;
        }
        // And it stays so.
        assert_eq!(try_it(&here, "after").await, *expected, "{what}");
    }
}

/// T15: a token that an operator made for a program is taken back by whoever holds it.
#[tokio::test]
async fn t15_a_programs_token_can_be_given_back() {
    let scene = Scene::start().await;
    let (one, other) = (scene.admin("default"), scene.admin("default"));
    let sign_out = "mutation($i: SignOutInput) { signOut(input: $i) { userErrors { code } } }";
    for input in [
        json!({ "everywhere": true }),
        json!({ "sessionId": "none" }),
    ] {
        let told = scene.ask(&one, sign_out, json!({ "i": input })).await;
        assert_eq!(outcome(&told), "NOT_FOUND");
    }
    scene.done(&one, sign_out, json!({})).await;
    assert_eq!(scene.standing(&one).await, "UNAUTHENTICATED");
    assert_eq!(scene.standing(&other).await, "ok");
    // Nothing gives a token of somebody more than they have by now.
    let id = scene.register("default", "ann", &[Role::Viewer]).await;
    let grant = Grant {
        subject: id,
        tenant: "default".to_owned(),
        roles: Role::ALL.to_vec(),
        ..Grant::default()
    };
    let token = As::Token(scene.app.app().auth.mint(&grant).unwrap());
    let told = scene
        .ask(&token, "{ tokenStatus { roles } }", json!({}))
        .await;
    assert_eq!(told["data"]["tokenStatus"]["roles"], json!(["VIEWER"]));
}

/// T16: while the database is away, what it said is believed for a while; then nobody is let in.
#[tokio::test]
async fn t16_without_the_database_nobody_is_believed_for_long() {
    let scene = Scene::with(|settings| {
        settings.auth.believed_for = std::time::Duration::from_millis(1_500);
        settings.database.acquire_timeout = std::time::Duration::from_millis(200);
    })
    .await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let (_, key) = scene.key(&scene.admin("default"), &["vehicles:read"]).await;
    let unseen = scene.admin("default");
    for who in [&ann.access, &key] {
        assert_eq!(scene.standing(who).await, "ok");
    }
    cut_off(&scene.app).await;
    for who in [&ann.access, &key] {
        assert_eq!(scene.standing(who).await, "ok", "just found out");
    }
    let refused = scene
        .request(&unseen, "{ tokenStatus { kind } }", json!({}))
        .await;
    assert_eq!(
        (refused.status, outcome(&refused.json())),
        (503, "UNAVAILABLE"),
        "of a token that was never looked at nobody knows"
    );
    for who in [&ann.access, &key] {
        eventually("it is not believed any more", async || {
            scene.standing(who).await == "UNAVAILABLE"
        })
        .await;
    }
    let refused = scene
        .request(&ann.access, "{ tokenStatus { kind } }", json!({}))
        .await;
    assert_eq!(refused.status, 503);
    assert_ne!(refused.header("retry-after"), "");
}

/// Nobody connects to the process's database any more.
async fn cut_off(app: &TestApp) {
    let options = app.db().options();
    let name = options.get_database().unwrap().to_owned();
    let mut aside = PgConnection::connect_with(&options.database("postgres"))
        .await
        .unwrap();
    let close = format!("alter database {name} allow_connections false");
    aside.execute(close.as_str()).await.unwrap();
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(&name)
        .execute(&mut aside)
        .await
        .unwrap();
}

/// T17: whose data is asked for is the token's to say.
#[tokio::test]
async fn t17_a_tenant_cannot_be_asked_for() {
    let scene = Scene::start().await;
    scene.tenant(SOUTH).await;
    let admin = scene.admin("default");
    let body = json!({ "query": "{ me { tenant } }" }).to_string();
    for name in [
        "tenant",
        "x-tenant",
        "x-tenant-id",
        "daybook-tenant",
        "x-forwarded-tenant",
    ] {
        let headers = [("content-type", "application/json"), (name, SOUTH)];
        let told = scene
            .send(&admin, "POST /graphql", &headers, body.as_bytes())
            .await
            .json();
        assert_eq!(told["data"]["me"]["tenant"], "default", "{name}");
    }
    let in_url = scene
        .send(
            &admin,
            "GET /graphql?query=%7Bme%7Btenant%7D%7D&tenant=south",
            &[],
            b"",
        )
        .await
        .json();
    assert_eq!(in_url["data"]["me"]["tenant"], "default");
    for query in [
        "{ me(tenant: \"south\") { tenant } }",
        "{ vehicles(tenant: \"south\") { nodes { id } } }",
        "mutation { createFleet(input: { id: \"f\", name: \"F\", tenant: \"south\" }) { userErrors { code } } }",
    ] {
        let told = scene.ask(&admin, query, json!({})).await;
        assert_eq!(outcome(&told), "GRAPHQL_VALIDATION_FAILED", "{query}");
    }
    // Signing in names a tenant: whoever is known in one is nobody in the other.
    scene.register("default", "ann", &[]).await;
    let told = scene
        .try_sign_in(SOUTH, &super::scene::email("ann"), PASSWORD)
        .await;
    assert_eq!(outcome(&told), "SIGN_IN_FAILED");
}

/// T20: one header, and nothing but a header.
#[tokio::test]
async fn t20_credentials_come_in_one_header() {
    let scene = Scene::start().await;
    let heard = Heard::listen();
    let ann = scene.person("default", "ann", &[Role::Admin]).await;
    let (_, key) = scene.key(&ann.access, &["vehicles:read"]).await;
    let (token, key) = (ann.access.secret(), key.secret());
    let bearer = format!("Bearer {token}");
    let two = scene
        .app
        .send(
            "GET /graphql?query=%7Bme%7Bid%7D%7D",
            &[
                ("authorization", bearer.as_str()),
                ("authorization", bearer.as_str()),
            ],
            b"",
        )
        .await;
    assert_eq!((two.status, outcome(&two.json())), (401, "UNAUTHENTICATED"));
    assert!(two.header("www-authenticate").starts_with("Bearer"));
    for secret in [token, key] {
        for name in [
            "access_token",
            "token",
            "authorization",
            "api_key",
            "x-api-key",
        ] {
            for path in [
                format!("/graphql?query=%7Bme%7Bid%7D%7D&{name}={secret}"),
                format!("/api/v1/auth/me?{name}={secret}"),
                format!("/api/vehicles/latest?{name}={secret}"),
                format!("/api/jwt/status?{name}={secret}"),
            ] {
                let reply = scene
                    .send(&As::Nobody, &format!("GET {path}"), &[], b"")
                    .await;
                let code = outcome(&reply.json()).to_owned();
                assert_eq!(
                    (reply.status, code.as_str()),
                    (401, "UNAUTHENTICATED"),
                    "{path}"
                );
                let body = String::from_utf8_lossy(&reply.body).into_owned();
                assert!(!body.contains(secret), "{body}");
            }
        }
        let said = heard.take();
        assert!(said.iter().any(|said| said.in_request));
        for said in said {
            assert!(!said.text.contains(secret), "{}", said.text);
        }
    }
}

/// T22: a clock that is set wrong locks nobody out for good, and revives nothing. Whoever remembers a token
/// answers as a process does that never saw it.
#[tokio::test]
async fn t22_a_clock_that_steps() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |_| ()).await;
    let hour = TimeDelta::hours(1);
    let everywhere = async |person: &Person| {
        let (here, anew) = (scene.standing(&person.access).await, scene.beside().await);
        assert_eq!(anew.standing(&person.access).await, here);
        here
    };
    let refreshed = async |with: &Person| {
        let told = scene.refresh(&with.refresh).await;
        assert_eq!(outcome(&told), "ok", "{told}");
        person(&told["data"]["refreshSession"]["session"], "ann")
    };
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    assert_eq!(everywhere(&ann).await, "ok");
    // Ahead: what runs out does so, and whoever is signed in stays it.
    hand.advance(hour);
    assert_eq!(everywhere(&ann).await, "UNAUTHENTICATED");
    let ahead = refreshed(&ann).await;
    assert_eq!(everywhere(&ahead).await, "ok");
    // Back: what was given in the meantime is of a time to come, and the session goes on.
    hand.advance(-hour);
    assert_eq!(everywhere(&ahead).await, "UNAUTHENTICATED");
    let back = refreshed(&ahead).await;
    assert_eq!(everywhere(&back).await, "ok");
    // Behind: what had run out before the step does not come back with it, nor what was ended.
    hand.advance(TimeDelta::minutes(20));
    assert_eq!(everywhere(&back).await, "UNAUTHENTICATED");
    let ended = scene.sign_in("default", "ann").await;
    assert_eq!(everywhere(&ended).await, "ok");
    let sign_out = "mutation { signOut { userErrors { code } } }";
    scene.done(&ended.access, sign_out, json!({})).await;
    hand.advance(-hour);
    assert_eq!(everywhere(&back).await, "UNAUTHENTICATED");
    assert_eq!(everywhere(&ended).await, "UNAUTHENTICATED");
    assert_eq!(
        outcome(&scene.refresh(&ended.refresh).await),
        "SESSION_REVOKED"
    );
    let kept = refreshed(&back).await;
    assert_eq!(everywhere(&kept).await, "ok");
    let anew = scene.sign_in("default", "ann").await;
    assert_eq!(everywhere(&anew).await, "ok");
}

/// K and T by REST: the aliases answer as the schema does, with statuses of their own.
#[tokio::test]
async fn tokens_by_rest() {
    let scene = Scene::start().await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let refreshed = scene
        .post(
            &As::Nobody,
            "/api/jwt/refresh",
            &json!({ "refreshToken": ann.refresh }),
        )
        .await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.json());
    let ann = person(&refreshed.json(), "ann");
    let status = scene
        .send(&ann.access, "GET /api/jwt/status", &[], b"")
        .await;
    assert_eq!(status.json()["sessionId"], *ann.session);
    let wrong = json!({ "email": ann.email, "password": "wrong" });
    let wrong = scene
        .post(&As::Nobody, "/api/v1/auth/sign-in", &wrong)
        .await;
    assert_eq!(
        (wrong.status, outcome(&wrong.json())),
        (401, "SIGN_IN_FAILED")
    );
    assert_eq!(
        scene
            .post(&ann.access, "/api/jwt/revoke", &json!({}))
            .await
            .status,
        200
    );
    for (path, body) in [
        ("/api/jwt/refresh", json!({ "refreshToken": ann.refresh })),
        (
            "/api/v1/auth/refresh",
            json!({ "refreshToken": ann.refresh }),
        ),
    ] {
        let over = scene.post(&As::Nobody, path, &body).await;
        assert_eq!(
            (over.status, outcome(&over.json())),
            (401, "SESSION_REVOKED")
        );
    }
}
