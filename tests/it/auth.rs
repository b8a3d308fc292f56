//! Tokens: what is accepted, and what is not (each with the same answer).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use daybook::auth::{Caller, Grant, Ring, Role, SigningKey, Tokens, Unauthenticated, bearer};
use daybook::config::Settings;
use daybook::ops::{Clock, MockClock};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

struct Given {
    seed: [u8; 32],
    auth: Tokens,
    clock: MockClock,
}

impl Given {
    fn new() -> Given {
        let (system, clock) = Clock::mock(DateTime::from_timestamp(NOW, 0).unwrap());
        let key = SigningKey::random();
        let given = Given {
            seed: *key.seed(),
            auth: Tokens::new(&Settings::default().auth, system),
            clock,
        };
        given.auth.install(Ring::of(key));
        given
    }

    fn key(&self) -> EncodingKey {
        let head = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
        EncodingKey::from_ed_der(&[&head[..], &self.seed].concat())
    }

    /// Whom the token stands for.
    fn verify(&self, token: &str) -> Result<Arc<Caller>, Unauthenticated> {
        self.auth.verify(token).map(|seen| seen.claimed.clone())
    }

    fn mint(&self) -> String {
        self.auth.mint(&grant()).unwrap()
    }

    /// The header of a good token.
    fn header(&self) -> Value {
        serde_json::from_slice(&unbase64(self.mint().split('.').next().unwrap())).unwrap()
    }

    /// A token over these exact texts, signed as it should be.
    fn signed(&self, header: &str, claims: &str) -> String {
        let message = format!(
            "{}.{}",
            base64(header.as_bytes()),
            base64(claims.as_bytes())
        );
        let signature = crypto::sign(message.as_bytes(), &self.key(), Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }

    /// A good token but for these claims (null removes one).
    fn with_claims(&self, changes: Value) -> String {
        let claims = changed(claims(), changes);
        self.signed(&self.header().to_string(), &claims.to_string())
    }

    /// A good token but for these header fields (null removes one).
    fn with_header(&self, changes: Value) -> String {
        let header = changed(self.header(), changes);
        self.signed(&header.to_string(), &claims().to_string())
    }
}

fn grant() -> Grant {
    Grant {
        subject: "ann".into(),
        tenant: "default".into(),
        roles: vec![Role::Operator],
        scopes: vec!["backfill".into()],
        ..Grant::default()
    }
}

fn claims() -> Value {
    json!({
        "iss": "daybook", "aud": "daybook-api", "sub": "ann", "exp": NOW + 900, "nbf": NOW,
        "iat": NOW, "jti": "t1", "tenant": "default", "roles": ["operator"],
    })
}

fn changed(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
    object
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            out.push(char::from(
                DIGITS[(group >> (18 - 6 * place) & 63) as usize],
            ));
        }
    }
    out
}

fn unbase64(text: &str) -> Vec<u8> {
    let (mut out, mut group, mut bits) = (Vec::new(), 0u32, 0);
    for byte in text.bytes() {
        let digit = DIGITS.iter().position(|d| *d == byte).unwrap() as u32;
        (group, bits) = (group << 6 | digit, bits + 6);
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits & 255) as u8);
        }
    }
    out
}

#[test]
fn a_minted_token_stands_for_its_caller_until_it_ends() {
    let given = Given::new();
    let token = given.mint();
    let caller = given.verify(&token).unwrap();
    assert_eq!(caller.actor.to_string(), "user:ann");
    assert_eq!(&*caller.tenant, "default");
    assert!(caller.may(Role::Operator) && !caller.may(Role::Admin) && !caller.may(Role::Auditor));
    assert!(caller.has_scope("backfill") && !caller.has_scope("back"));
    assert_eq!(caller.expires_at.timestamp(), NOW + 900);

    given.clock.advance(TimeDelta::seconds(930));
    assert_eq!(
        given.verify(&token).unwrap(),
        caller,
        "within the leeway, remembered"
    );
    given.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(
        given.verify(&token),
        Err(Unauthenticated),
        "remembered is not believed"
    );
}

