//! What became of each record of a sync: the rule of duplicates.

use std::collections::BTreeMap;

use serde::Serialize;

use super::event::{ActivitiesSynced, RecordedActivity};
use super::{ActivityLog, ActivityLogCommand, Known, MONTH_ACTIVITIES_MAX, must_begin_in};
use crate::activity::{Activity, ActivityRef};
use crate::refusal::{Code, Refusal};
use crate::values::too_large;

/// One thing a source says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum SyncRecord {
    /// This was done.
    Activity(Box<Activity>),
    /// What was said of this was wrong, or is to be forgotten.
    Remove(ActivityRef),
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum ActivityOutcome {
    /// It is new.
    Recorded(RecordedActivity),
    /// It is known, and said otherwise now.
    Amended(RecordedActivity),
    /// It is known to the letter.
    Duplicate,
    /// It is taken back.
    Removed,
    /// There was nothing to take back.
    Absent,
    /// It is not believed at all; never in an event. The path begins at the record.
    Rejected(Refusal),
}

/// What became of a sync.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmittedActivities {
    /// What is new; `None` if nothing is.
    pub event: Option<ActivitiesSynced>,
    /// One per record, in the order of the sync.
    pub outcomes: Vec<ActivityOutcome>,
}

impl ActivityLog {
    /// Tells what is new from what is known. One record that is refused does not keep the others.
    pub fn admit(&self, command: &ActivityLogCommand) -> AdmittedActivities {
        let mut said = BTreeMap::new();
        let mut synced = ActivitiesSynced {
            user: command.user.clone(),
            rules: command.rules.clone(),
            recorded: Vec::new(),
            amended: Vec::new(),
            removed: Vec::new(),
        };
        let mut outcomes = Vec::with_capacity(command.records.len());
        for record in &command.records {
            let room = self.known.len() + synced.recorded.len() < MONTH_ACTIVITIES_MAX;
            let outcome = match record {
                SyncRecord::Activity(activity) => self.told(activity, command, &mut said, room),
                SyncRecord::Remove(removed) => self.taken_back(removed, &mut said),
            };
            let outcome = outcome.unwrap_or_else(ActivityOutcome::Rejected);
            match (&outcome, record) {
                (ActivityOutcome::Recorded(new), _) => synced.recorded.push(new.clone()),
                (ActivityOutcome::Amended(new), _) => synced.amended.push(new.clone()),
                (ActivityOutcome::Removed, SyncRecord::Remove(old)) => {
                    synced.removed.push(old.clone());
                }
                _ => {}
            }
            outcomes.push(outcome);
        }
        let told = synced.recorded.len() + synced.amended.len() + synced.removed.len();
        AdmittedActivities {
            event: (told > 0).then_some(synced),
            outcomes,
        }
    }

    fn told(
        &self,
        activity: &Activity,
        command: &ActivityLogCommand,
        said: &mut BTreeMap<ActivityRef, Option<u64>>,
        room: bool,
    ) -> Result<ActivityOutcome, Refusal> {
        let activity = activity.checked(command.now)?;
        must_begin_in(&activity, &command.month)?;
        let key = activity.named();
        let known = self.known.get(&key).copied();
        let digest = activity.digest();
        if said_before(key, Some(digest), said)? {
            return Ok(ActivityOutcome::Duplicate);
        }
        let revision = known.map_or(1, |known| known.revision + 1);
        let recorded = |activity: Activity| RecordedActivity {
            flags: command.rules.flags(&activity),
            revision,
            activity,
        };
        match known {
            Some(Known {
                digest: Some(known),
                ..
            }) if known == digest => Ok(ActivityOutcome::Duplicate),
            Some(Known {
                digest: Some(_), ..
            }) => Ok(ActivityOutcome::Amended(recorded(activity))),
            Some(Known { digest: None, .. }) => Ok(ActivityOutcome::Recorded(recorded(activity))),
            None if room => Ok(ActivityOutcome::Recorded(recorded(activity))),
            None => {
                let (actual, max) = (MONTH_ACTIVITIES_MAX + 1, MONTH_ACTIVITIES_MAX);
                Err(too_large(actual, max, "activities of one month", "records"))
            }
        }
    }

    fn taken_back(
        &self,
        removed: &ActivityRef,
        said: &mut BTreeMap<ActivityRef, Option<u64>>,
    ) -> Result<ActivityOutcome, Refusal> {
        let removed = removed.checked()?;
        let known = self.known.get(&removed);
        let present = known.is_some_and(|known| known.digest.is_some());
        let again = said_before(removed, None, said)?;
        Ok(if present && !again {
            ActivityOutcome::Removed
        } else {
            ActivityOutcome::Absent
        })
    }
}

/// Did an earlier record of the sync say the very same? One that contradicts it is refused.
fn said_before(
    key: ActivityRef,
    digest: Option<u64>,
    said: &mut BTreeMap<ActivityRef, Option<u64>>,
) -> Result<bool, Refusal> {
    match said.get(&key) {
        None => {
            said.insert(key, digest);
            Ok(false)
        }
        Some(earlier) if *earlier == digest => Ok(true),
        Some(_) => {
            let message = "an earlier record of the sync says something else of this activity";
            Err(Refusal::new(Code::Validation, message).at(["externalId"]))
        }
    }
}
