//! Tokens of a foreign issuer (OpenID Connect Discovery 1.0, RFC 9068, RFC 8725): who they stand for here.
//!
//! Nothing a token says of itself is believed before it is checked, and nothing in it is ever fetched: keys
//! come from where the settings say alone.

mod claims;
mod keys;
mod source;
mod strict;

use chrono::{DateTime, Utc};
use domain::user::Role;
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde::Deserialize;

use crate::config::Settings;
use crate::fetch::{CertificatesError, Fetch};
use crate::ops::Clock;
use claims::Rules;
use keys::Wanted;
use source::Source;
use strict::Object;

/// The longest token looked at. Others put more into theirs than we do.
pub const BYTES_MAX: usize = 16 * 1024;

/// The longest name of a key, characters.
const KEY_ID_CHARS_MAX: usize = 255;

/// Checks tokens of the issuer that the settings trust. Cheap to clone.
#[derive(Clone)]
pub struct Oidc {
    rules: Rules,
    source: Source,
    clock: Clock,
}

/// Whom a checked token of the issuer stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The issuer's name for them, 1 to 255 visible ASCII characters. It is no id of a user of ours, however
    /// it is spelt.
    pub subject: String,
    /// Whose data; well-formed, which does not mean that there is such a tenant.
    pub tenant: String,
    /// What they may do, each role once.
    pub roles: Vec<Role>,
    /// The token's own id (`jti`), if it has one.
    pub token_id: Option<String>,
    /// When the token ends, clock difference not counted.
    pub expires_at: DateTime<Utc>,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
}

/// The issuer that a token claims to be of. It has not proved anything yet.
pub fn claimed_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claimed {
        iss: String,
    }
    check_shape(token).ok()?;
    let claimed = insecure_decode_claims::<Claimed>(token).ok()?;
    Some(claimed.iss)
}

impl Oidc {
    /// Over the issuer that the settings trust; none if they trust none. Its keys are fetched once a token
    /// needs them, in tasks of the runtime that asks.
    pub fn start(settings: &Settings, clock: Clock) -> Result<Option<Oidc>, CertificatesError> {
        let (Some(issuer), Some(audience)) = (&settings.oidc.issuer, &settings.oidc.audience)
        else {
            return Ok(None);
        };
        let fetch = Fetch::new(&settings.http_client)?;
        Ok(Some(Oidc {
            rules: Rules::new(&settings.oidc, issuer, audience, settings.auth.leeway),
            source: Source::new(settings.oidc.clone(), issuer.clone(), fetch, clock.clone()),
            clock,
        }))
    }

    /// Is this the name of the issuer that is trusted? To the letter.
    pub fn is_of(&self, issuer: &str) -> bool {
        self.rules.is_of(issuer)
    }

    /// Checks a token: its shape, header, key, signature and every claim that counts. The error is the reason
    /// as a metric's label has it.
    pub async fn verify(&self, token: &str) -> Result<Foreign, &'static str> {
        check_shape(token)?;
        let header = decode_header(token).map_err(|_| "header")?;
        let wanted = check_header(header)?;
        let key = self.source.key(&wanted).await?;
        // Times, issuer and audience are checked below, by our clock and to the letter.
        let mut signature_only = Validation::new(wanted.algorithm);
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        let claims = decode::<Object>(token, key.public(), &signature_only)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::Json(_) => "claims",
                _ => "signature",
            })?
            .claims;
        self.rules.judge(&claims, self.clock.now())
    }
}

fn check_shape(token: &str) -> Result<(), &'static str> {
    if token.len() > BYTES_MAX {
        return Err("size");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let dots = token.bytes().filter(|byte| *byte == b'.').count();
    match dots == 2 && token.bytes().all(plain) {
        true => Ok(()),
        false => Err("shape"),
    }
}

/// Which key the header asks for. Fields that name a key of their own, or change what is signed, are refused
/// whether or not they would be used.
fn check_header(header: Header) -> Result<Wanted, &'static str> {
    let names_a_key = header.jku.is_some()
        || header.jwk.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some();
    let extends = header.crit.is_some()
        || header.zip.is_some()
        || header.enc.is_some()
        || header.cty.is_some()
        || header.extras.inner().contains_key("b64");
    // Some issuers leave the type out; id tokens are told by their claims.
    let types = ["at+jwt", "application/at+jwt", "jwt"];
    let is_access = header.typ.is_none_or(|typ| {
        let typ = typ.to_ascii_lowercase();
        types.contains(&typ.as_str())
    });
    let name_is_sane = header.kid.as_ref().is_none_or(|kid| {
        let graphic = kid.bytes().all(|byte| byte.is_ascii_graphic());
        (1..=KEY_ID_CHARS_MAX).contains(&kid.len()) && graphic
    });
    if names_a_key || extends || !is_access || !name_is_sane {
        return Err("header");
    }
    // A secret that both sides know would be our public knowledge: their public key.
    if let Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 = header.alg {
        return Err("algorithm");
    }
    Ok(Wanted {
        key_id: header.kid,
        algorithm: header.alg,
    })
}
