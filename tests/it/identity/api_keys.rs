//! API keys, section K of `docs/promises.md` from K9 on: what they are let in to, until when, and where they
//! are never seen.

use std::time::Duration;

use chrono::TimeDelta;
use daybook::auth::Role;
use domain::Scope;
use serde_json::{Value, json};

use super::scene::{As, Scene, clock, outcome};
use crate::support::Heard;

/// A key of the form ours have, which nobody issued.
fn made_up(begins: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut key = format!("dbk_live_{begins}");
    key.extend(std::iter::repeat_n('x', 39 - key.len()));
    let mut sum = crc32fast::hash(key.as_bytes());
    let mut check = [0; 6];
    for digit in check.iter_mut().rev() {
        *digit = DIGITS[(sum % 62) as usize];
        sum /= 62;
    }
    key.extend(check.map(char::from));
    key
}

/// K9: what nobody can have issued is refused without asking anybody.
#[tokio::test]
async fn k9_a_mistyped_key_asks_nobody() {
    let heard = Heard::listen();
    let scene = Scene::start().await;
    let (_, key) = scene.key(&scene.admin("default"), &["vehicles:read"]).await;
    assert_eq!(scene.standing(&key).await, "ok");
    let good = key.secret();
    let mut flipped = good.to_owned().into_bytes();
    flipped[20] = if flipped[20] == b'x' { b'y' } else { b'x' };
    let long = format!("{good}{good}{good}{good}{good}");
    for bad in [
        String::from_utf8(flipped).unwrap().as_str(),
        &good[..good.len() - 1],
        &good[1..],
        &format!("{good}0"),
        &good.to_uppercase(),
        &long,
        "dbk_live_",
        "' or 1=1 --",
        "*",
        "null",
    ] {
        heard.take();
        assert_eq!(
            scene.standing(&As::Key(bad.to_owned())).await,
            "UNAUTHENTICATED",
            "{bad}"
        );
        assert_eq!(heard.statements(), [], "{bad}");
        if bad.starts_with("dbk_") {
            let as_bearer = As::Token(bad.to_owned());
            assert_eq!(scene.standing(&as_bearer).await, "UNAUTHENTICATED");
            assert_eq!(heard.statements(), [], "{bad}");
        }
    }
    // One of the right form is looked up.
    scene.standing(&As::Key(made_up("k9"))).await;
    assert_eq!(heard.statements().len(), 1);
}

/// K10: guesses at keys are counted as those at passwords are; whoever shares the address and has a key is let
/// in.
#[tokio::test]
async fn k10_guessing_is_slow() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |settings| settings.limits.sign_ins_per_minute = 10).await;
    let (_, key) = scene.key(&scene.admin("default"), &["vehicles:read"]).await;
    let guess = async |n: usize| {
        let key = As::Key(made_up(&format!("k10n{n}n")));
        scene.send(&key, "GET /api/jwt/status", &[], b"").await
    };
    for n in 0..10 {
        assert_eq!(guess(n).await.status, 401, "{n}");
    }
    for n in 10..15 {
        let reply = guess(n).await;
        assert_eq!(
            (reply.status, outcome(&reply.json())),
            (429, "RATE_LIMITED")
        );
        assert_eq!(reply.header("retry-after"), "6");
    }
    assert_eq!(scene.standing(&key).await, "ok");
    hand.advance(TimeDelta::seconds(6));
    assert_eq!(guess(20).await.status, 401);
    assert_eq!(guess(21).await.status, 429);
}

/// K10: whoever goes on sending a key that is over guesses nothing: people behind the same address sign in.
#[tokio::test]
async fn k10_a_key_that_is_over_is_no_guess() {
    let heard = Heard::listen();
    let (clock, _) = clock();
    let scene = Scene::at(clock, |settings| {
        settings.limits.sign_ins_per_minute = 10;
        settings.auth.recheck = Duration::from_secs(60);
    })
    .await;
    let admin = scene.admin("default");
    scene.register("default", "ann", &[Role::Viewer]).await;
    let (id, key) = scene.key(&admin, &["vehicles:read"]).await;
    let revoke =
        "mutation($i: RevokeApiKeyInput!) { revokeApiKey(input: $i) { userErrors { code } } }";
    scene.done(&admin, revoke, json!({ "id": id })).await;
    for n in 0..30 {
        heard.take();
        let reply = scene.send(&key, "GET /api/jwt/status", &[], b"").await;
        assert_eq!(
            (reply.status, outcome(&reply.json())),
            (401, "UNAUTHENTICATED"),
            "{n}"
        );
        let asked = heard.statements();
        assert!(n == 0 || asked.is_empty(), "it is known by now: {asked:?}");
    }
    scene.sign_in("default", "ann").await;
}

