//! Who is calling: tokens made and checked with one Ed25519 key (RFC 9068, RFC 8725).

mod key;
pub mod oidc;
mod password;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::Actor;
use metrics::counter;
use sha2::{Digest, Sha256};

use crate::cache::Memo;
use crate::config;
use crate::ops::{Clock, metrics as names};
use key::SigningKey;
pub use password::{PasswordError, Passwords};
use token::Rules;

/// The name of the key that is made in the data directory when none is configured.
pub const DEVELOPMENT_KEY: &str = "development-key.pem";

/// Makes tokens and checks them. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    key: SigningKey,
    rules: Rules,
    clock: Clock,
    access_ttl: Duration,
    /// Tokens checked before.
    remembered: Memo<Arc<Caller>>,
}

/// Whom a checked token stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// Whose data; a token is good for one tenant.
    pub tenant: Arc<str>,
    /// What they may do.
    pub roles: Vec<Role>,
    /// What beside, such as `backfill`.
    pub scopes: Vec<String>,
    /// The token's own id (`jti`).
    pub token_id: Arc<str>,
    /// When the token ends, clock difference not counted.
    pub expires_at: DateTime<Utc>,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Ask.
    Viewer,
    /// Send commands.
    Editor,
    /// Rebuild, pause, resume and skip.
    Operator,
    /// Everything.
    Admin,
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Who; 1 to 255 visible ASCII characters.
    pub subject: String,
    /// Whose data.
    pub tenant: String,
    /// What they may do.
    pub roles: Vec<Role>,
    /// What beside.
    pub scopes: Vec<String>,
    /// How long from now; not set: `auth.access_ttl`.
    pub ttl: Option<Duration>,
}

/// The credentials are missing or not good. Why is counted and logged, never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a valid bearer token is required")]
pub struct Unauthenticated;

/// Why there is no key to make or check tokens with.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file could not be read or written.
    #[error("the signing key {path} cannot be {doing}: {source}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// `read` or `made`.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the signing key {path} cannot be used: {problem}", path = .path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A token cannot say this.
    #[error("no such token can be made: {0}")]
    Grant(&'static str),
}

impl Auth {
    /// Reads the configured key, or the development key in `data_dir`, which is made if absent.
    pub fn open(settings: &config::Auth, data_dir: &Path, clock: Clock) -> Result<Auth, AuthError> {
        let key = match &settings.signing_key_file {
            Some(path) => SigningKey::read(path)?,
            None => SigningKey::read_or_make(&data_dir.join(DEVELOPMENT_KEY))?,
        };
        Ok(Auth(Arc::new(Inner {
            rules: Rules::new(settings, key.id()),
            key,
            clock,
            access_ttl: settings.access_ttl,
            remembered: Memo::new(
                usize::try_from(settings.verified_tokens_max).unwrap_or(usize::MAX),
            ),
        })))
    }

    /// Makes a new key file, readable by its owner only; refuses to replace one.
    pub fn make_key(path: &Path) -> Result<(), AuthError> {
        SigningKey::make(path)
    }

    /// Makes a token.
    pub fn mint(&self, grant: &Grant) -> Result<String, AuthError> {
        let Inner {
            key,
            rules,
            clock,
            access_ttl,
            ..
        } = &*self.0;
        token::mint(
            key,
            rules,
            grant,
            grant.ttl.unwrap_or(*access_ttl),
            clock.now(),
        )
    }

    /// Checks a token: its algorithm, signature and every claim.
    pub fn verify(&self, token: &str) -> Result<Arc<Caller>, Unauthenticated> {
        let Inner {
            key,
            rules,
            clock,
            remembered,
            ..
        } = &*self.0;
        let refused = |reason: &'static str| {
            counter!(names::AUTH_TOTAL, "outcome" => "refused", "reason" => reason).increment(1);
            tracing::debug!(reason, "a token was refused: {reason}");
            Unauthenticated
        };
        if token.len() > token::BYTES_MAX {
            return Err(refused("size"));
        }
        let now = clock.now();
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(caller) = remembered.get(&digest) {
            counter!(names::AUTH_TOTAL, "outcome" => "remembered").increment(1);
            return match rules.expired(caller.expires_at, now) {
                false => Ok(caller),
                true => Err(refused("expired")),
            };
        }
        let caller = Arc::new(token::check(key, rules, token, now).map_err(refused)?);
        counter!(names::AUTH_TOTAL, "outcome" => "verified").increment(1);
        remembered.put(digest, caller.clone());
        Ok(caller)
    }

    /// A secret for `purpose` that all processes with the same signing key share.
    pub fn shared_secret(&self, purpose: &str) -> [u8; 32] {
        self.0.key.derive(purpose)
    }
}

impl Caller {
    /// Has the caller this role? An admin has every role.
    pub fn may(&self, role: Role) -> bool {
        self.roles
            .iter()
            .any(|held| *held == role || *held == Role::Admin)
    }

    /// Has the caller this scope?
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }
}

impl Role {
    /// All roles, weakest first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Editor, Role::Operator, Role::Admin];

    /// The word in a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// The role of this word.
    pub fn parse(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// The token of a request's `Authorization` headers: one header, scheme `Bearer` in any case, one
/// space, no more.
pub fn bearer<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, Unauthenticated> {
    let mut headers = headers.into_iter();
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(Unauthenticated);
    };
    let header = std::str::from_utf8(header).map_err(|_| Unauthenticated)?;
    let (scheme, token) = header.split_once(' ').ok_or(Unauthenticated)?;
    let whole = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ');
    if whole {
        Ok(token)
    } else {
        Err(Unauthenticated)
    }
}
