//! A batch while it is decided: what is new in it, and the append that comes of that. Pure.

use std::collections::{BTreeMap, HashSet};
use std::slice;

use domain::log_batch::{
    Admission, Judged, LogBatch, LogBatchAccepted, LogBatchEvent, LogRecord, LogReport, LogRules,
    admit, declared_id, to_keep,
};
use domain::log_source::LogSource;
use domain::{Code, Event, Position, Refusal, StreamKey};
use serde_json::Value;
use uuid::Uuid;

use super::sent::{Earlier, marked};
use super::{IngestLogs, RecordOutcome, SOURCE, at, receipt};
use crate::commands::envelope::Envelope;
use crate::commands::sealing::Keyring;
use crate::store::{
    Append, Basis, Decided, KnownIds, NewEvent, RecordIds, Rejected, StreamWrite, Tallies, digest,
};

/// What duplicates are counted as, beside the codes of refusals.
const DUPLICATE: &str = "DUPLICATE";

/// A batch whose records are judged, and told from each other: what is left to be found out is which of
/// their ids the log has.
pub(super) struct Batch<'a> {
    source_id: &'a str,
    /// The version of the source that its records were judged by.
    source_version: i64,
    envelope: &'a Envelope,
    /// Its stream's key.
    stream: Uuid,
    event_id: Uuid,
    /// Its new records, should the log have none of their ids; `None` if there are none.
    event: Option<Event>,
    /// Digests of the ids that those declare.
    hashes: Vec<Option<[u8; 16]>>,
    /// What becomes of each record then, in the caller's order.
    outcomes: Vec<RecordOutcome>,
    /// What is kept of those that were refused, by their places.
    rejected: Vec<(usize, Rejected)>,
}

