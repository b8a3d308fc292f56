//! P9, the part without sockets: events handed to a thousand subscribers who ask the same, against
//! a stock schema that resolves and writes each event for each of them.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_graphql::Request;
use chrono::DateTime;
use daybook::api::telling::Telling;
use daybook::api::{Api, FeedStream, Operation, Origin, Pages, Parts};
use daybook::auth::{Auth, Caller, Credential, Foundation, Role};
use daybook::cache::Cache;
use daybook::commands::Door;
use daybook::competitions::{Closer, Competitions};
use daybook::config::Settings;
use daybook::consumers::{ConsumerSettings, Consumers};
use daybook::deployments::{self, Deployments};
use daybook::limits::Limiter;
use daybook::ops::Clock;
use daybook::slos::Slos;
use daybook::store::Store;
use daybook::vault::Vault;
use domain::vehicle::{Vehicle, VehicleCommand, VehicleProfile};
use domain::{Actor, ActorKind, Position};
use futures::{StreamExt, stream};
use projections::Reader;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::fleets::{context, door};
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::stand::Stand;
use super::stock;

/// Subscribers.
const MEMBERS: usize = 1_000;

/// Events of a round that is about rates.
const EVENTS: usize = 200;

/// Who writes them.
const CALLERS: usize = 32;

/// Commits a second of a round that is about lags.
const PACE: u32 = 50;

/// What they ask.
pub const DOCUMENT: &str =
    "subscription { events { position type aggregateType aggregateId sequence recordedAt } }";

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let settings = ConsumerSettings::default();
    let consumers = Consumers::start(store.clone(), projections::all(), settings).await?;
    let ours = Ours {
        api: api(&store, &consumers).await?,
        door: door(&store),
        store,
    };
    let members = stand.size(MEMBERS * 50) / 50;
    stand.settle().await?;
    let (mut rates, mut lags) = (Rounds::default(), Rounds::default());
    for n in 0..=stand.rounds() {
        let rate = ours.rate(stand, n, members).await?;
        let reference = stock_rate(stand, members).await?;
        let lag = ours.lag(stand, n, members).await?;
        if n > 0 || stand.is_quick() {
            rates.ours.push(rate);
            rates.reference.push(reference);
            lags.ours.push(lag);
        }
    }
    consumers.stop().await;
    stand.drop_database(&database).await?;
    let lag = |what: &str, percent, goal| lags.row(what, "ms", goal, |r| r.latency_ms(percent));
    Ok(vec![
        rates.row(
            "events handed to 1,000 subscribers, commits included, against stock executions",
            "/s",
            Goal::AtLeast(2.0),
            Round::rate,
        ),
        lag(
            "commit to subscriber, 50 commits a second, p50",
            50.0,
            Goal::Shown,
        ),
        lag("commit to subscriber, p99", 99.0, Goal::OursAtMost(25.0)),
    ])
}

async fn api(store: &Store, consumers: &Consumers) -> anyhow::Result<Api> {
    let (defaults, clock) = (Settings::default(), Clock::system());
    let keys = std::env::temp_dir();
    let foundation = Foundation {
        door: door(store),
        store: store.clone(),
        vault: Vault::open(&defaults.vault, &keys, store.pool().clone())?,
        limiter: Limiter::start(&defaults.limits, None, [0; 32], clock.clone()),
        clock,
    };
    let auth = Auth::start(&defaults, foundation).await?;
    let reader = Reader::new(store.pool().clone());
    let foundation = deployments::Foundation {
        door: door(store),
        store: store.clone(),
        auth: auth.clone(),
        reader: reader.clone(),
        consumers: consumers.clone(),
        clock: Clock::system(),
    };
    let answering = (reader.clone(), consumers.clone());
    let closer = Closer::new(door(store), answering, defaults.consumers.wait_max);
    let parts = Parts {
        deployments: Deployments::start(&defaults, foundation),
        slos: Slos::new(door(store)),
        competitions: Competitions::new(door(store), auth.clone(), closer),
        store: store.clone(),
        door: door(store),
        reader,
        consumers: consumers.clone(),
        cache: Cache::new(&defaults.cache, &defaults.redis, [0; 32])?,
        clock: Clock::system(),
        read_wait: defaults.consumers.wait_max,
        turns: Arc::new(Semaphore::new(8)),
        turn_wait: Duration::from_secs(2),
        answers: defaults.cache.clone(),
        telling: Telling::new(&defaults.limits),
        auth,
        shows_links: false,
    };
    Ok(Api::new(parts, true))
}

struct Ours {
    api: Api,
    door: Door,
    store: Store,
}

