//! States come from the log: folded from their events, from a stored state on where the stream is long.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::{Aggregate, Event, StreamKey};

use super::past::follows;
use super::states::Cell;
use super::{CommandError, Door};
use crate::store::{StoredEvent, StoredState};

/// A state folded from the log, never of events that are still on their way.
pub(super) struct Loaded<A> {
    pub state: A,
    pub version: i64,
    /// The version of the stored state it began with; 0 if it began with nothing.
    pub snapshot_at: i64,
}

/// Is it time to store a stream's state again? `last` is the version of the one stored before.
fn should_snapshot(last: i64, version: i64, every: i64) -> bool {
    every > 0 && version - last >= every
}

impl Door {
    /// The cell of an aggregate with its state in it.
    pub(super) async fn loaded<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
    ) -> Result<Arc<Cell<A>>, CommandError> {
        let stream = StreamKey::of::<A>(id);
        let cell = self.states.cell::<A>(tenant, &stream);
        if cell.lock().is_some() {
            return Ok(cell);
        }
        let loading = cell.loading.lock().await;
        if cell.lock().is_none() {
            let mut loaded = self.load_stream::<A>(tenant, &stream).await?;
            self.states.grew(loaded.state.weight_bytes());
            if self.is_due(&loaded) {
                loaded.snapshot_at = loaded.version;
                self.snapshot_later(tenant, &stream, Some(loaded.state.clone()), loaded.version);
            }
            cell.fill(loaded.state, loaded.version, loaded.snapshot_at);
        }
        drop(loading);
        Ok(cell)
    }

    /// Readies many aggregates at once: one question tells which streams are new, and those need no load.
    pub(super) async fn ready_new<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        ids: &[&str],
    ) -> Result<(), CommandError> {
        let unknown = |id: &&str| {
            let cell = self.states.cell::<A>(tenant, &StreamKey::of::<A>(id));
            cell.lock().is_none()
        };
        let ids: Vec<_> = ids.iter().copied().filter(unknown).collect();
        if ids.len() < 2 {
            return Ok(());
        }
        self.ready::<A>(tenant, &ids).await.map(drop)
    }

    /// Readies aggregates for commands: one question tells which streams are new, and those need no load.
    /// Returns the others' ids.
    pub async fn ready<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        ids: &[&str],
    ) -> Result<HashSet<String>, CommandError> {
        let existing = self.store.existing_streams(tenant, A::TYPE, ids).await?;
        for id in ids.iter().filter(|id| !existing.contains(**id)) {
            let cell = self.states.cell::<A>(tenant, &StreamKey::of::<A>(id));
            // Whoever is loading it knows better; an append finds out whom another process opened.
            let Ok(_loading) = cell.loading.try_lock() else {
                continue;
            };
            if cell.lock().is_none() {
                cell.fill(A::default(), 0, 0);
            }
        }
        Ok(existing)
    }

    /// How each of these aggregates began, by id: the first event of its stream, as far as it is in the log.
    pub async fn beginnings<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        ids: &[&str],
    ) -> Result<HashMap<String, Event>, CommandError> {
        let first = self.store.first_events(tenant, A::TYPE, ids).await?;
        let decoded = first.iter().map(|stored| {
            let id = stored.aggregate_id.to_string();
            let event = stored.decode().map_err(|e| CommandError::Unreadable {
                stream: StreamKey::of::<A>(&id).to_string(),
                reason: e.to_string(),
            })?;
            Ok((id, event.event))
        });
        decoded.collect()
    }

    /// A stream has come to this version, for all to see: perhaps its state is worth storing again.
    pub(super) fn note_growth<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
        cell: &Cell<A>,
        version: i64,
    ) {
        if A::SHAPE.is_none() {
            return;
        }
        let mut slot = cell.lock();
        let Some(slot) = slot.as_mut() else { return };
        if should_snapshot(slot.snapshot_at, version, self.settings.snapshot_events) {
            slot.snapshot_at = version;
            // The cached state may hold what is still on its way, so it is loaded anew.
            self.snapshot_later::<A>(tenant, stream, None, version);
        }
    }

    fn is_due<A: Aggregate>(&self, loaded: &Loaded<A>) -> bool {
        let every = self.settings.snapshot_events;
        A::SHAPE.is_some() && should_snapshot(loaded.snapshot_at, loaded.version, every)
    }

    /// Stores a state in the background: this one, or the one the log says. One at a time; while one is
    /// stored others go without, and are due again after as many events.
    fn snapshot_later<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
        state: Option<A>,
        version: i64,
    ) {
        let Ok(turn) = self.snapshotting.clone().try_acquire_owned() else {
            return;
        };
        let (door, tenant, stream) = (self.clone(), tenant.clone(), stream.clone());
        tokio::spawn(async move {
            let stored = door.snapshot_now(&tenant, &stream, state, version).await;
            if let Err(error) = stored {
                // The next load reads more events than it need.
                tracing::warn!(error = %error, "the state of {stream} was not stored: {error}");
            }
            drop(turn);
        });
    }

    async fn snapshot_now<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
        state: Option<A>,
        version: i64,
    ) -> Result<(), CommandError> {
        let Some(shape) = A::SHAPE else { return Ok(()) };
        let (state, version) = match state {
            Some(state) => (state, version),
            None => {
                let loaded = self.load_stream::<A>(tenant, stream).await?;
                (loaded.state, loaded.version)
            }
        };
        let snapshot = StoredState {
            shape: shape.version,
            version,
            state: (shape.write)(&state),
        };
        self.store.keep_snapshot(tenant, stream, &snapshot).await?;
        Ok(())
    }

    /// The state of one aggregate and its version from the log itself, whatever is cached of it.
    pub(super) async fn load_kept<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
    ) -> Result<(A, i64), CommandError> {
        let stream = StreamKey::of::<A>(id);
        let loaded = self.load_stream::<A>(tenant, &stream).await?;
        Ok((loaded.state, loaded.version))
    }

    /// Folds a stream, page by page.
    async fn load_stream<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
    ) -> Result<Loaded<A>, CommandError> {
        let page_max = self.settings.load_events_max;
        let (mut loaded, mut page) = self.begin_stream::<A>(tenant, stream).await?;
        loop {
            for stored in &page {
                loaded.fold(stream, stored)?;
            }
            if (page.len() as i64) < page_max {
                return Ok(loaded);
            }
            let after = loaded.version;
            page = self
                .store
                .read_stream(tenant, stream, after, page_max)
                .await?;
        }
    }

    /// Where folding a stream begins, and the first page to fold.
    async fn begin_stream<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
    ) -> Result<(Loaded<A>, Vec<StoredEvent>), CommandError> {
        let page_max = self.settings.load_events_max;
        if let Some(shape) = A::SHAPE
            && self.settings.snapshot_events > 0
        {
            let (found, page) = self
                .store
                .read_from_snapshot(tenant, stream, shape.version, page_max)
                .await?;
            let Some(found) = found else {
                return Ok((Loaded::nothing(), page));
            };
            if let Some(state) = (shape.read)(&found.state) {
                let version = found.version;
                let loaded = Loaded {
                    state,
                    version,
                    snapshot_at: version,
                };
                return Ok((loaded, page));
            }
        }
        let page = self.store.read_stream(tenant, stream, 0, page_max).await?;
        Ok((Loaded::nothing(), page))
    }
}