/// K11: a key that has run out or was taken back, or is for something else; and never for more than its owner.
#[tokio::test]
async fn k11_a_key_is_good_for_what_its_owner_may() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |_| ()).await;
    let query = async |key: &As| {
        let told = scene
            .ask(key, "{ vehicles { nodes { id } } }", json!({}))
            .await;
        outcome(&told).to_owned()
    };
    let admin = scene.admin("default");
    let olga = scene.person("default", "olga", &[Role::Operator]).await;
    let (id, key) = scene
        .key(&olga.access, &["vehicles:read", "positions:write"])
        .await;
    assert_eq!(query(&key).await, "ok");
    let (_, ingest) = scene.key(&admin, &["positions:write"]).await;
    assert_eq!(query(&ingest).await, "FORBIDDEN");
    // More than she may do she cannot give, nor what does not exist.
    let issue = "mutation($i: IssueApiKeyInput!) { issueApiKey(input: $i) {
                 secret userErrors { code path } } }";
    for (scopes, code) in [
        (json!(["audit:read"]), "SCOPE_ESCALATION"),
        (json!(["vehicles:read", "backfill"]), "SCOPE_ESCALATION"),
        (json!(["admin"]), "VALIDATION"),
        (json!(["vehicles:*"]), "VALIDATION"),
        (json!(["VEHICLES:READ"]), "VALIDATION"),
        (json!([""]), "VALIDATION"),
        (json!([]), "VALIDATION"),
    ] {
        let input = json!({ "i": { "name": "k", "scopes": scopes } });
        let told = scene.ask(&olga.access, issue, input).await;
        assert_eq!(outcome(&told), code, "{scopes}: {told}");
        assert_eq!(told["data"]["issueApiKey"]["secret"], Value::Null);
    }
    for (field, length, code) in [
        ("expiresIn", "P366D", "OUT_OF_RANGE"),
        ("expiresIn", "PT0S", "OUT_OF_RANGE"),
        ("expiresIn", "-P1D", "OUT_OF_RANGE"),
        ("expiresIn", "P99999999D", "OUT_OF_RANGE"),
        ("rotateEvery", "PT0S", "OUT_OF_RANGE"),
    ] {
        let input = json!({ "name": "k", "scopes": ["vehicles:read"], field: length });
        let told = scene.ask(&olga.access, issue, json!({ "i": input })).await;
        let code_told = outcome(&told);
        let refused = [code, "GRAPHQL_VALIDATION_FAILED"].contains(&code_told);
        assert!(refused, "{field} {length}: {told}");
    }
    // A key issues and administers nothing, but may rotate itself.
    let input = json!({ "i": { "name": "k", "scopes": ["vehicles:read"] } });
    assert_eq!(outcome(&scene.ask(&key, issue, input).await), "FORBIDDEN");
    let rotate = "mutation($i: RotateApiKeyInput!) { rotateApiKey(input: $i) { secret userErrors { code } } }";
    let (other, _) = scene.key(&admin, &["vehicles:read"]).await;
    let told = scene
        .ask(&key, rotate, json!({ "i": { "id": other } }))
        .await;
    assert_eq!(outcome(&told), "NOT_FOUND");
    // With her role it is good for less, with her for nothing.
    let role = "mutation($i: UserRoleInput!) { revokeRole(input: $i) { userErrors { code } } }";
    scene
        .done(
            &admin,
            role,
            json!({ "userId": olga.id, "role": "OPERATOR" }),
        )
        .await;
    assert_eq!(query(&key).await, "FORBIDDEN");
    assert_eq!(scene.standing(&key).await, "ok");
    let assign = "mutation($i: UserRoleInput!) { assignRole(input: $i) { userErrors { code } } }";
    scene
        .done(
            &admin,
            assign,
            json!({ "userId": olga.id, "role": "VIEWER" }),
        )
        .await;
    assert_eq!(query(&key).await, "ok");
    let status = scene
        .ask(&key, "{ tokenStatus { scopes } }", json!({}))
        .await;
    assert_eq!(
        status["data"]["tokenStatus"]["scopes"],
        json!(["vehicles:read"])
    );
    let deactivate =
        "mutation($i: DeactivateUserInput!) { deactivateUser(input: $i) { userErrors { code } } }";
    scene
        .done(&admin, deactivate, json!({ "userId": olga.id }))
        .await;
    assert_eq!(query(&key).await, "UNAUTHENTICATED");
    // Taken back, it does not come back with her.
    let revoke =
        "mutation($i: RevokeApiKeyInput!) { revokeApiKey(input: $i) { userErrors { code } } }";
    scene.done(&admin, revoke, json!({ "id": id })).await;
    let reactivate =
        "mutation($i: UserInput!) { reactivateUser(input: $i) { userErrors { code } } }";
    scene
        .done(&admin, reactivate, json!({ "userId": olga.id }))
        .await;
    assert_eq!(query(&key).await, "UNAUTHENTICATED");
    hand.advance(TimeDelta::days(365));
    assert_eq!(query(&ingest).await, "UNAUTHENTICATED", "it has run out");
}

