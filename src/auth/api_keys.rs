//! API keys: made, checked, rotated, taken back, and how often each is used.
//!
//! A key of ours is `dbk_live_`, 30 letters and digits drawn at random, and 6 that follow from them: what was
//! mistyped or made up is refused without asking anybody. Of a key nothing is kept but its SHA-256.

mod form;
mod usage;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use domain::api_key::{ApiKey, ApiKeyCommand};
use domain::tenant::DEFAULT_TENANT;
use domain::{Actor, ActorKind, Code, Refusal, Scope, StreamKey};
use futures::FutureExt as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::caller::{Caller, Credential, Role, carries};
use super::foreign::is_foreign;
use super::tokens::refused;
use super::{Admission, Auth, AuthError, NotAdmitted};
use crate::cache::Memo;
use crate::commands::{CommandContext, CommandError, Receipt};
use crate::config;
pub(super) use form::random_word;
use form::{has_our_form, last_four, random_key};
pub use usage::Usage;
use usage::Used;

/// The longest key that is looked at; those of other programs may be long.
const CHARS_MAX: usize = 200;

/// Keys taken over from other programs that one installation can have.
const BOOTSTRAP_KEYS_MAX: i64 = 1_000;

/// A SHA-256 of a secret.
type Hash = [u8; 32];

/// What is known of keys in this process.
pub(super) struct ApiKeys {
    /// Whom each stood for, if for anybody any more.
    seen: Memo<(Instant, Option<Arc<Caller>>)>,
    /// Of keys that do not have our form.
    bootstrap: Mutex<BTreeSet<Hash>>,
    used: Used,
}

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct KeyOrder {
    /// What it is called, for people.
    pub name: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// For how long; not set: as long as may be.
    pub ttl: Option<Duration>,
    /// How long a secret of it is to be used at most.
    pub rotate_every: Option<Duration>,
}

/// A key that was made or rotated.
#[derive(Clone)]
pub struct Issued {
    /// Its id.
    pub id: String,
    /// The key itself; told once, to whoever asked for it first.
    pub secret: Option<String>,
    /// What was kept.
    pub receipt: Receipt,
}

/// What the log says of a secret.
enum Found {
    /// It stands for this caller.
    Good(Caller),
    /// It was one: it has run out, was taken back, or its owner may not sign in.
    Over,
    /// It never was one.
    Nothing,
}

impl ApiKeys {
    pub fn new(settings: &config::Auth) -> ApiKeys {
        let max = usize::try_from(settings.verified_tokens_max).unwrap_or(usize::MAX);
        ApiKeys {
            seen: Memo::new(max),
            bootstrap: Mutex::default(),
            used: Used::new(settings.usage_keys_max),
        }
    }

    /// What was found out no longer ago than this: whom a secret stands for, if for anybody any more.
    fn known(&self, hash: &Hash, age_max: Duration) -> Option<Option<Arc<Caller>>> {
        let (at, caller) = self.seen.get(hash)?;
        (at.elapsed() <= age_max).then_some(caller)
    }

    fn knows_bootstrap(&self, hash: &Hash) -> bool {
        let known = self.bootstrap.lock();
        known.unwrap_or_else(PoisonError::into_inner).contains(hash)
    }
}

impl Auth {
    pub(super) fn admit_api_key<'a>(&'a self, key: &'a str, address: IpAddr) -> Admission<'a> {
        let keys = &self.0.api_keys;
        if key.len() > CHARS_MAX {
            return Admission::Known(Err(refused("api_key_shape").into()));
        }
        let hash: Hash = Sha256::digest(key).into();
        if !has_our_form(key) && !keys.knows_bootstrap(&hash) {
            return Admission::Known(Err(refused("api_key_shape").into()));
        }
        let now = self.0.clock.now();
        if let Some(known) = keys.known(&hash, self.0.settings.recheck) {
            let Some(caller) = known else {
                return Admission::Known(Err(refused("api_key_over").into()));
            };
            if now >= caller.expires_at {
                return Admission::Known(Err(refused("api_key_expired").into()));
            }
            keys.used.count(&caller, now);
            return Admission::Known(Ok(caller));
        }
        Admission::Asking(async move { self.ask_api_key(hash, address).await }.boxed())
    }