impl<A: Aggregate> Loaded<A> {
    fn nothing() -> Loaded<A> {
        Loaded {
            state: A::default(),
            version: 0,
            snapshot_at: 0,
        }
    }

    fn fold(&mut self, stream: &StreamKey, stored: &StoredEvent) -> Result<(), CommandError> {
        let unreadable = |reason: String| CommandError::Unreadable {
            stream: stream.to_string(),
            reason,
        };
        follows(self.version, stored).map_err(unreadable)?;
        let event = stored
            .decode()
            .map_err(|e| unreadable(e.to_string()))?
            .event;
        let event = A::Event::try_from(event)
            .map_err(|_| unreadable(format!("{} is not its event", stored.event_type)))?;
        self.state.apply(&event);
        self.version = stored.sequence;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::should_snapshot;

    #[test]
    fn a_state_is_stored_after_so_many_events_or_never() {
        let cases = [
            ((0, 499, 500), false),
            ((0, 500, 500), true),
            ((500, 999, 500), false),
            ((500, 1_000, 500), true),
            ((500, 400, 500), false),
            ((0, 1, 1), true),
            ((0, 1_000_000, 0), false),
        ];
        for ((last, version, every), expected) in cases {
            assert_eq!(
                should_snapshot(last, version, every),
                expected,
                "{version} after {last}, every {every}"
            );
        }
    }
}
