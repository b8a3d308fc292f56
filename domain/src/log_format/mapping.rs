//! Objects of other systems: which of their names are a record's fields. The rest are properties.

use serde_json::{Map, Value};

use super::unreadable;
use crate::log_batch::LogReport;
use crate::log_source::LogType;
use crate::refusal::Refusal;

/// Which name is which field. What is taken from within an object stays there as well.
pub(super) struct Mapping {
    event_id: &'static str,
    timestamp: &'static str,
    event_name: &'static str,
    /// The way down to the user's id.
    user_id: &'static [&'static str],
    /// What all of them are about.
    event_type: LogType,
}

/// `{"id","dt","repo","type","actor",...}`
pub(super) const GH_ARCHIVE: Mapping = Mapping {
    event_id: "id",
    timestamp: "dt",
    event_name: "type",
    user_id: &["actor"],
    event_type: LogType::Behavioral,
};

/// `{"id","type","actor":{"login",...},"repo","payload","created_at",...}`
pub(super) const GITHUB: Mapping = Mapping {
    event_id: "id",
    timestamp: "created_at",
    event_name: "type",
    user_id: &["actor", "login"],
    event_type: LogType::Behavioral,
};

impl Mapping {
    pub(super) fn report(&self, mut object: Map<String, Value>) -> Result<LogReport, Refusal> {
        let mut take = |name: &'static str| match object.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(unreadable("the object lacks a text of this name").at([name])),
        };
        let event_id = take(self.event_id)?;
        let timestamp = take(self.timestamp)?;
        let event_name = take(self.event_name)?;
        let user_id = match self.user_id {
            [name] => Some(take(name)?),
            [name, below @ ..] => below
                .iter()
                .try_fold(object.get(*name), |at, name| Some(at?.get(name)))
                .flatten()
                .and_then(Value::as_str)
                .map(str::to_owned),
            [] => None,
        };
        Ok(LogReport {
            event_id: Some(event_id),
            timestamp,
            event_type: self.event_type.as_str().to_owned(),
            event_name,
            user_id,
            properties: object.into(),
            ..LogReport::default()
        })
    }
}
