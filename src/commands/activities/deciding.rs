//! A sync under the locks of all months it tells of.

use std::collections::{BTreeMap, BTreeSet};

use domain::StreamKey;
use domain::activity::ActivityRef;
use domain::activity_log::{
    ActivityLog, ActivityLogCommand, ActivityLogEvent, ActivityOutcome, SyncRecord,
};

use super::sorting::{Sorted, place_of};
use super::{Month, SyncActivities, SyncOutcome, receipt};
use crate::commands::decide::{advance, fault};
use crate::commands::envelope::Envelope;
use crate::commands::sealing::Keyring;
use crate::commands::{CommandContext, CommandError, Door};
use crate::store::{Append, Pending};

impl Door {
    /// Decides the whole sync, and puts it in its lane. `None` if a state went away meanwhile. Activities
    /// that were moved here from another month are told as amended.
    pub(super) fn decide_sync(
        &self,
        (ctx, envelope): (&CommandContext, &Envelope),
        sync: &SyncActivities,
        sorted: &Sorted<'_>,
        months: &BTreeMap<String, Month<'_>>,
        moved: &BTreeSet<ActivityRef>,
    ) -> Result<Option<(Pending, Vec<SyncOutcome>)>, CommandError> {
        // In the order of their streams: two syncs never wait for each other in a ring.
        let mut slots: Vec<_> = months.values().map(|month| month.cell.lock()).collect();
        if slots.iter().any(|slot| slot.is_none()) {
            return Ok(None);
        }
        let mut outcomes = sorted.outcomes.clone();
        let (mut writes, mut claims) = (Vec::with_capacity(months.len()), Vec::new());
        let held = slots.iter_mut().flat_map(|slot| slot.as_mut());
        for ((id, month), slot) in months.iter().zip(held) {
            let command = ActivityLogCommand {
                user: sync.user.clone(),
                month: month.month.clone(),
                records: month.records.iter().map(|(_, r)| (*r).clone()).collect(),
                rules: self.settings.activities.clone(),
                now: ctx.now,
            };
            let admitted = slot.state.admit(&command);
            for ((index, record), outcome) in month.records.iter().zip(admitted.outcomes) {
                outcomes[*index] = Some(told(*index, record, outcome, moved));
            }
            // Written even if nothing is new: a duplicate of what is still on its way relies on it.
            let event = admitted.event.map(ActivityLogEvent::ActivitiesSynced);
            let events = event.into_iter().collect();
            let stream = StreamKey::of::<ActivityLog>(id);
            let (write, grown) = advance(slot, &stream, events, &Keyring::none(), &mut claims);
            self.states.grew(grown);
            writes.push(write);
        }
        // What no month holds was not there to be taken back.
        let outcomes: Vec<SyncOutcome> = outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or(SyncOutcome::Absent))
            .collect();
        let append = Append {
            command_id: envelope.command_id,
            fingerprint: envelope.fingerprint,
            remembered: true,
            writes,
            claims,
            rejected: Vec::new(),
            receipt: receipt::write(&outcomes),
            metadata: envelope.metadata.clone(),
        };
        match self.store.submit(&ctx.tenant, append) {
            Ok(pending) => Ok(Some((pending, outcomes))),
            Err(error) => {
                // Those before it are on their way and stand; nobody has seen these states yet.
                slots.iter_mut().for_each(|slot| **slot = None);
                Err(fault(error))
            }
        }
    }
}

fn told(
    index: usize,
    record: &SyncRecord,
    outcome: ActivityOutcome,
    moved: &BTreeSet<ActivityRef>,
) -> SyncOutcome {
    match outcome {
        ActivityOutcome::Recorded(new) if moved.contains(&new.activity.named()) => {
            SyncOutcome::Amended { flags: new.flags }
        }
        ActivityOutcome::Recorded(new) => SyncOutcome::Recorded { flags: new.flags },
        ActivityOutcome::Amended(new) => SyncOutcome::Amended { flags: new.flags },
        ActivityOutcome::Duplicate => SyncOutcome::Duplicate,
        ActivityOutcome::Removed => SyncOutcome::Removed,
        ActivityOutcome::Absent => SyncOutcome::Absent,
        ActivityOutcome::Rejected(refusal) => {
            SyncOutcome::Rejected(refusal.under(place_of(index, record)))
        }
    }
}
