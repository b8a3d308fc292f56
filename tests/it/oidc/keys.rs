//! The issuer's keys: which are used, how new ones are found, and what happens while it does not answer.

use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::issuer::{Issuer, KEYS, Signer, changed};
use crate::support::{Answer, eventually};

/// T6, T7: a name must be that of one key; without a name there must be one key.
#[tokio::test]
async fn no_key_is_guessed() {
    let (first, second) = (
        Signer::new("first", Algorithm::EdDSA),
        Signer::new("second", Algorithm::EdDSA),
    );
    let nameless = json!({ "kid": null });
    let one = Issuer::showing(&[&first]).await;
    assert_eq!(
        one.refusal(&first.with_header(&one, nameless.clone()))
            .await,
        ""
    );
    assert_eq!(
        one.refusal(&second.with_header(&one, nameless.clone()))
            .await,
        "signature"
    );

    let two = Issuer::showing(&[&first, &second]).await;
    assert_eq!(two.refusal(&first.with_header(&two, nameless)).await, "key");
    assert_eq!(two.refusal(&first.token(&two)).await, "");
    assert_eq!(two.refusal(&second.token(&two)).await, "");
    let crossed = json!({ "kid": "second" });
    assert_eq!(
        two.refusal(&first.with_header(&two, crossed)).await,
        "signature"
    );

    // Two of the same name are one too many, unless they are for different algorithms.
    let same = Signer::new("first", Algorithm::EdDSA);
    let twice = Issuer::showing(&[&first, &same]).await;
    assert_eq!(twice.refusal(&first.token(&twice)).await, "key");
    let other = Signer::new("first", Algorithm::ES256);
    let both = Issuer::showing(&[&first, &other]).await;
    assert_eq!(both.refusal(&first.token(&both)).await, "");
    assert_eq!(both.refusal(&other.token(&both)).await, "");
}

/// Keys that are for something else, too weak, or nothing that is known are passed over; the others serve.
#[tokio::test]
async fn keys_that_cannot_be_used_are_passed_over() {
    let good = Signer::new("good", Algorithm::EdDSA);
    let rsa = Signer::new("rsa", Algorithm::RS256);
    let odd = Signer::new("odd", Algorithm::EdDSA);
    let modulus = rsa.shown()["n"].as_str().unwrap().to_owned();
    let weak: String = modulus.chars().take(340).collect();
    let shown = |signer: &Signer, changes: Value| changed(signer.shown(), changes);
    let issuer = Issuer::showing(&[]).await;
    for (signer, unusable) in [
        (&odd, shown(&odd, json!({ "use": "enc" }))),
        (&odd, shown(&odd, json!({ "key_ops": ["encrypt"] }))),
        (&odd, shown(&odd, json!({ "alg": "ES256" }))),
        (&odd, shown(&odd, json!({ "alg": "HS256" }))),
        (&odd, shown(&odd, json!({ "crv": "X25519" }))),
        (&odd, shown(&odd, json!({ "kty": "EC" }))),
        (&odd, shown(&odd, json!({ "x": "AA==" }))),
        (&odd, shown(&odd, json!({ "x": null }))),
        (&odd, shown(&odd, json!({ "kid": 7 }))),
        (&odd, json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "odd" })),
        (&odd, json!("odd")),
        (&rsa, shown(&rsa, json!({ "n": weak }))),
        (&rsa, shown(&rsa, json!({ "n": modulus.repeat(3) }))),
        (&rsa, shown(&rsa, json!({ "alg": "RSA-OAEP" }))),
    ] {
        issuer.show_all(vec![unusable.clone(), good.shown()]);
        issuer.clock.advance(TimeDelta::hours(1));
        let now = json!({ "exp": 2_000_000_000 });
        let token = good.with_claims(&issuer, now.clone());
        assert_eq!(issuer.refusal(&token).await, "", "{unusable}");
        let token = signer.with_claims(&issuer, now);
        assert_eq!(issuer.refusal(&token).await, "key", "{unusable}");
    }
    // Without a word on what it is for, an RSA key is for whatever it can do.
    let shown = changed(rsa.shown(), json!({ "alg": null, "use": null }));
    issuer.show_all(vec![shown]);
    issuer.clock.advance(TimeDelta::hours(1));
    for algorithm in [Algorithm::RS256, Algorithm::RS512, Algorithm::PS384] {
        let signer = Signer {
            algorithm,
            ..rsa.clone()
        };
        let token = signer.with_claims(&issuer, json!({ "exp": 2_000_000_000 }));
        assert_eq!(issuer.refusal(&token).await, "", "{algorithm:?}");
    }
}

