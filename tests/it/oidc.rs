//! Tokens of a foreign issuer, section T of `docs/promises.md` for issuers that are not us: which are accepted, and
//! how its keys come and go.

mod admitted;
mod issuer;
mod keys;

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use daybook::auth::oidc::{Foreign, Oidc, claimed_issuer};
use daybook::config::{Roles, RolesMap, Settings, WebUrl, value::Setting as _};
use daybook::ops::Clock;
use domain::user::Role;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use crate::support::base64url;
use issuer::{ALGORITHMS, Issuer, NOW, Signer, changed, message};

fn at(seconds: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

#[tokio::test]
async fn a_token_of_every_algorithm_stands_for_its_subject() {
    let signers = ALGORITHMS.map(|algorithm| Signer::new(&format!("{algorithm:?}"), algorithm));
    let shown: Vec<&Signer> = signers.iter().collect();
    let issuer = Issuer::with(&shown, |settings| {
        settings.oidc.roles_map = RolesMap::parse("boss=admin").unwrap();
    })
    .await;
    for signer in &signers {
        let verified = issuer.oidc.verify(&signer.token(&issuer)).await;
        let expect = Foreign {
            subject: "auth0|ann".to_owned(),
            tenant: "default".to_owned(),
            roles: vec![Role::Admin],
            token_id: Some("t1".to_owned()),
            expires_at: at(NOW + 900),
            issued_at: at(NOW),
        };
        assert_eq!(verified, Ok(expect), "{:?}", signer.algorithm);
    }
    assert_eq!(issuer.asked(), 1);
    assert!(issuer.oidc.is_of(&issuer.name));
    for other in ["", "daybook", &format!("{}/", issuer.name)] {
        assert!(!issuer.oidc.is_of(other), "{other}");
    }
}

#[test]
fn without_an_issuer_there_is_none() {
    let (clock, _) = Clock::mock(at(NOW));
    assert!(
        Oidc::start(&Settings::default(), clock.clone())
            .unwrap()
            .is_none()
    );
    let mut settings = Settings::default();
    settings.oidc.issuer = Some(WebUrl::parse("https://login.example").unwrap());
    settings.oidc.audience = Some("daybook".to_owned());
    assert!(Oidc::start(&settings, clock.clone()).unwrap().is_some());
    settings.http_client.ca_file = Some("/nowhere/ca.pem".into());
    let refused = Oidc::start(&settings, clock).map(drop).unwrap_err();
    assert!(refused.to_string().contains("/nowhere/ca.pem"), "{refused}");
}

#[tokio::test]
async fn whose_a_token_claims_to_be_is_told_without_believing_it() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    let token = signer.token(&issuer);
    assert_eq!(claimed_issuer(&token).as_ref(), Some(&issuer.name));
    let forged = format!("{}A", &token[..token.len() - 1]);
    assert_eq!(claimed_issuer(&forged).as_ref(), Some(&issuer.name));
    let odd = signer.with_claims(&issuer, json!({ "iss": ["x"] }));
    for none in ["", "x", "a.b.c", &format!("{token}.x"), &odd] {
        assert_eq!(claimed_issuer(none), None, "{none}");
    }
    assert_eq!(issuer.asked(), 0);
}

#[tokio::test]
async fn claims_that_are_as_they_should_be_are_accepted() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    for case in [
        json!({}),
        json!({ "aud": ["other", "daybook"] }),
        json!({ "exp": NOW - 30 }),
        json!({ "iat": NOW + 30, "nbf": NOW + 30 }),
        json!({ "nbf": NOW }),
        json!({ "jti": null }),
        json!({ "roles": null }),
        json!({ "roles": [] }),
        json!({ "roles": "boss others" }),
        json!({ "tenant": "another" }),
        json!({ "token_use": "access" }),
        json!({ "typ": "Bearer" }),
        json!({ "scope": "openid", "azp": "app", "anything": [{ "a": 0.5 }] }),
        json!({ "filler": "x".repeat(11_000) }),
    ] {
        let token = signer.with_claims(&issuer, case.clone());
        assert_eq!(issuer.refusal(&token).await, "", "{case}");
    }
}

