//! `vehicleMoved`: a snapshot, then each vehicle's latest fix as it comes, so often a second.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::Position;
use projections::positions::{self, FixRow, LatestCursor, LatestFilter};
use projections::vehicles::{self, VehicleFilter};
use tokio::time::{Instant, sleep, sleep_until};

use super::RETRY;
use super::conflator::Conflator;
use super::groups::{Group, Groups};
use super::latest::{Change as Latest, TooMuch};
use super::rendering::{Item, Rendering};
use super::whereabouts::{Change, Wanted, Whereabouts};
use crate::api::failure::{read_fault, store_fault};
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation::Operation;
use crate::consumers::LogEvent;
use crate::consumers::feed::{Handed, Interest, Keep, Subscription};

/// Rows of a snapshot read at once.
const PAGE_ROWS: u32 = 1_000;

/// Events taken in before what they changed is sent.
const BATCH_EVENTS_MAX: usize = 256;

/// What a caller asks of `vehicleMoved`.
pub struct VehiclePlan {
    /// Which vehicles.
    pub wanted: Wanted,
    /// Least time between two updates of one vehicle.
    pub interval: Duration,
}

/// What is to be told of a vehicle.
struct Seen {
    fix: Box<FixRow>,
    /// It is no more among those asked for.
    left: bool,
    /// What this is as of.
    at: Position,
    /// When it was committed, unless it is of a snapshot.
    committed: Option<DateTime<Utc>>,
}

/// A change, the position of what changed it, and when that was committed.
type Changed = (Change, Position, Option<DateTime<Utc>>);

/// What fills a group.
struct Filling<'g> {
    operation: Arc<Operation>,
    group: &'g Arc<Group>,
    rendering: Rendering,
    feed: Subscription,
    wanted: Wanted,
    seen: Whereabouts,
    paced: Conflator<Arc<str>, Seen>,
    keys_max: usize,
    attempts_max: u32,
    /// How often the read models are asked: once until there is something to lose.
    attempts: u32,
}

/// Fills a group; tells why it ended.
pub(super) async fn fill(
    groups: &Groups,
    group: &Arc<Group>,
    rendering: Rendering,
    plan: VehiclePlan,
) -> Fault {
    let settings = groups.feed.settings();
    let keep = Keep::Every {
        events_max: settings.queue_events_max,
        bytes_max: settings.queue_bytes_max,
    };
    let operation = rendering.operation().clone();
    let interest = interest(&plan.wanted);
    let feed = match groups
        .feed
        .subscribe(operation.tenant(), interest, keep)
        .await
    {
        Ok(feed) => feed,
        Err(error) => return store_fault(error),
    };
    let mut filling = Filling {
        operation,
        keys_max: settings.keys_max,
        attempts_max: settings.attempts_max,
        group,
        rendering,
        feed,
        seen: Whereabouts::new(plan.wanted.clone()),
        wanted: plan.wanted,
        paced: Conflator::new(plan.interval),
        attempts: 1,
    };
    loop {
        match filling.round().await {
            Ok(()) => group.meters.scans.increment(1),
            Err(fault) => return fault,
        }
    }
}

/// The most telling of the conditions.
fn interest(wanted: &Wanted) -> Interest {
    match wanted {
        Wanted {
            fleet: Some(fleet), ..
        } => Interest::Fleet(fleet.clone()),
        Wanted { ids: Some(ids), .. } => Interest::Vehicles(ids.clone()),
        Wanted {
            cells: Some(cells), ..
        } => Interest::Cells(cells.clone()),
        Wanted {
            area: Some(area), ..
        } => Interest::Area(*area),
        _ => Interest::Reports,
    }
}

