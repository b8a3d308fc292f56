//! The events of one stream, one after the other: for whoever needs to know how a state came to be.

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::folded::Folded;
use domain::{Aggregate, Event, Position, Recorded, StreamKey};

use super::{CommandError, Door};
use crate::store::StoredEvent;

/// An event that does not come behind the one before it says nothing of a state.
pub(super) fn follows(after: i64, stored: &StoredEvent) -> Result<(), String> {
    if stored.sequence == after + 1 {
        return Ok(());
    }
    let missing = after + 1..=stored.sequence - 1;
    Err(format!("its events {missing:?} are not here"))
}

impl Door {
    /// Hands over every event of an aggregate in order, until `take` has had enough. `take` may say that an
    /// event is none of such a stream: why.
    pub async fn walk<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
        mut take: impl FnMut(Recorded<Event>) -> Result<ControlFlow<()>, String> + Send,
    ) -> Result<(), CommandError> {
        let stream = StreamKey::of::<A>(id);
        let unreadable = |reason: String| CommandError::Unreadable {
            stream: stream.to_string(),
            reason,
        };
        let (page_max, mut after) = (self.settings.load_events_max, 0);
        loop {
            let read = self.store.read_stream(tenant, &stream, after, page_max);
            let page = read.await?;
            for stored in &page {
                follows(after, stored).map_err(unreadable)?;
                let event = stored.decode().map_err(|e| unreadable(e.to_string()))?;
                after = event.sequence;
                if take(event).map_err(unreadable)?.is_break() {
                    return Ok(());
                }
            }
            if (page.len() as i64) < page_max {
                return Ok(());
            }
        }
    }
}

impl Door {
    /// Hands over every event of a stream of whatever kind, with the state that it led to, up to a position
    /// and until `take` has had enough. Answers the state it ended at; `None` if there is no such kind of
    /// stream. `events_max` events are read at once.
    pub async fn fold_any(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
        up_to: Position,
        events_max: i64,
        mut take: impl FnMut(&StoredEvent, &Folded) -> ControlFlow<()> + Send,
    ) -> Result<Option<Folded>, CommandError> {
        let Some(mut state) = Folded::begin(stream.aggregate_type) else {
            return Ok(None);
        };
        let unreadable = |reason: String| CommandError::Unreadable {
            stream: stream.to_string(),
            reason,
        };
        let page_max = events_max.clamp(1, self.settings.load_events_max);
        let mut after = 0;
        loop {
            let store = &self.store;
            let read = store.read_stream_up_to(tenant, stream, after, up_to, page_max);
            let page = read.await?;
            for stored in &page {
                follows(after, stored).map_err(unreadable)?;
                let decoded =
                    Event::decode(&stored.event_type, &stored.event_version, &stored.payload);
                let event = decoded.map_err(|error| unreadable(error.to_string()))?;
                let applied = state.apply(event);
                applied.map_err(|foreign| unreadable(foreign.to_string()))?;
                after = stored.sequence;
                if take(stored, &state).is_break() {
                    return Ok(Some(state));
                }
            }
            if (page.len() as i64) < page_max {
                return Ok(Some(state));
            }
        }
    }
}
