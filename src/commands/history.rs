//! What each event made of its stream, for whoever goes through a log event by event, or through one stream page by
//! page: with as many states held at once as memory is given for.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::folded::{self, Folded, StateChange};
use domain::{Event, Position, StreamKey};
use serde_json::Value;
use uuid::Uuid;

use super::past::follows;
use super::{CommandError, Door};
use crate::store::{Store, StoredEvent};

/// Events of a stream that are read at once where its state is not held.
const EVENTS_AT_ONCE: i64 = 200;

/// How many states are held at once. The one that was used last is always held.
#[derive(Clone, Copy, Debug)]
pub struct StateBounds {
    /// At most so many streams'.
    pub streams_max: usize,
    /// At most so many bytes, counted as JSON.
    pub bytes_max: usize,
}

impl Default for StateBounds {
    fn default() -> StateBounds {
        StateBounds {
            streams_max: 10_000,
            bytes_max: 64 << 20,
        }
    }
}

/// What an event made of its stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StateAfter {
    /// The state after it. It holds no personal values.
    pub state: Value,
    /// What differs from the state before, in the order of places.
    pub changes: Vec<StateChange>,
}

/// States of streams, each as of the last event of it that was asked about.
pub struct History {
    store: Store,
    tenant: Arc<str>,
    held: Held<StreamKey, State>,
}

/// A stream as far as it was folded.
pub(super) struct State {
    folded: Folded,
    sequence: i64,
    /// The last event of it.
    event_id: Uuid,
}

impl History {
    /// Of a tenant's log. Nothing is held yet.
    pub fn new(store: Store, tenant: Arc<str>, bounds: StateBounds) -> History {
        History {
            store,
            tenant,
            held: Held::new(bounds),
        }
    }

    /// What an event made of its stream. Events may be left out between two that are asked about, and streams
    /// begin anywhere: what comes before is read from the log. So it is where a state had to make room for
    /// others: then its stream is folded from its first event again.
    pub async fn after(&mut self, event: &StoredEvent) -> Result<StateAfter, CommandError> {
        let unreadable = |reason: String| CommandError::Unreadable {
            stream: format!("{}/{}", event.aggregate_type, event.aggregate_id),
            reason,
        };
        let kind = folded::kind_of(&event.aggregate_type);
        let aggregate_type = kind.ok_or_else(|| unreadable("no such kind of stream".into()))?;
        let stream = StreamKey {
            aggregate_type,
            aggregate_id: event.aggregate_id.clone(),
        };
        let held = self.held.take(&stream);
        let mut state = match held.filter(|held| held.sequence < event.sequence) {
            Some(held) => held,
            None => State::begin(aggregate_type).map_err(unreadable)?,
        };
        self.catch_up(&mut state, &stream, event).await?;
        let before = state.folded.show();
        state.take(event).map_err(unreadable)?;
        let after = state.folded.show();
        self.held.put(stream, state, after.to_string().len());
        Ok(StateAfter {
            changes: folded::changes(&before, &after),
            state: after,
        })
    }

    /// Folds what comes between the state and an event.
    async fn catch_up(
        &self,
        state: &mut State,
        stream: &StreamKey,
        event: &StoredEvent,
    ) -> Result<(), CommandError> {
        let unreadable = |reason: String| CommandError::Unreadable {
            stream: stream.to_string(),
            reason,
        };
        let up_to = Position(event.position.0 - 1);
        while state.sequence + 1 < event.sequence {
            let (store, after) = (&self.store, state.sequence);
            let read = store.read_stream_up_to(&self.tenant, stream, after, up_to, EVENTS_AT_ONCE);
            let page = read.await?;
            if page.is_empty() {
                return follows(after, event).map_err(unreadable);
            }
            for stored in &page {
                state.take(stored).map_err(unreadable)?;
            }
        }
        Ok(())
    }
}

impl State {
    fn begin(kind: &str) -> Result<State, String> {
        let folded = Folded::begin(kind).ok_or("no such kind of stream")?;
        Ok(State {
            folded,
            sequence: 0,
            event_id: Uuid::nil(),
        })
    }

