//! Access tokens that are none, section T of `docs/promises.md`, as a process answers them: every variant the
//! same, whichever way it comes in, and nothing in it is looked up, fetched or said.

use std::collections::BTreeSet;
use std::time::Duration;

use daybook::auth::{Role, SigningKey};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::scene::{As, Person, Scene, clock, outcome};
use crate::support::{Heard, Reply, base64url, pem};
use crate::transport::client::Socket;

const NOW: i64 = 1_800_000_000;

/// What stands before the 32 bytes of a public Ed25519 key where a file holds it (RFC 8410, section 4).
const SPKI_HEAD: [u8; 12] = [48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0];

/// Makes tokens with the key the process itself signs with.
struct Forge {
    own: SigningKey,
    stranger: SigningKey,
    /// The key that will sign next.
    next: String,
    /// Where somebody waits to be asked for keys.
    place: String,
}

fn private(key: &SigningKey) -> EncodingKey {
    let head = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
    EncodingKey::from_ed_der(&[&head[..], key.seed()].concat())
}

fn claims() -> Value {
    json!({
        "iss": "daybook", "aud": "daybook-api", "sub": "ann", "exp": NOW + 900, "nbf": NOW,
        "iat": NOW, "jti": "t1", "tenant": "default", "roles": ["admin"],
    })
}

/// The object with these members changed; null takes one away.
fn changed(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
    object
}

/// A JSON object that begins with one member more, which it may have already.
fn twice(object: &Value, member: &str) -> String {
    let text = object.to_string();
    text.replacen('{', &format!("{{{member},"), 1)
}

impl Forge {
    /// Two keys are known: the one that signs, and the next.
    async fn open(scene: &Scene, place: String) -> Forge {
        let rotate =
            "mutation { rotateSigningKey { signingKeys { signing next } userErrors { code } } }";
        let told = scene.done(&scene.admin("default"), rotate, json!({})).await;
        let kid = told["signingKeys"]["signing"].as_str().unwrap();
        let wrapped: Vec<u8> =
            sqlx::query_scalar("select wrapped from signing_key_secrets where kid = $1")
                .bind(kid)
                .fetch_one(scene.app.db().pool())
                .await
                .unwrap();
        let seed = scene.app.app().vault.unwrap(&["daybook", kid], &wrapped);
        Forge {
            own: SigningKey::of_seed(seed.unwrap()),
            stranger: SigningKey::random(),
            next: told["signingKeys"]["next"].as_str().unwrap().to_owned(),
            place,
        }
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": self.own.id() })
    }

    /// A token over these exact texts, signed by this key.
    fn by(&self, key: &SigningKey, header: &str, claims: &str) -> String {
        let message = format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(claims.as_bytes())
        );
        let signature = crypto::sign(message.as_bytes(), &private(key), Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }

    fn signed(&self, header: &str, claims: &str) -> String {
        self.by(&self.own, header, claims)
    }

    /// A good one.
    fn good(&self) -> String {
        self.with_claims(&json!({}))
    }

    fn with_claims(&self, changes: &Value) -> String {
        self.signed(
            &self.header().to_string(),
            &changed(claims(), changes).to_string(),
        )
    }

    fn with_header(&self, changes: &Value) -> String {
        self.signed(
            &changed(self.header(), changes).to_string(),
            &claims().to_string(),
        )
    }

    /// The same, with another signature.
    fn resigned(&self, changes: &Value, signature: &str) -> String {
        let token = self.with_header(changes);
        let (message, _) = token.rsplit_once('.').unwrap();
        format!("{message}.{signature}")
    }

