//! What a token of the foreign issuer says once its signature is good, and what of it counts here.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::tenant::tenant_id;
use domain::user::Role;
use serde_json::Value;

use super::Foreign;
use super::strict::Object;
use crate::config::{self, WebUrl};

/// The longest subject or token id, characters.
const NAME_CHARS_MAX: usize = 255;

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

/// Claims of tokens that are for something else: id tokens (OpenID Connect Core 1.0, 3.1.3.6 and 3.3.2.11),
/// logout tokens and other security events (RFC 8417).
const OF_OTHER_KINDS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];

/// What every token must say. Cheap to clone.
#[derive(Clone)]
pub struct Rules(Arc<Inner>);

struct Inner {
    issuer: String,
    audience: String,
    leeway: TimeDelta,
    settings: config::Oidc,
}

impl Rules {
    pub fn new(
        settings: &config::Oidc,
        issuer: &WebUrl,
        audience: &str,
        leeway: Duration,
    ) -> Rules {
        Rules(Arc::new(Inner {
            issuer: issuer.as_str().to_owned(),
            audience: audience.to_owned(),
            leeway: TimeDelta::from_std(leeway).unwrap_or(TimeDelta::zero()),
            settings: settings.clone(),
        }))
    }

    /// Is this the issuer?
    pub fn is_of(&self, issuer: &str) -> bool {
        self.0.issuer == issuer
    }

    /// Whom the claims stand for at this moment.
    pub fn judge(&self, claims: &Object, now: DateTime<Utc>) -> Result<Foreign, &'static str> {
        let Inner {
            audience, leeway, ..
        } = &*self.0;
        if !self.is_of(text(claims, "iss")?) || !audience_of(claims)?.contains(&audience.as_str()) {
            return Err("issuer or audience");
        }
        let expires_at = time(claims, "exp")?.ok_or("claims")?;
        let issued_at = time(claims, "iat")?.ok_or("claims")?;
        let not_before = time(claims, "nbf")?.unwrap_or(issued_at);
        if now > expires_at + *leeway {
            return Err("expired");
        }
        if not_before > now + *leeway || issued_at > now + *leeway {
            return Err("early");
        }
        if is_of_another_kind(claims) {
            return Err("kind");
        }
        let token_id = match claims.0.get("jti") {
            None => None,
            Some(_) => Some(name(text(claims, "jti")?)?),
        };
        Ok(Foreign {
            subject: name(text(claims, "sub")?)?,
            tenant: self.tenant(claims)?,
            roles: self.roles(claims)?,
            token_id,
            expires_at,
            issued_at,
        })
    }

    fn tenant(&self, claims: &Object) -> Result<String, &'static str> {
        let settings = &self.0.settings;
        let Some(path) = &settings.tenant_claim else {
            return Ok(settings.tenant.clone());
        };
        let named = claims.find(path).and_then(Value::as_str).ok_or("tenant")?;
        tenant_id(named, "tenant").map_err(|_| "tenant")
    }

    /// What the settings make of the issuer's words: one that they do not know gives nothing.
    fn roles(&self, claims: &Object) -> Result<Vec<Role>, &'static str> {
        let settings = &self.0.settings;
        let words: Vec<&str> = match claims.find(&settings.roles_claim) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(words)) => words.split(' ').collect(),
            Some(Value::Array(words)) => {
                let words = words.iter().map(|word| word.as_str().ok_or("claims"));
                words.collect::<Result<_, _>>()?
            }
            Some(_) => return Err("claims"),
        };
        let mapped = words.iter().flat_map(|word| settings.roles_map.of(word));
        let mut roles: Vec<Role> = settings.default_roles.iter().chain(mapped).collect();
        roles.sort();
        roles.dedup();
        Ok(roles)
    }
}

/// Is it for something else than asking us? `token_use` and `typ` are how some issuers say so.
fn is_of_another_kind(claims: &Object) -> bool {
    let says = |claim: &str| claims.0.get(claim).and_then(Value::as_str);
    let other_use = says("token_use").is_some_and(|kind| kind != "access");
    let other_type = says("typ").is_some_and(|kind| {
        let kinds = ["ID", "Refresh", "Offline", "Logout"];
        kinds.iter().any(|other| kind.eq_ignore_ascii_case(other))
    });
    let marked = OF_OTHER_KINDS
        .iter()
        .any(|claim| claims.0.contains_key(*claim));
    marked || other_use || other_type
}

fn text<'c>(claims: &'c Object, claim: &str) -> Result<&'c str, &'static str> {
    claims.0.get(claim).and_then(Value::as_str).ok_or("claims")
}

fn audience_of(claims: &Object) -> Result<Vec<&str>, &'static str> {
    match claims.0.get("aud") {
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(several)) => {
            let several = several.iter().map(|one| one.as_str().ok_or("claims"));
            several.collect()
        }
        _ => Err("claims"),
    }
}

/// Whole seconds since 1970; none if the claim is not there.
fn time(claims: &Object, claim: &str) -> Result<Option<DateTime<Utc>>, &'static str> {
    let Some(value) = claims.0.get(claim) else {
        return Ok(None);
    };
    let seconds = value
        .as_u64()
        .and_then(|seconds| i64::try_from(seconds).ok());
    let seconds = seconds.filter(|seconds| *seconds <= LAST_SECOND);
    let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map(Some).ok_or("claims")
}

fn name(text: &str) -> Result<String, &'static str> {
    let sane =
        (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    match sane {
        true => Ok(text.to_owned()),
        false => Err("claims"),
    }
}
