//! What health asks of each part.

use crate::cache::Cache;
use crate::consumers::{Consumers, Status};
use crate::ops::{Check, Health, Probed, State};
use crate::store::Store;

/// The tenant whose log is asked.
const TENANT: &str = "default";

/// Everything that can be ill. Only PostgreSQL is needed: without Redis it is slower, and a read
/// model that has stopped still answers as of where it is.
pub fn health(store: &Store, cache: &Cache, consumers: &Consumers) -> Health {
    let (store, cache, consumers) = (store.clone(), cache.clone(), consumers.clone());
    Health::new(vec![
        Check::new("postgres", true, move || postgres(store.clone())),
        Check::new("cache", false, move || {
            let cache = cache.clone();
            async move { cache.probe().await }
        }),
        Check::new("read_models", false, move || read_models(consumers.clone())),
    ])
}

async fn postgres(store: Store) -> Probed {
    let head = store.head(TENANT).await;
    let (open, idle) = (store.pool().size(), store.pool().num_idle());
    match head {
        Ok(head) => Probed {
            detail: Some(format!("position {head}, {open} connections, {idle} idle")),
            ..Probed::ok()
        },
        Err(error) => {
            tracing::warn!(%error, "health: {error}");
            Probed::because(State::Down, "the database does not answer")
        }
    }
}

async fn read_models(consumers: Consumers) -> Probed {
    let Ok(rows) = consumers.status(TENANT).await else {
        return Probed::because(State::Degraded, "their state cannot be read");
    };
    let stopped = rows.iter().filter(|row| row.status == Status::Stopped);
    let stopped: Vec<&str> = stopped.map(|row| row.name).collect();
    let lag_events = rows.iter().map(|row| row.lag_events).max().unwrap_or(0);
    let lag_ms = rows.iter().map(|row| row.lag_ms).max().unwrap_or(0);
    let lag = format!("at most {lag_events} events, {lag_ms} ms behind");
    let parked = rows.iter().filter(|row| row.parked_streams > 0);
    let parked: Vec<String> = parked
        .map(|row| format!("{} ({} streams)", row.name, row.parked_streams))
        .collect();
    let mut ill = Vec::new();
    if !stopped.is_empty() {
        ill.push(format!("stopped: {}", stopped.join(", ")));
    }
    if !parked.is_empty() {
        ill.push(format!("parked: {}", parked.join(", ")));
    }
    match ill.is_empty() {
        true => Probed {
            detail: Some(lag),
            ..Probed::ok()
        },
        false => {
            let why = format!("{} (`daybook projection failed`)", ill.join("; "));
            Probed::because(State::Degraded, why)
        }
    }
}