#[test]
fn claims_that_are_as_they_should_be_are_accepted() {
    let given = Given::new();
    let cases = [
        json!({}),
        json!({"aud": ["other", "daybook-api"]}),
        json!({"exp": NOW - 30}),
        json!({"nbf": NOW + 30, "iat": NOW + 30}),
        json!({"roles": []}),
        json!({"roles": ["a role of tomorrow"]}),
        json!({"scope": "a b"}),
        json!({"a claim of tomorrow": [1]}),
    ];
    for case in cases {
        assert!(
            given.verify(&given.with_claims(case.clone())).is_ok(),
            "{case}"
        );
    }
}

#[test]
fn claims_that_are_not_are_refused() {
    let given = Given::new();
    let mut cases = vec![
        json!({"exp": NOW - 31}),
        json!({"exp": (NOW + 900).to_string()}),
        json!({"exp": NOW as f64 + 900.5}),
        json!({"exp": 1e99}),
        json!({"exp": -1}),
        json!({"exp": u64::MAX}),
        json!({"exp": i64::MAX}),
        json!({"exp": 253_402_300_800_i64}),
        json!({"exp": true}),
        json!({"nbf": NOW + 31}),
        json!({"nbf": NOW.to_string()}),
        json!({"nbf": -1}),
        json!({"iat": NOW + 31}),
        json!({"iat": [NOW]}),
        json!({"iss": "someone"}),
        json!({"iss": ["daybook"]}),
        json!({"iss": ""}),
        json!({"aud": "other"}),
        json!({"aud": []}),
        json!({"aud": ["other"]}),
        json!({"aud": {"daybook-api": 1}}),
        json!({"sub": ""}),
        json!({"sub": {"id": "ann"}}),
        json!({"sub": "ann\u{202e}"}),
        json!({"sub": "ann\n"}),
        json!({"sub": "a".repeat(256)}),
        json!({"tenant": ""}),
        json!({"tenant": 1}),
        json!({"jti": ""}),
        json!({"roles": "admin"}),
        json!({"roles": [1]}),
    ];
    for name in [
        "iss", "aud", "sub", "exp", "nbf", "iat", "jti", "tenant", "roles",
    ] {
        cases.push(json!({ name: null }));
    }
    for case in cases {
        let token = given.with_claims(case.clone());
        assert_eq!(given.verify(&token), Err(Unauthenticated), "{case}");
    }
    for text in ["", "null", "[]", "{", "{}", &format!("{}x", claims())] {
        let token = given.signed(&given.header().to_string(), text);
        assert_eq!(given.verify(&token), Err(Unauthenticated), "{text}");
    }
    for twice in [
        "\"sub\":\"bob\"",
        "\"exp\":9999999999",
        "\"roles\":[\"admin\"]",
    ] {
        let text = claims()
            .to_string()
            .replacen('{', &format!("{{{twice},"), 1);
        let token = given.signed(&given.header().to_string(), &text);
        assert_eq!(given.verify(&token), Err(Unauthenticated), "{text}");
    }
}

#[test]
fn headers_that_are_not_ours_are_refused() {
    let given = Given::new();
    assert!(given.verify(&given.with_header(json!({}))).is_ok());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64(&[9; 32])});
    let cases = [
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": "nOnE"}),
        json!({"alg": ""}),
        json!({"alg": null}),
        json!({"alg": "HS256"}),
        json!({"alg": "ES256"}),
        json!({"alg": "RS256"}),
        json!({"alg": ["EdDSA"]}),
        json!({"typ": "JWT"}),
        json!({"typ": "rt+jwt"}),
        json!({"typ": null}),
        json!({"jwk": jwk}),
        json!({"jku": "http://127.0.0.1:8080/.well-known/jwks.json"}),
        json!({"x5u": "http://attacker.example/"}),
        json!({"x5c": ["MII="]}),
        json!({"kid": null}),
        json!({"kid": ""}),
        json!({"kid": "../../dev/null"}),
        json!({"kid": "' or 1=1--"}),
        json!({"kid": "a\r\nb"}),
        json!({"kid": "k".repeat(3_000)}),
        json!({"crit": ["exp"]}),
        json!({"b64": false}),
        json!({"zip": "DEF"}),
        json!({"cty": "JWT"}),
        json!({"anything": 1}),
    ];
    for case in cases {
        let token = given.with_header(case.clone());
        assert_eq!(given.verify(&token), Err(Unauthenticated), "{case}");
    }
    let twice = given
        .header()
        .to_string()
        .replacen('{', "{\"alg\":\"none\",", 1);
    let token = given.signed(&twice, &claims().to_string());
    assert_eq!(given.verify(&token), Err(Unauthenticated), "{twice}");
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    let given = Given::new();
    let header = changed(given.header(), json!({"alg": "HS256"})).to_string();
    let message = format!(
        "{}.{}",
        base64(header.as_bytes()),
        base64(claims().to_string().as_bytes())
    );
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&given.key(), Algorithm::EdDSA).unwrap();
    let public = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    let secret = EncodingKey::from_secret(public.try_get_as_bytes().unwrap());
    let signature = crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
    assert_eq!(
        given.verify(&format!("{message}.{signature}")),
        Err(Unauthenticated)
    );
}

