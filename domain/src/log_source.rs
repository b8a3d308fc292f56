//! A source of log records: what they may be, how long they are kept, and whether any are taken now.

mod policy;

pub use policy::{
    LogLimits, LogRetention, LogType, PERSONAL_FIELDS_MAX, PersonalFields, PersonalPath,
    PersonalRule,
};

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, text};

/// What a source can be told. Its id, which is what it is called, comes with the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum LogSourceCommand {
    /// Make it known. `ALREADY_EXISTS` whatever its settings.
    Register {
        /// What its records may be.
        limits: LogLimits,
        /// How long they are kept.
        retention: LogRetention,
        /// What in them tells who somebody is.
        personal_fields: PersonalFields,
        /// Because its first batch came, not because somebody asked for it.
        on_first_batch: bool,
    },
    /// Take other records from now on. The same limits: already so.
    SetLimits {
        /// All of them.
        limits: LogLimits,
    },
    /// Keep them for another time. The same: already so.
    SetRetention {
        /// All of it.
        retention: LogRetention,
    },
    /// Look for other personal fields from now on. What is in the log stays as it is.
    SetPersonalFields {
        /// All of them.
        personal_fields: PersonalFields,
    },
    /// Take nothing for now. Paused already: already so, whatever the reason.
    Pause {
        /// Why, for those who are turned away.
        reason: String,
    },
    /// Take records again.
    Resume,
}

/// What happened to a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LogSourceEvent {
    /// It is known.
    #[serde(rename = "log_source.registered")]
    LogSourceRegistered(LogSourceRegistered),
    /// Its records may be this.
    #[serde(rename = "log_source.limits_set")]
    LogLimitsSet(LogLimitsSet),
    /// They are kept for so long.
    #[serde(rename = "log_source.retention_set")]
    LogRetentionSet(LogRetentionSet),
    /// These of their fields are personal.
    #[serde(rename = "log_source.personal_fields_set")]
    PersonalFieldsSet(PersonalFieldsSet),
    /// Nothing is taken.
    #[serde(rename = "log_source.paused")]
    LogSourcePaused(LogSourcePaused),
    /// Records are taken again.
    #[serde(rename = "log_source.resumed")]
    LogSourceResumed(LogSourceResumed),
}

/// Known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogSourceRegistered {
    /// What its records may be.
    pub limits: LogLimits,
    /// How long they are kept.
    pub retention: LogRetention,
    /// What in them tells who somebody is.
    pub personal_fields: PersonalFields,
    /// Because its first batch came.
    pub on_first_batch: bool,
}

/// Limited anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogLimitsSet {
    /// All limits.
    pub limits: LogLimits,
}

/// Kept for another time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogRetentionSet {
    /// All of it.
    pub retention: LogRetention,
}

/// Personal from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PersonalFieldsSet {
    /// All of them.
    pub personal_fields: PersonalFields,
}

/// Paused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogSourcePaused {
    /// Why.
    pub reason: String,
}

/// Resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogSourceResumed {}

/// The state a source's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogSource {
    /// Known at all?
    pub registered: bool,
    /// What its records may be.
    pub limits: LogLimits,
    /// How long they are kept.
    pub retention: LogRetention,
    /// What in them tells who somebody is.
    pub personal_fields: PersonalFields,
    /// Why nothing is taken, if that is so.
    pub paused: Option<String>,
}

impl LogSource {
    /// `LOG_SOURCE_UNKNOWN` or `STREAM_PAUSED`, unless records are taken.
    pub fn must_take_records(&self) -> Result<(), Refusal> {
        if !self.registered {
            let message = "the source is not registered, and the caller may not register it";
            return Err(Refusal::new(Code::LogSourceUnknown, message).at(["source"]));
        }
        match &self.paused {
            None => Ok(()),
            Some(reason) => Err(Refusal::new(Code::StreamPaused, "the source is paused")
                .at(["source"])
                .with("reason", reason.as_str())),
        }
    }

    fn must_exist(&self) -> Result<(), Refusal> {
        if !self.registered {
            return Err(Refusal::new(Code::NotFound, "no such source"));
        }
        Ok(())
    }

