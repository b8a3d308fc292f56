//! The edge: routes, limits, the GraphQL transport, REST aliases, probes.

mod caller;
mod context;
mod graphql;
mod json;
mod probes;
mod problem;
mod rest;
mod router;
mod serve;

pub use router::router;
pub use serve::serve;

use std::sync::Arc;

use projections::Reader;
use tokio::sync::Semaphore;

use crate::api::{self, Api};
use crate::auth::Auth;
use crate::cache::Cache;
use crate::commands::Door;
use crate::config::{Environment, Settings};
use crate::consumers::Consumers;
use crate::ops::{Clock, Health, Metrics};
use crate::store::Store;

/// What answering takes.
#[derive(Clone)]
pub struct Parts {
    /// As given.
    pub settings: Arc<Settings>,
    /// The clock of all parts.
    pub clock: Clock,
    /// The log.
    pub store: Store,
    /// Where commands go in.
    pub door: Door,
    /// What keeps read models up to date.
    pub consumers: Consumers,
    /// Where queries are answered.
    pub reader: Reader,
    /// Answers kept for a while.
    pub cache: Cache,
    /// Tokens.
    pub auth: Auth,
    /// What was counted.
    pub metrics: Metrics,
    /// How every part is doing.
    pub health: Health,
}

/// What handlers hold. Cheap to clone.
#[derive(Clone)]
struct Edge {
    api: Api,
    auth: Auth,
    health: Health,
    metrics: Metrics,
    settings: Arc<Settings>,
    /// What kind of cache serves this process, for `/readyz`.
    cache_kind: Arc<str>,
}

impl Edge {
    fn new(parts: Parts) -> Edge {
        let database = &parts.settings.database;
        let turns = (database.pool_max / 2).max(1) as usize;
        let turn_wait = database.acquire_timeout;
        let production = parts.settings.process.env == Environment::Production;
        let cache_kind = parts.cache.describe().into();
        let behind = api::Parts {
            store: parts.store,
            door: parts.door,
            reader: parts.reader,
            consumers: parts.consumers,
            cache: parts.cache,
            clock: parts.clock,
            read_wait: parts.settings.consumers.wait_max,
            turns: Arc::new(Semaphore::new(turns)),
            turn_wait,
            answers: parts.settings.cache.clone(),
        };
        Edge {
            api: Api::new(behind, production),
            auth: parts.auth,
            health: parts.health,
            metrics: parts.metrics,
            settings: parts.settings,
            cache_kind,
        }
    }
}
