//! One reader of a tenant's log per process: recent events, decoded once, for all who follow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use domain::{Event, Position, Recorded};
use sqlx::PgConnection;

use super::{connection, retry};
use crate::store::{self, PageLimits, Store, StoreError, StoredEvent};

/// A page read from the log holds about this many stored bytes at most: up to 30 times as much when
/// it is decompressed and decoded.
const PAGE_STORED_BYTES_MAX: i64 = 512 << 10;

/// An event of the log, read and decoded once.
#[derive(Debug)]
pub struct LogEvent {
    /// Where in the log.
    pub position: Position,
    /// What kind of stream it belongs to.
    pub aggregate_type: Arc<str>,
    /// When it was committed.
    pub recorded_at: DateTime<Utc>,
    /// Roughly how much memory it holds, in bytes.
    pub weight_bytes: usize,
    /// The event as it is stored.
    pub stored: StoredEvent,
    /// The event, or why its stored bytes cannot be read.
    pub body: Result<Recorded<Event>, String>,
}

/// The shared reader of one tenant's log. Whoever asks past its end first reads the next page for
/// all; whoever has fallen behind the ring reads for itself until it is back. So it runs at the
/// pace of its fastest follower, holds bounded memory, and nobody waits for a slow neighbour.
pub struct Tail {
    store: Store,
    tenant: Arc<str>,
    events_max: usize,
    bytes_max: usize,
    ring: Mutex<Ring>,
    /// Held by the one who reads the next page, with a connection that is not the pool's: whoever
    /// follows the log must not starve behind queries. Taken out while in use, so that a read that
    /// is given up takes its connection along.
    reading: tokio::sync::Mutex<Option<PgConnection>>,
}

/// Consecutive events that end at `end`.
struct Ring {
    events: VecDeque<Arc<LogEvent>>,
    end: Position,
    bytes: usize,
}

impl Tail {
    /// A tail that keeps at most `events_max` events and about `bytes_max` bytes of them.
    pub fn new(store: Store, tenant: Arc<str>, events_max: usize, bytes_max: usize) -> Tail {
        Tail {
            store,
            tenant,
            events_max,
            bytes_max,
            ring: Mutex::new(Ring {
                events: VecDeque::new(),
                end: Position::START,
                bytes: 0,
            }),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Events after `after`, in order and without gaps, at most `events_max` of them.
    /// None means there are none yet: wait for [`Store::watch_head`] to move.
    pub async fn after(
        &self,
        after: Position,
        events_max: usize,
    ) -> Result<Vec<Arc<LogEvent>>, StoreError> {
        let covered = self.ring().after(after, events_max);
        match covered {
            Covered::Here(events) => return Ok(events),
            Covered::Behind => return self.page(after, events_max).await,
            Covered::AtEnd => {}
        }
        let mut reading = self.reading.lock().await;
        let covered = self.ring().after(after, events_max);
        match covered {
            Covered::Here(events) => return Ok(events),
            Covered::Behind => return self.page(after, events_max).await,
            Covered::AtEnd => {}
        }
        let mut conn = match reading.take() {
            Some(conn) => conn,
            None => connection::open(&self.store).await?,
        };
        let limits = limits(self.events_max);
        let stored = store::read_log(&mut conn, &self.tenant, after, limits).await?;
        *reading = Some(conn);
        let mut events = decode_all(stored).await;
        self.ring()
            .extend(after, &events, self.events_max, self.bytes_max);
        events.truncate(events_max);
        Ok(events)
    }

    /// For one who has fallen behind the ring.
    async fn page(
        &self,
        after: Position,
        events_max: usize,
    ) -> Result<Vec<Arc<LogEvent>>, StoreError> {
        let stored = self
            .store
            .read_log(&self.tenant, after, limits(events_max))
            .await?;
        Ok(decode_all(stored).await)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the ring knows about the events after a position.
enum Covered {
    /// These, at least.
    Here(Vec<Arc<LogEvent>>),
    /// It ends there, or before.
    AtEnd,
    /// It has forgotten them.
    Behind,
}

impl Ring {
    fn after(&self, after: Position, events_max: usize) -> Covered {
        let start = self.end.0 - self.events.len() as i64;
        if after >= self.end {
            Covered::AtEnd
        } else if after.0 < start {
            Covered::Behind
        } else {
            let first = (after.0 - start) as usize;
            Covered::Here(
                self.events
                    .range(first..)
                    .take(events_max)
                    .cloned()
                    .collect(),
            )
        }
    }

    /// Appends a page that was read after `after`, forgetting the oldest events beyond the bounds.
    fn extend(
        &mut self,
        after: Position,
        page: &[Arc<LogEvent>],
        events_max: usize,
        bytes_max: usize,
    ) {
        if after != self.end {
            (self.events, self.end, self.bytes) = (VecDeque::new(), after, 0);
        }
        for event in page {
            assert_eq!(event.position.0, self.end.0 + 1, "the log has no gaps");
            self.bytes += event.weight_bytes;
            self.end = event.position;
            self.events.push_back(event.clone());
        }
        while self.events.len() > events_max || (self.bytes > bytes_max && self.events.len() > 1) {
            let oldest = self.events.pop_front().expect("more than none");
            self.bytes -= oldest.weight_bytes;
        }
    }
}

/// The bounds of a page that is read to be folded.
pub(super) fn limits(events_max: usize) -> PageLimits {
    PageLimits {
        events_max: events_max as i64,
        bytes_max: PAGE_STORED_BYTES_MAX,
        up_to: Position(i64::MAX),
    }
}

/// Reads what is stored; on a blocking thread where it is much.
pub(super) async fn decode_all(stored: Vec<StoredEvent>) -> Vec<Arc<LogEvent>> {
    let all = |stored: Vec<StoredEvent>| -> Vec<Arc<LogEvent>> {
        stored.into_iter().map(|e| Arc::new(decode(e))).collect()
    };
    let bytes = stored.iter().map(weight_bytes).sum();
    retry::by_weight(bytes, move || all(stored))
        .await
        .unwrap_or_default()
}

/// How much memory an event takes once it is decoded, roughly, in bytes. That is more than its text: a column
/// of packed numbers becomes one struct per fix. Six times was measured for position reports, and the text is
/// kept beside them; the constant is the event's frame.
pub fn weight_bytes(event: &StoredEvent) -> usize {
    512 + 7 * event.payload.len() + 3 * event.metadata.len()
}

fn decode(stored: StoredEvent) -> LogEvent {
    LogEvent {
        position: stored.position,
        aggregate_type: stored.aggregate_type.clone(),
        recorded_at: stored.recorded_at,
        weight_bytes: weight_bytes(&stored),
        body: retry::guarded(|| stored.decode().map_err(|e| e.to_string())),
        stored,
    }
}
