//! A whole process that trusts a foreign issuer: whom its tokens stand for, what they may do, and how they end.

use chrono::TimeDelta;
use daybook::auth::Role;
use daybook::config::{Roles, RolesMap, Settings, WebUrl, value::Setting as _};
use daybook::ops::MockClock;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::issuer::{Issuer, NOW, Signer};
use crate::identity::scene::{As, Scene, at_leisure, clock, outcome};
use crate::transport::client::Socket;

/// An issuer and a process that trusts it.
struct Trust {
    signer: Signer,
    issuer: Issuer,
    scene: Scene,
    hand: MockClock,
}

fn trusting(settings: &mut Settings, issuer: &str) {
    settings.oidc.issuer = Some(WebUrl::parse(issuer).unwrap());
    settings.oidc.audience = Some("daybook".to_owned());
    settings.oidc.roles_map = RolesMap::parse("boss=admin, ops=operator").unwrap();
    settings.oidc.default_roles = Roles::parse("viewer").unwrap();
}

impl Trust {
    async fn begin() -> Trust {
        let signer = Signer::new("k", Algorithm::EdDSA);
        let issuer = Issuer::showing(&[&signer]).await;
        let (clock, hand) = clock();
        let scene = Scene::at(clock, |settings| trusting(settings, &issuer.name)).await;
        Trust {
            signer,
            issuer,
            scene,
            hand,
        }
    }

    /// A token of somebody with these words for roles.
    fn of(&self, subject: &str, id: Value, roles: Value) -> As {
        let claims = json!({ "sub": subject, "jti": id, "roles": roles });
        As::Token(self.signer.with_claims(&self.issuer, claims))
    }
}

/// The issuer says who they are, the settings what they may do; it is asked once.
#[tokio::test]
async fn whom_the_issuer_vouches_for_is_let_in() {
    let there = Trust::begin().await;
    let me = "{ me { id tenant roles user { id } } tokenStatus { kind tokenId sessionId } }";
    for (roles, expect) in [
        (json!(["boss"]), json!(["VIEWER", "ADMIN"])),
        (json!(["ops"]), json!(["VIEWER", "OPERATOR"])),
        (json!(["admin", "operator"]), json!(["VIEWER"])),
        (Value::Null, json!(["VIEWER"])),
    ] {
        let who = there.of("auth0|ann", json!("t1"), roles);
        for _ in 0..2 {
            let told = there.scene.ask(&who, me, json!({})).await;
            let (me, status) = (&told["data"]["me"], &told["data"]["tokenStatus"]);
            assert_eq!(me["id"], "oidc|auth0|ann", "{told}");
            assert_eq!(
                (&me["tenant"], &me["user"]),
                (&json!("default"), &Value::Null)
            );
            assert_eq!(me["roles"], expect, "{told}");
            assert_eq!(
                *status,
                json!({ "kind": "token", "tokenId": "oidc|t1", "sessionId": null })
            );
        }
    }
    let viewer = there.of("auth0|ann", json!("t2"), Value::Null);
    let users = there
        .scene
        .ask(&viewer, "{ tenants { nodes { id } } }", json!({}))
        .await;
    assert_eq!(outcome(&users), "FORBIDDEN");
    let mut socket = Socket::open(there.scene.app.address(), &[]).await;
    let init = json!({ "type": "connection_init", "payload": { "token": viewer.secret() } });
    socket.send(&init).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    assert_eq!(there.issuer.asked(), 1);
    // Our own are as good as before.
    assert_eq!(
        there.scene.standing(&there.scene.admin("default")).await,
        "ok"
    );
}

