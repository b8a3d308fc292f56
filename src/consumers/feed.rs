//! The feed: what is committed is handed to those it concerns, as it is committed.
//!
//! One task a tenant follows the log's tail and looks up whom each event concerns ([`topics`]); each
//! of those has a bounded inbox. There is no bookmark: whoever was away, or too slow, scans the log
//! ([`Scan`]) up to where the feed has come, and goes on from there.

mod inbox;
mod interest;
mod scan;
mod topics;
#[cfg(test)]
pub mod testing;

pub use inbox::{Handed, Keep};
pub use interest::Interest;
pub use scan::{Scan, ScanError};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Position;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::LogEvent;
use super::retry::Backoff;
use super::runner::Shared;
use crate::store::StoreError;
use inbox::Inbox;
use topics::{Id, Topics};

/// Events handed over in one go.
const PAGE_EVENTS_MAX: usize = 256;

/// The knobs of feeds. [`Default`] is what production runs with.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// Different subscriptions (document, variables, rights) of one process.
    pub groups_max: usize,
    /// Subscribers of one process.
    pub members_max: usize,
    /// Events waiting for one group.
    pub queue_events_max: usize,
    /// Memory of those, in bytes (estimated).
    pub queue_bytes_max: usize,
    /// Recent items of a journal kept for a group's members; whoever is further behind scans.
    pub ring_items_max: usize,
    /// Bytes of those.
    pub ring_bytes_max: usize,
    /// Vehicles, or cells, that one latest-wins subscription may concern.
    pub keys_max: usize,
    /// Bytes of the latest items kept for such a subscription's members.
    pub latest_bytes_max: usize,
    /// Pages read at once for those who scan.
    pub scans_max: usize,
    /// How long one waits for its turn to scan, in milliseconds.
    pub scan_wait_ms: u64,
    /// Events of one page of a scan.
    pub scan_events_max: usize,
    /// Stored bytes of those; one event alone may be larger.
    pub scan_page_bytes_max: usize,
    /// Memory of all that was read by scans and is not told yet, in bytes (estimated). Above half of it
    /// nobody keeps what it does not tell at once, above all of it nobody reads on.
    pub scan_bytes_max: usize,
    /// Positions that one query of a scan looks through.
    pub scan_positions_max: usize,
    /// Log records in one item of a tail.
    pub tail_records_max: usize,
    /// Bytes of those, estimated; one record alone may be larger.
    pub tail_bytes_max: usize,
    /// How often a read that failed is tried before a subscription ends.
    pub attempts_max: u32,
    /// How long making one item may take, in milliseconds.
    pub item_ms_max: u64,
    /// Updates a second of one key when the caller does not say.
    pub hz_default: f64,
    /// Most updates a second of one key.
    pub hz_max: f64,
}

impl Default for FeedSettings {
    fn default() -> FeedSettings {
        FeedSettings {
            groups_max: 1_000,
            members_max: 5_000,
            queue_events_max: 1_024,
            queue_bytes_max: 4 << 20,
            ring_items_max: 256,
            ring_bytes_max: 1 << 20,
            keys_max: 10_000,
            latest_bytes_max: 16 << 20,
            scans_max: 4,
            scan_wait_ms: 10_000,
            scan_events_max: 100,
            scan_page_bytes_max: 512 << 10,
            scan_bytes_max: 64 << 20,
            scan_positions_max: 20_000,
            tail_records_max: 100,
            tail_bytes_max: 256 << 10,
            attempts_max: 5,
            item_ms_max: 10_000,
            hz_default: 2.0,
            hz_max: 20.0,
        }
    }
}

/// The feed of one process. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    shared: Arc<Shared>,
    ending: watch::Receiver<bool>,
}

/// The tenants that somebody subscribes to, each with its task.
pub(super) type Feeds = Mutex<HashMap<Arc<str>, Arc<TenantFeed>>>;

/// The feed of one tenant.
pub(super) struct TenantFeed {
    routing: Mutex<Routing>,
}

struct Routing {
    /// Everything up to here has been handed over.
    at: Position,
    next_id: Id,
    topics: Topics,
    inboxes: HashMap<Id, Arc<Inbox>>,
    task: Option<AbortHandle>,
    /// Nothing is handed over any more.
    ended: bool,
}

/// One subscriber's end of the feed. Leaves when dropped.
pub struct Subscription {
    feed: Feed,
    tenant: Arc<str>,
    of: Arc<TenantFeed>,
    id: Id,
    inbox: Arc<Inbox>,
}

impl Feed {
    pub(super) fn new(shared: Arc<Shared>, ending: watch::Receiver<bool>) -> Feed {
        Feed { shared, ending }
    }

    /// The knobs.
    pub fn settings(&self) -> &FeedSettings {
        &self.shared.settings.feed
    }