/// K12: for a while there are two secrets, then one.
#[tokio::test]
async fn k12_secrets_overlap() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |_| ()).await;
    let (id, first) = scene.key(&scene.admin("default"), &["vehicles:read"]).await;
    let rotate = async |by: &As| {
        let query = "mutation($i: RotateApiKeyInput!) { rotateApiKey(input: $i) {
                     secret userErrors { code message } } }";
        let told = scene.done(by, query, json!({ "id": id })).await;
        As::Key(told["secret"].as_str().unwrap().to_owned())
    };
    let second = rotate(&first).await;
    for key in [&first, &second] {
        assert_eq!(scene.standing(key).await, "ok");
    }
    hand.advance(TimeDelta::hours(24) - TimeDelta::milliseconds(1));
    assert_eq!(scene.standing(&first).await, "ok");
    hand.advance(TimeDelta::milliseconds(1));
    assert_eq!(scene.standing(&first).await, "UNAUTHENTICATED");
    assert_eq!(scene.standing(&second).await, "ok");
    // Of three the first is good no more, however young the others are.
    let third = rotate(&second).await;
    let fourth = rotate(&third).await;
    for (key, standing) in [
        (&second, "UNAUTHENTICATED"),
        (&third, "ok"),
        (&fourth, "ok"),
    ] {
        assert_eq!(scene.standing(key).await, standing);
    }
}

/// K12: whoever finds a key issued for a day has it for that day: by rotating itself it does not make itself
/// last, unless it was issued to be rotated.
#[tokio::test]
async fn k12_a_key_does_not_make_itself_last() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |_| ()).await;
    let issue = "mutation($i: IssueApiKeyInput!) { issueApiKey(input: $i) {
                 apiKey { id } secret userErrors { code } } }";
    let rotate = "mutation($i: RotateApiKeyInput!) { rotateApiKey(input: $i) {
                  secret userErrors { code path } } }";
    let secret = |told: &Value| As::Key(told["secret"].as_str().unwrap().to_owned());
    for (rotate_every, standing) in [(Value::Null, "UNAUTHENTICATED"), (json!("P1D"), "ok")] {
        let order = json!({ "name": "k", "scopes": ["vehicles:read"], "expiresIn": "P1D",
                            "rotateEvery": rotate_every });
        let told = scene.done(&scene.admin("default"), issue, order).await;
        let (id, found) = (told["apiKey"]["id"].clone(), secret(&told));
        hand.advance(TimeDelta::hours(12));
        let longer = json!({ "i": { "id": id, "expiresIn": "P2D" } });
        let told = scene.ask(&found, rotate, longer).await;
        let refused = if rotate_every.is_null() {
            "OUT_OF_RANGE"
        } else {
            "ok"
        };
        assert_eq!(outcome(&told), refused, "{told}");
        let path = &told["data"]["rotateApiKey"]["userErrors"][0]["path"];
        assert!(
            path.is_null() || *path == json!(["input", "expiresIn"]),
            "{told}"
        );
        let found = match told["data"]["rotateApiKey"]["secret"].as_str() {
            Some(secret) => As::Key(secret.to_owned()),
            None => secret(&scene.done(&found, rotate, json!({ "id": id })).await),
        };
        assert_eq!(scene.standing(&found).await, "ok");
        hand.advance(TimeDelta::hours(12));
        assert_eq!(scene.standing(&found).await, standing, "{rotate_every}");
    }
    // Whoever answers for it may make it last.
    let order = json!({ "name": "k", "scopes": ["vehicles:read"], "expiresIn": "P1D" });
    let told = scene.done(&scene.admin("default"), issue, order).await;
    let longer = json!({ "id": told["apiKey"]["id"], "expiresIn": "P2D" });
    let lasting = secret(&scene.done(&scene.admin("default"), rotate, longer).await);
    hand.advance(TimeDelta::hours(47));
    assert_eq!(scene.standing(&lasting).await, "ok");
}

/// K13: a key that begins as a real one does is looked for by the same question as any.
#[tokio::test]
async fn k13_a_good_beginning_is_worth_nothing() {
    let heard = Heard::listen();
    let scene = Scene::start().await;
    let (_, key) = scene.key(&scene.admin("default"), &["vehicles:read"]).await;
    let mut asked = Vec::new();
    for begins in [&key.secret()[9..35], "", "0"] {
        let guess = As::Key(made_up(begins));
        scene.standing(&guess).await;
        heard.take();
        assert_eq!(scene.standing(&guess).await, "UNAUTHENTICATED");
        asked.push(heard.statements());
    }
    assert_eq!(asked[0].len(), 1, "{asked:?}");
    assert_eq!(asked[0][0].1, "0", "no row");
    assert_eq!((&asked[0], &asked[0]), (&asked[1], &asked[2]));
}