    async fn ask_api_key(&self, hash: Hash, address: IpAddr) -> Result<Arc<Caller>, NotAdmitted> {
        let (asked, keys) = (Instant::now(), &self.0.api_keys);
        match self.caller_of_key(&hash).await {
            Ok(Found::Good(caller)) => {
                let caller = Arc::new(caller);
                keys.seen.put(hash, (asked, Some(caller.clone())));
                keys.used.count(&caller, self.0.clock.now());
                Ok(caller)
            }
            // Nobody guesses a key that there was: programs that were not told go on sending theirs, and people
            // behind their address must be able to sign in.
            Ok(Found::Over) => {
                keys.seen.put(hash, (asked, None));
                Err(refused("api_key_over").into())
            }
            Ok(Found::Nothing) => {
                // Whoever makes keys up that have our form does not have many tries.
                let counted = self.0.limiter.guess(address);
                counted.map_err(NotAdmitted::Limited)?;
                Err(refused("api_key").into())
            }
            Err(error) => {
                tracing::warn!(%error, "an API key was not looked up: {error}");
                let known = keys.known(&hash, self.0.settings.believed_for).flatten();
                match known.ok_or(NotAdmitted::Unavailable)? {
                    caller if self.0.clock.now() < caller.expires_at => Ok(caller),
                    _ => Err(refused("api_key_expired").into()),
                }
            }
        }
    }

    /// Whom a secret stands for by what the log says now.
    async fn caller_of_key(&self, hash: &Hash) -> Result<Found, AuthError> {
        let found: Option<(String, String)> = sqlx::query_as(
            "select tenant, api_key_id from api_key_secrets where hash = $1 limit 1",
        )
        .bind(&hash[..])
        .fetch_optional(self.0.store.pool())
        .await?;
        let Some((tenant, id)) = found else {
            return Ok(Found::Nothing);
        };
        let tenant: Arc<str> = tenant.into();
        let key: ApiKey = self.now(&tenant, &id).await?;
        let Some(until) = key.good_until(&hex(hash)) else {
            return Ok(Found::Over);
        };
        if self.0.clock.now() >= until {
            return Ok(Found::Over);
        }
        // No more than its owner may do by now, and nothing if they may not sign in; of somebody whom another
        // issuer vouches for nobody knows that here.
        let mut scopes = key.scopes.clone();
        if let Some(owner) = key.owner.as_ref().filter(|owner| !is_foreign(owner)) {
            let Some(roles) = self.roles_now(&tenant, owner).await? else {
                return Ok(Found::Over);
            };
            scopes.retain(|scope| roles.iter().any(|role| carries(*role, *scope)));
        }
        Ok(Found::Good(Caller {
            actor: Actor {
                kind: ActorKind::ApiKey,
                id: id.into(),
            },
            suspended: self.is_suspended(&tenant).await?,
            tenant,
            roles: Vec::new(),
            scopes: scopes.iter().map(|s| s.as_str().to_owned()).collect(),
            credential: Credential::ApiKey,
            expires_at: until,
        }))
    }