#[test]
fn what_is_not_exactly_a_token_is_refused() {
    let given = Given::new();
    let good = given.mint();
    let parts: Vec<&str> = good.split('.').collect();
    let (header, body, signature) = (parts[0], parts[1], parts[2]);
    let stranger = Given::new();
    let long = given.with_claims(json!({"filler": "x".repeat(4_096)}));
    assert!(
        given
            .verify(&given.with_claims(json!({"filler": "x".repeat(2_000)})))
            .is_ok()
    );
    let cases = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        good[..good.len() - 1].into(),
        format!("{good}A"),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{good}.."),
        format!("{header}.{body}"),
        format!("{header}.{body}."),
        format!("{header}..{signature}"),
        format!(".{body}.{signature}"),
        format!("{header}=.{body}.{signature}"),
        format!("{header}.{body}.{}", base64(&[0; 64])),
        format!(
            "{header}.{}.{signature}",
            base64(claims().to_string().as_bytes())
        ),
        "x".repeat(1 << 20),
        long,
        stranger.mint(),
        format!("{header}.{body}.{signature}").replace(header, &stranger.header().to_string()),
    ];
    for case in cases {
        let shown = &case[..case.len().min(80)];
        assert_eq!(given.verify(&case), Err(Unauthenticated), "{shown:?}");
    }
}

#[test]
fn one_authorization_header_with_one_bearer_token() {
    let one = |header: &str| bearer([header.as_bytes()]).map(str::to_owned);
    for good in ["Bearer abc", "bearer abc", "BEARER abc"] {
        assert_eq!(one(good).as_deref(), Ok("abc"), "{good}");
    }
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  abc",
        "Bearer abc ",
        "Basic abc",
        "abc",
        " Bearer abc",
    ] {
        assert_eq!(one(bad), Err(Unauthenticated), "{bad:?}");
    }
    assert_eq!(bearer([]), Err(Unauthenticated));
    assert_eq!(
        bearer([b"Bearer a".as_slice(), b"Bearer a"]),
        Err(Unauthenticated)
    );
    assert_eq!(bearer([b"Bearer \xff".as_slice()]), Err(Unauthenticated));
}

#[test]
fn a_token_cannot_be_made_to_say_what_would_be_refused() {
    let given = Given::new();
    let cases = [
        Grant {
            subject: String::new(),
            ..grant()
        },
        Grant {
            subject: "a b".into(),
            ..grant()
        },
        Grant {
            subject: "x".repeat(256),
            ..grant()
        },
        Grant {
            tenant: "t\n".into(),
            ..grant()
        },
        Grant {
            scopes: vec!["a b".into()],
            ..grant()
        },
        Grant {
            scopes: vec!["x".repeat(255); 20],
            ..grant()
        },
    ];
    for case in cases {
        assert!(given.auth.mint(&case).is_err(), "{case:?}");
    }
    let day = Grant {
        ttl: Some(Duration::from_secs(86_400)),
        ..grant()
    };
    let caller = given.verify(&given.auth.mint(&day).unwrap()).unwrap();
    assert_eq!(
        caller.expires_at,
        DateTime::<Utc>::from_timestamp(NOW + 86_400, 0).unwrap()
    );
}