    /// T1 to T5: what says by itself how it is to be checked.
    fn algorithms(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        for none in [
            json!("none"),
            json!("None"),
            json!("nOnE"),
            json!(""),
            Value::Null,
            json!([]),
            json!(7),
        ] {
            let changes = json!({ "alg": none });
            rows.push(("T1 signed", self.with_header(&changes)));
            rows.push(("T1 bare", self.resigned(&changes, "")));
        }
        let x = self.own.public();
        let raw = base64_bytes(x);
        let spki = [&SPKI_HEAD[..], &raw].concat();
        let public = pem("PUBLIC KEY", &spki);
        for secret in [
            &raw[..],
            &spki,
            x.as_bytes(),
            public.as_bytes(),
            public.trim().as_bytes(),
            b"",
            b"secret",
        ] {
            for (alg, algorithm) in [("HS256", Algorithm::HS256), ("HS512", Algorithm::HS512)] {
                let token = self.resigned(&json!({ "alg": alg }), "");
                let message = token.trim_end_matches('.');
                let key = EncodingKey::from_secret(secret);
                let signature = crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
                rows.push(("T2", format!("{message}.{signature}")));
            }
        }
        for alg in ["ES256", "RS256", "PS256", "Ed25519", "EdDSA"] {
            let zeros = base64url(&[0; 64]);
            rows.push(("T3", self.resigned(&json!({ "alg": alg }), &zeros)));
        }
        let jwk =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": self.stranger.public(), "alg": "EdDSA" });
        let elsewhere = format!("{}/jwks.json", self.place);
        for (row, member) in [
            ("T4", json!({ "jwk": jwk })),
            ("T5 jku", json!({ "jku": elsewhere })),
            ("T5 x5u", json!({ "x5u": elsewhere })),
            (
                "T5 own host",
                json!({ "jku": "https://daybook/.well-known/jwks.json" }),
            ),
        ] {
            for kid in [self.own.id(), self.stranger.id()] {
                let mut header = changed(self.header(), &member);
                header["kid"] = json!(kid);
                let header = header.to_string();
                rows.push((row, self.by(&self.stranger, &header, &claims().to_string())));
                rows.push((row, self.signed(&header, &claims().to_string())));
            }
        }
        rows
    }

    /// T6, T7: which key.
    fn keys(&self) -> Vec<(&'static str, String)> {
        let long = "k".repeat(10 << 10);
        let mut rows = Vec::new();
        for kid in [
            "../../dev/null",
            "' or 1=1--",
            "\r\nFLUSHALL\r\n",
            "\u{0}",
            "unknown",
            "",
            " ",
            "*",
            long.as_str(),
            self.stranger.id(),
            &self.own.id().to_uppercase(),
            &format!("{}\u{0}", self.own.id()),
        ] {
            rows.push(("T6", self.with_header(&json!({ "kid": kid }))));
        }
        for kid in [
            json!([self.own.id()]),
            json!({ "kid": self.own.id() }),
            json!(0),
        ] {
            rows.push(("T6 kind", self.with_header(&json!({ "kid": kid }))));
        }
        rows.push(("T7", self.with_header(&json!({ "kid": null }))));
        rows.push((
            "T7 the other",
            self.with_header(&json!({ "kid": self.next })),
        ));
        rows
    }

    /// T9 to T13, T19: what it says.
    fn sayings(&self) -> Vec<(&'static str, String)> {
        let header = self.header().to_string();
        let mut rows = Vec::new();
        for (row, changes) in [
            ("T9", json!({ "exp": NOW - 31 })),
            ("T11", json!({ "nbf": NOW + 31 })),
            ("T11", json!({ "iat": NOW + 31 })),
            ("T11", json!({ "iat": NOW + 31, "nbf": NOW + 31 })),
            ("T12", json!({ "iss": "someone" })),
            ("T12", json!({ "iss": "Daybook" })),
            ("T12", json!({ "iss": "daybook/" })),
            ("T12", json!({ "iss": "" })),
            ("T12", json!({ "iss": ["daybook"] })),
            ("T12", json!({ "iss": null })),
            ("T13", json!({ "aud": "other" })),
            ("T13", json!({ "aud": "" })),
            ("T13", json!({ "aud": [] })),
            ("T13", json!({ "aud": ["other"] })),
            ("T13", json!({ "aud": [["daybook-api"]] })),
            ("T13", json!({ "aud": { "daybook-api": true } })),
            ("T13", json!({ "aud": null })),
            ("T19", json!({ "sub": { "id": "ann" } })),
            ("T19", json!({ "sub": ["ann"] })),
            ("T19", json!({ "sub": 7 })),
            ("T19", json!({ "sub": "\u{430}nn" })),
            ("T19", json!({ "sub": "ann\u{202e}" })),
            ("T19", json!({ "sub": "a\u{301}nn" })),
            ("T19", json!({ "sub": "ann ben" })),
            ("T19", json!({ "tenant": "d\u{435}fault" })),
        ] {
            rows.push((row, self.with_claims(&changes)));
        }
        for claim in ["exp", "nbf", "iat"] {
            let value = claims()[claim].to_string();
            for written in [
                &format!("\"{value}\""),
                &format!("{value}.5"),
                &format!("{value}.0"),
                "1e99",
                "1.8e9",
                "-1",
                "18446744073709551615",
                "18446744073709551616",
                "9223372036854775807",
                "null",
                "true",
                "[]",
            ] {
                let text = claims().to_string();
                let of_good = format!("\"{claim}\":{value}");
                assert!(text.contains(&of_good));
                let text = text.replace(&of_good, &format!("\"{claim}\":{written}"));
                rows.push(("T10", self.signed(&header, &text)));
            }
            rows.push(("T10 missing", self.with_claims(&json!({ claim: null }))));
        }
        for (claim, value) in claims().as_object().unwrap() {
            let text = twice(&claims(), &format!("\"{claim}\":{value}"));
            rows.push(("T19 twice", self.signed(&header, &text)));
        }
        for (field, value) in self.header().as_object().unwrap() {
            let text = twice(&self.header(), &format!("\"{field}\":{value}"));
            rows.push((
                "T19 header twice",
                self.signed(&text, &claims().to_string()),
            ));
        }
        rows
    }

