//! One command on one aggregate: load, decide under the lock, append, decide again after a lost race.

use std::sync::Arc;
use std::time::Duration;

use domain::{Aggregate, Code, Refusal, StreamKey};
use serde::Serialize;
use uuid::Uuid;

use super::envelope::{Envelope, key_reused};
use super::states::{Cell, Slot};
use super::{CommandContext, CommandError, Door, Receipt};
use crate::store::{Append, AppendError, Appended, Claim, NewEvent, Pending, StreamWrite};

/// What deciding under the lock came to.
enum Decided {
    /// The append is in its lane.
    Sent(Pending),
    /// Refused on a state of this version.
    Refused(Refusal, i64),
    /// The state went away between loading and locking.
    Gone,
}

impl Door {
    /// Decides `command(other)` on aggregate `A`, where `other` is an aggregate whose state the decision
    /// relies on: if either has moved by the time of the append, it is decided again.
    pub(super) async fn decide_one<A, B>(
        &self,
        ctx: &CommandContext,
        id: &str,
        relies_on: Option<&str>,
        command: impl FnOnce(&B) -> A::Command + Clone,
    ) -> Result<Receipt, CommandError>
    where
        A: Aggregate,
        A::Command: Serialize + Clone + Sync,
        B: Aggregate,
    {
        let intent = command.clone()(&B::default());
        let envelope = Envelope::new(ctx, A::TYPE, &(id, &intent))?;
        if let Some(first) = self.receipts.find(&ctx.tenant, &envelope) {
            return Ok(Receipt::from(&first?));
        }
        let stream = StreamKey::of::<A>(id);
        let mut turn = Turn::new(self.settings.attempts_max);
        loop {
            let other = match relies_on {
                Some(other) => Some((other, self.loaded::<B>(&ctx.tenant, other).await?)),
                None => None,
            };
            let cell = self.loaded::<A>(&ctx.tenant, id).await?;
            let decided = self.decide(ctx, &envelope, &stream, &cell, other, command.clone())?;
            let lost = match decided {
                Decided::Sent(pending) => match pending.outcome().await {
                    Ok(kept) => {
                        self.receipts.keep(&ctx.tenant, &envelope, &kept);
                        return Ok(Receipt::from(&kept));
                    }
                    Err(error) => lost_race(error, &stream)?,
                },
                Decided::Refused(refusal, at) => {
                    if let Some(first) = self.first_receipt(ctx, &envelope).await? {
                        return Ok(Receipt::from(&first));
                    }
                    let actual = self.store.stream_version(&ctx.tenant, &stream).await?;
                    if actual == at {
                        return Err(refusal.into());
                    }
                    // Refused on a state that is not the log's: either events on their way are not kept
                    // yet, or another process has written.
                    if actual > at {
                        forget(&cell);
                    }
                    conflict(&stream, actual)
                }
                Decided::Gone => continue,
            };
            turn.next(lost).await?;
        }
    }

