//! A batch while it is decided: what is new in it, and the append that comes of that. Pure.

use std::collections::{BTreeMap, HashSet};

use domain::log_batch::{
    Admission, Judged, LogBatch, LogBatchAccepted, LogBatchEvent, LogRecord, LogReport, LogRules,
    admit, declared_id, to_keep,
};
use domain::log_source::LogSource;
use domain::{Code, Event, Refusal, StreamKey};
use uuid::Uuid;

use super::{IngestLogs, RecordOutcome, SOURCE, at, receipt};
use crate::commands::envelope::Envelope;
use crate::commands::sealing::Keyring;
use crate::store::{
    Append, Basis, KnownIds, NewEvent, RecordIds, Rejected, StreamWrite, Tallies, digest,
};

/// What duplicates are counted as, beside the codes of refusals.
const DUPLICATE: &str = "DUPLICATE";

/// A batch whose records are judged.
pub(super) struct Batch<'a> {
    source_id: &'a str,
    /// The version of the source that its records were judged by.
    source_version: i64,
    envelope: &'a Envelope,
    /// Its stream's key.
    id: String,
    /// What is believed, with its place in the batch.
    good: Vec<(usize, Judged)>,
    /// What is not.
    bad: Vec<(usize, Refusal)>,
}

impl<'a> Batch<'a> {
    pub fn new(
        source_id: &'a str,
        source_version: i64,
        envelope: &'a Envelope,
        judged: impl Iterator<Item = Result<Judged, Refusal>>,
    ) -> Batch<'a> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (i, verdict) in judged.enumerate() {
            match verdict {
                Ok(judged) => good.push((i, judged)),
                Err(refusal) => bad.push((i, refusal.under(at(i)))),
            }
        }
        Batch {
            source_id,
            source_version,
            envelope,
            id: envelope.command_id.to_string(),
            good,
            bad,
        }
    }

    /// Whose keys are needed.
    pub fn subjects(&self) -> Vec<String> {
        let records = self.good.iter().map(|(_, judged)| &judged.record);
        let personal = records.filter(|record| record.personal.is_some());
        let records: Vec<_> = personal.cloned().collect();
        let event = self.event(records);
        Keyring::none().missing::<LogBatch>(&self.id, &mut [event])
    }

    /// The declared ids of what is believed.
    pub fn ids(&self, days: Option<u32>) -> RecordIds {
        let records = self.good.iter().map(|(_, judged)| &judged.record);
        let declared = records.filter_map(|record| record.event_id.as_deref());
        let mut hashes: Vec<_> = declared.map(|id| self.hash(id)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        RecordIds {
            batch: self.envelope.command_id,
            hashes,
            days,
        }
    }

    /// Tells the new records from those the log has.
    pub fn admit(&self, known: &KnownIds) -> (Vec<RecordOutcome>, Option<LogBatchEvent>) {
        let n = self.good.len() + self.bad.len();
        let mut outcomes = vec![
            RecordOutcome::Known {
                position: known.batch
            };
            n
        ];
        for (i, refusal) in &self.bad {
            outcomes[*i] = RecordOutcome::Rejected(refusal.clone());
        }
        if known.batch.is_some() {
            return (outcomes, None);
        }
        let records = self.good.iter().map(|(_, judged)| judged.record.clone());
        let records: Vec<LogRecord> = records.collect();
        let declared = records.iter().filter_map(|r| r.event_id.clone());
        let ids: HashSet<String> = match known.ids.is_empty() {
            true => HashSet::new(),
            false => declared
                .filter(|id| known.ids.contains_key(&self.hash(id)))
                .collect(),
        };
        let admitted = admit(self.source_id, records, &ids);
        for ((i, judged), admission) in self.good.iter().zip(&admitted.outcomes) {
            outcomes[*i] = match *admission {
                Admission::Accepted { index } => RecordOutcome::Accepted {
                    index,
                    redacted: judged.redacted.clone(),
                },
                Admission::Known => RecordOutcome::Known {
                    position: judged
                        .record
                        .event_id
                        .as_deref()
                        .and_then(|id| known.ids.get(&self.hash(id)).copied()),
                },
                Admission::Repeated { first, differs } => match admitted.outcomes[first] {
                    Admission::Accepted { index } => RecordOutcome::Repeated { index, differs },
                    _ => unreachable!("the first of an id is accepted, or all of them are known"),
                },
            };
        }
        let event = admitted.event.map(LogBatchEvent::LogBatchAccepted);
        (outcomes, event)
    }

    /// The append: one event at most, and the source as it was judged by.
    pub fn append(
        &self,
        event: Option<LogBatchEvent>,
        outcomes: &[RecordOutcome],
        rejected: Vec<Rejected>,
        keyring: &Keyring<'_>,
    ) -> Append {
        let write = |stream, expected, events| StreamWrite {
            stream,
            expected,
            events,
            basis: Basis::default(),
        };
        let source = StreamKey::of::<LogSource>(self.source_id);
        let mut writes = vec![write(source, self.source_version, Vec::new())];
        if let Some(mut event) = event {
            let event_id = Uuid::now_v7();
            keyring.seal::<LogBatch>(&self.id, event_id, &mut event);
            let event = Event::from(event);
            let event = NewEvent {
                event_id,
                event_type: event.event_type(),
                event_version: event.event_version(),
                payload: event
                    .payload()
                    .expect("events are plain data with string keys"),
            };
            writes.push(write(StreamKey::of::<LogBatch>(&self.id), 0, vec![event]));
        }
        Append {
            command_id: self.envelope.command_id,
            fingerprint: self.envelope.fingerprint,
            writes,
            claims: Vec::new(),
            rejected,
            receipt: receipt::write(self.source_id, outcomes),
            metadata: self.envelope.metadata.clone(),
        }
    }

    /// How many of its records were not accepted, by code.
    pub fn tallies(&self, outcomes: &[RecordOutcome]) -> Tallies {
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

    fn event(&self, records: Vec<LogRecord>) -> LogBatchEvent {
        LogBatchEvent::LogBatchAccepted(LogBatchAccepted {
            source_id: self.source_id.to_owned(),
            records,
        })
    }

    fn hash(&self, event_id: &str) -> [u8; 16] {
        digest(&[declared_id(self.source_id, event_id).as_bytes()])
    }
}

/// What is kept of a batch's refused records, and of those that differ from the first of their id.
pub(super) fn rejected(
    batch: &IngestLogs,
    outcomes: &[RecordOutcome],
    rules: &LogRules<'_>,
    bytes_max: usize,
) -> Vec<Rejected> {
    let records = batch.records.iter().zip(outcomes);
    let kept = records.filter_map(|(record, outcome)| {
        let refusal = match outcome {
            RecordOutcome::Rejected(refusal) => refusal.clone(),
            RecordOutcome::Repeated { differs: true, .. } => Refusal::new(
                Code::DuplicateDiffers,
                "an earlier record of the batch has this id and says something else",
            ),
            _ => return None,
        };
        let record = match record {
            Ok(report) => cut(&to_keep(report, rules), bytes_max),
            Err(_) => serde_json::json!({ "unread": true }).to_string(),
        };
        Some(Rejected {
            source: SOURCE,
            log_source: Some(batch.source.clone()),
            refusal,
            record,
        })
    });
    kept.collect()
}

fn cut(report: &LogReport, bytes_max: usize) -> String {
    let whole = serde_json::json!({ "record": report }).to_string();
    if whole.len() <= bytes_max {
        return whole;
    }
    let start: String = report.event_name.chars().take(64).collect();
    serde_json::json!({ "eventName": start, "cut": true, "bytes": whole.len() }).to_string()
}
