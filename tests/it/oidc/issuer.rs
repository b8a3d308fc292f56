//! An issuer of tokens: its keys of every kind, its service, and what it signs.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::DateTime;
use daybook::auth::oidc::Oidc;
use daybook::config::{Oidc as OidcSettings, Settings, WebUrl, value::Setting as _};
use daybook::ops::{Clock, MockClock};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde_json::{Value, json};

use crate::support::{Answer, Web, base64url};

/// When the tests take place.
pub const NOW: i64 = 1_800_000_000;

/// Every algorithm that is accepted.
pub const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Where the issuer shows its keys.
pub const KEYS: &str = "/keys";

const CONFIGURATION: &str = "/.well-known/openid-configuration";

/// A key of the issuer's, by its name.
#[derive(Clone)]
pub struct Signer {
    pub id: String,
    pub algorithm: Algorithm,
    pub private: EncodingKey,
}

impl Signer {
    /// A key of this algorithm's kind, of this name.
    pub fn new(id: &str, algorithm: Algorithm) -> Signer {
        Signer {
            id: id.to_owned(),
            algorithm,
            private: private(algorithm),
        }
    }

    /// As the issuer shows it.
    pub fn shown(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        let mut shown = serde_json::to_value(jwk).unwrap();
        shown["kid"] = self.id.as_str().into();
        shown["use"] = "sig".into();
        shown
    }

    /// The header of a good token.
    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "kid": self.id, "typ": "at+jwt" })
    }

    /// A token over these exact texts, signed as it should be.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let message = message(header, claims);
        let signature = crypto::sign(message.as_bytes(), &self.private, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// A good token.
    pub fn token(&self, issuer: &Issuer) -> String {
        self.with_claims(issuer, json!({}))
    }

    /// A good token but for these claims (null removes one).
    pub fn with_claims(&self, issuer: &Issuer, changes: Value) -> String {
        let claims = changed(issuer.claims(), changes);
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A good token but for these header fields (null removes one).
    pub fn with_header(&self, issuer: &Issuer, changes: Value) -> String {
        let header = changed(self.header(), changes);
        self.sign(&header.to_string(), &issuer.claims().to_string())
    }
}

/// The part of a token that is signed.
pub fn message(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| base64url(part.as_bytes()));
    format!("{header}.{claims}")
}

pub fn changed(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
    object
}

fn private(algorithm: Algorithm) -> EncodingKey {
    /// PKCS #8 up to the key itself (RFC 8410, section 7; RFC 5915).
    const ED25519: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    const P256: &[u8] = b"\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\
          \x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x27\x30\x25\x02\x01\x01\x04\x20";
    const P384: &[u8] = b"\x30\x4e\x02\x01\x00\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\
          \x2b\x81\x04\x00\x22\x04\x37\x30\x35\x02\x01\x01\x04\x30";
    // Made once for all tests: it takes seconds.
    static RSA: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap();
        key.to_pkcs1_der().unwrap().as_bytes().to_vec()
    });
    let random = || [[0; 16], rand(), rand(), rand()].concat();
    match algorithm {
        Algorithm::EdDSA => EncodingKey::from_ed_der(&[ED25519, &random()[16..48]].concat()),
        Algorithm::ES256 => EncodingKey::from_ec_der(&[P256, &random()[..32]].concat()),
        Algorithm::ES384 => EncodingKey::from_ec_der(&[P384, &random()[..48]].concat()),
        _ => EncodingKey::from_rsa_der(&RSA),
    }
}

fn rand() -> [u8; 16] {
    *uuid::Uuid::now_v7().as_bytes()
}

/// An issuer that shows keys, and what trusts it.
pub struct Issuer {
    pub web: Web,
    pub name: String,
    pub oidc: Oidc,
    pub clock: MockClock,
}

impl Issuer {
    /// One that shows these keys, found by its configuration.
    pub async fn showing(signers: &[&Signer]) -> Issuer {
        Issuer::with(signers, |_| ()).await
    }

    /// The same, trusted with settings that were changed.
    pub async fn with(signers: &[&Signer], change: impl FnOnce(&mut Settings)) -> Issuer {
        let web = Web::start().await;
        let name = format!("http://{}", web.address);
        let mut settings = Settings::default();
        settings.oidc = OidcSettings {
            issuer: Some(WebUrl::parse(&name).unwrap()),
            audience: Some("daybook".to_owned()),
            ..settings.oidc
        };
        settings.http_client.timeout = Duration::from_secs(20);
        change(&mut settings);
        let (system, clock) = Clock::mock(DateTime::from_timestamp(NOW, 0).unwrap());
        let oidc = Oidc::start(&settings, system).unwrap().unwrap();
        let issuer = Issuer {
            web,
            name,
            oidc,
            clock,
        };
        issuer.configure(json!({}));
        issuer.show(signers);
        issuer
    }

    /// Answers with its configuration but for these members.
    pub fn configure(&self, changes: Value) {
        let keys = format!("{}{KEYS}", self.name);
        let configuration = json!({ "issuer": self.name, "jwks_uri": keys });
        let configuration = changed(configuration, changes);
        self.web.answer(CONFIGURATION, Answer::ok(configuration));
    }

    /// Shows these keys from now on.
    pub fn show(&self, signers: &[&Signer]) {
        let keys = signers.iter().map(|signer| signer.shown()).collect();
        self.show_all(keys);
    }

    /// Shows these, whatever they are.
    pub fn show_all(&self, keys: Vec<Value>) {
        self.web.answer(KEYS, Answer::ok(json!({ "keys": keys })));
    }

    /// How often it was asked for its keys.
    pub fn asked(&self) -> usize {
        self.web.asked(KEYS)
    }

    /// The claims of a good token.
    pub fn claims(&self) -> Value {
        json!({
            "iss": self.name, "aud": "daybook", "sub": "auth0|ann", "exp": NOW + 900, "iat": NOW,
            "jti": "t1", "roles": ["boss"],
        })
    }

    /// Why a token is refused; empty if it is not.
    pub async fn refusal(&self, token: &str) -> &'static str {
        self.oidc.verify(token).await.err().unwrap_or("")
    }
}