    fn decide<A: Aggregate, B: Aggregate>(
        &self,
        ctx: &CommandContext,
        envelope: &Envelope,
        stream: &StreamKey,
        cell: &Cell<A>,
        other: Option<(&str, Arc<Cell<B>>)>,
        command: impl FnOnce(&B) -> A::Command,
    ) -> Result<Decided, CommandError> {
        let mut writes = Vec::with_capacity(2);
        let guard = other.as_ref().map(|(id, cell)| (id, cell.lock()));
        let command = match &guard {
            Some((id, guard)) => {
                let Some(slot) = guard.as_ref() else {
                    return Ok(Decided::Gone);
                };
                writes.push(StreamWrite {
                    stream: StreamKey::of::<B>(id),
                    expected: slot.version,
                    events: Vec::new(),
                    basis: slot.basis.clone(),
                });
                command(&slot.state)
            }
            None => command(&B::default()),
        };
        let mut guard = cell.lock();
        let Some(slot) = guard.as_mut() else {
            return Ok(Decided::Gone);
        };
        let refused =
            unexpected(ctx, slot.version).map_or_else(|| slot.state.decide(&command), Err);
        let events = match refused {
            Ok(events) => events,
            Err(refusal) => return Ok(Decided::Refused(refusal, slot.version)),
        };
        let mut claims = Vec::new();
        let (write, grown_bytes) = advance(slot, stream, events, &mut claims);
        self.states.grew(grown_bytes);
        // The receipt speaks of the command's own stream, so that one comes first.
        writes.insert(0, write);
        let append = Append {
            command_id: envelope.command_id,
            fingerprint: envelope.fingerprint,
            writes,
            claims,
            rejected: Vec::new(),
            receipt: None,
            metadata: envelope.metadata.clone(),
        };
        match self.store.submit(&ctx.tenant, append) {
            Ok(pending) => Ok(Decided::Sent(pending)),
            Err(error) => {
                slot.basis.withdraw();
                Err(fault(error))
            }
        }
    }

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
            let (state, version) = self.load_stream::<A>(tenant, &stream).await?;
            self.states.grew(state.weight_bytes());
            cell.fill(state, version);
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
        let cells: Vec<_> = ids
            .iter()
            .map(|id| (*id, self.states.cell::<A>(tenant, &StreamKey::of::<A>(id))))
            .filter(|(_, cell)| cell.lock().is_none())
            .collect();
        if cells.len() < 2 {
            return Ok(());
        }
        let ids: Vec<_> = cells.iter().map(|(id, _)| *id).collect();
        let existing = self.store.existing_streams(tenant, A::TYPE, &ids).await?;
        for (id, cell) in cells {
            // Whoever is loading it knows better; an append finds out whom another process opened.
            let Ok(_loading) = cell.loading.try_lock() else {
                continue;
            };
            if !existing.contains(id) && cell.lock().is_none() {
                cell.fill(A::default(), 0);
            }
        }
        Ok(())
    }

    async fn load_stream<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        stream: &StreamKey,
    ) -> Result<(A, i64), CommandError> {
        let unreadable = |reason: String| CommandError::Unreadable {
            stream: stream.to_string(),
            reason,
        };
        let (mut state, mut version) = (A::default(), 0);
        loop {
            let page = self
                .store
                .read_stream(tenant, stream, version, self.settings.load_events_max)
                .await?;
            for stored in &page {
                let event = stored
                    .decode()
                    .map_err(|e| unreadable(e.to_string()))?
                    .event;
                let event = A::Event::try_from(event)
                    .map_err(|_| unreadable(format!("{} is not its event", stored.event_type)))?;
                state.apply(&event);
                version = stored.sequence;
            }
            if (page.len() as i64) < self.settings.load_events_max {
                return Ok((state, version));
            }
        }
    }

    /// What the log answered to this command before, if it was declared and kept.
    pub(super) async fn first_receipt(
        &self,
        ctx: &CommandContext,
        envelope: &Envelope,
    ) -> Result<Option<Appended>, CommandError> {
        if !envelope.declared {
            return Ok(None);
        }
        let seen = self
            .store
            .seen(&ctx.tenant, envelope.command_id, &envelope.fingerprint)
            .await?;
        match seen {
            None => Ok(None),
            Some(Ok(first)) => Ok(Some(first)),
            Some(Err(AppendError::KeyReused)) => Err(key_reused().into()),
            Some(Err(error)) => Err(fault(error)),
        }
    }
}