impl<'a> Batch<'a> {
    /// Records of a source at a version, of which the log has some by the batch's own id.
    pub fn new(
        (source_id, source_version): (&'a str, i64),
        envelope: &'a Envelope,
        earlier: &Earlier,
        judged: impl Iterator<Item = Result<Judged, Refusal>>,
    ) -> Batch<'a> {
        let (mut outcomes, mut places, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for (place, verdict) in judged.enumerate() {
            let position = earlier.position(place);
            outcomes.push(match verdict {
                _ if position.is_some() => RecordOutcome::Known { position },
                Err(refusal) => RecordOutcome::Rejected(refusal.under(at(place))),
                Ok(Judged { record, redacted }) => {
                    places.push(place);
                    records.push(record);
                    RecordOutcome::Accepted { index: 0, redacted }
                }
            });
        }
        let admitted = admit(source_id, records, &HashSet::new());
        for (place, admission) in places.into_iter().zip(&admitted.outcomes) {
            let (index, differs) = match *admission {
                Admission::Repeated { first, differs } => (admitted.outcomes[first], Some(differs)),
                new => (new, None),
            };
            let Admission::Accepted { index } = index else {
                unreachable!("no id was said to be known")
            };
            match (&mut outcomes[place], differs) {
                (repeated, Some(differs)) => *repeated = RecordOutcome::Repeated { index, differs },
                (RecordOutcome::Accepted { index: at, .. }, None) => *at = index,
                _ => unreachable!("these were believed"),
            }
        }
        let event = admitted.event.map(LogBatchEvent::LogBatchAccepted);
        let mut batch = Batch {
            source_id,
            source_version,
            envelope,
            stream: earlier.stream,
            event_id: Uuid::now_v7(),
            event: event.map(Event::from),
            hashes: Vec::new(),
            outcomes,
            rejected: Vec::new(),
        };
        let hash = |id: &str| digest(&[declared_id(source_id, id).as_bytes()]);
        let ids = batch.records().iter().map(|r| r.event_id.as_deref());
        batch.hashes = ids.map(|id| id.map(hash)).collect();
        batch
    }

    /// Keeps something of the records that are refused, and of those that differ from the first of their id.
    pub fn keep_rejected(&mut self, batch: &IngestLogs, rules: &LogRules<'_>, bytes_max: usize) {
        let outcomes = self.outcomes.iter().enumerate();
        let refused = outcomes.filter_map(|(place, outcome)| Some((place, refusal(outcome)?)));
        let kept = refused.map(|(place, refusal)| {
            let record = match &batch.records[place] {
                Ok(report) => cut(&to_keep(report, rules), bytes_max),
                Err(_) => serde_json::json!({ "unread": true }).to_string(),
            };
            let rejected = Rejected {
                source: SOURCE,
                log_source: Some(batch.source.clone()),
                refusal,
                record,
            };
            (place, rejected)
        });
        self.rejected = kept.collect();
    }

    /// Whose keys are needed.
    pub fn subjects(&mut self) -> Vec<String> {
        let id = self.stream.to_string();
        let missing = |event| Keyring::none().missing::<LogBatch>(&id, slice::from_mut(event));
        self.batch_event().map(missing).unwrap_or_default()
    }

    /// Seals what is personal; the subjects' keys are at hand.
    pub fn seal(&mut self, keyring: &Keyring<'_>) {
        let (id, event_id) = (self.stream.to_string(), self.event_id);
        if let Some(event) = self.batch_event() {
            keyring.seal::<LogBatch>(&id, event_id, event);
        }
    }

    /// The declared ids of what is new in the batch.
    pub fn ids(&self, days: Option<u32>) -> RecordIds {
        let mut hashes: Vec<_> = self.hashes.iter().copied().flatten().collect();
        hashes.sort_unstable();
        RecordIds {
            batch: self.stream,
            hashes,
            days,
        }
    }

    /// What comes of it where the log has some of the ids.
    pub fn decide(&self, known: &KnownIds) -> Decided {
        let payload = |event: &Event| event.payload().expect("plain data with string keys");
        if known.is_empty() {
            return self.decided(self.event.as_ref().map(payload), self.outcomes.clone());
        }
        let position = |hash: &Option<[u8; 16]>| known.get(&(*hash)?).copied();
        let positions: Vec<Option<Option<Position>>> = self.hashes.iter().map(position).collect();
        let ids = self.records().iter().zip(&positions);
        let ids = ids.filter(|(_, position)| position.is_some());
        let ids: HashSet<String> = ids.filter_map(|(r, _)| r.event_id.clone()).collect();
        let admitted = admit(self.source_id, self.records().to_vec(), &ids);
        let now = |index: u32| {
            let index = index as usize;
            match admitted.outcomes[index] {
                Admission::Accepted { index } => Ok(index),
                _ => Err(RecordOutcome::Known {
                    position: positions[index].flatten(),
                }),
            }
        };
        let outcomes = self.outcomes.iter().map(|outcome| match outcome {
            RecordOutcome::Accepted { index, redacted } => now(*index).map_or_else(
                |known| known,
                |index| RecordOutcome::Accepted {
                    index,
                    redacted: redacted.clone(),
                },
            ),
            RecordOutcome::Repeated { index, differs } => now(*index).map_or_else(
                |known| known,
                |index| RecordOutcome::Repeated {
                    index,
                    differs: *differs,
                },
            ),
            settled => settled.clone(),
        });
        let outcomes = outcomes.collect();
        let event = admitted.event.map(LogBatchEvent::LogBatchAccepted);
        self.decided(event.map(Event::from).as_ref().map(payload), outcomes)
    }

    /// The append: one event at most, and the source as it was judged by.
    fn decided(&self, payload: Option<String>, outcomes: Vec<RecordOutcome>) -> Decided {
        let write = |stream, expected, events| StreamWrite {
            stream,
            expected,
            events,
            basis: Basis::default(),
        };
        let source = StreamKey::of::<LogSource>(self.source_id);
        let mut writes = vec![write(source, self.source_version, Vec::new())];
        if let (Some(payload), Some(event)) = (payload, &self.event) {
            let event = NewEvent {
                event_id: self.event_id,
                event_type: event.event_type(),
                event_version: event.event_version(),
                payload,
            };
            let stream = StreamKey::of::<LogBatch>(&self.stream.to_string());
            writes.push(write(stream, 0, vec![event]));
        }
        let rejected = self.rejected.iter();
        let rejected = rejected.filter(|(place, _)| refusal(&outcomes[*place]).is_some());
        let append = Append {
            command_id: self.envelope.command_id,
            fingerprint: self.envelope.fingerprint,
            remembered: true,
            writes,
            claims: Vec::new(),
            rejected: rejected.map(|(_, rejected)| rejected.clone()).collect(),
            receipt: receipt::write(self.source_id, &outcomes),
            metadata: marked(self.envelope, &outcomes),
        };
        Decided {
            append,
            tallies: self.tallies(&outcomes),
        }
    }

    /// Its new records, should the log have none of their ids.
    fn records(&self) -> &[LogRecord] {
        match &self.event {
            Some(Event::LogBatch(LogBatchEvent::LogBatchAccepted(LogBatchAccepted {
                records,
                ..
            }))) => records,
            _ => &[],
        }
    }

    fn batch_event(&mut self) -> Option<&mut LogBatchEvent> {
        match &mut self.event {
            Some(Event::LogBatch(event)) => Some(event),
            _ => None,
        }
    }

    /// How many of its records were not accepted, by code.
    fn tallies(&self, outcomes: &[RecordOutcome]) -> Tallies {
        let mut records = BTreeMap::new();
        for outcome in outcomes {
            let code = match outcome {
                RecordOutcome::Accepted { .. } => continue,
                RecordOutcome::Known { .. } | RecordOutcome::Repeated { differs: false, .. } => {
                    DUPLICATE
                }
                RecordOutcome::Repeated { differs: true, .. } => Code::DuplicateDiffers.as_str(),
                RecordOutcome::Rejected(refusal) => refusal.code.as_str(),
            };
            *records.entry(code).or_default() += 1;
        }
        Tallies {
            source: self.source_id.to_owned(),
            records,
        }
    }
}

/// Why a record is kept apart.
fn refusal(outcome: &RecordOutcome) -> Option<Refusal> {
    match outcome {
        RecordOutcome::Rejected(refusal) => Some(refusal.clone()),
        RecordOutcome::Repeated { differs: true, .. } => Some(Refusal::new(
            Code::DuplicateDiffers,
            "an earlier record of the batch has this id and says something else",
        )),
        _ => None,
    }
}

/// The record as far as it is kept: whole if it is no larger than that, and can be read again: JSON is not
/// read from some depth on.
fn cut(report: &LogReport, bytes_max: usize) -> String {
    let whole = serde_json::json!({ "record": report }).to_string();
    if whole.len() <= bytes_max && serde_json::from_str::<Value>(&whole).is_ok() {
        return whole;
    }
    let start: String = report.event_name.chars().take(64).collect();
    serde_json::json!({ "eventName": start, "cut": true, "bytes": whole.len() }).to_string()
}