#[tokio::test]
async fn claims_that_are_not_are_refused() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    for (case, reason) in [
        (json!({ "exp": NOW - 31 }), "expired"),
        (json!({ "exp": (NOW + 900).to_string() }), "claims"),
        (json!({ "exp": NOW as f64 + 900.5 }), "claims"),
        (json!({ "exp": 1e99 }), "claims"),
        (json!({ "exp": -1 }), "claims"),
        (json!({ "exp": u64::MAX }), "claims"),
        (json!({ "exp": 253_402_300_800_i64 }), "claims"),
        (json!({ "exp": true }), "claims"),
        (json!({ "exp": null }), "claims"),
        (json!({ "nbf": NOW + 31 }), "early"),
        (json!({ "nbf": NOW.to_string() }), "claims"),
        (json!({ "iat": NOW + 31 }), "early"),
        (json!({ "iat": [NOW] }), "claims"),
        (json!({ "iat": null }), "claims"),
        (
            json!({ "iss": "https://other.example" }),
            "issuer or audience",
        ),
        (
            json!({ "iss": format!("{}/", issuer.name) }),
            "issuer or audience",
        ),
        (json!({ "iss": [issuer.name] }), "claims"),
        (json!({ "iss": null }), "claims"),
        (json!({ "aud": "other" }), "issuer or audience"),
        (json!({ "aud": "daybook " }), "issuer or audience"),
        (json!({ "aud": [] }), "issuer or audience"),
        (json!({ "aud": ["daybook", 1] }), "claims"),
        (json!({ "aud": { "daybook": 1 } }), "claims"),
        (json!({ "aud": null }), "claims"),
        (json!({ "sub": "" }), "claims"),
        (json!({ "sub": { "id": "ann" } }), "claims"),
        (json!({ "sub": "ann\u{202e}" }), "claims"),
        (json!({ "sub": "ann\n" }), "claims"),
        (json!({ "sub": "a".repeat(256) }), "claims"),
        (json!({ "sub": null }), "claims"),
        (json!({ "jti": "" }), "claims"),
        (json!({ "jti": 1 }), "claims"),
        (json!({ "roles": 1 }), "claims"),
        (json!({ "roles": ["boss", 1] }), "claims"),
        (json!({ "roles": { "boss": true } }), "claims"),
        (json!({ "nonce": "n" }), "kind"),
        (json!({ "at_hash": "h" }), "kind"),
        (json!({ "c_hash": "h" }), "kind"),
        (json!({ "events": {} }), "kind"),
        (json!({ "token_use": "id" }), "kind"),
        (json!({ "typ": "ID" }), "kind"),
        (json!({ "typ": "Refresh" }), "kind"),
        (json!({ "filler": "x".repeat(17_000) }), "size"),
    ] {
        let token = signer.with_claims(&issuer, case.clone());
        assert_eq!(issuer.refusal(&token).await, reason, "{case}");
    }
    let (header, claims) = (signer.header().to_string(), issuer.claims().to_string());
    for twice in [
        r#""sub":"bob""#,
        r#""exp":9999999999"#,
        r#""roles":["boss"]"#,
        r#""\u0073ub":"bob""#,
        r#""other":{"a":1,"a":2}"#,
    ] {
        let text = claims.replacen('{', &format!("{{{twice},"), 1);
        assert_eq!(
            issuer.refusal(&signer.sign(&header, &text)).await,
            "claims",
            "{text}"
        );
    }
    for text in ["", "null", "[]", "{", "{}", &format!("{claims}x")] {
        assert_eq!(
            issuer.refusal(&signer.sign(&header, text)).await,
            "claims",
            "{text}"
        );
    }
}