    /// T14, T18: what is something else.
    fn shapes(&self, ann: &Person) -> Vec<(&'static str, String)> {
        let good = self.good();
        let [head, body, signature]: [&str; 3] =
            good.split('.').collect::<Vec<_>>().try_into().unwrap();
        let mut rows = vec![
            ("T14 refresh", ann.refresh.clone()),
            (
                "T18 long",
                self.with_claims(&json!({ "filler": "x".repeat(4_096) })),
            ),
            (
                "T18 JWE",
                format!("{head}.{body}.{body}.{body}.{signature}"),
            ),
            ("T18 JWE", format!("{head}..{body}.{body}.{signature}")),
            ("T18 padding", format!("{head}=.{body}.{signature}")),
            ("T18 padding", format!("{head}.{body}=.{signature}")),
            ("T18 padding", format!("{head}.{body}.{signature}=")),
            ("T18 padding", format!("{head}.{body}.{signature}==")),
            (
                "T18 alphabet",
                format!("{head}.{body}./{}", &signature[1..]),
            ),
            (
                "T18 alphabet",
                format!("{head}.{body}.+{}", &signature[1..]),
            ),
            ("T18 escaped", format!("{head}.{body}.{signature}%0a")),
            ("T18 none", ".".to_owned()),
            ("T18 none", "..".to_owned()),
            ("T18 none", format!("{head}.{body}.")),
            ("T18 bare", format!("{head}.{body}")),
        ];
        for typ in [
            "JWT",
            "at+JWT ",
            "rt+jwt",
            "id+jwt",
            "jwt",
            "application/jwt",
            "",
        ] {
            rows.push(("T14", self.with_header(&json!({ "typ": typ }))));
        }
        rows.push(("T14", self.with_header(&json!({ "typ": null }))));
        for member in [
            json!({ "b64": false }),
            json!({ "b64": false, "crit": ["b64"] }),
            json!({ "crit": ["unknown"], "unknown": 1 }),
            json!({ "crit": [] }),
            json!({ "zip": "DEF" }),
            json!({ "enc": "A256GCM" }),
            json!({ "cty": "JWT" }),
        ] {
            rows.push(("T18", self.with_header(&member)));
        }
        rows
    }
}

/// The bytes of a text in base 64 for URLs.
fn base64_bytes(text: &str) -> Vec<u8> {
    let key = jsonwebtoken::DecodingKey::from_ed_components(text).unwrap();
    key.try_get_as_bytes().unwrap().to_vec()
}

/// What is told of a request with bad credentials, without what is another each time.
fn told(reply: &Reply) -> (u16, String, String) {
    let mut body = reply.json();
    for at in ["/errors/0/extensions", ""] {
        if let Some(Value::Object(facts)) = body.pointer_mut(at) {
            facts.retain(|name, _| !name.ends_with("Id"));
        }
    }
    (
        reply.status,
        reply.header("www-authenticate").to_owned(),
        body.to_string(),
    )
}

