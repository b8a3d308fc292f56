//! One command on one aggregate: load, decide under the lock, append, decide again after a lost race.

use std::sync::Arc;
use std::time::Duration;

use domain::user::EMAIL_SCOPE;
use domain::{Aggregate, Code, Refusal, StreamKey};
use serde::Serialize;
use uuid::Uuid;

use super::envelope::{Envelope, key_reused};
use super::sealing::Keyring;
use super::states::{Cell, Slot};
use super::{CommandContext, CommandError, Door, Receipt};
use crate::store::{Append, AppendError, Appended, Basis, Claim, NewEvent, Pending, StreamWrite};

/// How the states of a refusal stand to the log.
enum Standing {
    /// They are what the log says.
    Current,
    /// They hold events that are still on their way, and may not be kept.
    Ahead(Refusal),
    /// Another process has written.
    Behind(Refusal),
}

/// What a decision needs beside the states it is made on.
struct Attempt<'a> {
    ctx: &'a CommandContext,
    envelope: &'a Envelope,
    stream: &'a StreamKey,
    keyring: &'a Keyring<'a>,
}

/// What deciding under the lock came to.
enum Decided {
    /// The append is in its lane; it was decided on this basis.
    Sent(Pending, Basis),
    /// Refused on states of these versions: of the aggregate, and of the one it relies on.
    Refused(Refusal, i64, Option<i64>),
    /// The state went away between loading and locking.
    Gone,
    /// Personal values of these subjects are to be sealed, and their keys are not at hand.
    Keyless {
        subjects: Vec<String>,
        /// The stream begins with this decision.
        begins: bool,
    },
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
        let stream = StreamKey::of::<A>(id);
        let mut turn = Turn::new(self.settings.attempts_max);
        let mut keyring = self.keyring(&ctx.tenant);
        loop {
            // Whoever was faster may have been a copy of this very command.
            if let Some(first) = self.receipts.find(&ctx.tenant, &envelope) {
                return Ok(Receipt::from(&first?));
            }
            let other = match relies_on {
                Some(other) => Some((other, self.loaded::<B>(&ctx.tenant, other).await?)),
                None => None,
            };
            let cell = self.loaded::<A>(&ctx.tenant, id).await?;
            let attempt = Attempt {
                ctx,
                envelope: &envelope,
                stream: &stream,
                keyring: &keyring,
            };
            let decided = self.decide(&attempt, &cell, other.as_ref(), command.clone())?;
            let lost = match decided {
                Decided::Sent(pending, basis) => match pending.outcome().await {
                    Ok(kept) => {
                        cell.keep(&basis, kept.version);
                        self.receipts.keep(&ctx.tenant, &envelope, &kept);
                        self.note_growth::<A>(&ctx.tenant, &stream, &cell, kept.version);
                        return Ok(Receipt::from(&kept));
                    }
                    Err(error) => lost_race(error, &stream)?,
                },
                Decided::Refused(refusal, at, other_at) => {
                    let mut rests_on = vec![(stream.clone(), at)];
                    let others = other.as_ref().zip(other_at);
                    rests_on.extend(others.map(|((id, _), at)| (StreamKey::of::<B>(id), at)));
                    let standing = self.standing(ctx, &rests_on).await?;
                    // Looked for last: whoever kept it meanwhile moved no version behind our back.
                    if let Some(first) = self.first_receipt(ctx, &envelope).await? {
                        return Ok(Receipt::from(&first));
                    }
                    match standing {
                        Standing::Current => return Err(refusal.into()),
                        Standing::Ahead(busy) => {
                            turn.wait(busy).await?;
                            continue;
                        }
                        Standing::Behind(lost) => {
                            forget(&cell);
                            other.iter().for_each(|(_, cell)| forget(cell));
                            lost
                        }
                    }
                }
                Decided::Keyless { subjects, begins } => {
                    if keyring.fetch::<A>(subjects, begins.then_some(id)).await? {
                        continue;
                    }
                    // Somebody was erased since these states were read; read anew they say so.
                    forget(&cell);
                    other.iter().for_each(|(_, cell)| forget(cell));
                    erased()
                }
                Decided::Gone => {
                    turn.wait(conflict(&stream, None)).await?;
                    continue;
                }
            };
            turn.next(lost).await?;
        }
    }

    fn decide<A: Aggregate, B: Aggregate>(
        &self,
        attempt: &Attempt<'_>,
        cell: &Cell<A>,
        other: Option<&(&str, Arc<Cell<B>>)>,
        command: impl FnOnce(&B) -> A::Command,
    ) -> Result<Decided, CommandError> {
        let Attempt {
            ctx,
            envelope,
            stream,
            keyring,
        } = *attempt;
        let mut writes = Vec::with_capacity(2);
        // Two commands may rely on each other's aggregates: the lower stream is locked first.
        let lower = other.is_some_and(|(id, _)| *stream < StreamKey::of::<B>(id));
        let own = lower.then(|| cell.lock());
        let guard = other.map(|(id, cell)| (id, cell.lock()));
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
        let mut guard = own.unwrap_or_else(|| cell.lock());
        let Some(slot) = guard.as_mut() else {
            return Ok(Decided::Gone);
        };
        let refused =
            unexpected(ctx, slot.version).map_or_else(|| slot.state.decide(&command), Err);
        let mut events = match refused {
            Ok(events) => events,
            Err(refusal) => {
                let other_at = writes.first().map(|other| other.expected);
                return Ok(Decided::Refused(refusal, slot.version, other_at));
            }
        };
        let missing = keyring.missing::<A>(&stream.aggregate_id, &mut events);
        if !missing.is_empty() {
            return Ok(Decided::Keyless {
                subjects: missing,
                begins: slot.version == 0,
            });
        }
        let mut claims = Vec::new();
        let basis = slot.basis.clone();
        let (write, grown_bytes) = advance(slot, stream, events, keyring, &mut claims);
        self.states.grew(grown_bytes);
        // The receipt speaks of the command's own stream, so that one comes first.
        writes.insert(0, write);
        let append = Append {
            command_id: envelope.command_id,
            fingerprint: envelope.fingerprint,
            remembered: envelope.declared,
            writes,
            claims,
            rejected: Vec::new(),
            receipt: None,
            metadata: envelope.metadata.clone(),
        };
        match self.store.submit(&ctx.tenant, append) {
            Ok(pending) => Ok(Decided::Sent(pending, basis)),
            Err(error) => {
                // Those before it are on their way and stand; nobody has seen this state yet.
                *guard = None;
                Err(fault(error))
            }
        }
    }

    /// Looks whether the versions a refusal rests on are those of the log, all in one moment.
    async fn standing(
        &self,
        ctx: &CommandContext,
        rests_on: &[(StreamKey, i64)],
    ) -> Result<Standing, CommandError> {
        let streams: Vec<_> = rests_on.iter().map(|(stream, _)| stream).collect();
        let actual = self.store.stream_versions(&ctx.tenant, &streams).await?;
        let moved = |other: fn(&i64, &i64) -> bool| {
            let mut at = rests_on.iter().zip(&actual);
            at.find(|((_, at), actual)| other(actual, at))
                .map(|((stream, _), actual)| conflict(stream, Some(*actual)))
        };
        Ok(match (moved(i64::gt), moved(i64::lt)) {
            (Some(lost), _) => Standing::Behind(lost),
            (None, Some(busy)) => Standing::Ahead(busy),
            (None, None) => Standing::Current,
        })
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

/// Seals decided events, folds them into the slot and makes them a write; also says by how many bytes the
/// state grew.
pub(super) fn advance<A: Aggregate>(
    slot: &mut Slot<A>,
    stream: &StreamKey,
    events: Vec<A::Event>,
    keyring: &Keyring<'_>,
    claims: &mut Vec<Claim>,
) -> (StreamWrite, usize) {
    let expected = slot.version;
    let before = slot.state.weight_bytes();
    let mut new_events = Vec::with_capacity(events.len());
    for mut event in events {
        let (id, event_id) = (&stream.aggregate_id, Uuid::now_v7());
        let changes = slot.state.claims(&event);
        claims.extend(changes.iter().map(|change| keyring.claim(change, id)));
        keyring.seal::<A>(id, event_id, &mut event);
        slot.state.apply(&event);
        slot.version += 1;
        let event: domain::Event = event.into();
        new_events.push(NewEvent {
            event_id,
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
pub(super) fn forget<A: Aggregate>(cell: &Cell<A>) {
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

/// Others were faster; `actual` is the stream's version where it is known.
pub(super) fn conflict(stream: &StreamKey, actual: Option<i64>) -> Refusal {
    let why = format!("others keep writing to {stream}; try again");
    let refusal = Refusal::new(Code::VersionConflict, why);
    match actual {
        Some(actual) => refusal.with("actualVersion", actual),
        None => refusal,
    }
}

/// A lost race is decided again and comes back as the refusal to give when there is no turn left;
/// everything else ends the command.
pub(super) fn lost_race(error: AppendError, stream: &StreamKey) -> Result<Refusal, CommandError> {
    match error {
        AppendError::Conflict { stream, actual } => Ok(conflict(&stream, Some(actual))),
        AppendError::Stale => Ok(conflict(stream, None)),
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
            CommandError::Refused(conflict(&stream, Some(actual)))
        }
        AppendError::Stale => CommandError::Overloaded {
            retry_after_ms: 100,
        },
    }
}

/// What is told of somebody without a key, should their state not have told it.
fn erased() -> Refusal {
    Refusal::new(Code::UserErased, "the user's personal data is erased")
}

/// Scopes are named `aggregate.field`; the field is what the caller sent.
fn taken(scope: &str) -> Refusal {
    let field = match scope.rsplit_once('.').map_or(scope, |(_, field)| field) {
        "external_id" => "externalId",
        field => field,
    };
    if scope == EMAIL_SCOPE {
        let why = "another user of this tenant has this e-mail address";
        return Refusal::new(Code::EmailTaken, why).at([field]);
    }
    let holder = scope.split_once('.').map_or("object", |(kind, _)| kind);
    Refusal::new(
        Code::ExternalIdTaken,
        format!("another {holder} of this tenant has this {field}"),
    )
    .at([field])
}

/// Counts the turns of a command and spaces them: at once first, then a little later each time, never
/// all callers at the same moment.
pub(super) struct Turn {
    left: u32,
    taken: u32,
    waits: u32,
}

/// How often a command waits for events on their way, without using up a turn.
const WAITS_MAX: u32 = 400;

/// The longest of these waits; together they outlast the time an append may take.
const WAIT_MAX: Duration = Duration::from_millis(50);

impl Turn {
    pub fn new(attempts_max: u32) -> Turn {
        Turn {
            left: attempts_max,
            taken: 0,
            waits: 0,
        }
    }

    /// Lets events on their way arrive, or be given up; the refusal if that takes too long.
    pub async fn wait(&mut self, refusal: Refusal) -> Result<(), CommandError> {
        if self.waits >= WAITS_MAX {
            return Err(refusal.into());
        }
        self.waits += 1;
        let pause = Duration::from_millis(1 << self.waits.min(6));
        tokio::time::sleep(pause.min(WAIT_MAX)).await;
        Ok(())
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