    fn register(&self, asked: LogSourceRegistered) -> Result<Vec<LogSourceEvent>, Refusal> {
        if self.registered {
            let message = "the source exists already";
            return Err(Refusal::new(Code::AlreadyExists, message));
        }
        let registered = LogSourceRegistered {
            limits: asked.limits.checked()?,
            retention: asked.retention.checked()?,
            personal_fields: asked.personal_fields.checked()?,
            on_first_batch: asked.on_first_batch,
        };
        let (retention, limits) = (&registered.retention, &registered.limits);
        retention.outlasts(limits, ["retention", "idDays"])?;
        Ok(vec![LogSourceEvent::LogSourceRegistered(registered)])
    }
}

impl Aggregate for LogSource {
    const TYPE: &'static str = "log_source";
    type Command = LogSourceCommand;
    type Event = LogSourceEvent;
    const SHAPE: Option<Shape<LogSource>> = Some(Shape::json(1));

    fn decide(&self, command: &LogSourceCommand) -> Result<Vec<LogSourceEvent>, Refusal> {
        if !matches!(command, LogSourceCommand::Register { .. }) {
            self.must_exist()?;
        }
        let event = match command {
            LogSourceCommand::Register {
                limits,
                retention,
                personal_fields,
                on_first_batch,
            } => {
                return self.register(LogSourceRegistered {
                    limits: *limits,
                    retention: retention.clone(),
                    personal_fields: personal_fields.clone(),
                    on_first_batch: *on_first_batch,
                });
            }
            LogSourceCommand::SetLimits { limits } => {
                let limits = limits.checked()?;
                let path = ["limits", "ageSecondsMax"];
                self.retention.outlasts(&limits, path)?;
                let set = LogSourceEvent::LogLimitsSet(LogLimitsSet { limits });
                (limits != self.limits).then_some(set)
            }
            LogSourceCommand::SetRetention { retention } => {
                let retention = retention.checked()?;
                retention.outlasts(&self.limits, ["retention", "idDays"])?;
                let other = retention != self.retention;
                let set = LogSourceEvent::LogRetentionSet(LogRetentionSet { retention });
                other.then_some(set)
            }
            LogSourceCommand::SetPersonalFields { personal_fields } => {
                let personal_fields = personal_fields.checked()?;
                let other = personal_fields != self.personal_fields;
                let set = PersonalFieldsSet { personal_fields };
                other.then_some(LogSourceEvent::PersonalFieldsSet(set))
            }
            LogSourceCommand::Pause { reason } => {
                let reason = text(TextRule::Reason, reason, "reason")?.to_owned();
                let paused = LogSourceEvent::LogSourcePaused(LogSourcePaused { reason });
                self.paused.is_none().then_some(paused)
            }
            LogSourceCommand::Resume => {
                let resumed = LogSourceEvent::LogSourceResumed(LogSourceResumed {});
                self.paused.is_some().then_some(resumed)
            }
        };
        Ok(event.into_iter().collect())
    }

    fn apply(&mut self, event: &LogSourceEvent) {
        match event {
            LogSourceEvent::LogSourceRegistered(e) => {
                self.registered = true;
                self.limits = e.limits;
                self.retention.clone_from(&e.retention);
                self.personal_fields.clone_from(&e.personal_fields);
            }
            LogSourceEvent::LogLimitsSet(e) => self.limits = e.limits,
            LogSourceEvent::LogRetentionSet(e) => self.retention.clone_from(&e.retention),
            LogSourceEvent::PersonalFieldsSet(e) => {
                self.personal_fields.clone_from(&e.personal_fields);
            }
            LogSourceEvent::LogSourcePaused(e) => self.paused = Some(e.reason.clone()),
            LogSourceEvent::LogSourceResumed(_) => self.paused = None,
        }
    }

    fn weight_bytes(&self) -> usize {
        let reason = self.paused.as_ref().map_or(0, String::capacity);
        let fields = self.personal_fields.0.keys();
        let fields: usize = fields.map(|f| size_of_val(f) + f.capacity()).sum();
        size_of::<Self>() + reason + fields
    }
}

#[cfg(test)]
mod tests;