/// K14, K16: a key is told once, and is seen nowhere after: in no log line, no table, no list.
#[tokio::test]
async fn k14_a_key_is_told_once() {
    let heard = Heard::listen();
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let issue = "mutation($i: IssueApiKeyInput!) { issueApiKey(input: $i) {
                 apiKey { id } secret receipt { replayed } userErrors { code } } }";
    let input = json!({ "name": "k", "scopes": ["vehicles:read"], "commandId": "one" });
    let told = scene.done(&admin, issue, input.clone()).await;
    let secret = told["secret"].as_str().unwrap().to_owned();
    let mut other = input.clone();
    other["expiresIn"] = json!("P1D");
    let refused = scene.ask(&admin, issue, json!({ "i": other })).await;
    assert_eq!(outcome(&refused), "IDEMPOTENCY_KEY_REUSED", "{refused}");
    let again = scene.done(&admin, issue, input).await;
    assert_eq!(
        (&again["secret"], &again["receipt"]["replayed"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(again["apiKey"], told["apiKey"]);
    let key = As::Key(secret.clone());
    assert_eq!(scene.standing(&key).await, "ok");
    // In a body it is no credential.
    let body =
        json!({ "apiKey": secret, "query": "{ me { id } }", "variables": { "apiKey": secret } });
    let reply = scene.post(&As::Nobody, "/graphql", &body).await;
    assert_eq!(
        (reply.status, outcome(&reply.json())),
        (401, "UNAUTHENTICATED")
    );
    // Everything an administrator can ask of it.
    let lists =
        "{ apiKeys(includeRevoked: true) { nodes { id name lastFour scopes issuedAt issuedBy
                   expiresAt rotateEvery rotationDueAt rotatedAt previousUntil revokedAt bootstrap
                   requests lastUsedAt version } }
                 events(first: 200) { nodes { payload metadata { commandId } } } }";
    let told = scene.settled(&admin, "default", lists, json!({})).await;
    assert_eq!(told["errors"], Value::Null, "{told}");
    let listed = &told["data"]["apiKeys"]["nodes"];
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["lastFour"], secret[secret.len() - 4..]);
    let dump = scene.app.db().dump().await;
    assert!(dump.contains(listed[0]["id"].as_str().unwrap()));
    let said = heard.take();
    let middle = &secret[9..35];
    for text in said
        .iter()
        .map(|said| &said.text)
        .chain([&told.to_string(), &dump])
    {
        assert!(!text.contains(middle), "{text:.2000}");
    }
}

/// K15: a token and a key together are nobody, whichever of them are good.
#[tokio::test]
async fn k15_one_credential_at_a_time() {
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let words: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let (_, key) = scene.key(&admin, &words).await;
    let bearer = |secret: &str| ("authorization", format!("Bearer {secret}"));
    let api_key = |secret: &str| ("x-api-key", secret.to_owned());
    let json = ("content-type", "application/json".to_owned());
    for (headers, code) in [
        (
            vec![bearer(admin.secret()), api_key(key.secret())],
            "AMBIGUOUS_AUTH",
        ),
        (
            vec![bearer(key.secret()), api_key(key.secret())],
            "AMBIGUOUS_AUTH",
        ),
        (vec![bearer("x"), api_key(key.secret())], "AMBIGUOUS_AUTH"),
        (vec![bearer(admin.secret()), api_key("x")], "AMBIGUOUS_AUTH"),
        (
            vec![api_key(key.secret()), api_key(key.secret())],
            "AMBIGUOUS_AUTH",
        ),
        (vec![api_key("x"), api_key(key.secret())], "AMBIGUOUS_AUTH"),
        (vec![bearer(key.secret())], "ok"),
        (vec![api_key(key.secret())], "ok"),
        // A token is no API key.
        (vec![api_key(admin.secret())], "UNAUTHENTICATED"),
    ] {
        let mut headers = headers.clone();
        headers.push(json.clone());
        let mut all: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        if !all.iter().any(|(name, _)| *name == "authorization") {
            all.push(("authorization", ""));
        }
        let body = br#"{"query":"{ tokenStatus { kind } }"}"#;
        let reply = scene.app.send("POST /graphql", &all, body).await;
        assert_eq!(outcome(&reply.json()), code, "{headers:?}");
        assert_eq!(reply.status, if code == "ok" { 200 } else { 401 });
    }
}