    /// Makes a key that the caller answers for.
    pub async fn issue_key(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        order: KeyOrder,
    ) -> Result<Issued, AuthError> {
        let id = match &ctx.command_id {
            None => format!("key_{}", Uuid::now_v7().simple()),
            Some(command_id) => {
                let parts = [&*ctx.tenant, &ctx.actor.to_string(), command_id];
                let digest = self.0.vault.digest("api key id", &parts);
                let id = Uuid::from_slice(&digest[..16]).expect("it has 16 bytes");
                format!("key_{}", id.simple())
            }
        };
        let secret = random_key();
        let hash: Hash = Sha256::digest(&secret).into();
        let settings = &self.0.settings;
        let asked_s = order.ttl.map(|ttl| ttl.as_secs());
        let ttl = order.ttl.unwrap_or(settings.api_key_ttl_max);
        let signed_in = caller.session().is_some() || is_foreign(&caller.actor.id);
        let command = ApiKeyCommand::Issue {
            name: order.name,
            hash: hex(&hash),
            last_four: last_four(&secret),
            scopes: order.scopes,
            issuer_scopes: caller.grantable().into_iter().collect(),
            asked_s,
            expires_at: self.secret_ends(ctx.now, ttl, order.rotate_every),
            now: ctx.now,
            ttl_max_s: seconds(settings.api_key_ttl_max),
            rotate_every_s: order.rotate_every.map(seconds),
            bootstrap: false,
            owner: signed_in.then(|| caller.actor.id.to_string()),
        };
        self.keep_secret(&ctx.tenant, &hash, &id, false).await?;
        let kept = self.0.door.execute::<ApiKey>(ctx, &id, command).await;
        self.settle_secret(&ctx.tenant, &hash, id, secret, kept)
            .await
    }

    /// Makes another secret for a key; the one before is good for a while beside it. For the key itself,
    /// its owner, and administrators. Whoever finds a key must not make it last: by itself it is good for no
    /// longer than it was, unless it was issued to be rotated.
    pub async fn rotate_key(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        id: &str,
        ttl: Option<Duration>,
    ) -> Result<Issued, AuthError> {
        self.must_look_after(ctx, caller, id).await?;
        let key: ApiKey = self.now(&ctx.tenant, id).await?;
        let secret = random_key();
        let hash: Hash = Sha256::digest(&secret).into();
        let settings = &self.0.settings;
        let rotate_every = key.rotate_every_s.map(u64::from).map(Duration::from_secs);
        let left = key.current.as_ref().map(|secret| secret.until - ctx.now);
        let ttl_max = match (caller.is_api_key(id), rotate_every, left) {
            (true, None, Some(left)) => {
                Duration::from_secs(left.num_seconds().try_into().unwrap_or(0))
            }
            _ => settings.api_key_ttl_max,
        };
        let asked_s = ttl.map(|ttl| ttl.as_secs());
        let ttl = ttl.unwrap_or(ttl_max);
        let command = ApiKeyCommand::Rotate {
            hash: hex(&hash),
            last_four: last_four(&secret),
            now: ctx.now,
            overlap_s: seconds(settings.api_key_overlap),
            asked_s,
            expires_at: self.secret_ends(ctx.now, ttl, rotate_every),
            ttl_max_s: seconds(ttl_max),
        };
        self.keep_secret(&ctx.tenant, &hash, id, false).await?;
        let kept = self.0.door.execute::<ApiKey>(ctx, id, command).await;
        self.settle_secret(&ctx.tenant, &hash, id.to_owned(), secret, kept)
            .await
    }

    /// Takes a key back. For its owner and administrators.
    pub async fn revoke_key(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        id: &str,
        reason: Option<String>,
    ) -> Result<Receipt, AuthError> {
        self.must_look_after(ctx, caller, id).await?;
        let command = ApiKeyCommand::Revoke { reason };
        Ok(self.0.door.execute::<ApiKey>(ctx, id, command).await?)
    }

    /// To whom a key is no business of theirs, there is none.
    async fn must_look_after(
        &self,
        ctx: &CommandContext,
        caller: &Caller,
        id: &str,
    ) -> Result<(), AuthError> {
        let key: ApiKey = self.now(&ctx.tenant, id).await?;
        let own = key
            .owner
            .as_deref()
            .is_some_and(|owner| caller.is_user(owner));
        if caller.is_api_key(id) || own || caller.may(Role::Admin) {
            return Ok(());
        }
        let refusal = Refusal::new(Code::NotFound, "no such API key");
        Err(refusal.at(["id"]).into())
    }

