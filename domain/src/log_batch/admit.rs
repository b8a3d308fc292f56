//! Which records are new: the state of a batch, and the rule of duplicates.

use std::collections::{HashMap, HashSet};

use super::{LogBatchAccepted, LogBatchEvent, LogRecord, RECORDS_MAX};
use crate::aggregate::Aggregate;
use crate::external::joined;
use crate::personal::PersonalField;
use crate::refusal::{Code, Refusal};
use crate::values::too_large;

/// What is sealed of a record, as its seal names it.
pub const PERSONAL_FIELD: &str = "record";

/// What the subject of a user is called by, before the pseudonym.
const USER_SUBJECT: &str = "log_user";

/// Judged records of one source, none of whose ids the log has.
#[derive(Clone, Debug, PartialEq)]
pub struct LogBatchCommand(pub LogBatchAccepted);

/// Was the batch accepted?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// Then nothing more happens to it.
    pub accepted: bool,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    /// The accepted records, in the batch's order; `None` if the log has them all.
    pub event: Option<LogBatchAccepted>,
    /// One per record of the batch, in its order.
    pub outcomes: Vec<Admission>,
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new.
    Accepted {
        /// Its index within the event.
        index: u32,
    },
    /// An earlier record of this batch declares the same id.
    Repeated {
        /// Which one, by its place among the batch's records.
        first: usize,
        /// It does not say the same as that one.
        differs: bool,
    },
    /// A record of an earlier batch declares the same id; the log says which.
    Known,
}

/// What is unique of an id a source declared: no two ids of two sources are the same.
pub fn declared_id(source_id: &str, event_id: &str) -> String {
    joined(&[source_id, event_id])
}

/// Whom what is personal of a record is about: its user, known by a pseudonym whatever the source; where
/// there is none, the batch it came with.
pub fn personal_subject(batch_id: &str, user_id: Option<&str>) -> String {
    match user_id {
        Some(pseudonym) => format!("{USER_SUBJECT}:{pseudonym}"),
        None => format!("{}:{batch_id}", LogBatch::TYPE),
    }
}

/// Is this the subject of somebody whom log records alone are about?
pub fn is_personal_subject(subject: &str) -> bool {
    let kind = subject.split_once(':').map(|(kind, _)| kind);
    kind.is_some_and(|kind| kind == USER_SUBJECT || kind == LogBatch::TYPE)
}

/// Tells the new records from those whose id was declared before, here or in the log: the first
/// accepted stays. A record without an id is always new: two equal ones may both be true.
pub fn admit(source_id: &str, records: Vec<LogRecord>, known: &HashSet<String>) -> Admitted {
    let outcomes = outcomes(&records, known);
    let kept = records.into_iter().zip(&outcomes);
    let kept = kept.filter(|(_, outcome)| matches!(outcome, Admission::Accepted { .. }));
    let records: Vec<LogRecord> = kept.map(|(record, _)| record).collect();
    let event = (!records.is_empty()).then(|| LogBatchAccepted {
        source_id: source_id.to_owned(),
        records,
    });
    Admitted { event, outcomes }
}

fn outcomes(records: &[LogRecord], known: &HashSet<String>) -> Vec<Admission> {
    let mut firsts: HashMap<&str, usize> = HashMap::new();
    let mut accepted = 0;
    let outcomes = records.iter().enumerate().map(|(place, record)| {
        if let Some(event_id) = record.event_id.as_deref() {
            if known.contains(event_id) {
                return Admission::Known;
            }
            let first = *firsts.entry(event_id).or_insert(place);
            if first != place {
                let differs = records[first] != *record;
                return Admission::Repeated { first, differs };
            }
        }
        let index = accepted;
        accepted += 1;
        Admission::Accepted { index }
    });
    outcomes.collect()
}

impl Aggregate for LogBatch {
    const TYPE: &'static str = "log_batch";
    type Command = LogBatchCommand;
    type Event = LogBatchEvent;

    fn decide(
        &self,
        LogBatchCommand(batch): &LogBatchCommand,
    ) -> Result<Vec<LogBatchEvent>, Refusal> {
        if self.accepted {
            return Ok(vec![]);
        }
        let count = batch.records.len();
        if count == 0 {
            let message = "a batch has at least one record";
            return Err(Refusal::new(Code::Validation, message).at(["records"]));
        }
        if count > RECORDS_MAX {
            return Err(too_large(count, RECORDS_MAX, "records", "records"));
        }
        let none = HashSet::new();
        let admitted = admit(&batch.source_id, batch.records.clone(), &none);
        let event = admitted.event.map(LogBatchEvent::LogBatchAccepted);
        Ok(event.into_iter().collect())
    }

    fn apply(&mut self, LogBatchEvent::LogBatchAccepted(_): &LogBatchEvent) {
        self.accepted = true;
    }

    fn personal<'e>(id: &str, event: &'e mut LogBatchEvent) -> Vec<PersonalField<'e>> {
        let LogBatchEvent::LogBatchAccepted(event) = event;
        let fields = event.records.iter_mut().filter_map(|record| {
            let subject = personal_subject(id, record.user_id.as_deref());
            let value = record.personal.as_mut()?;
            let field = PERSONAL_FIELD;
            Some(PersonalField {
                subject,
                field,
                value,
            })
        });
        fields.collect()
    }

    fn show(&self) -> serde_json::Value {
        serde_json::json!({ "accepted": self.accepted })
    }
}
