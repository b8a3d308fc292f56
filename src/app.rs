//! Assembly: the only place that knows every part, in the order in which they start and stop.

mod bounds;
mod checks;
mod duties;
pub mod live;
mod log;
mod wakes;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use domain::tenant::DEFAULT_TENANT;
use metrics::gauge;
use projections::Reader;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::analysts::Analysts;
use crate::auth::{Auth, Foundation};
use crate::cache::Cache;
use crate::commands::Door;
use crate::competitions::{Closer, Competitions};
use crate::config::{Environment, Settings};
use crate::consumers::Consumers;
use crate::deployments::{self, Deployments};
use crate::fetch::Fetch;
use crate::http;
use crate::intake::Sources;
use crate::leaderboards::Leaderboards;
use crate::limits::Limiter;
use crate::ops::{Clock, Health, Metrics, Shutdown, VERSION, metrics as names};
use crate::slos::Slos;
use crate::store::Store;
use crate::vault::Vault;

use duties::Duties;
pub use log::{Log, data_dir};

/// Whom the first start in development makes an administrator.
const FIRST_ADMIN: &str = "admin@daybook.local";

/// Everything a process is made of but its listener.
pub struct App {
    /// As given.
    pub settings: Arc<Settings>,
    /// The clock of all parts.
    pub clock: Clock,
    /// PostgreSQL and the log in it.
    pub log: Log,
    /// Where commands go in.
    pub door: Door,
    /// What keeps read models up to date.
    pub consumers: Consumers,
    /// Where queries are answered.
    pub reader: Reader,
    /// Answers kept for a while.
    pub cache: Cache,
    /// Keys of secrets and of personal values.
    pub vault: Vault,
    /// Who calls.
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
    /// What happens by itself.
    duties: Duties,
    /// Passes wake-ups on.
    _wakes: JoinSet<()>,
}

/// Takes the address; does not answer yet.
pub async fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(settings.http.address, settings.http.port);
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}. If another program does, stop it or choose another port \
             (--port, PORT)"
        )
    })
}

/// Starts, serves until `shutdown`, and stops: the whole life of a serving process.
pub async fn serve(
    settings: &Settings,
    shutdown: Shutdown,
    ready: impl FnOnce(&App, SocketAddr, Vec<String>),
) -> anyhow::Result<()> {
    bounds::open_files(settings);
    let listener = listen(settings).await?;
    let address = listener.local_addr()?;
    let app = tokio::select! {
        app = App::start(settings) => app?,
        () = shutdown.soft() => return Ok(()),
    };
    bounds::connections(app.log.store(), settings).await;
    let admin = app.first_admin().await?;
    ready(&app, address, admin);
    let served = app.serve(listener, shutdown.clone()).await;
    tokio::select! {
        () = app.stop() => {}
        () = shutdown.hard() => {}
    }
    served
}

/// Where commands go in, and who may send them.
async fn doors(
    settings: &Settings,
    log: &Log,
    vault: Vault,
    limiter: &Limiter,
    clock: &Clock,
) -> anyhow::Result<(Door, Auth)> {
    let door = Door::new(log.store().clone(), bounds::door(settings)).sealing(vault.clone());
    let foundation = Foundation {
        door: door.clone(),
        store: log.store().clone(),
        vault,
        limiter: limiter.clone(),
        clock: clock.clone(),
    };
    let auth = Auth::start(settings, foundation).await;
    Ok((door, auth.context("who calls cannot be told")?))
}

/// What keeps read models up to date.
async fn followers(settings: &Settings, store: &Store) -> anyhow::Result<Consumers> {
    let (all, bounds) = (projections::all(), bounds::consumers(settings));
    let analysts = analysts(settings, store)?;
    let consumers = Consumers::start_with(store.clone(), all, Some(analysts), bounds).await;
    consumers.context("the read models cannot be kept up to date")
}

/// Projections and questions of analysts.
pub fn analysts(settings: &Settings, store: &Store) -> anyhow::Result<Analysts> {
    let analysts = Analysts::new(store.clone(), bounds::analysts(settings));
    analysts.context("analyst.url cannot be read")
}

/// What commands of the command line about identity need: no read models, no cache.
pub struct Back {
    /// PostgreSQL and the log in it.
    pub log: Log,
    /// Where commands go in.
    pub door: Door,
    /// Accounts, sessions, keys.
    pub auth: Auth,
    /// The time.
    pub clock: Clock,
}

impl Back {
    /// Opens the log, and what makes and checks credentials.
    pub async fn open(settings: &Settings) -> anyhow::Result<Back> {
        let (log, clock) = (Log::open(settings).await?, Clock::system());
        let vault = Vault::open(&settings.vault, log.data_dir(), log.store().pool().clone())?;
        let secret = vault.shared_secret("limits of the command line");
        let limiter = Limiter::start(&settings.limits, None, secret, clock.clone());
        let (door, auth) = doors(settings, &log, vault, &limiter, &clock).await?;
        Ok(Back {
            log,
            door,
            auth,
            clock,
        })
    }
}

impl App {
    /// Starts every part, in the order of need.
    pub async fn start(settings: &Settings) -> anyhow::Result<App> {
        App::start_at(settings, Clock::system()).await
    }

