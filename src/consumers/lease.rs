//! Leases: who works on what, by the database's clock, with a token that grows with every owner.
//!
//! The lease says who *should* work, so that processes share it; the token, checked by
//! `advance_generation` in each batch's transaction, makes sure that only one *can*.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection, PgPool, Row};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use uuid::Uuid;

/// A lease is renewed this many times in its life.
const RENEWALS_PER_LIFE: u32 = 3;

/// The leases one process holds, and the task that renews them.
pub(super) struct Leases {
    shared: Arc<Shared>,
    renewer: JoinHandle<()>,
}

struct Shared {
    pool: PgPool,
    owner: Uuid,
    ttl: Duration,
    held: Mutex<HashMap<Key, Held>>,
}

type Key = (Arc<str>, String);

/// What the renewer knows of a held lease.
struct Held {
    token: i64,
    until: watch::Sender<Instant>,
}

/// A piece of work this process owns, as long as [`Lease::lost`] does not return.
/// Dropped without [`Lease::release`] it is given back in the background, or else expires.
pub(super) struct Lease {
    shared: Arc<Shared>,
    key: Key,
    /// Grows with every change of owner.
    pub(super) token: i64,
    until: watch::Receiver<Instant>,
}

/// A row of `leases`, as seen by one process.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) resource: String,
    /// Somebody holds it.
    pub(super) held: bool,
    /// This process was the last to hold it.
    pub(super) mine: bool,
    /// Nobody has held it for longer than a lease lives.
    pub(super) abandoned: bool,
}

impl Leases {
    /// Starts renewing whatever will be acquired, each lease living for `ttl`.
    pub(super) fn new(pool: PgPool, ttl: Duration) -> Leases {
        let (owner, held) = (Uuid::now_v7(), Mutex::default());
        let shared = Arc::new(Shared {
            pool,
            owner,
            ttl,
            held,
        });
        let renewer = tokio::spawn(renew_for_ever(shared.clone()));
        Leases { shared, renewer }
    }

    /// This process, as it is named in `leases`.
    pub(super) fn owner(&self) -> Uuid {
        self.shared.owner
    }

    /// Takes a piece of work that nobody holds. `None` if somebody does, be it this process.
    pub(super) async fn acquire(
        &self,
        tenant: &Arc<str>,
        resource: &str,
    ) -> Result<Option<Lease>, sqlx::Error> {
        let key = (tenant.clone(), resource.to_owned());
        if self.shared.held().contains_key(&key) {
            return Ok(None);
        }
        let asked = Instant::now();
        let token: Option<i64> = sqlx::query_scalar(
            "insert into leases as l (tenant, resource, owner, token, expires_at)
             values ($1, $2, $3, 1, clock_timestamp() + $4)
             on conflict (tenant, resource) do update
             set owner = excluded.owner, token = l.token + 1, expires_at = excluded.expires_at
             where l.owner = excluded.owner or l.expires_at <= clock_timestamp()
             returning token",
        )
        .bind(&*key.0)
        .bind(&key.1)
        .bind(self.shared.owner)
        .bind(self.shared.ttl)
        .fetch_optional(&self.shared.pool)
        .await?;
        let Some(token) = token else { return Ok(None) };
        let (sender, until) = watch::channel(asked + self.shared.ttl);
        self.shared.held().insert(
            key.clone(),
            Held {
                token,
                until: sender,
            },
        );
        Ok(Some(Lease {
            shared: self.shared.clone(),
            key,
            token,
            until,
        }))
    }

    /// Every lease of a tenant, held or not.
    pub(super) async fn survey(&self, tenant: &str) -> Result<Vec<Seen>, sqlx::Error> {
        let rows = sqlx::query(
            "select resource, expires_at > clock_timestamp(), owner = $3,
                    expires_at < clock_timestamp() - $2
             from leases where tenant = $1",
        )
        .bind(tenant)
        .bind(self.shared.ttl)
        .bind(self.shared.owner)
        .fetch_all(&self.shared.pool)
        .await?;
        Ok(rows
            .iter()
            .map(|r| Seen {
                resource: r.get(0),
                held: r.get(1),
                mine: r.get(2),
                abandoned: r.get(3),
            })
            .collect())
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.renewer.abort();
    }
}

