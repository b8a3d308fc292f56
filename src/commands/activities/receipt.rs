//! A sync's outcomes as they are stored, so that a retry is told the same.

use std::collections::BTreeSet;

use domain::activity::ActivityFlag;
use serde::{Deserialize, Serialize};

use super::{ActivitiesReceipt, SyncOutcome};
use crate::commands::Receipt;
use crate::commands::refused::StoredRefusal;
use crate::store::Appended;

/// What is not "recorded, and no rule marks it", by index.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amended: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    duplicate: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    absent: Vec<usize>,
    /// Of what is recorded or amended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flagged: Vec<(usize, BTreeSet<ActivityFlag>)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<StoredRefusal>,
}

fn recorded() -> SyncOutcome {
    SyncOutcome::Recorded {
        flags: BTreeSet::new(),
    }
}

/// Nothing to store if all were recorded, and none is marked.
pub(super) fn write(outcomes: &[SyncOutcome]) -> Option<String> {
    let plain = recorded();
    if outcomes.iter().all(|outcome| *outcome == plain) {
        return None;
    }
    let mut stored = Stored::default();
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            SyncOutcome::Recorded { .. } => {}
            SyncOutcome::Amended { .. } => stored.amended.push(index),
            SyncOutcome::Duplicate => stored.duplicate.push(index),
            SyncOutcome::Removed => stored.removed.push(index),
            SyncOutcome::Absent => stored.absent.push(index),
            SyncOutcome::Rejected(refusal) => {
                stored.rejected.push(StoredRefusal::of(index, refusal));
            }
        }
        if let SyncOutcome::Recorded { flags } | SyncOutcome::Amended { flags } = outcome
            && !flags.is_empty()
        {
            stored.flagged.push((index, flags.clone()));
        }
    }
    Some(serde_json::to_string(&stored).expect("plain data"))
}

/// The receipt of a sync of so many records.
pub(super) fn read(first: &Appended, count: usize) -> ActivitiesReceipt {
    let stored: Stored = first
        .receipt
        .as_deref()
        .and_then(|stored| serde_json::from_str(stored).ok())
        .unwrap_or_default();
    let mut outcomes = vec![recorded(); count];
    let amended = SyncOutcome::Amended {
        flags: BTreeSet::new(),
    };
    for (indexes, outcome) in [
        (&stored.amended, amended),
        (&stored.duplicate, SyncOutcome::Duplicate),
        (&stored.removed, SyncOutcome::Removed),
        (&stored.absent, SyncOutcome::Absent),
    ] {
        for index in indexes {
            if let Some(place) = outcomes.get_mut(*index) {
                *place = outcome.clone();
            }
        }
    }
    for (index, marked) in stored.flagged {
        if let Some(SyncOutcome::Recorded { flags } | SyncOutcome::Amended { flags }) =
            outcomes.get_mut(index)
        {
            *flags = marked;
        }
    }
    for refused in stored.rejected {
        let (index, refusal) = refused.read();
        if let Some(place) = outcomes.get_mut(index) {
            *place = SyncOutcome::Rejected(refusal);
        }
    }
    ActivitiesReceipt {
        receipt: Receipt::from(first),
        outcomes,
    }
}

#[cfg(test)]
mod tests {
    use domain::{Code, Position, Refusal};

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let flags = BTreeSet::from([ActivityFlag::Speed]);
        let refusal = Refusal::new(Code::ActivityInFuture, "not yet")
            .at(["records", "2", "activity", "end"])
            .with("maxSeconds", 300);
        let outcomes = vec![
            SyncOutcome::Amended {
                flags: flags.clone(),
            },
            SyncOutcome::Recorded { flags },
            SyncOutcome::Rejected(refusal),
            recorded(),
            SyncOutcome::Duplicate,
            SyncOutcome::Removed,
            SyncOutcome::Absent,
        ];
        let first = Appended {
            position: Position(9),
            version: 3,
            replayed: true,
            receipt: write(&outcomes),
        };
        assert_eq!(read(&first, outcomes.len()).outcomes, outcomes);
        assert_eq!(write(&[recorded()]), None);
    }
}