/// T1 to T14, T18, T19: one answer to all of them, by every way in, and the process does nothing that the
/// token says. What follows from a key's time is in `proof`, what the log says of a good token in `tokens`.
#[tokio::test]
async fn t_rows() {
    let heard = Heard::listen();
    let (clock, _) = clock();
    let scene = Scene::at(clock, |_| ()).await;
    let waiting = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}", waiting.local_addr().unwrap());
    let forge = Forge::open(&scene, place).await;
    let ann = scene.person("default", "ann", &[Role::Admin]).await;
    assert_eq!(scene.standing(&As::Token(forge.good())).await, "ok");
    for good in [
        json!({ "aud": ["other", "daybook-api"] }),
        json!({ "exp": NOW - 30 }),
        json!({ "nbf": NOW + 30, "iat": NOW + 30 }),
    ] {
        let token = As::Token(forge.with_claims(&good));
        assert_eq!(scene.standing(&token).await, "ok", "{good}");
    }

    let rows = [
        forge.algorithms(),
        forge.keys(),
        forge.sayings(),
        forge.shapes(&ann),
    ]
    .concat();
    let query = json!({ "query": "{ me { id } }" });
    let json = [("content-type", "application/json")];
    let (mut wrong, mut first) = (Vec::new(), None);
    for (row, token) in &rows {
        let bad = As::Token(token.clone());
        heard.take();
        let posted = scene.post(&bad, "/graphql", &query).await;
        let said = heard.take();
        let asked = said
            .iter()
            .filter(|said| said.in_request && said.statement.is_some());
        if asked.count() > 1 {
            wrong.push(format!(
                "{row} {token:.300}: more was asked than which keys there are"
            ));
        }
        let aside = scene.send(&bad, "GET /api/jwt/status", &json, b"").await;
        for told in [told(&posted), told(&aside)] {
            let first = first.get_or_insert_with(|| told.1.clone());
            let as_all =
                told.0 == 401 && told.2.contains("\"UNAUTHENTICATED\"") && told.1 == *first;
            if !as_all {
                wrong.push(format!("{row} {token:.300}: {told:?}"));
            }
        }
        let proof = token.rsplit('.').next().filter(|proof| proof.len() > 40);
        for said in &said {
            let planted = ["dev/null", "1=1", "FLUSHALL", &forge.place];
            if proof
                .into_iter()
                .chain(planted)
                .any(|part| said.text.contains(part))
            {
                wrong.push(format!("{row} {token:.300}: said {}", said.text));
            }
        }
    }
    assert!(rows.len() > 150, "{}", rows.len());
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    let mut answers = BTreeSet::new();
    for (_, token) in rows.iter().step_by(7) {
        let bad = As::Token(token.clone());
        answers.insert(told(&scene.post(&bad, "/graphql", &query).await));
    }
    assert_eq!(answers.len(), 1, "one body: {answers:?}");
    let fetched = tokio::time::timeout(Duration::ZERO, waiting.accept()).await;
    assert!(
        fetched.is_err(),
        "keys were fetched from where a token says"
    );
    // And it still serves.
    assert_eq!(scene.standing(&As::Token(forge.good())).await, "ok");
    sockets(&scene, &rows).await;
}

/// The same tokens open no socket and no event stream.
async fn sockets(scene: &Scene, rows: &[(&str, String)]) {
    for (row, token) in rows {
        let mut socket = Socket::open(scene.app.address(), &[]).await;
        let init = json!({ "type": "connection_init", "payload": { "token": token } });
        socket.send(&init).await;
        let closed = json!({ "closed": 4403, "reason": "forbidden" });
        assert_eq!(socket.next().await, closed, "{row} {token:.300}");
    }
    for (row, token) in rows.iter().step_by(5) {
        let headers = [
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
        ];
        let body = json!({ "query": "subscription { events { id } }" }).to_string();
        let bad = As::Token(token.clone());
        let reply = scene
            .send(&bad, "POST /graphql", &headers, body.as_bytes())
            .await;
        assert_eq!(
            (reply.status, outcome(&reply.json())),
            (401, "UNAUTHENTICATED"),
            "{row}"
        );
    }
}
