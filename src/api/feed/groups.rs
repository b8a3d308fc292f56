//! Who belongs together: one group for all who subscribe to the same with the same rights.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use metrics::{Counter, Histogram, counter, gauge, histogram};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;

use super::asked::{Asked, Key, Kind};
use super::journal::{self, Journal};
use super::latest::Latest;
use super::mark::Mark;
use super::member::{self, Member};
use super::rendering::{Plan, Rendering};
use super::room::Room;
use super::{FeedStream, boards, heatmaps, rebuilds, vehicles};
use crate::api::SchemaOf;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::{Operation, Parts};
use crate::consumers::feed::{Feed, FeedSettings};
use crate::ops::metrics as names;

/// How often a member looks for another group when the one it found has just ended.
const JOIN_ATTEMPTS_MAX: usize = 3;

/// The groups of one process.
pub struct Groups {
    schema: SchemaOf,
    pub(super) feed: Feed,
    seats: Mutex<Seats>,
    /// Turns for reading the past.
    scans: Arc<Semaphore>,
    /// Room for what was read of it.
    pub(super) room: Arc<Room>,
    made: Arc<AtomicU64>,
}

#[derive(Default)]
struct Seats {
    groups: HashMap<Key, Row>,
    members: usize,
}

struct Row {
    group: Arc<Group>,
    members: usize,
    task: AbortHandle,
}

/// How much subscribing is going on in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedCounts {
    /// Different subscriptions.
    pub groups: usize,
    /// Subscribers.
    pub members: usize,
    /// Items made so far: executions of a subscription's document.
    pub made: u64,
    /// Bytes of the past that were read and are not told yet, estimated.
    pub scanned_bytes: usize,
}

/// Those who subscribe to the same.
pub(super) struct Group {
    pub kind: Kind,
    /// What the first of them asked, which is what all ask but for where a journal is read from.
    pub asked: Arc<Asked>,
    key: Key,
    /// A journal's recent items.
    pub journal: Journal,
    /// The latest items of a latest-wins feed.
    pub latest: Latest,
    pub meters: Meters,
    stage: watch::Sender<Stage>,
}

/// What members wait for.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    /// The subscription was found good, and is at work.
    pub open: bool,
    /// Nothing comes any more, for this reason.
    pub ended: Option<Fault>,
    news: u64,
}

/// What a feed counts.
pub(super) struct Meters {
    pub deliveries: Counter,
    pub conflations: Counter,
    pub scans: Counter,
    pub lag: Histogram,
}

impl Group {
    fn new(asked: Arc<Asked>, key: Key, settings: &FeedSettings) -> Group {
        let kind = asked.kind;
        let feed = kind.as_str();
        Group {
            kind,
            asked,
            key,
            journal: Journal::new(settings.ring_items_max, settings.ring_bytes_max),
            latest: Latest::new(settings.keys_max, settings.latest_bytes_max),
            meters: Meters {
                deliveries: counter!(names::FEED_DELIVERIES_TOTAL, "feed" => feed),
                conflations: counter!(names::FEED_CONFLATIONS_TOTAL, "feed" => feed),
                scans: counter!(names::FEED_SCANS_TOTAL, "feed" => feed),
                lag: histogram!(names::FEED_DELIVERY_SECONDS, "feed" => feed),
            },
            stage: watch::Sender::default(),
        }
    }

    /// Members may take what there is.
    pub fn open(&self) {
        self.stage
            .send_if_modified(|stage| !std::mem::replace(&mut stage.open, true));
    }

    /// There is something new to take.
    pub fn tell(&self) {
        self.stage.send_modify(|stage| stage.news += 1);
    }

    pub fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }
}

/// A member's place in its group; given up when dropped.
pub(super) struct Seat {
    groups: Arc<Groups>,
    pub group: Arc<Group>,
}

impl Groups {
    /// No groups yet.
    pub fn new(schema: SchemaOf, parts: &Parts) -> Groups {
        let feed = parts.consumers.feed();
        let scans = Arc::new(Semaphore::new(feed.settings().scans_max));
        let room = Room::new(feed.settings().scan_bytes_max);
        Groups {
            schema,
            feed,
            scans,
            room,
            seats: Mutex::default(),
            made: Arc::default(),
        }
    }

    /// How much is going on.
    pub fn counts(&self) -> FeedCounts {
        let seats = self.lock();
        FeedCounts {
            groups: seats.groups.len(),
            members: seats.members,
            made: self.made.load(Ordering::Relaxed),
            scanned_bytes: self.room.held(),
        }
    }