#[tokio::test]
async fn headers_that_name_keys_or_change_what_is_signed_are_refused() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    for good in [
        json!({ "typ": "JWT" }),
        json!({ "typ": "AT+JWT" }),
        json!({ "typ": "application/at+jwt" }),
        json!({ "typ": null }),
        json!({ "x5t": "thumbprint", "x5t#S256": "thumbprint" }),
    ] {
        let token = signer.with_header(&issuer, good.clone());
        assert_eq!(issuer.refusal(&token).await, "", "{good}");
    }
    let stranger = Signer::new("k", Algorithm::EdDSA);
    let place = format!("{}/elsewhere", issuer.name);
    for (bad, reason) in [
        (json!({ "alg": "none" }), "header"),
        (json!({ "alg": "nOnE" }), "header"),
        (json!({ "alg": "" }), "header"),
        (json!({ "alg": null }), "header"),
        (json!({ "alg": ["EdDSA"] }), "header"),
        (json!({ "alg": "HS256" }), "algorithm"),
        (json!({ "alg": "HS512" }), "algorithm"),
        (json!({ "alg": "ES256" }), "key"),
        (json!({ "alg": "RS256" }), "key"),
        (json!({ "typ": "rt+jwt" }), "header"),
        (json!({ "typ": "logout+jwt" }), "header"),
        (json!({ "jwk": stranger.shown() }), "header"),
        (json!({ "jku": place }), "header"),
        (json!({ "x5u": place }), "header"),
        (json!({ "x5c": ["MII="] }), "header"),
        (json!({ "crit": ["exp"] }), "header"),
        (json!({ "crit": [] }), "header"),
        (json!({ "b64": false }), "header"),
        (json!({ "zip": "DEF" }), "header"),
        (json!({ "cty": "JWT" }), "header"),
        (json!({ "kid": "" }), "header"),
        (json!({ "kid": "a\r\nb" }), "header"),
        (json!({ "kid": "k".repeat(256) }), "header"),
        (json!({ "kid": 1 }), "header"),
        (json!({ "kid": "../../dev/null" }), "key"),
        (json!({ "kid": "'or'1=1--" }), "key"),
    ] {
        let token = signer.with_header(&issuer, bad.clone());
        assert_eq!(issuer.refusal(&token).await, reason, "{bad}");
        let token = stranger.with_header(&issuer, bad.clone());
        assert_eq!(issuer.refusal(&token).await, reason, "{bad}");
    }
    let header = signer.header().to_string();
    let twice = header.replacen('{', "{\"alg\":\"none\",", 1);
    let token = signer.sign(&twice, &issuer.claims().to_string());
    assert_eq!(issuer.refusal(&token).await, "header");
    assert_eq!(
        issuer.web.asked("/elsewhere"),
        0,
        "nothing in a token is fetched"
    );
}

/// T1 to T3: what is public is no secret to sign with, and no signature is none at all.
#[tokio::test]
async fn a_signature_is_by_the_issuers_key_and_no_other() {
    let signers = ALGORITHMS.map(|algorithm| Signer::new(&format!("{algorithm:?}"), algorithm));
    let shown: Vec<&Signer> = signers.iter().collect();
    let issuer = Issuer::showing(&shown).await;
    let claims = issuer.claims().to_string();
    for signer in &signers {
        let good = signer.token(&issuer);
        assert_eq!(issuer.refusal(&good).await, "");
        let jwk = signer.shown();
        let public = ["x", "n", "k"].iter().find_map(|name| jwk[*name].as_str());
        for secret in [public.unwrap().to_owned(), jwk.to_string()] {
            let key = EncodingKey::from_secret(secret.as_bytes());
            let header = changed(signer.header(), json!({ "alg": "HS256" })).to_string();
            let message = message(&header, &claims);
            let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
            let token = format!("{message}.{signature}");
            assert_eq!(
                issuer.refusal(&token).await,
                "algorithm",
                "{:?}",
                signer.algorithm
            );
        }
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let zeros = base64url(&vec![0; signature.len() * 3 / 4]);
        for other in [
            "",
            "AAAA",
            &zeros,
            &base64url(&[0; 64]),
            &base64url(&[0; 96]),
        ] {
            let token = format!("{signed}.{other}");
            assert_eq!(
                issuer.refusal(&token).await,
                "signature",
                "{:?}",
                signer.algorithm
            );
        }
        let other = changed(issuer.claims(), json!({ "sub": "bob" })).to_string();
        let swapped = format!(
            "{}.{signature}",
            message(&signer.header().to_string(), &other)
        );
        assert_eq!(issuer.refusal(&swapped).await, "signature");
    }
    // A key of another algorithm, of the same kind: by name it is asked for, and it is for that alone.
    let rsa = signers
        .iter()
        .find(|s| s.algorithm == Algorithm::RS256)
        .unwrap();
    let pss = Signer {
        algorithm: Algorithm::PS256,
        ..rsa.clone()
    };
    assert_eq!(issuer.refusal(&pss.token(&issuer)).await, "key");
    let stranger = Signer::new("EdDSA", Algorithm::EdDSA);
    assert_eq!(issuer.refusal(&stranger.token(&issuer)).await, "signature");
}

