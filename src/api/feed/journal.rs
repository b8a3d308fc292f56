//! Gap-free feeds: a group keeps its recent items; who is further behind scans the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use domain::Position;
use tokio::task::JoinSet;

use super::FeedItem;
use super::groups::{Group, Groups};
use super::mark::Mark;
use super::rendering::Rendering;
use super::room::Held;
use super::sieve::{Sieve, Told};
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
    floor: Mark,
}

/// One item, when its event was committed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As it is sent.
    pub item: FeedItem,
    /// Up to where it tells.
    pub mark: Mark,
    /// The first record of its event that it may tell of.
    pub first: i32,
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
    /// It has forgotten, or never knew, what comes up to here; or the reader is in the middle of an item.
    Behind(Mark),
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
    pub fn begin(&self, at: Mark) {
        self.lock().floor = at;
    }

    /// What comes after a place.
    pub fn after(&self, at: Mark) -> Covered {
        let ring = self.lock();
        if at < ring.floor {
            return Covered::Behind(ring.floor);
        }
        let next = ring.items.partition_point(|entry| entry.mark <= at);
        match ring.items.get(next) {
            None => Covered::AtEnd,
            Some(entry) if at.is_within(entry.mark.position, entry.first) => {
                Covered::Behind(entry.mark)
            }
            Some(entry) => Covered::Here(entry.clone()),
        }
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
            ring.floor = oldest.mark;
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
    group.journal.begin(at.into());
    group.open();
    loop {
        let made = match feed.next().await {
            Handed::Event(event) if event.position <= at => continue,
            Handed::Event(event) => {
                at = event.position;
                add(group, &mut telling, Told::Heard(event)).await
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
        let Page {
            events,
            held: _held,
        } = page(groups, &mut scan, hand_off).await?;
        for event in events {
            add(group, telling, Told::Read(event.into())).await?;
        }
    }
    Ok(hand_off)
}

/// Part of the past, and the room it takes.
pub(super) struct Page {
    pub events: Vec<StoredEvent>,
    pub held: Held,
}

/// Reads a page of the past; in turn with others, and again if the database is away for a moment. Where
/// room is scarce it is one event: no more of it would be kept.
pub(super) async fn page(groups: &Groups, scan: &mut Scan, to: Position) -> Result<Page, Fault> {
    let no_turn = || Fault::new(FaultCode::Resume, "too many read the past at once");
    let turn = groups.turn().await.ok_or_else(no_turn)?;
    let events_max = match groups.room.is_scarce() {
        true => 1,
        false => groups.feed.settings().scan_events_max,
    };
    // A task of its own: whoever asks may not be looked at for a while, and others wait for the turn.
    let (mut reading, room) = (scan.clone(), groups.room.clone());
    let mut task = JoinSet::new();
    task.spawn(async move {
        let read = reading.page(to, events_max).await;
        let texts = read.iter().flatten().map(text_bytes).sum();
        let held = room.hold(texts);
        drop(turn);
        (reading, read, held)
    });
    let Some(Ok((reading, read, held))) = task.join_next().await else {
        return Err(Fault::of(FaultCode::Resume)); // the process stops
    };
    *scan = reading;
    let events = read.map_err(|error| match error {
        // Asking again would not bring them back.
        ScanError::Store(error @ StoreError::Archived { .. }) => store_fault(error),
        error => {
            tracing::warn!(%error, "a feed's past cannot be read: {error}");
            Fault::of(FaultCode::Resume)
        }
    })?;
    Ok(Page { events, held })
}

/// What an event takes that is not decoded.
pub(super) fn text_bytes(event: &StoredEvent) -> usize {
    event.payload.len() + event.metadata.len()
}

async fn add(group: &Arc<Group>, telling: &mut Telling, event: Told) -> Result<(), Fault> {
    let recorded_at = event.stored().recorded_at;
    let operation = telling.rendering.operation();
    let parts = telling.sieve.items(operation, event, Mark::default());
    for part in parts.await? {
        let item = telling.rendering.render(part.item, part.mark).await?;
        group.journal.push(Entry {
            item,
            mark: part.mark,
            first: part.first,
            recorded_at,
        });
        group.tell();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64) -> Entry {
        part(Position(at).into(), 0)
    }

    fn part(mark: Mark, first: i32) -> Entry {
        let payload = bytes::Bytes::from(vec![b'x'; 10]);
        Entry {
            item: FeedItem {
                payload,
                position: Some(mark),
            },
            mark,
            first,
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    fn told(journal: &Journal, after: i64) -> String {
        told_at(journal, Position(after).into())
    }

    fn told_at(journal: &Journal, after: Mark) -> String {
        match journal.after(after) {
            Covered::Here(entry) => format!("here {}", entry.mark),
            Covered::AtEnd => "at end".to_owned(),
            Covered::Behind(floor) => format!("behind {floor}"),
        }
    }

    #[test]
    fn a_journal_knows_what_it_does_not_know() {
        for journal in [Journal::new(3, 1_000), Journal::new(100, 30)] {
            journal.begin(Position(10).into());
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
    fn whoever_is_in_the_middle_of_an_item_is_behind_it() {
        let journal = Journal::new(3, 1_000);
        let record = |index| Mark::record(Position(7), index);
        journal.begin(Position(5).into());
        journal.push(part(record(9), 0));
        journal.push(part(record(19), 10));
        journal.push(part(Position(7).into(), 20));
        for (after, expect) in [
            (Position(5).into(), "here 7:9"),
            (Position(6).into(), "here 7:9"),
            (record(0), "behind 7:9"),
            (record(9), "here 7:19"),
            (record(10), "behind 7:19"),
            (record(19), "here 7"),
            (record(500), "behind 7"),
            (Position(7).into(), "at end"),
        ] {
            assert_eq!(told_at(&journal, after), expect, "{after}");
        }
        journal.push(entry(8));
        assert_eq!(told(&journal, 6), "behind 7:9");
        assert_eq!(told_at(&journal, record(9)), "here 7:19");
    }

    #[test]
    fn an_item_larger_than_the_ring_is_scanned_for() {
        let journal = Journal::new(3, 5);
        journal.push(entry(1));
        assert_eq!(told(&journal, 0), "behind 1");
        assert_eq!(told(&journal, 1), "at end");
    }
}