impl Filling<'_> {
    /// A snapshot and what follows, until the group was too slow and has to begin again.
    async fn round(&mut self) -> Result<(), Fault> {
        // Live first: whatever comes after this position waits, or is told to be lost.
        let at = self.feed.restart();
        let (keys_max, attempts) = (self.keys_max, self.attempts);
        let picture = picture(&self.operation, &self.wanted, at, keys_max, attempts).await?;
        let changes = self
            .seen
            .begin(picture.rows, picture.members, picture.members_as_of);
        self.feed.narrow(self.seen.followed());
        let changes = changes.into_iter().map(|change| (change, at, None));
        self.take(changes.collect()).await?;
        self.group.open();
        self.attempts = self.attempts_max;
        loop {
            let due = self.paced.next_due();
            let rested = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                handed = self.feed.next() => match handed {
                    Handed::Event(event) => self.fold(event).await?,
                    Handed::Lost => return Ok(()),
                    Handed::Closed => return Err(Fault::of(FaultCode::Resume)),
                },
                () = rested => {}
            }
            // Those that have left a place are remembered; a snapshot knows those in it alone.
            if self.seen.remembered() > self.keys_max.saturating_mul(2) {
                return Ok(());
            }
            for (vehicle, seen) in self.paced.due(Instant::now()) {
                self.send(&vehicle, seen).await?;
            }
        }
    }

    /// Takes in this event and others that wait already.
    async fn fold(&mut self, first: Arc<LogEvent>) -> Result<(), Fault> {
        let (mut changes, mut asks) = (Vec::new(), Vec::new());
        let (mut next, mut at, mut room) = (Some(first), Position::START, BATCH_EVENTS_MAX);
        while let Some(event) = next.take() {
            at = event.position;
            match self.seen.fold(&event) {
                Some(Change::Ask(vehicle)) => asks.push(vehicle),
                Some(change) => changes.push((change, at, Some(event.recorded_at))),
                None => {}
            }
            room -= 1;
            // Whatever says that events are missing stays there, and is met after these.
            if room > 0
                && let Some(Handed::Event(event)) = self.feed.try_next()
            {
                next = Some(event);
            }
        }
        let rows = self.look_up(asks, at).await?;
        let settled = rows.into_iter().filter_map(|row| self.seen.settle(row));
        changes.extend(settled.map(|change| (change, at, None)));
        self.take(changes).await
    }

    /// The latest fixes of these vehicles, wherever they are, as of `at` or later.
    async fn look_up(&mut self, ids: Vec<Arc<str>>, at: Position) -> Result<Vec<FixRow>, Fault> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = Wanted {
            ids: Some(ids),
            ..Wanted::default()
        };
        let (keys_max, attempts) = (self.keys_max, self.attempts);
        let picture = picture(&self.operation, &wanted, at, keys_max, attempts).await?;
        Ok(picture.rows)
    }

    /// Tells of changes. Those who are gone are told of with their latest fix.
    async fn take(&mut self, changes: Vec<Changed>) -> Result<(), Fault> {
        let (mut gone, mut latest) = (Vec::new(), Position::START);
        for (change, at, _) in &changes {
            if let Change::Gone(vehicle) = change {
                gone.push(vehicle.clone());
                latest = latest.max(*at);
            }
        }
        let rows = self.look_up(gone, latest).await?.into_iter();
        let mut rows: HashMap<String, FixRow> =
            rows.map(|row| (row.vehicle_id.clone(), row)).collect();
        for (change, at, committed) in changes {
            let seen = |fix: Box<FixRow>, left, at| Seen {
                fix,
                left,
                at,
                committed,
            };
            match change {
                Change::Moved(fix) => {
                    let at = fix.position;
                    self.offer(seen(fix, false, at)).await?;
                }
                Change::Left(fix) => {
                    let at = fix.position;
                    self.offer(seen(fix, true, at)).await?;
                }
                Change::Gone(vehicle) => match rows.remove(&*vehicle) {
                    Some(fix) => self.offer(seen(Box::new(fix), true, at)).await?,
                    // It has never been seen, as the read model is now.
                    None => {
                        self.paced.drop_held(&vehicle);
                        self.group.latest.remove(&vehicle);
                    }
                },
                Change::Ask(_) => {} // looked up before
            }
        }
        Ok(())
    }

    /// Sends what may go now, and keeps what comes too soon.
    async fn offer(&mut self, seen: Seen) -> Result<(), Fault> {
        let vehicle: Arc<str> = seen.fix.vehicle_id.as_str().into();
        let (now, passed_over) = self.paced.offer(&vehicle, seen, Instant::now());
        let conflations = &self.group.meters.conflations;
        conflations.increment(u64::from(passed_over));
        match now {
            Some(seen) => self.send(&vehicle, seen).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, vehicle: &Arc<str>, seen: Seen) -> Result<(), Fault> {
        let Seen {
            fix,
            left,
            at,
            committed,
        } = seen;
        let item = self.rendering.render(Item::Move { fix, left }, at).await?;
        let change = Latest {
            item,
            recorded_at: committed,
            left,
        };
        let set = self.group.latest.set(vehicle, change);
        set.map_err(|TooMuch| too_many(self.keys_max))?;
        self.group.tell();
        Ok(())
    }
}