impl Lease {
    /// Returns once the lease may be someone else's: taken, or not renewed in time.
    pub(super) async fn lost(&self) {
        let mut until = self.until.clone();
        loop {
            let at = *until.borrow_and_update();
            tokio::select! {
                () = sleep_until(at) => return,
                renewed = until.changed() => if renewed.is_err() { return },
            }
        }
    }

    /// Has [`Lease::lost`] come true?
    pub(super) fn is_lost(&self) -> bool {
        *self.until.borrow() <= Instant::now() || self.until.has_changed().is_err()
    }

    /// Gives the work back at once, so that another process need not wait.
    pub(super) async fn release(self) -> Result<(), sqlx::Error> {
        self.forget();
        self.shared.give_back(&self.key, self.token).await
    }

    /// Takes it from the renewer. True if it was still there.
    fn forget(&self) -> bool {
        let mut held = self.shared.held();
        let ours = held.get(&self.key).is_some_and(|h| h.token == self.token);
        ours && held.remove(&self.key).is_some()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (shared, key, token) = (self.shared.clone(), self.key.clone(), self.token);
        if self.forget()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // if it fails, the lease expires
            runtime.spawn(async move { shared.give_back(&key, token).await });
        }
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, HashMap<Key, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lease is nobody's from then on: a renewal that is under way, and comes to the row later, finds
    /// that it is not its own any more.
    async fn give_back(&self, key: &Key, token: i64) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update leases
             set expires_at = clock_timestamp(), owner = '00000000-0000-0000-0000-000000000000'
             where tenant = $1 and resource = $2 and owner = $3 and token = $4",
        )
        .bind(&*key.0)
        .bind(&key.1)
        .bind(self.owner)
        .bind(token)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Renews all leases in one statement and lets go of those that are someone else's.
    async fn renew(&self, conn: &mut Option<PgConnection>) -> Result<(), sqlx::Error> {
        let (mut tenants, mut resources, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
        for ((tenant, resource), held) in self.held().iter() {
            tenants.push(tenant.to_string());
            resources.push(resource.clone());
            tokens.push(held.token);
        }
        if tokens.is_empty() {
            return Ok(());
        }
        let mut ours = match conn.take() {
            Some(ours) => ours,
            None => self.pool.connect_options().connect().await?,
        };
        let asked = Instant::now();
        let renewed: Vec<(String, String, i64)> = sqlx::query_as(
            "update leases l set expires_at = clock_timestamp() + $5
             from unnest($1::text[], $2::text[], $3::bigint[]) as mine (tenant, resource, token)
             where l.tenant = mine.tenant and l.resource = mine.resource
               and l.owner = $4 and l.token = mine.token
             returning l.tenant, l.resource, l.token",
        )
        .bind(&tenants)
        .bind(&resources)
        .bind(&tokens)
        .bind(self.owner)
        .bind(self.ttl)
        .fetch_all(&mut ours)
        .await?;
        *conn = Some(ours);
        let still: HashMap<(&str, &str), i64> = renewed
            .iter()
            .map(|(t, r, token)| ((t.as_str(), r.as_str()), *token))
            .collect();
        let asked_for: HashMap<(&str, &str), i64> = (0..tokens.len())
            .map(|n| ((&*tenants[n], &*resources[n]), tokens[n]))
            .collect();
        self.held().retain(|(tenant, resource), held| {
            let key = (&**tenant, resource.as_str());
            if still.get(&key) == Some(&held.token) {
                held.until.send_replace(asked + self.ttl);
            }
            // one acquired meanwhile was not asked for: keep it
            still.get(&key) == Some(&held.token) || asked_for.get(&key) != Some(&held.token)
        });
        Ok(())
    }
}

async fn renew_for_ever(shared: Arc<Shared>) {
    let mut ticks = interval(shared.ttl / RENEWALS_PER_LIFE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // not the pool's: leases must not be lost because queries have taken every connection
    let mut conn = None;
    loop {
        ticks.tick().await;
        match timeout(shared.ttl / RENEWALS_PER_LIFE, shared.renew(&mut conn)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "leases were not renewed: {error}"),
            Err(_) => tracing::warn!("leases were not renewed in time"),
        }
    }
}
