//! Tokens that we give out and take back ourselves: refresh tokens, and links that verify an address.
//!
//! Nothing of them is stored. Each says what it is for and ends in a keyed digest that only we can make, so
//! that the same successor can be given again when a reply was lost, and a copy of the database holds
//! nothing to sign in with. What makes one worthless is the state of its session or user.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use subtle::ConstantTimeEq as _;

use crate::vault::Vault;

/// What a refresh token begins with.
const REFRESH: &str = "dbr";

/// What the token of a link begins with.
const LINK: &str = "dbv";

/// No token is longer: its parts are a tenant, an id and numbers.
const CHARS_MAX: usize = 600;

/// A refresh token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RefreshToken {
    /// Whose log.
    pub tenant: String,
    /// The session it belongs to.
    pub session: String,
    /// Its number in the session.
    pub number: u64,
}

/// What a link carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Whose log.
    pub tenant: String,
    /// Whose address.
    pub user: String,
    /// How often the password had been changed: once it has been again, the link is worthless.
    pub password_epoch: u64,
    /// Seconds since 1970 at which it runs out.
    pub expires_at: i64,
}

impl RefreshToken {
    /// As it is given out.
    pub fn write(&self, vault: &Vault) -> String {
        let number = self.number.to_string();
        seal(vault, REFRESH, &[&self.tenant, &self.session, &number])
    }

    /// As it came back; `None` if we never gave it out.
    pub fn read(vault: &Vault, token: &str) -> Option<RefreshToken> {
        let [tenant, session, number] = open(vault, REFRESH, token)?;
        Some(RefreshToken {
            tenant,
            session,
            number: number.parse().ok()?,
        })
    }
}

impl Link {
    /// As it is given out.
    pub fn write(&self, vault: &Vault) -> String {
        let (epoch, expires) = (self.password_epoch.to_string(), self.expires_at.to_string());
        seal(vault, LINK, &[&self.tenant, &self.user, &epoch, &expires])
    }

    /// As it came back; `None` if we never gave it out.
    pub fn read(vault: &Vault, token: &str) -> Option<Link> {
        let [tenant, user, epoch, expires] = open(vault, LINK, token)?;
        Some(Link {
            tenant,
            user,
            password_epoch: epoch.parse().ok()?,
            expires_at: expires.parse().ok()?,
        })
    }
}

/// The parts in base64url, so that none can hold the dot between them, and the digest of them all.
fn seal(vault: &Vault, kind: &str, parts: &[&str]) -> String {
    let mut token = kind.to_owned();
    for part in parts {
        token.push('.');
        token += &Base64UrlUnpadded::encode_string(part.as_bytes());
    }
    token.push('.');
    token + &Base64UrlUnpadded::encode_string(&vault.digest(kind, parts))
}

fn open<const N: usize>(vault: &Vault, kind: &str, token: &str) -> Option<[String; N]> {
    if token.len() > CHARS_MAX {
        return None;
    }
    let (rest, digest) = token
        .strip_prefix(kind)?
        .strip_prefix('.')?
        .rsplit_once('.')?;
    let digest = Base64UrlUnpadded::decode_vec(digest).ok()?;
    let parts: Option<Vec<String>> = rest
        .split('.')
        .map(|part| String::from_utf8(Base64UrlUnpadded::decode_vec(part).ok()?).ok())
        .collect();
    let parts: [String; N] = parts?.try_into().ok()?;
    let ours = vault.digest(kind, &parts.each_ref().map(String::as_str));
    bool::from(ours[..].ct_eq(&digest)).then_some(parts)
}