/// Nobody becomes somebody of ours by a name, and nothing of an account is theirs.
#[tokio::test]
async fn nobody_is_taken_for_a_user_of_ours() {
    let there = Trust::begin().await;
    let scene = &there.scene;
    let ann = scene.person("default", "ann", &[Role::Admin]).await;
    let twin = there.of(&ann.id, json!("t1"), json!(["ops"]));
    let told = scene
        .ask(&twin, "{ me { id user { id } } }", json!({}))
        .await;
    assert_eq!(
        told["data"]["me"],
        json!({ "id": format!("oidc|{}", ann.id), "user": null })
    );
    let sessions = "query($id: ID!) { sessions(userId: $id) { nodes { id } } }";
    let told = scene
        .settled(&twin, "default", sessions, json!({ "id": ann.id }))
        .await;
    assert_eq!(told["data"]["sessions"]["nodes"], json!([]), "{told}");
    for (query, input) in [
        (
            "mutation($i: ChangePasswordInput!) { changePassword(input: $i) { userErrors { code } } }",
            json!({ "currentPassword": "a", "newPassword": "b" }),
        ),
        (
            "mutation($i: SignOutInput!) { signOut(input: $i) { userErrors { code } } }",
            json!({ "everywhere": true }),
        ),
        (
            "mutation($i: SignOutInput!) { signOut(input: $i) { userErrors { code } } }",
            json!({ "sessionId": ann.session }),
        ),
    ] {
        let told = scene.ask(&twin, query, json!({ "i": input })).await;
        assert_eq!(outcome(&told), "NOT_FOUND", "{query}: {told}");
    }
    assert_eq!(scene.standing(&ann.access).await, "ok");
    // The issuer cannot speak in our name, nor we in its.
    for claims in [
        json!({ "iss": "daybook", "aud": "daybook-api" }),
        json!({ "iss": [there.issuer.name] }),
        json!({ "sid": ann.session, "sub": ann.id, "iss": "daybook", "aud": ["daybook", "daybook-api"],
                "tenant": "default", "nbf": NOW }),
    ] {
        let token = As::Token(there.signer.with_claims(&there.issuer, claims.clone()));
        assert_eq!(scene.standing(&token).await, "UNAUTHENTICATED", "{claims}");
    }
}

/// T15, T22: a token that is given back, or has run out, is good nowhere, though it was remembered; the
/// person's others are.
#[tokio::test]
async fn a_foreign_token_ends() {
    let there = Trust::begin().await;
    let scene = &there.scene;
    let beside = scene.app.beside(|settings| {
        at_leisure(settings);
        trusting(settings, &there.issuer.name);
    });
    let beside = Scene { app: beside.await };
    let sign_out = "mutation { signOut { userErrors { code } } }";
    for id in [json!("given-back"), Value::Null] {
        let token = there.of("ann", id.clone(), json!(["ops"]));
        let other = there.of("ann", json!("other"), json!(["ops"]));
        for scene in [scene, &beside] {
            assert_eq!(scene.standing(&token).await, "ok", "{id}");
        }
        scene.done(&token, sign_out, json!({})).await;
        for scene in [scene, &beside] {
            assert_eq!(scene.standing(&token).await, "UNAUTHENTICATED", "{id}");
            assert_eq!(scene.standing(&other).await, "ok");
        }
    }
    let token = there.of("ann", json!("t1"), json!(["ops"]));
    assert_eq!(scene.standing(&token).await, "ok");
    there.hand.advance(TimeDelta::seconds(930));
    assert_eq!(scene.standing(&token).await, "ok", "within the leeway");
    there.hand.advance(TimeDelta::milliseconds(1));
    for scene in [scene, &beside] {
        assert_eq!(scene.standing(&token).await, "UNAUTHENTICATED");
    }
}

/// A key they issue is theirs to look after, and nobody else's but an administrator's.
#[tokio::test]
async fn their_keys_are_theirs() {
    let there = Trust::begin().await;
    let scene = &there.scene;
    let (ann, ben) = (
        there.of("ann", json!("a"), json!(["ops"])),
        there.of("ben", json!("b"), json!(["ops"])),
    );
    let (id, key) = scene.key(&ann, &["vehicles:read"]).await;
    assert_eq!(scene.standing(&key).await, "ok");
    let list = "{ apiKeys { nodes { id } } }";
    let listed = async |who: &As| {
        let told = scene.settled(who, "default", list, json!({})).await;
        told["data"]["apiKeys"]["nodes"].clone()
    };
    assert_eq!(listed(&ann).await, json!([{ "id": id }]));
    assert_eq!(listed(&ben).await, json!([]));
    let rotate = "mutation($i: RotateApiKeyInput!) { rotateApiKey(input: $i) { secret userErrors { code } } }";
    let revoke =
        "mutation($i: RevokeApiKeyInput!) { revokeApiKey(input: $i) { userErrors { code } } }";
    let input = json!({ "id": id });
    for query in [rotate, revoke] {
        let told = scene.ask(&ben, query, json!({ "i": input })).await;
        assert_eq!(outcome(&told), "NOT_FOUND", "{query}");
    }
    let told = scene.done(&ann, rotate, input.clone()).await;
    let rotated = As::Key(told["secret"].as_str().unwrap().to_owned());
    assert_eq!(scene.standing(&rotated).await, "ok");
    scene.done(&ann, revoke, input).await;
    for key in [&key, &rotated] {
        assert_eq!(scene.standing(key).await, "UNAUTHENTICATED");
    }
}
