//! What sources say somebody did, by the month in which it began.
//!
//! A source may tell of the same again, tell it otherwise, or take it back; what it calls an activity
//! tells which one it means. What counts of all this for a competition is [`crate::activity`]'s.

mod admit;
mod event;

pub use admit::{ActivityOutcome, AdmittedActivities, SyncRecord};
pub use event::{ActivitiesSynced, ActivityLogEvent, RecordedActivity};

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::activity::{Activity, ActivityRef, ActivityRules};
use crate::aggregate::{Aggregate, ClaimChange};
use crate::external::joined;
use crate::refusal::{Code, Refusal};
use crate::values::{key_part, too_large};

/// How many activities one sync may tell of.
pub const SYNC_RECORDS_MAX: usize = 1_000;
/// How many activities of one month a user may have.
pub const MONTH_ACTIVITIES_MAX: usize = 50_000;

/// The month an activity belongs to for good: that of UTC in which it began, such as `2026-11`.
pub fn month_of(start: DateTime<Utc>) -> String {
    start.format("%Y-%m").to_string()
}

/// The key of a user's activities of one month. User ids hold no slash.
pub fn activity_log_id(user: &str, month: &str) -> String {
    format!("{user}/{month}")
}

/// Scope of the claims on activities.
pub const ACTIVITY_SCOPE: &str = "activity.external_id";

/// The claim of one month of a user on an activity. Where another month holds it, the source has moved
/// the activity: it is removed there before it is recorded here.
pub fn activity_claim(user: &str, named: &ActivityRef) -> ClaimChange {
    ClaimChange {
        scope: ACTIVITY_SCOPE,
        value: joined(&[user, &named.source, &named.external_id]),
        release: false,
        personal: false,
    }
}

/// A sync of activities of one user that began in one month.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityLogCommand {
    /// Whose, by id.
    pub user: String,
    /// Which month, as of [`month_of`].
    pub month: String,
    /// What a source says, at most [`SYNC_RECORDS_MAX`].
    pub records: Vec<SyncRecord>,
    /// By what they are flagged. Ours, so no part of the command's fingerprint.
    #[serde(skip_serializing)]
    pub rules: ActivityRules,
    /// The time.
    #[serde(skip_serializing)]
    pub now: DateTime<Utc>,
}

/// The state a month's events fold to: enough to know an activity again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActivityLog {
    /// Every activity ever told of.
    known: BTreeMap<ActivityRef, Known>,
}

/// What is known of one activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// Of its content; `None`: it was taken back.
    digest: Option<u64>,
    /// How often it was told otherwise, from 1.
    revision: u32,
}

impl ActivityLog {
    /// How many activities were ever told of.
    pub fn activities(&self) -> usize {
        self.known.len()
    }

    fn learn(&mut self, recorded: &RecordedActivity) {
        let known = Known {
            digest: Some(recorded.activity.digest()),
            revision: recorded.revision,
        };
        self.known.insert(recorded.activity.named(), known);
    }
}

impl Aggregate for ActivityLog {
    const TYPE: &'static str = "activity_log";
    type Command = ActivityLogCommand;
    type Event = ActivityLogEvent;

    fn decide(&self, command: &ActivityLogCommand) -> Result<Vec<ActivityLogEvent>, Refusal> {
        key_part(&command.user, "user")?;
        let records = command.records.len();
        if records > SYNC_RECORDS_MAX {
            return Err(too_large(records, SYNC_RECORDS_MAX, "records", "records"));
        }
        let event = self.admit(command).event;
        let synced = event.map(ActivityLogEvent::ActivitiesSynced);
        Ok(synced.into_iter().collect())
    }

    fn apply(&mut self, event: &ActivityLogEvent) {
        let ActivityLogEvent::ActivitiesSynced(e) = event;
        for recorded in e.recorded.iter().chain(&e.amended) {
            self.learn(recorded);
        }
        for removed in &e.removed {
            if let Some(known) = self.known.get_mut(removed) {
                known.digest = None;
            }
        }
    }

    fn claims(&self, event: &ActivityLogEvent) -> Vec<ClaimChange> {
        let ActivityLogEvent::ActivitiesSynced(e) = event;
        let freed = e.removed.iter().map(|named| ClaimChange {
            release: true,
            ..activity_claim(&e.user, named)
        });
        let recorded = e.recorded.iter().map(|recorded| recorded.activity.named());
        let taken = recorded.map(|named| activity_claim(&e.user, &named));
        freed.chain(taken).collect()
    }

    fn weight_bytes(&self) -> usize {
        let known = self.known.keys().map(|named| {
            let texts = named.source.capacity() + named.external_id.capacity();
            size_of::<(ActivityRef, Known)>() + texts
        });
        size_of::<Self>() + known.sum::<usize>()
    }

    /// Each activity by source and external id: how often it was told, and whether it is taken back.
    fn show(&self) -> serde_json::Value {
        let activities = self.known.iter().map(|(named, known)| {
            let name = format!("{}/{}", named.source, named.external_id);
            let told =
                serde_json::json!({ "revision": known.revision, "removed": known.digest.is_none() });
            (name, told)
        });
        let activities: serde_json::Map<_, _> = activities.collect();
        serde_json::json!({ "activities": activities })
    }
}

/// `VALIDATION` if an activity began in another month than the one its stream is of.
fn must_begin_in(activity: &Activity, month: &str) -> Result<(), Refusal> {
    let began = month_of(activity.start);
    if began == month {
        return Ok(());
    }
    let message = "the activity began in another month than the sync is of";
    Err(Refusal::new(Code::Validation, message)
        .at(["start"])
        .with("month", began))
}

#[cfg(test)]
mod tests;