/// Folds decided events into the slot and makes them a write; also says by how many bytes the state grew.
pub(super) fn advance<A: Aggregate>(
    slot: &mut Slot<A>,
    stream: &StreamKey,
    events: Vec<A::Event>,
    claims: &mut Vec<Claim>,
) -> (StreamWrite, usize) {
    let expected = slot.version;
    let before = slot.state.weight_bytes();
    let mut new_events = Vec::with_capacity(events.len());
    for event in events {
        claims.extend(
            slot.state
                .claims(&event)
                .iter()
                .map(|c| Claim::of(c, &stream.aggregate_id)),
        );
        slot.state.apply(&event);
        slot.version += 1;
        let event: domain::Event = event.into();
        new_events.push(NewEvent {
            event_id: Uuid::now_v7(),
            event_type: event.event_type(),
            event_version: event.event_version(),
            payload: event
                .payload()
                .expect("events are plain data with string keys"),
        });
    }
    let grown = slot.state.weight_bytes().saturating_sub(before);
    let basis = slot.basis.clone();
    (
        StreamWrite {
            stream: stream.clone(),
            expected,
            events: new_events,
            basis,
        },
        grown,
    )
}

/// Forgets a state that is behind the log.
fn forget<A: Aggregate>(cell: &Cell<A>) {
    if let Some(slot) = cell.lock().as_ref() {
        slot.basis.withdraw();
    }
}

fn unexpected(ctx: &CommandContext, version: i64) -> Option<Refusal> {
    let expected = ctx.expected_version?;
    (expected != version).then(|| {
        Refusal::new(
            Code::VersionConflict,
            "the object is not at the expected version",
        )
        .at(["expectedVersion"])
        .with("expected", expected)
        .with("actualVersion", version)
    })
}

pub(super) fn conflict(stream: &StreamKey, actual: i64) -> Refusal {
    Refusal::new(
        Code::VersionConflict,
        format!("others keep writing to {stream}; try again"),
    )
    .with("actualVersion", actual)
}

/// A lost race is decided again and comes back as the refusal to give when there is no turn left;
/// everything else ends the command.
pub(super) fn lost_race(error: AppendError, stream: &StreamKey) -> Result<Refusal, CommandError> {
    match error {
        AppendError::Conflict { stream, actual } => Ok(conflict(&stream, actual)),
        AppendError::Stale => Ok(conflict(stream, 0)),
        error => Err(fault(error)),
    }
}

/// What an append that cannot be tried again means for the caller.
pub(super) fn fault(error: AppendError) -> CommandError {
    match error {
        AppendError::Claimed { scope, .. } => CommandError::Refused(taken(&scope)),
        AppendError::KeyReused => CommandError::Refused(key_reused()),
        AppendError::Overloaded => CommandError::Overloaded {
            retry_after_ms: 1_000,
        },
        AppendError::Store(e) => e.into(),
        AppendError::Conflict { stream, actual } => {
            CommandError::Refused(conflict(&stream, actual))
        }
        AppendError::Stale => CommandError::Overloaded {
            retry_after_ms: 100,
        },
    }
}

/// Scopes are named `aggregate.field`; the field is what the caller sent.
fn taken(scope: &str) -> Refusal {
    let field = match scope.rsplit_once('.').map_or(scope, |(_, field)| field) {
        "external_id" => "externalId",
        field => field,
    };
    Refusal::new(
        Code::ExternalIdTaken,
        format!("another vehicle of this tenant has this {field}"),
    )
    .at([field])
}

/// Counts the turns of a command and spaces them: at once first, then a little later each time, never
/// all callers at the same moment.
pub(super) struct Turn {
    left: u32,
    taken: u32,
}

impl Turn {
    pub fn new(attempts_max: u32) -> Turn {
        Turn {
            left: attempts_max,
            taken: 0,
        }
    }

    /// The next turn, or the refusal if there is none left.
    pub async fn next(&mut self, refusal: Refusal) -> Result<(), CommandError> {
        if self.left <= 1 {
            return Err(refusal.into());
        }
        self.left -= 1;
        self.taken += 1;
        if self.taken > 1 {
            let spread_us = u64::from(Uuid::now_v7().as_bytes()[15]) * 8;
            let pause_us = (1 << self.taken.min(6)) * 250 + spread_us;
            tokio::time::sleep(Duration::from_micros(pause_us)).await;
        }
        Ok(())
    }
}