    /// Folds the next event of its stream.
    fn take(&mut self, stored: &StoredEvent) -> Result<(), String> {
        follows(self.sequence, stored)?;
        let event = Event::decode(&stored.event_type, &stored.event_version, &stored.payload);
        let event = event.map_err(|error| error.to_string())?;
        let applied = self.folded.apply(event);
        applied.map_err(|foreign| foreign.to_string())?;
        self.sequence = stored.sequence;
        self.event_id = stored.event_id;
        Ok(())
    }
}

/// Bounds of a page of one stream's history.
#[derive(Clone, Copy, Debug)]
pub struct PageBounds {
    /// At most so many versions.
    pub versions_max: usize,
    /// It is cut where its events and states come to so many bytes of JSON.
    pub bytes_max: usize,
    /// At most so many events are folded for it.
    pub folded_max: i64,
}

/// A page of one stream's history.
#[derive(Debug)]
pub struct HistoryPage {
    /// Each version: its event, and what that made of the stream.
    pub versions: Vec<(StoredEvent, StateAfter)>,
    /// Every version up to here was folded. Before the first one that was asked for, the same question again
    /// goes on from here.
    pub folded_through: i64,
    /// There are versions behind these.
    pub has_next: bool,
}

/// States that pages of histories ended at: the next page goes on there. Of a stream there may be one in each
/// [`BAND`], so that whoever reads its beginning does not take the place of whoever reads its end.
pub(super) type Pages = Mutex<Held<PageKey, State>>;

type PageKey = (Arc<str>, StreamKey, i64);

/// Versions of a stream of which one state is held at a time.
const BAND: i64 = 10_000;

/// Bounds of [`Pages`].
const PAGES: StateBounds = StateBounds {
    streams_max: 256,
    bytes_max: 16 << 20,
};

/// None yet.
pub(super) fn pages() -> Pages {
    Mutex::new(Held::new(PAGES))
}

impl Door {
    /// What became of one stream, version by version, behind a version and up to a position. A state has to be
    /// folded from the stream's first event, or from where another page of it ended in this process.
    pub async fn history(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
        (after, up_to): (i64, Position),
        bounds: PageBounds,
    ) -> Result<HistoryPage, CommandError> {
        let unreadable = |reason: String| CommandError::Unreadable {
            stream: stream.to_string(),
            reason,
        };
        let key = |version: i64| (tenant.clone(), stream.clone(), version / BAND);
        let held = (0..=after / BAND).rev().find_map(|band| {
            let is_before = |held: &State| held.sequence <= after;
            let mut pages = self.history_pages();
            pages.take_if(&key(band * BAND), is_before)
        });
        let mut state = match held {
            Some(held) if self.is_still(tenant, stream, &held).await? => held,
            _ => State::begin(stream.aggregate_type).map_err(unreadable)?,
        };
        let mut page = HistoryPage {
            versions: Vec::new(),
            folded_through: 0,
            has_next: false,
        };
        let mut before = match state.sequence == after {
            true => state.folded.show(),
            false => Value::Null,
        };
        let (mut bytes, mut folded) = (0, 0);
        'pages: loop {
            let wanted = (bounds.versions_max - page.versions.len()) as i64 + 1;
            let wanted = wanted + (after - state.sequence).max(0);
            let events_max = wanted.clamp(1, self.settings.load_events_max);
            let (store, at) = (&self.store, state.sequence);
            let read = store.read_stream_up_to(tenant, stream, at, up_to, events_max);
            let events = read.await?;
            let is_last = (events.len() as i64) < events_max;
            for event in events {
                let is_full = page.versions.len() == bounds.versions_max;
                if is_full || bytes >= bounds.bytes_max || folded == bounds.folded_max {
                    page.has_next = true;
                    break 'pages;
                }
                state.take(&event).map_err(unreadable)?;
                folded += 1;
                if state.sequence < after {
                    continue;
                }
                let shown = state.folded.show();
                if state.sequence > after {
                    bytes += event.payload.len() + shown.to_string().len();
                    let changes = folded::changes(&before, &shown);
                    let state = shown.clone();
                    page.versions.push((event, StateAfter { state, changes }));
                }
                before = shown;
            }
            if is_last {
                break;
            }
        }
        page.folded_through = state.sequence;
        let bytes = state.folded.show().to_string().len();
        let key = key(state.sequence);
        self.history_pages().put(key, state, bytes);
        Ok(page)
    }

    fn history_pages(&self) -> MutexGuard<'_, Held<PageKey, State>> {
        let pages = self.history.lock();
        pages.unwrap_or_else(PoisonError::into_inner)
    }

    /// Is the event that a state ends with still the one in the log? A server that was set back may hold another.
    async fn is_still(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
        held: &State,
    ) -> Result<bool, CommandError> {
        let before = held.sequence - 1;
        let last = self.store.read_stream(tenant, stream, before, 1).await?;
        Ok(last
            .first()
            .is_some_and(|event| event.event_id == held.event_id))
    }
}

