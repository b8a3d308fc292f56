//! A batch that is sent again when its receipt is forgotten: what is in the log of it, by what its event says
//! of it.
//!
//! A batch under a declared id is a stream whose key follows from that id. Sent again, its records that are
//! there are told so, and the others are judged anew: what is accepted now goes into a further stream, whose
//! key follows from the first one's. So nothing is there twice, and nothing is told to be there that is not.

use std::ops::RangeInclusive;
use std::sync::Arc;

use domain::log_batch::LogBatch;
use domain::{Aggregate, Metadata, Position};
use uuid::Uuid;

use super::RecordOutcome;
use crate::commands::envelope::{Envelope, key_reused};
use crate::commands::{CommandError, Door};
use crate::store::{AppendError, digest};

/// What is in the log of a batch that is handed in.
pub(super) struct Earlier {
    /// Where records are, by their places in the batch; whoever is not among them is not there.
    positions: Vec<Option<Position>>,
    /// The stream for what is accepted now.
    pub stream: Uuid,
}

impl Earlier {
    /// Nothing, as is most often so.
    pub fn nothing(envelope: &Envelope) -> Earlier {
        Earlier {
            positions: Vec::new(),
            stream: envelope.command_id,
        }
    }

    /// Where the record of this place is, if it is there.
    pub fn position(&self, place: usize) -> Option<Position> {
        self.positions.get(place).copied().flatten()
    }
}

impl Door {
    /// What is in the log of a batch of `n` records whose stream is there, though its receipt is forgotten.
    /// Fails if the id was used for another batch, or nobody can tell any more.
    pub(super) async fn earlier(
        &self,
        tenant: &Arc<str>,
        envelope: &Envelope,
        n: usize,
    ) -> Result<Earlier, CommandError> {
        let mut earlier = Earlier {
            positions: vec![None; n],
            ..Earlier::nothing(envelope)
        };
        // As many as there were times when something was accepted, and each time something was.
        loop {
            let id = earlier.stream.to_string();
            let ids = [&*id];
            let found = self.store.first_events(tenant, LogBatch::TYPE, &ids);
            let Some(event) = found.await?.pop() else {
                // Its partition is archived: whatever it holds must not come in twice.
                let is_first = earlier.stream == envelope.command_id;
                return if is_first {
                    Err(key_reused().into())
                } else {
                    Ok(earlier)
                };
            };
            let metadata: Metadata = serde_json::from_str(&event.metadata).unwrap_or_default();
            if metadata.batch_fingerprint != Some(spelled(&envelope.fingerprint)) {
                return Err(key_reused().into());
            }
            let left_out = metadata.batch_left_out.unwrap_or_default();
            let left_out = ranges(&left_out);
            for (place, position) in earlier.positions.iter_mut().enumerate() {
                if !left_out.iter().any(|range| range.contains(&place)) {
                    position.get_or_insert(event.position);
                }
            }
            let next = digest(&[earlier.stream.as_bytes(), b"again"]);
            earlier.stream = Uuid::from_bytes(next);
        }
    }
}

/// Was nothing appended because the batch's stream is there already?
pub(super) fn is_there(error: &AppendError) -> bool {
    matches!(error, AppendError::Conflict { stream, .. } if stream.aggregate_type == LogBatch::TYPE)
}

/// The metadata of a batch's event: if its id was declared, with what it is known by.
pub(super) fn marked(envelope: &Envelope, outcomes: &[RecordOutcome]) -> String {
    if !envelope.declared {
        return envelope.metadata.clone();
    }
    let metadata: Metadata = serde_json::from_str(&envelope.metadata).expect("it was just written");
    let places = outcomes.iter().enumerate();
    let others = places.filter(|(_, o)| !matches!(o, RecordOutcome::Accepted { .. }));
    let left_out = written(others.map(|(place, _)| place));
    let metadata = Metadata {
        batch_fingerprint: Some(spelled(&envelope.fingerprint)),
        batch_left_out: (!left_out.is_empty()).then_some(left_out),
        ..metadata
    };
    serde_json::to_string(&metadata).expect("a flat struct of strings")
}

fn spelled(fingerprint: &[u8; 16]) -> String {
    Uuid::from_bytes(*fingerprint).simple().to_string()
}

/// Ascending places as `0-2,7`.
fn written(places: impl Iterator<Item = usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for place in places {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == place => *last = place,
            _ => ranges.push((place, place)),
        }
    }
    let written = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    written.collect::<Vec<_>>().join(",")
}

/// What [`written`] wrote.
fn ranges(written: &str) -> Vec<RangeInclusive<usize>> {
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    written.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_and_read() {
        for (places, text) in [
            (&[][..], ""),
            (&[0], "0"),
            (&[0, 1, 2, 7], "0-2,7"),
            (&[3, 5, 6, 999], "3,5-6,999"),
        ] {
            assert_eq!(written(places.iter().copied()), text);
            let read: Vec<usize> = ranges(text).into_iter().flatten().collect();
            assert_eq!(read, places);
        }
    }
}
