//! One token: how it is made and, step by step, how it is checked.

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Actor, ActorKind};
use jsonwebtoken::{Algorithm, Header, crypto, decode_header, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::caller::{Caller, Credential, Role};
use super::key::Ring;
use super::{AuthError, Grant};
use crate::config;

/// The longest token looked at.
pub const BYTES_MAX: usize = 4_096;

/// The longest subject, tenant or token id, characters.
const NAME_CHARS_MAX: usize = 255;

/// What every token must say.
pub struct Rules {
    issuer: String,
    audience: String,
    leeway: TimeDelta,
}

/// The claims (RFC 7519, section 4.1; RFC 9068, section 2.2). All are required but `scope` and
/// `sid`.
/// A claim that comes twice or has another type is refused by the parser.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: u64,
    nbf: u64,
    iat: u64,
    jti: String,
    tenant: String,
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Rules {
    pub fn new(settings: &config::Auth) -> Rules {
        Rules {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: TimeDelta::from_std(settings.leeway).unwrap_or(TimeDelta::zero()),
        }
    }

    /// Whose tokens these are.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Is a token that ends at `expires_at` over?
    pub fn expired(&self, expires_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now > expires_at + self.leeway
    }

    /// Was a token of `issued_at` made later than now? Then the clock was set back, here or where it was made.
    pub fn early(&self, issued_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        issued_at > now + self.leeway
    }
}

/// Makes a token that is good from now for `ttl`.
pub fn mint(
    ring: &Ring,
    rules: &Rules,
    grant: &Grant,
    ttl: Duration,
    now: DateTime<Utc>,
) -> Result<String, AuthError> {
    let key = ring.signing().ok_or(AuthError::NoKey)?;
    if !is_name(&grant.subject) || !is_name(&grant.tenant) {
        return Err(AuthError::Grant(
            "subject and tenant are 1 to 255 visible ASCII characters",
        ));
    }
    if !grant.scopes.iter().all(|scope| is_name(scope)) {
        return Err(AuthError::Grant(
            "a scope is visible ASCII characters without a space",
        ));
    }
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some(key.id().to_owned());
    let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
    let claims = Claims {
        iss: rules.issuer.clone(),
        aud: Audience::One(rules.audience.clone()),
        sub: grant.subject.clone(),
        exp: seconds.saturating_add(ttl.as_secs()),
        nbf: seconds,
        iat: seconds,
        jti: Uuid::now_v7().to_string(),
        tenant: grant.tenant.clone(),
        roles: grant
            .roles
            .iter()
            .map(|role| role.as_str().to_owned())
            .collect(),
        scope: grant.scopes.join(" "),
        sid: grant.session.clone(),
    };
    let token = encode(&header, &claims, &key.private).expect("the key is one of Ed25519");
    match token.len() > BYTES_MAX {
        true => Err(AuthError::Grant("the token would be over 4 KiB")),
        false => Ok(token),
    }
}

/// Checks a token; the error is the reason as a metric's label has it.
pub fn check(
    ring: &Ring,
    rules: &Rules,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Caller, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let dots = token.bytes().filter(|byte| *byte == b'.').count();
    if dots != 2 || !token.bytes().all(plain) {
        return Err("shape");
    }
    let header = decode_header(token).map_err(|_| "header")?;
    if !header_is_ours(&header) {
        return Err("header");
    }
    let key = header.kid.as_deref().ok_or("header")?;
    let key = ring.verifier(key, now).ok_or("key")?;
    // The crate's own `decode` would read the header twice more, and the claims twice; of what it checks,
    // times, issuer and audience are checked below, by our clock and to the letter.
    let (message, signature) = token.rsplit_once('.').ok_or("shape")?;
    match crypto::verify(signature, message.as_bytes(), key, Algorithm::EdDSA) {
        Ok(true) => {}
        _ => return Err("signature"),
    }
    let (_, payload) = message.split_once('.').ok_or("shape")?;
    let payload = Base64UrlUnpadded::decode_vec(payload).map_err(|_| "claims")?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| "claims")?;
    caller_of(claims, rules, now)
}

/// Exactly the header we write, whichever of our keys it names: no other algorithm, no extension.
fn header_is_ours(header: &Header) -> bool {
    let expected = Header {
        typ: Some("at+jwt".to_owned()),
        kid: header.kid.clone(),
        ..Header::new(Algorithm::EdDSA)
    };
    *header == expected
}

fn caller_of(claims: Claims, rules: &Rules, now: DateTime<Utc>) -> Result<Caller, &'static str> {
    let audience = match &claims.aud {
        Audience::One(one) => *one == rules.audience,
        Audience::Several(several) => several.contains(&rules.audience),
    };
    if claims.iss != rules.issuer || !audience {
        return Err("issuer or audience");
    }
    let time = |seconds: u64| {
        let seconds = i64::try_from(seconds).ok();
        let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        time.filter(|time| time.timestamp() <= LAST_SECOND)
            .ok_or("claims")
    };
    let (expires_at, not_before) = (time(claims.exp)?, time(claims.nbf)?);
    let issued_at = time(claims.iat)?;
    if rules.expired(expires_at, now) {
        return Err("expired");
    }
    if rules.early(not_before, now) || rules.early(issued_at, now) {
        return Err("early");
    }
    if ![&claims.sub, &claims.tenant, &claims.jti]
        .into_iter()
        .chain(&claims.sid)
        .all(|name| is_name(name))
    {
        return Err("claims");
    }
    let actor = Actor {
        kind: ActorKind::User,
        id: claims.sub.into(),
    };
    Ok(Caller {
        actor,
        tenant: claims.tenant.into(),
        // A role of a later version gives nothing here.
        roles: claims
            .roles
            .iter()
            .filter_map(|word| Role::of_word(word))
            .collect(),
        scopes: claims
            .scope
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect(),
        credential: Credential::Token {
            id: claims.jti.into(),
            session: claims.sid.map(Into::into),
            issued_at,
        },
        suspended: false,
        expires_at,
    })
}

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}