    /// Becomes a member of the group that subscribes to this, from `after` on if it is a journal.
    pub async fn join(
        self: &Arc<Self>,
        asked: Asked,
        operation: &Operation,
        after: Mark,
    ) -> Result<FeedStream, Fault> {
        let asked = Arc::new(asked);
        let operation = Arc::new(operation.anew());
        for _ in 0..JOIN_ATTEMPTS_MAX {
            let seat = self.seat(&asked, &operation)?;
            let mut stage = seat.group.watch();
            let settled = stage
                .wait_for(|stage| stage.open || stage.ended.is_some())
                .await;
            let Ok(settled) = settled.map(|stage| stage.clone()) else {
                return Err(Fault::of(FaultCode::Internal)); // the seat holds the sender
            };
            match settled.ended {
                Some(fault) if !settled.open => return Err(fault),
                // It ended between our sitting down and now: the next one is another.
                Some(_) => {}
                None => {
                    return Ok(member::stream(Member::new(seat, operation, after)));
                }
            }
        }
        Err(Fault::of(FaultCode::Resume).with("position", after.to_string()))
    }

    /// A seat in the group, which is made if it is not there.
    fn seat(self: &Arc<Self>, asked: &Arc<Asked>, operation: &Operation) -> Result<Seat, Fault> {
        let settings = self.feed.settings();
        let key = asked.key(&operation.caller);
        let mut seats = self.lock();
        let is_new = !seats.groups.contains_key(&key);
        let full = seats.members >= settings.members_max
            || (is_new && seats.groups.len() >= settings.groups_max);
        if full {
            return Err(Fault::of(FaultCode::TooManySubscriptions));
        }
        let row = seats.groups.entry(key).or_insert_with(|| {
            let group = Arc::new(Group::new(asked.clone(), key, settings));
            let operation = Arc::new(operation.anew());
            let work = work(self.clone(), group.clone(), operation);
            gauge!(names::FEED_GROUPS, "feed" => group.kind.as_str()).increment(1.0);
            Row {
                task: tokio::spawn(work).abort_handle(),
                group,
                members: 0,
            }
        });
        row.members += 1;
        let group = row.group.clone();
        seats.members += 1;
        gauge!(names::SUBSCRIPTIONS, "feed" => group.kind.as_str()).increment(1.0);
        Ok(Seat {
            groups: self.clone(),
            group,
        })
    }

    /// Opens an execution of a subscription.
    pub(super) async fn rendering(
        &self,
        asked: &Asked,
        operation: Arc<Operation>,
    ) -> Result<(Rendering, Plan), Fault> {
        Rendering::open(&self.schema, asked, operation, self.made.clone()).await
    }

    /// Waits for a turn to read the past, and for room; none if it takes too long.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let wait = Duration::from_millis(self.feed.settings().scan_wait_ms);
        let turn = async {
            let turn = self.scans.clone().acquire_owned().await.ok();
            self.room.wait().await;
            turn
        };
        tokio::time::timeout(wait, turn).await.ok().flatten()
    }

    /// Takes a group out, so that whoever comes next begins another.
    fn retire(&self, group: &Arc<Group>) {
        let mut seats = self.lock();
        if seats
            .groups
            .get(&group.key)
            .is_some_and(|row| Arc::ptr_eq(&row.group, group))
        {
            seats.groups.remove(&group.key);
            gauge!(names::FEED_GROUPS, "feed" => group.kind.as_str()).decrement(1.0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (kind, key) = (self.group.kind.as_str(), &self.group.key);
        let mut seats = self.groups.lock();
        seats.members -= 1;
        gauge!(names::SUBSCRIPTIONS, "feed" => kind).decrement(1.0);
        let Some(row) = seats.groups.get_mut(key) else {
            return;
        };
        if !Arc::ptr_eq(&row.group, &self.group) {
            return;
        }
        row.members -= 1;
        if row.members == 0 {
            row.task.abort();
            seats.groups.remove(key);
            gauge!(names::FEED_GROUPS, "feed" => kind).decrement(1.0);
        }
    }
}

/// Fills a group until its last member leaves, or it cannot go on.
async fn work(groups: Arc<Groups>, group: Arc<Group>, operation: Arc<Operation>) {
    let filling = AssertUnwindSafe(fill(&groups, &group, operation)).catch_unwind();
    let fault = filling.await.unwrap_or_else(|_| {
        tracing::error!("a subscription's group panicked");
        Fault::of(FaultCode::Internal)
    });
    groups.retire(&group);
    group.stage.send_modify(|stage| stage.ended = Some(fault));
}

async fn fill(groups: &Groups, group: &Arc<Group>, operation: Arc<Operation>) -> Fault {
    match groups.rendering(&group.asked, operation).await {
        Err(fault) => fault,
        Ok((rendering, Plan::Vehicles(plan))) => {
            vehicles::fill(groups, group, rendering, plan).await
        }
        Ok((rendering, Plan::Heatmap(plan))) => {
            heatmaps::fill(groups, group, rendering, plan).await
        }
        Ok((rendering, Plan::Board(plan))) => boards::fill(groups, group, rendering, plan).await,
        Ok((rendering, Plan::Progress(plan))) => {
            rebuilds::fill(groups, group, rendering, plan).await
        }
        Ok((rendering, plan)) => match plan.journal() {
            Some(journal) => journal::fill(groups, group, rendering, journal).await,
            None => Fault::of(FaultCode::Internal), // every other plan is that of a journal
        },
    }
}
