//! A sync before it meets what is known: what cannot be believed on its own is put aside, the rest is sorted
//! by month.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::activity::ActivityRef;
use domain::activity_log::{SyncRecord, month_of};
use domain::{Code, Refusal};

use super::{SyncActivities, SyncOutcome};

/// What the field of an activity is called.
const ACTIVITY: &str = "activity";

/// The records of a sync, each with its index.
pub(super) struct Sorted<'s> {
    /// Activities by the month in which they began.
    pub months: BTreeMap<String, Vec<(usize, &'s SyncRecord)>>,
    /// What is taken back; in which month it is, the log knows.
    pub removed: Vec<(usize, &'s SyncRecord, ActivityRef)>,
    /// What is decided already.
    pub outcomes: Vec<Option<SyncOutcome>>,
}

impl<'s> Sorted<'s> {
    pub fn of(sync: &'s SyncActivities, now: DateTime<Utc>) -> Sorted<'s> {
        let mut sorted = Sorted {
            months: BTreeMap::new(),
            removed: Vec::new(),
            outcomes: vec![None; sync.records.len()],
        };
        let mut said = BTreeMap::new();
        for (index, record) in sync.records.iter().enumerate() {
            let placed = match record {
                Ok(record) => sorted
                    .place(index, record, now, &mut said)
                    .map_err(|refusal| refusal.under(place_of(index, record))),
                Err(refusal) => Err(refusal.clone().under(place(index, ACTIVITY))),
            };
            if let Err(refusal) = placed {
                sorted.outcomes[index] = Some(SyncOutcome::Rejected(refusal));
            }
        }
        sorted
    }

    /// Two months of one user do not see each other: that a sync contradicts itself across them is found
    /// here. `said` holds the month of each activity, or none where it is taken back.
    fn place(
        &mut self,
        index: usize,
        record: &'s SyncRecord,
        now: DateTime<Utc>,
        said: &mut BTreeMap<ActivityRef, Option<String>>,
    ) -> Result<(), Refusal> {
        let (named, month) = match record {
            SyncRecord::Activity(activity) => {
                let activity = activity.checked(now)?;
                (activity.named(), Some(month_of(activity.start)))
            }
            SyncRecord::Remove(named) => (named.checked()?, None),
        };
        if said.get(&named).is_some_and(|earlier| *earlier != month) {
            let message = "an earlier record of the sync says something else of this activity";
            return Err(Refusal::new(Code::Validation, message).at(["externalId"]));
        }
        said.insert(named.clone(), month.clone());
        match month {
            Some(month) => self.months.entry(month).or_default().push((index, record)),
            None => self.removed.push((index, record, named)),
        }
        Ok(())
    }
}

/// Where a record stands in its sync.
pub(super) fn place_of(index: usize, record: &SyncRecord) -> [String; 3] {
    match record {
        SyncRecord::Activity(_) => place(index, ACTIVITY),
        SyncRecord::Remove(_) => place(index, "remove"),
    }
}

fn place(index: usize, kind: &str) -> [String; 3] {
    ["records".to_owned(), index.to_string(), kind.to_owned()]
}
