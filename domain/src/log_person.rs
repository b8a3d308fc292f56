//! Somebody who is known by the log records about them alone: a user of a source, or whom a batch is about.
//!
//! Nobody registers them. What stands in the log is that what is personal of them was erased, and when.

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::log_batch::personal_subject;
use crate::refusal::{Code, Refusal};
use crate::values;

/// Whom log records are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPersonId {
    /// The user with this pseudonym, whatever the source.
    User(String),
    /// Whoever the records of this batch are about that name no user.
    Batch(String),
}

impl LogPersonId {
    /// The key of the stream, which is the subject that their personal values are sealed for.
    pub fn subject(&self) -> Result<String, Refusal> {
        match self {
            LogPersonId::User(pseudonym) => {
                let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if pseudonym.len() != 32 || !pseudonym.bytes().all(digits) {
                    let why = "a pseudonym has 32 hexadecimal digits, as `userId` of a log record shows it";
                    return Err(Refusal::new(Code::Validation, why).at(["pseudonym"]));
                }
                Ok(personal_subject("", Some(pseudonym)))
            }
            LogPersonId::Batch(id) => Ok(personal_subject(&values::id(id, "batchId")?, None)),
        }
    }
}

/// What can be done about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum LogPersonCommand {
    /// What is personal of them so far is erased. Again and again: more may have come since.
    ErasePersonalData,
}

/// What happened to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogPersonEvent {
    /// What was personal of them cannot be read any more.
    #[serde(rename = "log_person.personal_data_erased")]
    LogPersonErased(LogPersonErased),
}

/// The key of what was personal of them is destroyed. What comes later has another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogPersonErased {}

/// The state their events fold to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPerson {
    /// They were erased at least once.
    pub erased: bool,
}

impl Aggregate for LogPerson {
    const TYPE: &'static str = "log_person";
    type Command = LogPersonCommand;
    type Event = LogPersonEvent;

    fn decide(
        &self,
        LogPersonCommand::ErasePersonalData: &LogPersonCommand,
    ) -> Result<Vec<LogPersonEvent>, Refusal> {
        Ok(vec![LogPersonEvent::LogPersonErased(LogPersonErased {})])
    }

    fn apply(&mut self, LogPersonEvent::LogPersonErased(_): &LogPersonEvent) {
        self.erased = true;
    }

    fn show(&self) -> serde_json::Value {
        serde_json::json!({ "erased": self.erased })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::check;
    use crate::log_batch::is_personal_subject;

    #[test]
    fn they_are_erased_as_often_as_it_is_asked_for() {
        let erased = [LogPersonEvent::LogPersonErased(LogPersonErased {})];
        let erase = LogPersonCommand::ErasePersonalData;
        check::<LogPerson>(&[], erase.clone(), Ok(&erased));
        check::<LogPerson>(&erased, erase, Ok(&erased));
    }

    #[test]
    fn their_subject_is_that_of_their_records() {
        let pseudonym = "0123456789abcdef0123456789abcdef";
        let user = LogPersonId::User(pseudonym.to_owned());
        let subject = user.subject().expect("a pseudonym");
        assert_eq!(subject, personal_subject("b-1", Some(pseudonym)));
        assert!(is_personal_subject(&subject));
        let batch = LogPersonId::Batch("b-1".to_owned()).subject();
        let batch = batch.expect("a batch");
        assert_eq!(batch, personal_subject("b-1", None));
        assert!(is_personal_subject(&batch));
        assert!(!is_personal_subject("user_0123"));
        for bad in ["", "ann@example.org", &pseudonym.to_uppercase()] {
            let refusal = LogPersonId::User(bad.to_owned()).subject();
            assert_eq!(refusal.map_err(|r| r.code), Err(Code::Validation), "{bad}");
        }
    }
}
