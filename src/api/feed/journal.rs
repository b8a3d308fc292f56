//! Gap-free feeds: a group keeps its recent items; who is further behind scans the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use domain::Position;

use super::FeedItem;
use super::groups::{Group, Groups};
use super::rendering::Rendering;
use super::sieve::Sieve;
use crate::api::failure::store_fault;
use crate::api::fault::{Fault, FaultCode};
use crate::consumers::feed::{Handed, Interest, Keep, Scan, ScanError, Subscription};
use crate::store::{EventFilter, StoreError, StoredEvent};

/// The recent items of a group: all there are after `floor`.
pub struct Journal {
    ring: Mutex<Ring>,
    items_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Ring {
    items: VecDeque<Entry>,
    bytes: usize,
    floor: Position,
}

/// One item, when its event was committed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As it is sent.
    pub item: FeedItem,
    /// Where in the log.
    pub position: Position,
    /// When it was committed.
    pub recorded_at: DateTime<Utc>,
}

/// What a journal knows of what comes after a position.
#[derive(Debug)]
pub enum Covered {
    /// This comes next.
    Here(Entry),
    /// Nothing yet.
    AtEnd,
    /// It has forgotten, or never knew, what comes up to here.
    Behind(Position),
}

impl Journal {
    /// An empty one that keeps so many items and bytes.
    pub fn new(items_max: usize, bytes_max: usize) -> Journal {
        Journal {
            ring: Mutex::default(),
            items_max,
            bytes_max,
        }
    }

    /// From here on nothing is missing.
    pub fn begin(&self, at: Position) {
        self.lock().floor = at;
    }

    /// What comes after a position.
    pub fn after(&self, position: Position) -> Covered {
        let ring = self.lock();
        if position < ring.floor {
            return Covered::Behind(ring.floor);
        }
        let next = ring
            .items
            .partition_point(|entry| entry.position <= position);
        ring.items
            .get(next)
            .map_or(Covered::AtEnd, |entry| Covered::Here(entry.clone()))
    }

    /// Adds the next item, forgetting the oldest beyond the bounds.
    pub fn push(&self, entry: Entry) {
        let mut ring = self.lock();
        ring.bytes += entry.item.payload.len();
        ring.items.push_back(entry);
        while ring.items.len() > self.items_max || ring.bytes > self.bytes_max {
            let Some(oldest) = ring.items.pop_front() else {
                return;
            };
            ring.bytes -= oldest.item.payload.len();
            ring.floor = oldest.position;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a group's events become items.
struct Telling {
    rendering: Rendering,
    sieve: Sieve,
}

/// Fills a group with the events that pass a filter, as they are committed; tells why it ended.
pub(super) async fn fill(
    groups: &Groups,
    group: &Arc<Group>,
    rendering: Rendering,
    (filter, sieve): (EventFilter, Sieve),
) -> Fault {
    let settings = groups.feed.settings();
    let keep = Keep::Every {
        events_max: settings.queue_events_max,
        bytes_max: settings.queue_bytes_max,
    };
    let tenant = rendering.operation().tenant().clone();
    let mut telling = Telling { rendering, sieve };
    let interest = Interest::Events(filter.clone());
    let feed = match groups.feed.subscribe(&tenant, interest, keep).await {
        Ok(feed) => feed,
        Err(error) => return store_fault(error),
    };
    // Live first: what comes after this position is handed over; what came before is scanned by
    // whoever asks for it.
    let mut at = feed.restart();
    group.journal.begin(at);
    group.open();
    loop {
        let made = match feed.next().await {
            Handed::Event(event) if event.position <= at => continue,
            Handed::Event(event) => {
                at = event.position;
                add(group, &mut telling, event.stored.clone()).await
            }
            Handed::Lost => {
                let scan = groups.feed.scan(&tenant, filter.clone(), at);
                match catch_up(groups, group, &mut telling, &feed, scan).await {
                    Ok(reached) => {
                        at = reached;
                        Ok(())
                    }
                    Err(fault) => Err(fault),
                }
            }
            Handed::Closed => Err(Fault::of(FaultCode::Resume)),
        };
        if let Err(fault) = made {
            return fault;
        }
    }
}

/// The group was too slow for the log: it scans what it missed, for all its members.
async fn catch_up(
    groups: &Groups,
    group: &Arc<Group>,
    telling: &mut Telling,
    feed: &Subscription,
    mut scan: Scan,
) -> Result<Position, Fault> {
    group.meters.scans.increment(1);
    let hand_off = feed.restart();
    while scan.at() < hand_off {
        for event in page(groups, &mut scan, hand_off).await? {
            add(group, telling, event).await?;
        }
    }
    Ok(hand_off)
}

/// Reads a page of the past; in turn with others, and again if the database is away for a moment.
pub(super) async fn page(
    groups: &Groups,
    scan: &mut Scan,
    to: Position,
) -> Result<Vec<StoredEvent>, Fault> {
    let no_turn = || Fault::new(FaultCode::Resume, "too many read the past at once");
    let _turn = groups.turn().await.ok_or_else(no_turn)?;
    scan.page(to).await.map_err(|error| match error {
        // Asking again would not bring them back.
        ScanError::Store(error @ StoreError::Archived { .. }) => store_fault(error),
        error => {
            tracing::warn!(%error, "a feed's past cannot be read: {error}");
            Fault::of(FaultCode::Resume)
        }
    })
}

async fn add(group: &Arc<Group>, telling: &mut Telling, event: StoredEvent) -> Result<(), Fault> {
    let (position, recorded_at) = (event.position, event.recorded_at);
    let operation = telling.rendering.operation();
    let Some(item) = telling.sieve.item(operation, event).await? else {
        return Ok(());
    };
    let item = telling.rendering.render(item, position).await?;
    group.journal.push(Entry {
        item,
        position,
        recorded_at,
    });
    group.tell();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64) -> Entry {
        let position = Position(at);
        let payload = bytes::Bytes::from(vec![b'x'; 10]);
        Entry {
            item: FeedItem {
                payload,
                position: Some(position),
            },
            position,
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    fn told(journal: &Journal, after: i64) -> String {
        match journal.after(Position(after)) {
            Covered::Here(entry) => format!("here {}", entry.position),
            Covered::AtEnd => "at end".to_owned(),
            Covered::Behind(floor) => format!("behind {floor}"),
        }
    }

    #[test]
    fn a_journal_knows_what_it_does_not_know() {
        for journal in [Journal::new(3, 1_000), Journal::new(100, 30)] {
            journal.begin(Position(10));
            assert_eq!(told(&journal, 9), "behind 10");
            assert_eq!(told(&journal, 10), "at end");
            for at in [12, 15, 20] {
                journal.push(entry(at));
            }
            let cases = [
                (9, "behind 10"),
                (10, "here 12"),
                (13, "here 15"),
                (20, "at end"),
            ];
            for (after, expect) in cases {
                assert_eq!(told(&journal, after), expect, "{after}");
            }
            journal.push(entry(21));
            let cases = [
                (10, "behind 12"),
                (12, "here 15"),
                (20, "here 21"),
                (99, "at end"),
            ];
            for (after, expect) in cases {
                assert_eq!(told(&journal, after), expect, "{after}");
            }
        }
    }

    #[test]
    fn an_item_larger_than_the_ring_is_scanned_for() {
        let journal = Journal::new(3, 5);
        journal.push(entry(1));
        assert_eq!(told(&journal, 0), "behind 1");
        assert_eq!(told(&journal, 1), "at end");
    }
}