/// Things within bounds: what was used longest ago makes room.
pub(super) struct Held<K, T> {
    bounds: StateBounds,
    of: HashMap<K, Kept<T>>,
    /// When each was used last.
    used: BTreeMap<u64, K>,
    turn: u64,
    bytes: usize,
}

struct Kept<T> {
    thing: T,
    bytes: usize,
    turn: u64,
}

impl<K: Clone + Eq + Hash, T> Held<K, T> {
    fn new(bounds: StateBounds) -> Held<K, T> {
        Held {
            bounds,
            of: HashMap::new(),
            used: BTreeMap::new(),
            turn: 0,
            bytes: 0,
        }
    }

    /// Takes out what is held under a key.
    fn take(&mut self, key: &K) -> Option<T> {
        let kept = self.of.remove(key)?;
        self.used.remove(&kept.turn);
        self.bytes -= kept.bytes;
        Some(kept.thing)
    }

    /// Takes out what is held under a key if it is of use.
    fn take_if(&mut self, key: &K, is_of_use: impl Fn(&T) -> bool) -> Option<T> {
        let kept = self.of.get(key)?;
        is_of_use(&kept.thing).then(|| self.take(key)).flatten()
    }

    /// Holds something, in the place of what is held under its key.
    fn put(&mut self, key: K, thing: T, bytes: usize) {
        self.take(&key);
        while self.of.len() >= self.bounds.streams_max.max(1)
            || self.bytes.saturating_add(bytes) > self.bounds.bytes_max
        {
            let Some((_, oldest)) = self.used.pop_first() else {
                break;
            };
            self.bytes -= self.of.remove(&oldest).map_or(0, |kept| kept.bytes);
        }
        self.turn += 1;
        self.bytes += bytes;
        self.used.insert(self.turn, key.clone());
        let turn = self.turn;
        self.of.insert(key, Kept { thing, bytes, turn });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(id: &str) -> StreamKey {
        StreamKey {
            aggregate_type: "vehicle",
            aggregate_id: id.into(),
        }
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let mut held = Held::new(StateBounds {
            streams_max: 2,
            bytes_max: 100,
        });
        held.put(stream("a"), 1, 10);
        held.put(stream("b"), 2, 10);
        assert_eq!(held.take(&stream("a")), Some(1));
        held.put(stream("a"), 0, 90);
        held.put(stream("a"), 3, 10);
        held.put(stream("c"), 4, 10);
        assert_eq!(held.take(&stream("b")), None);
        assert_eq!(held.take(&stream("a")), Some(3));
        assert_eq!((held.of.len(), held.used.len(), held.bytes), (1, 1, 10));
    }

    #[test]
    fn the_last_one_is_held_however_large_it_is() {
        let mut held = Held::new(StateBounds {
            streams_max: 9,
            bytes_max: 100,
        });
        held.put(stream("a"), 1, 60);
        held.put(stream("b"), 2, 40);
        assert_eq!(held.of.len(), 2);
        held.put(stream("c"), 3, 1_000);
        assert_eq!((held.of.len(), held.bytes), (1, 1_000));
        assert_eq!(held.take(&stream("c")), Some(3));
        assert_eq!((held.of.len(), held.used.len(), held.bytes), (0, 0, 0));
    }
}
