//! Wake-ups: who follows a log learns that its head has moved.
//!
//! In process at once; across processes by a throttled NOTIFY outside the append (inside it, writers fall
//! to a ninth); and by polling as the floor, because notifications are a hint, never the truth.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Position;
use sqlx::postgres::PgListener;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::StoreSettings;

const CHANNEL: &str = "daybook_head";

/// The heads this process has seen, per tenant.
#[derive(Default)]
pub(super) struct Wakes {
    heads: Mutex<HashMap<Arc<str>, watch::Sender<Position>>>,
    unsaid: Mutex<HashMap<Arc<str>, Position>>,
    to_say: Notify,
}

impl Wakes {
    /// Follows a tenant's head.
    pub fn watch(&self, tenant: &Arc<str>) -> watch::Receiver<Position> {
        lock(&self.heads)
            .entry(tenant.clone())
            .or_insert_with(|| watch::Sender::new(Position::START))
            .subscribe()
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

/// The floor: looks at every head now and then.
async fn poll(wakes: Arc<Wakes>, pool: PgPool, every: Duration) {
    loop {
        let heads: Result<Vec<(String, i64)>, _> =
            sqlx::query_as("select tenant, position from logs")
                .fetch_all(&pool)
                .await;
        for (tenant, head) in heads.into_iter().flatten() {
            wakes.advance(&tenant.into(), Position(head), false);
        }
        tokio::time::sleep(every).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