impl Ours {
    async fn subscribe(&self, members: usize) -> anyhow::Result<Vec<FeedStream>> {
        let caller = Arc::new(Caller {
            actor: Actor {
                kind: ActorKind::User,
                id: "bench".into(),
            },
            tenant: "default".into(),
            roles: vec![Role::Viewer],
            scopes: Vec::new(),
            credential: Credential::Token {
                id: "bench".into(),
                session: None,
                issued_at: DateTime::UNIX_EPOCH,
            },
            suspended: false,
            expires_at: Clock::system().now(),
        });
        let pages = Pages {
            default: 50,
            max: 200,
        };
        let mut feeds = Vec::with_capacity(members);
        for _ in 0..members {
            let (parts, origin) = (self.api.parts().clone(), Origin::default());
            let operation = Operation::new(parts, caller.clone(), origin, None, pages);
            let feed = self
                .api
                .subscribe(operation, Request::new(DOCUMENT), None)
                .await;
            feeds.push(feed.map_err(|fault| anyhow::anyhow!("{fault}"))?);
        }
        Ok(feeds)
    }

    async fn write(&self, id: String) -> anyhow::Result<Position> {
        let command = VehicleCommand::Register {
            profile: VehicleProfile::default(),
            on_first_report: false,
        };
        let kept = self
            .door
            .execute::<Vehicle>(&context(&"default".into()), &id, command)
            .await?;
        Ok(kept.position)
    }

    /// As many events as come, as fast as they come.
    async fn rate(&self, stand: &Stand, n: usize, members: usize) -> anyhow::Result<Round> {
        let mut readers = JoinSet::new();
        for feed in self.subscribe(members).await? {
            readers.spawn(async move {
                feed.take(EVENTS)
                    .map(|i| i.map(|i| i.payload.len()))
                    .count()
                    .await
            });
        }
        let watch = stand.watch();
        let ids = stream::iter((0..EVENTS).map(|i| format!("rate-{n}-{i}")));
        let mut written = ids.map(|id| self.write(id)).buffer_unordered(CALLERS);
        while let Some(kept) = written.next().await {
            kept?;
        }
        let delivered: usize = readers.join_all().await.into_iter().sum();
        Ok(watch.stop(delivered as f64, Vec::new()))
    }

    /// How long after its commit each event is at each subscriber.
    async fn lag(&self, stand: &Stand, n: usize, members: usize) -> anyhow::Result<Round> {
        let count = (2 * stand.round().as_millis() as usize * PACE as usize / 1_000).max(1);
        let first = self.store.head("default").await?.0 + 1;
        let commits: Arc<Vec<OnceLock<Instant>>> =
            Arc::new((0..count).map(|_| OnceLock::new()).collect());
        let mut readers = JoinSet::new();
        for mut feed in self.subscribe(members).await? {
            let commits = commits.clone();
            readers.spawn(async move {
                let mut lags = Vec::with_capacity(commits.len());
                while lags.len() < commits.len() {
                    let Some(Ok(item)) = feed.next().await else {
                        break;
                    };
                    let at = item.position.map_or(0, |p| (p.position.0 - first) as usize);
                    // One that comes before its writer is told has no lag.
                    let lag = commits
                        .get(at)
                        .and_then(OnceLock::get)
                        .map(Instant::elapsed);
                    lags.push(lag.unwrap_or_default().as_micros() as u32);
                }
                lags
            });
        }
        let watch = stand.watch();
        let mut ticks = interval(Duration::from_secs(1) / PACE);
        for i in 0..count {
            ticks.tick().await;
            let position = self.write(format!("lag-{n}-{i}")).await?;
            let _ = commits[(position.0 - first) as usize].set(Instant::now());
        }
        let lags = readers.join_all().await.concat();
        Ok(watch.stop(lags.len() as f64, lags))
    }
}

async fn stock_rate(stand: &Stand, members: usize) -> anyhow::Result<Round> {
    let (schema, events) = stock::schema();
    let mut readers = JoinSet::new();
    for _ in 0..members {
        let responses = schema.execute_stream(Request::new(DOCUMENT)).take(EVENTS);
        let written = responses.map(|r| serde_json::to_vec(&r).map(|bytes| bytes.len()));
        readers.spawn(written.count());
    }
    while events.receiver_count() < members {
        tokio::task::yield_now().await;
    }
    let watch = stand.watch();
    for n in 0..EVENTS {
        let event = stock::Event::registered(n as u64, format!("rate-0-{n}"));
        let _ = events.send(event);
    }
    let delivered: usize = readers.join_all().await.into_iter().sum();
    Ok(watch.stop(delivered as f64, Vec::new()))
}