/// A rotation: a new key is fetched once, by whoever comes first, for all.
#[tokio::test]
async fn a_new_key_is_fetched_once() {
    let (old, new) = (
        Signer::new("old", Algorithm::EdDSA),
        Signer::new("new", Algorithm::ES256),
    );
    let issuer = Issuer::showing(&[&old]).await;
    let token = old.token(&issuer);
    let all = join_all((0..50).map(|_| issuer.refusal(&token))).await;
    assert_eq!(all, [""; 50]);
    assert_eq!(issuer.asked(), 1);

    issuer.show(&[&old, &new]);
    issuer.clock.advance(TimeDelta::seconds(30));
    let token = new.token(&issuer);
    let all = join_all((0..50).map(|_| issuer.refusal(&token))).await;
    assert_eq!(all, [""; 50]);
    assert_eq!(issuer.asked(), 2);

    // T8: what the issuer no longer shows is good until its keys are looked at again.
    issuer.show(&[&new]);
    assert_eq!(issuer.refusal(&old.token(&issuer)).await, "");
    issuer.clock.advance(TimeDelta::minutes(10));
    assert_eq!(issuer.refusal(&old.token(&issuer)).await, "key");
    assert_eq!(issuer.refusal(&new.token(&issuer)).await, "");
    assert_eq!(issuer.asked(), 3);
}

/// However many keys are made up, the issuer is asked once in an interval.
#[tokio::test]
async fn made_up_keys_do_not_reach_the_issuer() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    assert_eq!(issuer.refusal(&signer.token(&issuer)).await, "");
    for round in 2..5 {
        issuer.clock.advance(TimeDelta::seconds(30));
        let forged = (0..200).map(|n| signer.with_header(&issuer, json!({ "kid": n.to_string() })));
        let forged: Vec<String> = forged.collect();
        let all = join_all(forged.iter().map(|token| issuer.refusal(token))).await;
        assert_eq!(all, ["key"; 200]);
        assert_eq!(issuer.asked(), round);
        assert_eq!(issuer.refusal(&signer.token(&issuer)).await, "");
    }
}

/// Whoever waits for the keys may leave; the others get them.
#[tokio::test]
async fn a_fetch_outlives_whoever_asked_for_it() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    let token = signer.token(&issuer);
    let mut leaving = Box::pin(issuer.refusal(&token));
    assert!(futures::poll!(leaving.as_mut()).is_pending());
    drop(leaving);
    assert_eq!(issuer.refusal(&token).await, "");
    assert_eq!(issuer.asked(), 1);
}

/// Each way in which an issuer can fail at first, and that it is asked again in time.
#[tokio::test]
async fn an_issuer_that_fails_is_asked_again_in_time() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::with(&[&signer], |settings| {
        settings.http_client.timeout = Duration::from_millis(500);
    })
    .await;
    let token = signer.with_claims(&issuer, json!({ "exp": 2_000_000_000 }));
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(256 * 1024));
    let mut asked = 0;
    for failure in [
        Answer::Text(500, String::new()),
        Answer::Elsewhere(format!("{}/elsewhere", issuer.name)),
        Answer::Silence,
        Answer::Endless,
        Answer::Half,
        Answer::Noise,
        Answer::ok(large),
        Answer::ok("<html>"),
        Answer::ok("{}"),
        Answer::ok(r#"{"keys":{}}"#),
    ] {
        issuer.web.answer(KEYS, failure.clone());
        for _ in 0..3 {
            assert_eq!(issuer.refusal(&token).await, "issuer", "{failure:?}");
        }
        asked += 1;
        assert_eq!(issuer.asked(), asked, "{failure:?}");
        issuer.clock.advance(TimeDelta::seconds(30));
    }
    assert_eq!(issuer.web.asked("/elsewhere"), 0);
    issuer.show(&[&signer]);
    assert_eq!(issuer.refusal(&token).await, "");
}