    /// The same by this clock.
    pub async fn start_at(settings: &Settings, clock: Clock) -> anyhow::Result<App> {
        let metrics = Metrics::install();
        let sources = Sources::open(&settings.intake)?;
        let log = Log::open(settings).await?;
        let store = log.store();
        let vault = Vault::open(&settings.vault, log.data_dir(), store.pool().clone())?;
        // Another log has other answers, be it an older state of this one.
        let identity = store
            .identity()
            .await
            .context("the log cannot be told apart")?;
        let secret = vault.shared_secret(&format!("cache of {identity}"));
        let cache = Cache::new(&settings.cache, &settings.redis, secret)?;
        let secret = vault.shared_secret(&format!("limits of {identity}"));
        let limiter = Limiter::start(&settings.limits, cache.ledger(), secret, clock.clone());
        let (door, auth) = doors(settings, &log, vault.clone(), &limiter, &clock).await?;
        let door = door.counting(limiter.clone());
        let consumers = followers(settings, store).await?;
        let reader = Reader::new(store.pool().clone());
        let foundation = deployments::Foundation {
            door: door.clone(),
            store: store.clone(),
            auth: auth.clone(),
            reader: reader.clone(),
            consumers: consumers.clone(),
            clock: clock.clone(),
        };
        let deployments = Deployments::start(settings, foundation);
        let slos = Slos::new(door.clone());
        let leaderboards = Leaderboards::new(&settings.leaderboards, &cache, reader.clone());
        let answering = (reader.clone(), consumers.clone());
        let closer = Closer::new(door.clone(), answering, settings.consumers.wait_max);
        let competitions = Competitions::new(door.clone(), auth.clone(), closer.clone());
        let foundation = duties::Foundation {
            door: door.clone(),
            store: store.clone(),
            vault: vault.clone(),
            auth: auth.clone(),
            reader: reader.clone(),
            consumers: consumers.clone(),
            closer,
            fetch: Fetch::new(&settings.http_client)?,
            clock: clock.clone(),
        };
        let duties = Duties::start(settings, foundation);
        let health = checks::health(store, &cache, &consumers);
        let wakes = wakes::start(store, &cache);
        let settings = Arc::new(settings.clone());
        Ok(App {
            settings,
            clock,
            log,
            door,
            consumers,
            reader,
            cache,
            vault,
            auth,
            deployments,
            slos,
            competitions,
            leaderboards,
            duties,
            sources,
            limiter,
            metrics,
            health,
            _wakes: wakes,
        })
    }

    /// Makes the first administrator where nobody else could: in development, on a server of our own. Says in
    /// lines for a person who they are; the password is told once.
    pub async fn first_admin(&self) -> anyhow::Result<Vec<String>> {
        let development = self.settings.process.env == Environment::Development;
        if !development || !self.log.is_private() {
            return Ok(Vec::new());
        }
        let made = self.auth.first_admin(DEFAULT_TENANT, FIRST_ADMIN).await;
        let made = made.context("the first administrator cannot be made")?;
        let told = made.map(|password| {
            format!("  admin    {FIRST_ADMIN}, password {password} (told this once; change it)")
        });
        Ok(told.into_iter().collect())
    }

    /// Answers until `shutdown`, then finishes what was begun.
    pub async fn serve(&self, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
        let pool = self.log.store().pool().clone();
        let sample = move || {
            gauge!(names::DATABASE_CONNECTIONS, "state" => "open").set(f64::from(pool.size()));
            gauge!(names::DATABASE_CONNECTIONS, "state" => "idle").set(pool.num_idle() as f64);
        };
        tokio::spawn(self.metrics.clone().upkeep(shutdown.clone(), sample));
        let parts = http::Parts {
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            store: self.log.store().clone(),
            door: self.door.clone(),
            consumers: self.consumers.clone(),
            reader: self.reader.clone(),
            cache: self.cache.clone(),
            auth: self.auth.clone(),
            deployments: self.deployments.clone(),
            slos: self.slos.clone(),
            competitions: self.competitions.clone(),
            leaderboards: self.leaderboards.clone(),
            sources: self.sources.clone(),
            limiter: self.limiter.clone(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
        };
        let drained = async {
            shutdown.soft().await;
            tokio::time::sleep(self.settings.http.drain_soft).await;
        };
        tokio::select! {
            served = http::serve(parts, listener, shutdown.clone()) => Ok(served?),
            () = drained => {
                let after_ms = self.settings.http.drain_soft.as_millis() as u64;
                tracing::warn!(after_ms, "requests still in flight after {after_ms} ms: dropped");
                Ok(())
            }
        }
    }

    /// Stops in the opposite order: duties, batches in flight, connections, the private PostgreSQL.
    pub async fn stop(mut self) {
        self.duties.stop().await;
        self.consumers.stop().await;
        self.log.close().await;
    }

    /// What a person wants to know when it has started.
    pub fn start_lines(&self, address: SocketAddr) -> Vec<String> {
        let settings = &self.settings;
        let mut lines = vec![
            format!("Daybook {VERSION} is ready."),
            format!("  listens  http://{address}/graphql"),
            format!("  data     {}", self.log.place()),
            format!("  cache    {}", self.cache.describe()),
            format!("  limits   {}", bounds::line(settings)),
        ];
        lines.extend(
            self.log
                .notes()
                .iter()
                .map(|note| format!("  note     {note}")),
        );
        if settings.process.env == Environment::Development {
            let data_dir = self.log.data_dir().display();
            lines.push(format!("  token    daybook token --data-dir {data_dir}"));
        }
        lines.push("  stop     Ctrl-C (twice: at once)".to_owned());
        lines
    }
}