    /// Subscribes to what happens from now on: [`Subscription::restart`] tells from where.
    pub async fn subscribe(
        &self,
        tenant: &Arc<str>,
        interest: Interest,
        keep: Keep,
    ) -> Result<Subscription, StoreError> {
        // Read even if the task is there: it may end before the lock is ours.
        let head = self.shared.store.head(tenant).await?;
        let inbox = Arc::new(Inbox::new(keep));
        let mut feeds = lock(&self.shared.feeds);
        let of = feeds
            .entry(tenant.clone())
            .or_insert_with(|| self.start(tenant, head))
            .clone();
        let mut routing = of.lock();
        let id = routing.next_id;
        routing.next_id += 1;
        routing.topics.add(id, interest, self.settings().keys_max);
        routing.inboxes.insert(id, inbox.clone());
        if routing.ended {
            inbox.close();
        }
        drop(routing);
        drop(feeds);
        Ok(Subscription {
            feed: self.clone(),
            tenant: tenant.clone(),
            of,
            id,
            inbox,
        })
    }

    /// Scans the tenant's past for what passes a filter.
    pub fn scan(
        &self,
        tenant: &Arc<str>,
        filter: crate::store::EventFilter,
        after: Position,
    ) -> Scan {
        let settings = self.settings();
        Scan::new(
            self.shared.store.clone(),
            tenant.clone(),
            filter,
            after,
            settings,
        )
    }

    fn start(&self, tenant: &Arc<str>, at: Position) -> Arc<TenantFeed> {
        let of = Arc::new(TenantFeed {
            routing: Mutex::new(Routing {
                at,
                next_id: 0,
                topics: Topics::default(),
                inboxes: HashMap::new(),
                task: None,
                ended: false,
            }),
        });
        let task = tokio::spawn(follow(self.clone(), tenant.clone(), of.clone()));
        of.lock().task = Some(task.abort_handle());
        of
    }
}

impl Subscription {
    /// Begins anew: forgets what waits and tells the position after which nothing that concerns the
    /// subscriber is missing from now on.
    pub fn restart(&self) -> Position {
        let mut routing = self.of.lock();
        routing.topics.widen(self.id);
        self.inbox.clear();
        routing.at
    }

    /// Hands over what concerns these vehicles alone, and those that come to join them.
    pub fn narrow(&self, vehicles: impl IntoIterator<Item = Arc<str>>) {
        if !self.of.lock().topics.narrow(self.id, vehicles) {
            self.inbox.lose();
        }
    }

    /// The next thing handed over. Nothing is lost when the wait is given up.
    pub async fn next(&self) -> Handed {
        self.inbox.next().await
    }

    /// What waits already, if anything does.
    pub fn try_next(&self) -> Option<Handed> {
        self.inbox.take()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut feeds = lock(&self.feed.shared.feeds);
        let mut routing = self.of.lock();
        routing.inboxes.remove(&self.id);
        if routing.topics.remove(self.id) {
            feeds.remove(&self.tenant);
            if let Some(task) = routing.task.take() {
                task.abort();
            }
        }
    }
}

impl TenantFeed {
    fn lock(&self) -> MutexGuard<'_, Routing> {
        lock(&self.routing)
    }

    fn hand_over(&self, events: &[Arc<LogEvent>]) {
        let mut routing = self.lock();
        let Routing {
            at,
            topics,
            inboxes,
            ..
        } = &mut *routing;
        for event in events {
            for concerned in topics.concerned(event) {
                let (Ok(id) | Err(id)) = concerned;
                match inboxes.get(&id) {
                    Some(inbox) if concerned.is_ok() => inbox.put(event),
                    Some(inbox) => inbox.lose(),
                    None => {}
                }
            }
            *at = event.position;
        }
    }
}

/// Tells all subscribers when their tenant's task ends, however it does.
struct Ending(Arc<TenantFeed>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut routing = self.0.lock();
        routing.ended = true;
        routing.inboxes.values().for_each(|inbox| inbox.close());
    }
}

/// Follows a tenant's log for all subscribers, until the last has left or the process stops.
async fn follow(mut feed: Feed, tenant: Arc<str>, of: Arc<TenantFeed>) {
    let _ending = Ending(of.clone());
    let shared = feed.shared.clone();
    let (tail, mut head) = (shared.tail(&tenant), shared.store.watch_head(&tenant));
    let settings = &shared.settings;
    let mut backoff = Backoff::new(settings.retry_ms_min, settings.retry_ms_max);
    while !*feed.ending.borrow() {
        head.mark_unchanged();
        let at = of.lock().at;
        let idle = async {
            match tail.after(at, PAGE_EVENTS_MAX).await {
                Ok(events) if events.is_empty() => {
                    // the store lives as long as the feed does
                    let _ = head.changed().await;
                }
                Ok(events) => {
                    of.hand_over(&events);
                    backoff.reset();
                }
                Err(error) => {
                    tracing::warn!(%error, "the feed of {tenant} reads the log again later: {error}");
                    backoff.wait().await;
                }
            }
        };
        tokio::select! {
            () = idle => {}
            ended = feed.ending.changed() => if ended.is_err() { break },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