    /// A secret that is to be rotated ends when that is overdue.
    fn secret_ends(
        &self,
        now: DateTime<Utc>,
        ttl: Duration,
        rotate_every: Option<Duration>,
    ) -> DateTime<Utc> {
        let overdue = rotate_every.map(|every| every + self.0.settings.api_key_overlap);
        let ttl = overdue.map_or(ttl, |overdue| overdue.min(ttl));
        let ttl = TimeDelta::from_std(ttl).ok();
        ttl.and_then(|ttl| now.checked_add_signed(ttl))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    async fn keep_secret(
        &self,
        tenant: &str,
        hash: &Hash,
        id: &str,
        bootstrap: bool,
    ) -> Result<(), AuthError> {
        sqlx::query(
            "insert into api_key_secrets (tenant, hash, api_key_id, bootstrap)
             values ($1, $2, $3, $4) on conflict do nothing",
        )
        .bind(tenant)
        .bind(&hash[..])
        .bind(id)
        .bind(bootstrap)
        .execute(self.0.store.pool())
        .await?;
        Ok(())
    }

    /// Tells a secret that was kept; one that was not, or came too late, is forgotten.
    async fn settle_secret(
        &self,
        tenant: &str,
        hash: &Hash,
        id: String,
        secret: String,
        kept: Result<Receipt, CommandError>,
    ) -> Result<Issued, AuthError> {
        let told = matches!(&kept, Ok(receipt) if !receipt.replayed);
        if matches!(&kept, Ok(_) | Err(CommandError::Refused(_))) && !told {
            sqlx::query("delete from api_key_secrets where tenant = $1 and hash = $2")
                .bind(tenant)
                .bind(&hash[..])
                .execute(self.0.store.pool())
                .await?;
        }
        Ok(Issued {
            receipt: kept?,
            id,
            secret: told.then_some(secret),
        })
    }

    /// Takes over the keys of other programs that the settings name, each once, and learns which there are.
    pub(super) async fn import_bootstrap_keys(&self) -> Result<(), AuthError> {
        let named = self.0.settings.api_keys.clone().unwrap_or_default();
        for key in named.expose() {
            self.import_bootstrap_key(key).await?;
        }
        let known: Vec<Vec<u8>> =
            sqlx::query_scalar("select hash from api_key_secrets where bootstrap limit $1")
                .bind(BOOTSTRAP_KEYS_MAX)
                .fetch_all(self.0.store.pool())
                .await?;
        let known = known
            .into_iter()
            .filter_map(|hash| Hash::try_from(hash).ok());
        let mut bootstrap = self.0.api_keys.bootstrap.lock();
        let bootstrap = bootstrap.as_deref_mut();
        if let Ok(bootstrap) = bootstrap {
            bootstrap.extend(known);
        }
        Ok(())
    }

    async fn import_bootstrap_key(&self, key: &str) -> Result<(), AuthError> {
        let hash: Hash = Sha256::digest(key).into();
        let id = format!("key_bootstrap_{}", &hex(&hash)[..16]);
        let tenant: Arc<str> = DEFAULT_TENANT.into();
        let stream = StreamKey::of::<ApiKey>(&id);
        if self.versions(&tenant, &[stream]).await?[0] > 0 {
            return Ok(());
        }
        self.keep_secret(&tenant, &hash, &id, true).await?;
        let ctx = self.own_context(tenant);
        let scopes = [Scope::LogsWrite, Scope::PositionsWrite];
        let ttl_max = self.0.settings.api_key_ttl_max;
        let command = ApiKeyCommand::Issue {
            name: "taken over from the settings".to_owned(),
            hash: hex(&hash),
            last_four: last_four(key),
            scopes: scopes.into(),
            issuer_scopes: scopes.into(),
            asked_s: None,
            expires_at: self.secret_ends(ctx.now, ttl_max, None),
            now: ctx.now,
            ttl_max_s: seconds(ttl_max),
            rotate_every_s: None,
            bootstrap: true,
            owner: None,
        };
        match self.0.door.execute::<ApiKey>(&ctx, &id, command).await {
            // Another process was faster.
            Err(CommandError::Refused(refusal)) if refusal.code == Code::AlreadyExists => Ok(()),
            kept => Ok(kept.map(drop)?),
        }
    }
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
