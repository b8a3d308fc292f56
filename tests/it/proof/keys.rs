//! The keys that sign tokens, from publishing to retiring, as two processes and the published list show them.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use daybook::auth::{Grant, Role};
use daybook::commands::CommandContext;
use daybook::config::Settings;
use daybook::ops::{Clock, MockClock};
use domain::signing_keys::{SigningKeys, SigningKeysCommand};
use domain::{Actor, ActorKind};
use serde_json::{Value, json};

use super::scene::{events, hurried, refresh, register, sign_in, soon, told, turned_away};
use crate::support::{Reply, TestApp, eventually};

const NOW: i64 = 1_800_000_000;

/// Tends often, and looks every time.
fn quick(settings: &mut Settings) {
    hurried(settings);
    settings.auth.tend_interval = Duration::from_millis(20);
    settings.auth.recheck = Duration::ZERO;
}

async fn two() -> ([TestApp; 2], MockClock) {
    let (clock, time) = Clock::mock(DateTime::from_timestamp(NOW, 0).unwrap());
    let first = TestApp::at(clock, quick).await;
    let second = first.beside(quick).await;
    ([first, second], time)
}

/// Rotates the keys; which one signs, and which one will.
async fn rotate(app: &TestApp, compromised: Option<&str>) -> (String, Option<String>, Value) {
    let document = "mutation($input: RotateSigningKeyInput) { rotateSigningKey(input: $input) {
        signingKeys { signing next nextSignsFrom } userErrors { code path } } }";
    let mut told = told(app, None, document, json!({ "compromised": compromised })).await;
    assert_eq!(told["userErrors"], json!([]));
    let keys = &mut told["signingKeys"];
    let next = keys["next"].as_str().map(str::to_owned);
    let signing = keys["signing"].as_str().unwrap().to_owned();
    (signing, next, keys["nextSignsFrom"].take())
}

async fn list(app: &TestApp) -> Reply {
    app.send("GET /.well-known/jwks.json", &[("authorization", "")], b"")
        .await
}

/// The ids of the published keys, in their order. The list is checked otherwise as well.
async fn published(app: &TestApp) -> Vec<String> {
    let list = list(app).await;
    assert_eq!(list.status, 200);
    assert_eq!(list.header("cache-control"), "public, max-age=300");
    assert_eq!(list.header("content-type"), "application/jwk-set+json");
    let mut set = list.json();
    let keys = set["keys"].as_array_mut().unwrap();
    let ids = keys.iter_mut().map(|key| {
        let (id, x) = (key["kid"].take(), key["x"].take());
        assert_eq!(x.as_str().unwrap().len(), 43);
        // Nothing else is told, of the private part least of all.
        let rest = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                           "kid": null, "x": null });
        assert_eq!(*key, rest);
        id.as_str().unwrap().to_owned()
    });
    let ids = ids.collect();
    assert_eq!(set.as_object().unwrap().len(), 1);
    ids
}

/// Waits until these keys are published, in this order: a node looks for them with pauses.
async fn shows(app: &TestApp, ids: &[&str]) {
    eventually("these keys are published", async || {
        published(app).await == ids
    })
    .await;
}

