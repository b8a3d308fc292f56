//! Who is calling: accounts and sessions, access tokens (RFC 9068, RFC 8725) and the keys that sign them,
//! API keys, and what the log says of each at this moment.
//!
//! Reading order: [`caller`] (who may do what), `token` and `tokens` (one token, step by step), `key` and
//! `signing` (the keys, from publishing to retiring), `standing` (whether a caller still may), `accounts`,
//! `credentials` and `sessions` (signing in and staying so), `api_keys`, `erasure`.

mod accounts;
mod api_keys;
pub mod caller;
mod credentials;
mod erasure;
mod foreign;
mod key;
mod links;
pub mod oidc;
mod password;
mod sessions;
mod signing;
mod standing;
mod tenants;
mod token;
mod tokens;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::{Actor, ActorKind};
use futures::future::BoxFuture;

use crate::commands::{CommandContext, CommandError, Door};
use crate::config::{self, Settings};
use crate::fetch::CertificatesError;
use crate::limits::{Exceeded, Limiter};
use crate::ops::Clock;
use crate::store::Store;
use crate::vault::{Vault, VaultError};
pub use accounts::{PersonalValue, Registered, Registration};
pub use api_keys::{Issued, KeyOrder, Usage};
pub use caller::{Caller, Credential, Denied, Needs, Role, Rule};
use foreign::Foreigners;
pub use key::{PublicKey, Ring, SigningKey};
use oidc::Oidc;
pub use password::{PasswordError, Passwords};
pub use sessions::{ClientAt, SignedIn};
pub use signing::Rotation;
pub use tokens::Tokens;

/// Everything that tells who calls. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    settings: config::Auth,
    tokens: Tokens,
    foreign: Foreigners,
    door: Door,
    store: Store,
    vault: Vault,
    limiter: Limiter,
    passwords: Passwords,
    api_keys: api_keys::ApiKeys,
    clock: Clock,
    /// When it was last looked which keys sign and verify.
    ring_checked: Mutex<Option<Instant>>,
    /// Held while it is.
    looking_at_keys: tokio::sync::Mutex<()>,
    anonymous: Arc<Caller>,
}

/// What [`Auth`] stands on.
pub struct Foundation {
    /// The write door.
    pub door: Door,
    /// The log.
    pub store: Store,
    /// Keys of secrets and of personal values.
    pub vault: Vault,
    /// Who tries how often.
    pub limiter: Limiter,
    /// What time it is.
    pub clock: Clock,
}

/// What a request shows of who sends it. Nothing of it is ever written out.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The bearer token.
    pub bearer: Option<&'a str>,
    /// The API key.
    pub api_key: Option<&'a str>,
    /// Where it comes from.
    pub address: IpAddr,
}

/// Whether a request is let in: mostly known at once, sometimes asked of the log.
pub enum Admission<'a> {
    /// As was found out a moment ago.
    Known(Result<Arc<Caller>, NotAdmitted>),
    /// Being found out.
    Asking(BoxFuture<'a, Result<Arc<Caller>, NotAdmitted>>),
}

impl Admission<'_> {
    /// Waits until it is known.
    pub async fn settled(self) -> Result<Arc<Caller>, NotAdmitted> {
        match self {
            Admission::Known(known) => known,
            Admission::Asking(asking) => asking.await,
        }
    }
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// What was shown is not good. Why is counted and logged, never told.
    #[error("a valid bearer token or API key is required")]
    Unauthenticated,
    /// A token and an API key were shown, and nobody can tell which was meant.
    #[error("a bearer token and an API key were sent")]
    Ambiguous,
    /// Too many keys that do not exist were tried from the address.
    #[error("too many API keys were tried")]
    Limited(Exceeded),
    /// Whether the caller still may cannot be found out.
    #[error("the database cannot be reached")]
    Unavailable,
}

/// What a token is to say.
#[derive(Clone, Debug, Default)]
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
    /// The session it is given in; none for one that an operator makes.
    pub session: Option<String>,
}

/// The credentials are missing or not good. Why is counted and logged, never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a valid bearer token is required")]
pub struct Unauthenticated;

impl From<Unauthenticated> for NotAdmitted {
    fn from(_: Unauthenticated) -> NotAdmitted {
        NotAdmitted::Unauthenticated
    }
}

/// Why something about identity was not done.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A token cannot say this.
    #[error("no such token can be made: {0}")]
    Grant(&'static str),
    /// There is no key to sign with, as after the only one was compromised.
    #[error("there is no key to sign tokens with")]
    NoKey,
    /// A command was refused, or failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Too many tries.
    #[error("too many tries")]
    Limited(Exceeded),
    /// So many passwords are being checked that this one has to wait.
    #[error("too many passwords are being checked")]
    Busy,
    /// A secret does not open, or there is no vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The certificates by which servers are believed cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
}

impl From<domain::Refusal> for AuthError {
    fn from(refusal: domain::Refusal) -> AuthError {
        AuthError::Command(refusal.into())
    }
}

impl Auth {
    /// Reads the signing keys, and makes the first one where there is none. Rotates them, and passes on how
    /// API keys are used, until the last clone is dropped.
    pub async fn start(settings: &Settings, on: Foundation) -> Result<Auth, AuthError> {
        let oidc = Oidc::start(settings, on.clock.clone())?;
        let settings = &settings.auth;
        let auth = Auth(Arc::new(Inner {
            tokens: Tokens::new(settings, on.clock.clone()),
            passwords: Passwords::new(settings.password_checks_max, settings.password_wait),
            api_keys: api_keys::ApiKeys::new(settings),
            foreign: Foreigners::new(oidc, settings),
            settings: settings.clone(),
            door: on.door,
            store: on.store,
            vault: on.vault,
            limiter: on.limiter,
            clock: on.clock,
            ring_checked: Mutex::default(),
            looking_at_keys: tokio::sync::Mutex::default(),
            anonymous: Arc::new(Caller::anonymous()),
        }));
        auth.keep_signing().await?;
        auth.import_bootstrap_keys().await?;
        tokio::spawn(signing::tend(
            Arc::downgrade(&auth.0),
            settings.tend_interval,
        ));
        Ok(auth)
    }

    /// Makes a token.
    pub fn mint(&self, grant: &Grant) -> Result<String, AuthError> {
        self.0.tokens.mint(grant)
    }

    /// The keys that others may check tokens with, those that will sign included: as of no longer ago than
    /// `auth.recheck`, or as they were last known while the database cannot be asked.
    pub async fn published_keys(&self) -> Vec<PublicKey> {
        if !self.keys_are_fresh(self.0.settings.recheck)
            && let Err(error) = self.look_at_keys().await
        {
            tracing::warn!(%error, "the signing keys were not looked at: {error}");
        }
        self.0.tokens.published()
    }

    /// How long others may keep what [`Auth::published_keys`] told.
    pub fn keys_max_age(&self) -> Duration {
        self.0.settings.jwks_max_age
    }

    /// The context of what Daybook does by itself.
    fn own_context(&self, tenant: Arc<str>) -> CommandContext {
        let actor = Actor {
            kind: ActorKind::System,
            id: "daybook".into(),
        };
        CommandContext::new(tenant, actor, self.0.clock.now())
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
