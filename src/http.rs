//! The edge: routes, limits, the GraphQL transport, REST aliases, probes.

mod accept;
mod caller;
mod context;
mod cors;
mod graphql;
mod json;
mod meter;
mod page;
mod probes;
mod problem;
mod rest;
mod router;
mod shield;
mod whence;
mod zstd;

pub use accept::serve as accept;
pub use graphql::{Asking, Credentials, DocumentsError, Engine, Transport};
pub use router::transport;
pub use zstd::{Frames, ZSTD_WINDOW_BYTES_MAX, is_zstd};

use std::sync::Arc;

use projections::Reader;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::api::telling::Telling;
use crate::api::{self, Api};
use crate::auth::Auth;
use crate::cache::Cache;
use crate::commands::Door;
use crate::competitions::Competitions;
use crate::config::{Environment, Settings};
use crate::consumers::Consumers;
use crate::deployments::Deployments;
use crate::intake::Sources;
use crate::leaderboards::Leaderboards;
use crate::limits::Limiter;
use crate::ops::{Clock, Health, Metrics, Shutdown};
use crate::slos::Slos;
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
    /// Deployments, environments, incidents.
    pub deployments: Deployments,
    /// Objectives.
    pub slos: Slos,
    /// Competitions and activities.
    pub competitions: Competitions,
    /// Boards of competitions.
    pub leaderboards: Leaderboards,
    /// Who may send webhooks.
    pub sources: Sources,
    /// Who asks how much.
    pub limiter: Limiter,
    /// What was counted.
    pub metrics: Metrics,
    /// How every part is doing.
    pub health: Health,
}

/// What handlers hold. Cheap to clone.
#[derive(Clone)]
struct Edge {
    api: Api,
    transport: Transport,
    health: Health,
    metrics: Metrics,
    settings: Arc<Settings>,
    sources: Sources,
    /// What kind of cache serves this process, for `/readyz`.
    cache_kind: Arc<str>,
}

/// Serves the product on `listener` until `shutdown`, as [`accept`] does.
pub async fn serve(
    parts: Parts,
    listener: TcpListener,
    shutdown: Shutdown,
) -> Result<(), DocumentsError> {
    let settings = parts.settings.clone();
    let edge = Edge::new(parts, shutdown.clone())?;
    accept(router::router(edge), &settings.http, listener, shutdown).await;
    Ok(())
}

impl Edge {
    fn new(parts: Parts, shutdown: Shutdown) -> Result<Edge, DocumentsError> {
        let database = &parts.settings.database;
        let turns = (database.pool_max / 2).max(1) as usize;
        let turn_wait = database.acquire_timeout;
        let production = parts.settings.process.env == Environment::Production;
        let cache_kind = parts.cache.describe().into();
        let behind = api::Parts {
            store: parts.store,
            door: parts.door,
            auth: parts.auth.clone(),
            deployments: parts.deployments,
            slos: parts.slos,
            competitions: parts.competitions,
            leaderboards: parts.leaderboards,
            reader: parts.reader,
            consumers: parts.consumers,
            cache: parts.cache,
            clock: parts.clock.clone(),
            read_wait: parts.settings.consumers.wait_max,
            turns: Arc::new(Semaphore::new(turns)),
            turn_wait,
            answers: parts.settings.cache.clone(),
            telling: Telling::new(&parts.settings.limits),
            shows_links: !production,
        };
        let api = Api::new(behind, production);
        let product = graphql::Product {
            api: api.clone(),
            auth: parts.auth,
            production,
        };
        let transport = Transport::new(
            Arc::new(product),
            parts.settings.clone(),
            parts.limiter,
            parts.clock,
            shutdown,
        )?;
        Ok(Edge {
            api,
            transport,
            health: parts.health,
            metrics: parts.metrics,
            settings: parts.settings,
            sources: parts.sources,
            cache_kind,
        })
    }
}
