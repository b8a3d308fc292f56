//! A batch's outcomes as they are stored, so that a retry is told the same.

use std::collections::BTreeMap;

use domain::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{LogsReceipt, RecordOutcome};
use crate::commands::Receipt;
use crate::commands::refused::StoredRefusal;
use crate::store::Appended;

/// What is not accepted. What is has the next index each time.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    /// Places in the batch by the position of the record that is known; 0: nobody knows where.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    known: BTreeMap<i64, Vec<usize>>,
    /// Place in the batch, index of the first, and whether they differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    repeated: Vec<(usize, u32, bool)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<StoredRefusal>,
}

/// Nothing to store if all were accepted.
pub(super) fn write(outcomes: &[RecordOutcome]) -> Option<String> {
    let mut stored = Stored::default();
    let mut all_accepted = true;
    for (place, outcome) in outcomes.iter().enumerate() {
        all_accepted &= matches!(outcome, RecordOutcome::Accepted { .. });
        match outcome {
            RecordOutcome::Accepted { .. } => {}
            RecordOutcome::Known { position } => {
                let position = position.map_or(0, |position| position.0);
                stored.known.entry(position).or_default().push(place);
            }
            RecordOutcome::Repeated { index, differs } => {
                stored.repeated.push((place, *index, *differs));
            }
            RecordOutcome::Rejected(refusal) => {
                stored.rejected.push(StoredRefusal::of(place, refusal));
            }
        }
    }
    (!all_accepted).then(|| serde_json::to_string(&stored).expect("plain data"))
}

/// The receipt of a batch of `n` records.
pub(super) fn read(first: &Appended, batch_id: Uuid, n: usize) -> LogsReceipt {
    let stored = first.receipt.as_deref();
    let stored = stored.and_then(|receipt| serde_json::from_str(receipt).ok());
    let stored: Stored = stored.unwrap_or_default();
    let mut places: Vec<Option<RecordOutcome>> = vec![None; n];
    let mut set = |place: usize, outcome| {
        if let Some(at) = places.get_mut(place) {
            *at = Some(outcome);
        }
    };
    for (position, of_position) in stored.known {
        let position = (position != 0).then_some(Position(position));
        for place in of_position {
            set(place, RecordOutcome::Known { position });
        }
    }
    for (place, index, differs) in stored.repeated {
        set(place, RecordOutcome::Repeated { index, differs });
    }
    for refusal in stored.rejected {
        let (place, refusal) = refusal.read();
        set(place, RecordOutcome::Rejected(refusal));
    }
    let mut next = 0..;
    let outcomes = places.into_iter().map(|outcome| {
        outcome.unwrap_or_else(|| RecordOutcome::Accepted {
            index: next.next().expect("a batch is bounded"),
        })
    });
    LogsReceipt {
        receipt: Receipt::from(first),
        batch_id: batch_id.to_string(),
        outcomes: outcomes.collect(),
    }
}

#[cfg(test)]
mod tests {
    use domain::{Code, Refusal};

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let refusal = Refusal::new(Code::UnknownEventType, "no such type")
            .at(["logs", "3", "eventType"])
            .with("actual", "metric");
        let outcomes = vec![
            RecordOutcome::Known {
                position: Some(Position(7)),
            },
            RecordOutcome::Accepted { index: 0 },
            RecordOutcome::Repeated {
                index: 0,
                differs: true,
            },
            RecordOutcome::Rejected(refusal),
            RecordOutcome::Accepted { index: 1 },
            RecordOutcome::Known { position: None },
        ];
        let first = Appended {
            position: Position(9),
            version: 1,
            replayed: true,
            receipt: write(&outcomes),
        };
        assert_eq!(read(&first, Uuid::nil(), 6).outcomes, outcomes);
        assert_eq!(write(&outcomes[1..2]), None);
    }
}
