//! A batch's outcomes as they are stored, so that a retry is told the same, and who asks later.

use std::collections::BTreeMap;

use domain::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{LogsReceipt, RecordOutcome};
use crate::commands::Receipt;
use crate::commands::refused::StoredRefusal;
use crate::store::Appended;

/// What is not accepted, or not as it was said. What is accepted has the next index each time.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    /// Whose records.
    #[serde(default)]
    source: String,
    /// How many there were.
    #[serde(default)]
    records: usize,
    /// Places in the batch by the position of the record that is known; 0: nobody knows where.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    known: BTreeMap<i64, Vec<usize>>,
    /// Place in the batch, index of the first, and whether they differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    repeated: Vec<(usize, u32, bool)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<StoredRefusal>,
    /// Where secrets were taken out of what is accepted, by its place in the batch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    redacted: BTreeMap<usize, Vec<String>>,
}

/// Nothing to store if all were accepted as they were said.
pub(super) fn write(source: &str, outcomes: &[RecordOutcome]) -> Option<String> {
    let mut stored = Stored {
        source: source.to_owned(),
        records: outcomes.len(),
        ..Stored::default()
    };
    let mut is_plain = true;
    for (place, outcome) in outcomes.iter().enumerate() {
        match outcome {
            RecordOutcome::Accepted { redacted, .. } if redacted.is_empty() => continue,
            RecordOutcome::Accepted { redacted, .. } => {
                stored.redacted.insert(place, redacted.clone());
            }
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
        is_plain = false;
    }
    (!is_plain).then(|| serde_json::to_string(&stored).expect("plain data"))
}

/// The receipt of a batch of `n` records.
pub(super) fn read(first: &Appended, batch_id: Uuid, n: usize) -> LogsReceipt {
    read_stored(first, stored(first), batch_id, n)
}

/// Whose batch it was and its receipt. Where all were accepted as they were said, the receipt does not say
/// so: the log holds whose they are and how many. `None` if it was no batch.
pub(super) fn read_later(
    first: &Appended,
    batch_id: Uuid,
    accepted: Option<(String, usize)>,
) -> Option<(String, LogsReceipt)> {
    let stored = stored(first);
    let (source, records) = match stored.source.is_empty() {
        true => accepted?,
        false => (stored.source.clone(), stored.records),
    };
    let receipt = read_stored(first, stored, batch_id, records);
    Some((source, receipt))
}

fn stored(first: &Appended) -> Stored {
    let stored = first.receipt.as_deref();
    let stored = stored.and_then(|receipt| serde_json::from_str(receipt).ok());
    stored.unwrap_or_default()
}

fn read_stored(first: &Appended, mut stored: Stored, batch_id: Uuid, n: usize) -> LogsReceipt {
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
    let places = places.into_iter().enumerate();
    let outcomes = places.map(|(place, outcome)| {
        outcome.unwrap_or_else(|| RecordOutcome::Accepted {
            index: next.next().expect("a batch is bounded"),
            redacted: stored.redacted.remove(&place).unwrap_or_default(),
        })
    });
    LogsReceipt {
        outcomes: outcomes.collect(),
        receipt: Receipt::from(first),
        batch_id: batch_id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use domain::{Code, Refusal};

    use super::*;

    fn accepted(index: u32, redacted: &[&str]) -> RecordOutcome {
        RecordOutcome::Accepted {
            index,
            redacted: redacted.iter().map(ToString::to_string).collect(),
        }
    }

    fn first(receipt: Option<String>) -> Appended {
        Appended {
            position: Position(9),
            version: 1,
            replayed: true,
            receipt,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let refusal = Refusal::new(Code::UnknownEventType, "no such type")
            .at(["logs", "3", "eventType"])
            .with("actual", "metric");
        let outcomes = vec![
            RecordOutcome::Known {
                position: Some(Position(7)),
            },
            accepted(0, &[]),
            RecordOutcome::Repeated {
                index: 0,
                differs: true,
            },
            RecordOutcome::Rejected(refusal),
            accepted(1, &["properties.password", "deviceInfo.token"]),
            RecordOutcome::Known { position: None },
        ];
        let kept = first(write("shop", &outcomes));
        assert_eq!(read(&kept, Uuid::nil(), 6).outcomes, outcomes);
        assert_eq!(write("shop", &outcomes[1..2]), None);

        let (source, later) = read_later(&kept, Uuid::nil(), None).expect("a batch");
        assert_eq!((&*source, later.outcomes), ("shop", outcomes));
        let of_event = Some(("shop".to_owned(), 2));
        let (source, later) = read_later(&first(None), Uuid::nil(), of_event).expect("a batch");
        let all = vec![accepted(0, &[]), accepted(1, &[])];
        assert_eq!((&*source, later.outcomes), ("shop", all));
    }

    #[test]
    fn what_is_no_batch_has_no_receipt_of_one() {
        let of_positions = r#"{"rejected":[]}"#.to_owned();
        for receipt in [None, Some(of_positions)] {
            assert_eq!(read_later(&first(receipt), Uuid::nil(), None), None);
        }
    }
}
