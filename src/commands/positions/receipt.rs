//! A report's outcomes as they are stored, so that a retry is told the same.

use serde::{Deserialize, Serialize};

use super::{FixOutcome, PositionsReceipt};
use crate::commands::Receipt;
use crate::commands::refused::StoredRefusal;
use crate::store::Appended;

/// What is not "accepted", by index.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    duplicate: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    differs: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<StoredRefusal>,
}

/// Nothing to store if all were accepted.
pub(super) fn write(outcomes: &[FixOutcome]) -> Option<String> {
    if outcomes.iter().all(|o| *o == FixOutcome::Accepted) {
        return None;
    }
    let mut stored = Stored::default();
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            FixOutcome::Accepted => {}
            FixOutcome::Duplicate { differs: false } => stored.duplicate.push(index),
            FixOutcome::Duplicate { differs: true } => stored.differs.push(index),
            FixOutcome::Rejected(r) => stored.rejected.push(StoredRefusal::of(index, r)),
        }
    }
    Some(serde_json::to_string(&stored).expect("plain data"))
}

/// The receipt of a report of `n` fixes.
pub(super) fn read(first: &Appended, n: usize) -> PositionsReceipt {
    let stored: Stored = first
        .receipt
        .as_deref()
        .and_then(|r| serde_json::from_str(r).ok())
        .unwrap_or_default();
    let mut outcomes = vec![FixOutcome::Accepted; n];
    let mut set = |i: usize, outcome| {
        if let Some(place) = outcomes.get_mut(i) {
            *place = outcome;
        }
    };
    stored
        .duplicate
        .iter()
        .for_each(|&i| set(i, FixOutcome::Duplicate { differs: false }));
    stored
        .differs
        .iter()
        .for_each(|&i| set(i, FixOutcome::Duplicate { differs: true }));
    for stored in stored.rejected {
        let (index, refusal) = stored.read();
        set(index, FixOutcome::Rejected(refusal));
    }
    PositionsReceipt {
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
        let refusal = Refusal::new(Code::NullIsland, "no fix")
            .at(["fixes", "2", "lat"])
            .with("lat", 0);
        let outcomes = vec![
            FixOutcome::Duplicate { differs: true },
            FixOutcome::Accepted,
            FixOutcome::Rejected(refusal),
            FixOutcome::Duplicate { differs: false },
        ];
        let first = Appended {
            position: Position(9),
            version: 3,
            replayed: true,
            receipt: write(&outcomes),
        };
        assert_eq!(read(&first, 4).outcomes, outcomes);
        assert_eq!(write(&[FixOutcome::Accepted]), None);
    }
}