/// T18: what is not exactly a token costs nobody anything.
#[tokio::test]
async fn what_is_not_exactly_a_token_is_refused() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    let good = signer.token(&issuer);
    let parts: Vec<&str> = good.split('.').collect();
    let (header, body, signature) = (parts[0], parts[1], parts[2]);
    for (case, reason) in [
        (String::new(), "shape"),
        ("..".into(), "header"),
        ("...".into(), "shape"),
        (good[..good.len() - 1].into(), "signature"),
        (format!("{good}A"), "signature"),
        (format!("{good}="), "shape"),
        (format!("{good}\n"), "shape"),
        (format!(" {good}"), "shape"),
        (format!("{good}.."), "shape"),
        (format!("{header}.{body}"), "shape"),
        (format!("{header}.{body}."), "signature"),
        (format!("{header}..{signature}"), "signature"),
        (format!(".{body}.{signature}"), "header"),
        ("x".repeat(1 << 20), "size"),
    ] {
        let shown = &case[..case.len().min(80)];
        assert_eq!(issuer.refusal(&case).await, reason, "{shown:?}");
    }
}

/// T9, T11, T22: times are judged by our clock, which may be set.
#[tokio::test]
async fn a_token_ends_by_our_clock() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::showing(&[&signer]).await;
    let token = signer.token(&issuer);
    for (seconds, reason) in [
        (0, ""),
        (930, ""),
        (931, "expired"),
        (3_600, "expired"),
        (-30, ""),
        (-31, "early"),
        (-3_600, "early"),
        (0, ""),
    ] {
        issuer.clock.set(at(NOW + seconds));
        assert_eq!(issuer.refusal(&token).await, reason, "{seconds}");
    }
    issuer.clock.set(at(NOW + 930));
    issuer.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(issuer.refusal(&token).await, "expired");
}

#[tokio::test]
async fn roles_and_tenants_are_what_the_settings_make_of_claims() {
    let signer = Signer::new("k", Algorithm::EdDSA);
    let issuer = Issuer::with(&[&signer], |settings| {
        let oidc = &mut settings.oidc;
        oidc.tenant_claim = Some("https://app.example/org".to_owned());
        oidc.roles_claim = "realm_access.roles".to_owned();
        oidc.roles_map = RolesMap::parse("boss=admin, ops=operator, ops=analyst").unwrap();
        oidc.default_roles = Roles::parse("viewer").unwrap();
    })
    .await;
    let with = |org: Value, roles: Value| {
        let claims = json!({
            "https://app.example/org": org, "realm_access": { "roles": roles },
            "roles": ["boss"], "tenant": "default",
        });
        signer.with_claims(&issuer, claims)
    };
    for (roles, expect) in [
        (
            json!(["ops", "ops", "viewer"]),
            vec![Role::Viewer, Role::Operator, Role::Analyst],
        ),
        (json!("boss"), vec![Role::Viewer, Role::Admin]),
        // A word of ours is none of theirs, and theirs are to the letter.
        (
            json!(["admin", "operator", "Boss", " boss", ""]),
            vec![Role::Viewer],
        ),
        (Value::Null, vec![Role::Viewer]),
    ] {
        let foreign = issuer
            .oidc
            .verify(&with("north".into(), roles.clone()))
            .await
            .unwrap();
        assert_eq!(
            (foreign.tenant.as_str(), foreign.roles),
            ("north", expect),
            "{roles}"
        );
    }
    for org in [
        Value::Null,
        json!(""),
        json!(1),
        json!(["north"]),
        json!("North"),
        json!("a/b"),
        json!("x".repeat(64)),
    ] {
        let token = with(org.clone(), Value::Null);
        assert_eq!(issuer.refusal(&token).await, "tenant", "{org}");
    }
}

/// A key's place that is given need not be found.
#[tokio::test]
async fn the_keys_place_can_be_given() {
    let signer = Signer::new("k", Algorithm::ES256);
    let elsewhere = Issuer::showing(&[&signer]).await;
    let place = WebUrl::parse(&format!("{}{}", elsewhere.name, issuer::KEYS)).unwrap();
    let issuer = Issuer::with(&[], |settings| {
        settings.oidc.jwks_url = Some(place);
        settings.auth.leeway = Duration::ZERO;
    })
    .await;
    assert_eq!(issuer.refusal(&signer.token(&issuer)).await, "");
    assert_eq!((issuer.web.heads().len(), elsewhere.asked()), (0, 1));
    let late = signer.with_claims(&issuer, json!({ "exp": NOW - 1 }));
    assert_eq!(issuer.refusal(&late).await, "expired");
}