#[tokio::test]
async fn a_configuration_that_is_not_the_issuers_is_not_followed() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    let token = signer.with_claims(&issuer, json!({ "exp": 2_000_000_000 }));
    for wrong in [
        json!({ "issuer": "https://other.example" }),
        json!({ "issuer": format!("{}/", issuer.name) }),
        json!({ "issuer": null }),
        json!({ "jwks_uri": null }),
        json!({ "jwks_uri": "http://keys.example/keys" }),
        json!({ "jwks_uri": "file:///etc/passwd" }),
        json!({ "jwks_uri": [format!("{}{KEYS}", issuer.name)] }),
    ] {
        issuer.configure(wrong.clone());
        assert_eq!(issuer.refusal(&token).await, "issuer", "{wrong}");
        issuer.clock.advance(TimeDelta::seconds(30));
    }
    assert_eq!(issuer.asked(), 0);
    issuer.configure(json!({}));
    assert_eq!(issuer.refusal(&token).await, "");
}

/// While the issuer cannot be asked, what it showed last is good for a while, and nobody waits for it twice.
#[tokio::test]
async fn known_keys_outlast_an_issuer_that_is_away() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::with(&[&signer], |settings| {
        settings.oidc.jwks_stale_max = Duration::from_secs(3_600);
    })
    .await;
    let token = signer.with_claims(&issuer, json!({ "exp": 2_000_000_000 }));
    assert_eq!(issuer.refusal(&token).await, "");
    issuer.web.answer(KEYS, Answer::Text(503, String::new()));
    issuer.clock.advance(TimeDelta::minutes(10));
    assert_eq!(issuer.refusal(&token).await, "");
    assert_eq!(issuer.asked(), 2);
    // It hangs now: that it failed before is known, so nobody waits for it.
    issuer.web.answer(KEYS, Answer::Silence);
    issuer.clock.advance(TimeDelta::seconds(30));
    assert_eq!(issuer.refusal(&token).await, "");
    eventually("it is asked again", async || issuer.asked() == 3).await;
    assert_eq!(issuer.refusal(&token).await, "");
    drop(issuer);

    let issuer = Issuer::with(&[&signer], |settings| {
        settings.oidc.jwks_stale_max = Duration::from_secs(3_600);
    })
    .await;
    let token = signer.with_claims(&issuer, json!({ "exp": 2_000_000_000 }));
    assert_eq!(issuer.refusal(&token).await, "");
    issuer.web.answer(KEYS, Answer::Text(503, String::new()));
    issuer.clock.advance(TimeDelta::seconds(3_599));
    assert_eq!(issuer.refusal(&token).await, "");
    issuer.clock.advance(TimeDelta::seconds(1));
    assert_eq!(issuer.refusal(&token).await, "issuer");
    issuer.show(&[&signer]);
    issuer.clock.advance(TimeDelta::seconds(30));
    assert_eq!(issuer.refusal(&token).await, "");
}

/// An issuer that shows no key at all has taken all of them back.
#[tokio::test]
async fn no_keys_are_an_answer_too() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    let token = signer.with_claims(&issuer, json!({ "exp": 2_000_000_000 }));
    assert_eq!(issuer.refusal(&token).await, "");
    issuer.show(&[]);
    issuer.clock.advance(TimeDelta::minutes(10));
    assert_eq!(issuer.refusal(&token).await, "key");
}
