//! Reading the past of a journal: page by page, each query bounded however rare the events are.

use std::sync::Arc;

use domain::Position;

use super::FeedSettings;
use crate::consumers::retry::Backoff;
use crate::store::{EventFilter, PageLimits, Store, StoreError, StoredEvent};

/// Why the past could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The database failed, again and again if it was only away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log does not hold what comes next.
    #[error("the event behind position {0} is not in the log")]
    Gone(Position),
}

/// A scan of a tenant's log for the events that pass a filter.
#[derive(Clone)]
pub struct Scan {
    store: Store,
    tenant: Arc<str>,
    filter: EventFilter,
    /// Everything up to here has been given out.
    at: Position,
    bytes_max: i64,
    positions_max: i64,
    attempts_max: u32,
}

/// First and longest pause before a read is tried again, in milliseconds.
const RETRY_MS: (u64, u64) = (50, 2_000);

impl Scan {
    /// A scan of what comes after `after`.
    pub fn new(
        store: Store,
        tenant: Arc<str>,
        filter: EventFilter,
        after: Position,
        settings: &FeedSettings,
    ) -> Scan {
        Scan {
            store,
            tenant,
            filter,
            at: after,
            bytes_max: settings.scan_page_bytes_max as i64,
            positions_max: settings.scan_positions_max as i64,
            attempts_max: settings.attempts_max,
        }
    }

    /// How far it has come.
    pub fn at(&self) -> Position {
        self.at
    }

    /// Goes back to where it was before: what comes after `at` is given out again.
    pub fn back_to(&mut self, at: Position) {
        self.at = self.at.min(at);
    }

    /// Reads on, at most to `to` and `events_max` events, by one query: what it found, which may be nothing
    /// although `to` is not reached. A database that is away for a moment is asked again.
    pub async fn page(
        &mut self,
        to: Position,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, ScanError> {
        let mut backoff = Backoff::new(RETRY_MS.0, RETRY_MS.1);
        loop {
            match self.query(to, events_max).await {
                Err(ScanError::Store(error))
                    if error.is_unavailable() && backoff.faults + 1 < self.attempts_max =>
                {
                    backoff.wait().await;
                }
                read => return read,
            }
        }
    }

    async fn query(
        &mut self,
        to: Position,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, ScanError> {
        let up_to = Position(to.0.min(self.at.0.saturating_add(self.positions_max)));
        if up_to <= self.at {
            return Ok(Vec::new());
        }
        let limits = PageLimits {
            events_max: events_max as i64,
            bytes_max: self.bytes_max,
            up_to,
        };
        if self.filter.passes_all() {
            let events = self.store.read_log(&self.tenant, self.at, limits).await?;
            let next = events.first().map(|event| event.position.0);
            if next != Some(self.at.0 + 1) {
                return Err(ScanError::Gone(self.at));
            }
            self.at = events.last().map_or(self.at, |event| event.position);
            return Ok(events);
        }
        let read = self
            .store
            .read_filtered(&self.tenant, &self.filter, self.at, limits);
        let page = read.await?;
        self.at = page.up_to;
        Ok(page.events)
    }
}
