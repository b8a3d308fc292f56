//! The events of one stream, one after the other: for whoever needs to know how a state came to be.

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::{Aggregate, Event, Recorded, StreamKey};

use super::{CommandError, Door};

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
