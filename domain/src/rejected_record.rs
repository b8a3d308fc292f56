//! A record that was rejected and is handed in again on purpose: once.
//!
//! That a record was refused is no event; refused records are kept beside the log for a while. What
//! stands in the log is that one of them was recovered, by whom, and which record it became.

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, id, optional_text};

/// What a rejected record can be told. Its id, that of its row, comes with the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum RejectedRecordCommand {
    /// It is accepted after all, as this record. The same record: already so; recovered as another
    /// one: `ALREADY_RECOVERED`.
    Recover {
        /// The batch that carries it.
        batch_id: String,
        /// Its index within the batch's event.
        index: u32,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
}

/// What happened to a rejected record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RejectedRecordEvent {
    /// It was accepted after all.
    #[serde(rename = "rejected_record.recovered")]
    RejectedRecordRecovered(RejectedRecordRecovered),
}

/// Recovered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RejectedRecordRecovered {
    /// The batch that carries it now.
    pub batch_id: String,
    /// Its index within the batch's event.
    pub index: u32,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The state a rejected record's events fold to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RejectedRecord {
    /// The batch and the index it has there; `None` as long as it was not recovered.
    pub recovered_as: Option<(String, u32)>,
}

impl Aggregate for RejectedRecord {
    const TYPE: &'static str = "rejected_record";
    type Command = RejectedRecordCommand;
    type Event = RejectedRecordEvent;

    fn decide(&self, command: &RejectedRecordCommand) -> Result<Vec<RejectedRecordEvent>, Refusal> {
        let RejectedRecordCommand::Recover {
            batch_id,
            index,
            reason,
        } = command;
        let recovered = RejectedRecordRecovered {
            batch_id: id(batch_id, "batchId")?,
            index: *index,
            reason: optional_text(TextRule::Reason, reason.as_deref(), "reason")?,
        };
        match &self.recovered_as {
            None => Ok(vec![RejectedRecordEvent::RejectedRecordRecovered(
                recovered,
            )]),
            Some((batch, at)) if (batch, at) == (&recovered.batch_id, index) => Ok(vec![]),
            Some((batch, at)) => {
                let message = "the record was recovered before";
                Err(Refusal::new(Code::AlreadyRecovered, message)
                    .with("batchId", batch.as_str())
                    .with("index", *at))
            }
        }
    }

    fn apply(&mut self, RejectedRecordEvent::RejectedRecordRecovered(e): &RejectedRecordEvent) {
        self.recovered_as = Some((e.batch_id.clone(), e.index));
    }

    fn weight_bytes(&self) -> usize {
        let batch = self.recovered_as.as_ref();
        size_of::<Self>() + batch.map_or(0, |(batch, _)| batch.capacity())
    }

    fn show(&self) -> serde_json::Value {
        let recovered = self.recovered_as.as_ref();
        let recovered = recovered.map(|(batch, index)| format!("{batch}:{index}"));
        serde_json::json!({ "recoveredAs": recovered })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::given::{check, refusal};

    fn recover(batch_id: &str, index: u32, reason: Option<&str>) -> RejectedRecordCommand {
        RejectedRecordCommand::Recover {
            batch_id: batch_id.to_owned(),
            index,
            reason: reason.map(str::to_owned),
        }
    }

    fn recovered(batch_id: &str, index: u32, reason: Option<&str>) -> RejectedRecordEvent {
        RejectedRecordEvent::RejectedRecordRecovered(RejectedRecordRecovered {
            batch_id: batch_id.to_owned(),
            index,
            reason: reason.map(str::to_owned),
        })
    }

    #[test]
    fn a_record_is_recovered_once() {
        let why = Some("The window was too narrow");
        let first = recovered("b-1", 3, why);
        check::<RejectedRecord>(
            &[],
            recover("b-1", 3, why),
            Ok(std::slice::from_ref(&first)),
        );
        let given = [first];
        check::<RejectedRecord>(&given, recover("b-1", 3, None), Ok(&[]));
        for other in [recover("b-1", 4, None), recover("b-2", 3, None)] {
            let refusal = refusal::<RejectedRecord>(&given, &other);
            assert_eq!(refusal.code, Code::AlreadyRecovered);
            assert_eq!(refusal.details["batchId"], json!("b-1"));
            assert_eq!(refusal.details["index"], json!(3));
        }
    }

    #[test]
    fn what_is_said_of_it_is_checked() {
        check::<RejectedRecord>(&[], recover("", 0, None), Err(Code::Validation));
        check::<RejectedRecord>(&[], recover("b-1", 0, Some(" ")), Err(Code::Validation));
        check::<RejectedRecord>(&[], recover("b\0", 0, None), Err(Code::BadText));
    }
}