fn too_many(keys_max: usize) -> Fault {
    let message = "the subscription concerns more than it may; ask for fewer";
    Fault::new(FaultCode::CostLimit, message).with("limit", keys_max)
}

/// What the read models show.
struct Picture {
    rows: Vec<FixRow>,
    members: HashSet<Arc<str>>,
    members_as_of: Position,
}

/// The vehicles asked for, as of one moment at or after `at`.
async fn picture(
    operation: &Operation,
    wanted: &Wanted,
    at: Position,
    keys_max: usize,
    mut attempts: u32,
) -> Result<Picture, Fault> {
    loop {
        operation.insist_on(at).await;
        let picture = read(operation, wanted, keys_max).await;
        // Neither the connection nor the moment is needed any longer.
        operation.renew().await;
        match picture {
            Err(fault) if fault.is_passing() && attempts > 1 => {
                attempts -= 1;
                sleep(RETRY).await;
            }
            picture => return picture,
        }
    }
}

async fn read(operation: &Operation, wanted: &Wanted, keys_max: usize) -> Result<Picture, Fault> {
    let models: &[_] = match wanted.fleet {
        Some(_) => &[positions::NAME, vehicles::NAME],
        None => &[positions::NAME],
    };
    let mut snapshot = operation.read(models).await?;
    let mut picture = Picture {
        rows: Vec::new(),
        members: HashSet::new(),
        members_as_of: Position::START,
    };
    if let Some(fleet) = &wanted.fleet {
        picture.members_as_of = snapshot.live(vehicles::NAME).map_err(read_fault)?.position;
        let filter = VehicleFilter {
            fleet_id: Some(fleet.to_string()),
            ..VehicleFilter::default()
        };
        let mut after: Option<String> = None;
        loop {
            let read = vehicles::vehicles(&mut snapshot, &filter, after.as_deref(), PAGE_ROWS);
            let page = read.await.map_err(read_fault)?;
            after = page.items.last().map(|row| row.id.clone());
            picture
                .members
                .extend(page.items.into_iter().map(|row| Arc::from(row.id)));
            if picture.members.len() > keys_max {
                return Err(too_many(keys_max));
            }
            if !page.has_next {
                break;
            }
        }
    }
    let filter = LatestFilter {
        vehicle_ids: wanted
            .ids
            .as_ref()
            .map(|ids| ids.iter().map(|id| id.to_string()).collect()),
        fleet_id: wanted.fleet.as_ref().map(|fleet| fleet.to_string()),
        area: wanted.area,
        cells: wanted.cells.clone(),
        ..LatestFilter::default()
    };
    let mut after: Option<LatestCursor> = None;
    loop {
        let page = positions::latest(&mut snapshot, &filter, after.as_ref(), PAGE_ROWS).await;
        let page = page.map_err(read_fault)?;
        after = page.items.last().map(positions::LatestRow::cursor);
        picture
            .rows
            .extend(page.items.into_iter().map(|row| row.fix));
        if picture.rows.len() > keys_max {
            return Err(too_many(keys_max));
        }
        if !page.has_next {
            return Ok(picture);
        }
    }
}