/// The id of the key that signed a token.
fn signer(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

/// A token of no session that is good for as long as any may be.
fn longest(app: &TestApp) -> String {
    let grant = Grant {
        subject: "program".to_owned(),
        tenant: "default".to_owned(),
        roles: vec![Role::Viewer],
        ttl: Some(Settings::default().auth.token_ttl_max),
        ..Grant::default()
    };
    app.app().auth.mint(&grant).unwrap()
}

async fn good_on_both(nodes: &[TestApp; 2], token: &str) {
    for node in nodes {
        assert_eq!(turned_away(node, token).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_published_before_it_signs_and_until_nothing_it_signed_is_good() {
    let (nodes, time) = two().await;
    let [first, second] = &nodes;
    register(first, "ada@example.org", "Ada", &["VIEWER"]).await;
    let one = signer(first.own_token());
    for node in &nodes {
        shows(node, &[one.as_str()]).await;
    }
    let (signing, next, from) = rotate(first, None).await;
    let two = next.unwrap();
    assert_eq!(signing, one);
    // Others may keep the list for 300 s; 10 s more are for nodes to hear of it.
    assert_eq!(from, "2027-01-15T08:05:10Z");
    // A node that nobody has asked anything of yet shows it as well.
    shows(second, &[one.as_str(), two.as_str()]).await;
    shows(first, &[one.as_str(), two.as_str()]).await;
    // Asked for again, it is the same one.
    time.advance(TimeDelta::seconds(309));
    let (signing, next, _) = rotate(second, None).await;
    assert_eq!(
        (signing.as_str(), next.as_deref()),
        (one.as_str(), Some(two.as_str()))
    );
    let of_one = sign_in(second, "ada@example.org").await;
    assert_eq!(signer(&of_one.access), one);

    time.advance(TimeDelta::seconds(1));
    eventually("the next key signs", async || {
        signer(&sign_in(first, "ada@example.org").await.access) == two
    })
    .await;
    let of_two = sign_in(second, "ada@example.org").await;
    assert_eq!(signer(&of_two.access), two);
    for token in [&of_one.access, &of_two.access, first.own_token()] {
        good_on_both(&nodes, token).await;
    }
    for node in &nodes {
        shows(node, &[one.as_str(), two.as_str()]).await;
    }
    // The longest token there can be of the former key, its leeway, and the time to hear of the change.
    time.advance(TimeDelta::days(7) + TimeDelta::seconds(29));
    for node in &nodes {
        shows(node, &[one.as_str(), two.as_str()]).await;
    }
    time.advance(TimeDelta::seconds(1));
    for node in &nodes {
        shows(node, &[two.as_str()]).await;
    }
    assert_eq!(events(first, "signing_key.published").await, 2);
}

/// What a retired key signed is good to its own end, and not a second longer.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_token_of_a_former_key_ends_by_itself() {
    let (nodes, time) = two().await;
    let [first, _] = &nodes;
    rotate(first, None).await;
    time.advance(TimeDelta::seconds(310));
    let token = longest(first);
    let (signing, ..) = rotate(first, None).await;
    assert_ne!(signer(&token), signing, "it is of the former key");
    time.advance(TimeDelta::days(7) + TimeDelta::seconds(29));
    good_on_both(&nodes, &token).await;
    time.advance(TimeDelta::seconds(2));
    for node in &nodes {
        assert!(turned_away(node, &token).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_by_themselves_once_however_many_nodes_there_are() {
    let (nodes, time) = two().await;
    let [first, second] = &nodes;
    register(first, "ada@example.org", "Ada", &["VIEWER"]).await;
    let mut signing = signer(first.own_token());
    let turns = || tokio::time::sleep(Duration::from_millis(200));
    for round in 1..=3 {
        // The next one is published so early that it can sign when it is due.
        time.advance(TimeDelta::days(30) - TimeDelta::seconds(311));
        turns().await;
        assert_eq!(events(first, "signing_key.published").await, round);
        time.advance(TimeDelta::seconds(1));
        eventually("another key is published", async || {
            published(second).await.len() == 2
        })
        .await;
        let keys = published(first).await;
        assert_eq!(keys[0], signing);
        turns().await;
        assert_eq!(events(first, "signing_key.published").await, round + 1);
        time.advance(TimeDelta::seconds(310));
        eventually("it signs", async || {
            signer(&sign_in(second, "ada@example.org").await.access) == keys[1]
        })
        .await;
        turns().await;
        assert_eq!(events(first, "signing_key.activated").await, round + 1);
        assert_eq!(events(first, "signing_key.retired").await, round);
        signing = keys[1].clone();
    }
}

/// With settings as shipped: within five seconds on the other node.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_compromised_key_signed_is_good() {
    let first = TestApp::start().await;
    let second = first.beside(|_| ()).await;
    register(&first, "ada@example.org", "Ada", &["VIEWER"]).await;
    let given = sign_in(&first, "ada@example.org").await;
    let bad = signer(&given.access);
    for node in [&first, &second] {
        assert_eq!(turned_away(node, &given.access).await, None);
        shows(node, &[bad.as_str()]).await;
    }
    let since = Instant::now();
    let (good, next, _) = rotate(&first, Some(&bad)).await;
    assert_eq!(next, None);
    assert_ne!(good, bad);
    let refused = Some("UNAUTHENTICATED");
    assert_eq!(turned_away(&first, &given.access).await.as_deref(), refused);
    shows(&first, &[good.as_str()]).await;
    soon(since, "the other node refuses it", async || {
        turned_away(&second, &given.access).await.as_deref() == refused
    })
    .await;
    soon(
        since,
        "the other node publishes the new one alone",
        async || published(&second).await == [good.as_str()],
    )
    .await;
    // Sessions are not of the key: whoever is signed in stays so.
    let next = refresh(&second, &given.refresh).await.unwrap();
    assert_eq!(signer(&next.access), good);
    assert_eq!(turned_away(&first, &next.access).await, None);
    let document = "mutation($input: RotateSigningKeyInput) { rotateSigningKey(input: $input) {
        signingKeys { signing } userErrors { code path } } }";
    let token = first.token(&[Role::Admin], "default");
    let told = told(
        &first,
        Some(&token),
        document,
        json!({ "compromised": "unknown" }),
    )
    .await;
    let expected = json!([{ "code": "NOT_FOUND", "path": ["input", "compromised"] }]);
    assert_eq!(told["userErrors"], expected);
}

/// Whoever took a key back may have ended before there was another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_taken_back_is_replaced_by_whoever_notices() {
    let (nodes, time) = two().await;
    let [first, second] = &nodes;
    register(first, "ada@example.org", "Ada", &["VIEWER"]).await;
    let mut bad = signer(first.own_token());
    // More often than a key set remembers keys.
    for _ in 0..40 {
        compromise(first, &bad, time_of(first)).await;
        let mut good = Vec::new();
        eventually("another key signs", async || {
            good = published(second).await;
            good.len() == 1 && good[0] != bad
        })
        .await;
        let given = sign_in(first, "ada@example.org").await;
        assert_eq!(signer(&given.access), good[0]);
        good_on_both(&nodes, &given.access).await;
        bad.clone_from(&good[0]);
        time.advance(TimeDelta::milliseconds(1));
    }
    assert_eq!(events(first, "signing_key.activated").await, 41);
}

fn time_of(app: &TestApp) -> DateTime<Utc> {
    app.app().clock.now()
}

/// The first half of taking a key back.
async fn compromise(app: &TestApp, kid: &str, now: DateTime<Utc>) {
    let actor = Actor {
        kind: ActorKind::System,
        id: "test".into(),
    };
    let context = CommandContext::new("_installation".into(), actor, now);
    let command = SigningKeysCommand::Compromise {
        kid: kid.to_owned(),
        now,
    };
    let door = &app.app().door;
    door.execute::<SigningKeys>(&context, "daybook", command)
        .await
        .unwrap();
}
