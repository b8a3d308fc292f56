//! Wake-ups: who follows a log learns that its head has moved.
//!
//! In process at once; across processes by a throttled NOTIFY outside the append (inside it, writers fall
//! to a ninth), and by whoever passes on what was said there; and by polling as the floor, because
//! notifications are a hint, never the truth.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Position;
use sqlx::postgres::PgListener;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinSet;

use super::StoreSettings;

const CHANNEL: &str = "daybook_head";

/// What was said, kept for who passes it on by other ways: what is missed was a hint.
const SAID_MAX: usize = 64;

/// The heads this process has seen, per tenant.
pub(super) struct Wakes {
    heads: Mutex<HashMap<Arc<str>, watch::Sender<Position>>>,
    unsaid: Mutex<HashMap<Arc<str>, Position>>,
    to_say: Notify,
    said: broadcast::Sender<(Arc<str>, Position)>,
    /// Somebody claims that a head has moved.
    to_look: Notify,
}

impl Default for Wakes {
    fn default() -> Wakes {
        Wakes {
            heads: Mutex::default(),
            unsaid: Mutex::default(),
            to_say: Notify::new(),
            said: broadcast::Sender::new(SAID_MAX),
            to_look: Notify::new(),
        }
    }
}

impl Wakes {
    /// Follows a tenant's head.
    pub fn watch(&self, tenant: &Arc<str>) -> watch::Receiver<Position> {
        lock(&self.heads)
            .entry(tenant.clone())
            .or_insert_with(|| watch::Sender::new(Position::START))
            .subscribe()
    }

    /// Hears what is said to other processes.
    pub fn said(&self) -> broadcast::Receiver<(Arc<str>, Position)> {
        self.said.subscribe()
    }

    /// Somebody says that a tenant's head is here: worth a look if it is further than we know, no more.
    pub fn hint(&self, tenant: &str, claimed: Position) {
        let heads = lock(&self.heads);
        let known = heads.get(tenant).map_or(Position::START, |h| *h.borrow());
        drop(heads);
        if claimed > known {
            self.to_look.notify_one();
        }
    }

    /// The head is at least here. `own` heads are told to other processes.
    pub fn advance(&self, tenant: &Arc<str>, head: Position, own: bool) {
        lock(&self.heads)
            .entry(tenant.clone())
            .or_insert_with(|| watch::Sender::new(Position::START))
            .send_if_modified(|seen| {
                head > *seen && {
                    *seen = head;
                    true
                }
            });
        // Whoever else has seen it before us, by polling, does not say it.
        if own {
            let mut unsaid = lock(&self.unsaid);
            let furthest = unsaid.entry(tenant.clone()).or_default();
            *furthest = head.max(*furthest);
            drop(unsaid);
            self.to_say.notify_one();
        }
    }
}

/// Starts the notifier, the listener and the poll; they end with the returned set.
pub(super) fn start(wakes: &Arc<Wakes>, pool: &PgPool, settings: &StoreSettings) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(say(
        wakes.clone(),
        pool.clone(),
        Duration::from_millis(settings.notify_every_ms),
    ));
    tasks.spawn(listen(wakes.clone(), pool.clone()));
    tasks.spawn(poll(
        wakes.clone(),
        pool.clone(),
        Duration::from_millis(settings.poll_every_ms),
        Duration::from_millis(settings.notify_every_ms),
    ));
    tasks
}

/// Tells other processes, at most once per interval however many commits there were.
async fn say(wakes: Arc<Wakes>, pool: PgPool, every: Duration) {
    let mut conn: Option<PgConnection> = None;
    loop {
        wakes.to_say.notified().await;
        let unsaid = std::mem::take(&mut *lock(&wakes.unsaid));
        for (tenant, head) in unsaid {
            // Nobody may be listening.
            let _ = wakes.said.send((tenant.clone(), head));
            if let Err(e) = say_one(&mut conn, &pool, &tenant, head).await {
                conn = None;
                tracing::debug!(error = %e, "a wake-up was not sent; others will poll");
            }
        }
        tokio::time::sleep(every).await;
    }
}

async fn say_one(
    conn: &mut Option<PgConnection>,
    pool: &PgPool,
    tenant: &str,
    head: Position,
) -> Result<(), sqlx::Error> {
    let conn = match conn {
        Some(conn) => conn,
        none => {
            let mut fresh = PgConnection::connect_with(&pool.connect_options()).await?;
            // A wake-up that is lost in a crash costs a poll; it need not wait for the disk.
            fresh.execute("set synchronous_commit = off").await?;
            none.insert(fresh)
        }
    };
    sqlx::query("select pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(format!("{head} {tenant}"))
        .execute(conn)
        .await?;
    Ok(())
}

/// Hears other processes. A restart of the database ends the connection: connect again, for ever.
async fn listen(wakes: Arc<Wakes>, pool: PgPool) {
    loop {
        if let Err(e) = hear(&wakes, &pool).await {
            tracing::debug!(error = %e, "not listening for wake-ups; polling meanwhile");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn hear(wakes: &Wakes, pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        let heard = listener.recv().await?;
        let parsed = heard
            .payload()
            .split_once(' ')
            .and_then(|(p, t)| Some((p.parse().ok()?, t)));
        if let Some((position, tenant)) = parsed {
            wakes.advance(&tenant.into(), Position(position), false);
        }
    }
}

/// The floor: looks at every head now and then, and sooner where somebody says that one has moved, but
/// no more often than that is said.
async fn poll(wakes: Arc<Wakes>, pool: PgPool, every: Duration, soonest: Duration) {
    loop {
        let heads: Result<Vec<(String, i64)>, _> =
            sqlx::query_as("select tenant, position from logs")
                .fetch_all(&pool)
                .await;
        for (tenant, head) in heads.into_iter().flatten() {
            wakes.advance(&tenant.into(), Position(head), false);
        }
        tokio::time::sleep(soonest).await;
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = wakes.to_look.notified() => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
