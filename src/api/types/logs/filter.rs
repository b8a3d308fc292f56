//! Which log records are meant.

use async_graphql::InputObject;
use domain::{Code, Refusal};
use projections::logs::{LogFilter, PropertyEquals};

use super::words::{LogPriority, LogType};
use crate::api::failure::refusal_or_fault;
use crate::api::fault::Fault;
use crate::api::operation::Operation;
use crate::api::scalars::{DateTime, Json};
use crate::api::types::span::{invalid, span};

/// How many days a span has at most: ten years, so that no question reads for ever.
pub const SPAN_DAYS_MAX: i64 = 3_660;
/// How many characters a text has at most that is searched for.
const TEXT_CHARS_MAX: usize = 200;
/// How many properties are compared at most.
const PROPERTIES_MAX: usize = 20;
/// How many steps the way to a property has at most, and each step characters.
const PATH_MAX: (usize, usize) = (10, 200);

/// Which log records. Conditions add up. Types, times and `HIGH` are known to an index, and so are users and
/// sessions of up to 20,000 records; all else is looked for record by record.
#[derive(Clone, Debug, Default, InputObject)]
pub struct LogFilterInput {
    /// Of this source.
    source: Option<String>,
    /// Of these types; of any if none is named.
    types: Option<Vec<LogType>>,
    /// Of this name, to the letter.
    name: Option<String>,
    /// About the user whom the source calls so. Records show a pseudonym instead.
    user: Option<String>,
    /// About the user of this pseudonym, as records show it; not with `user`.
    pseudonym: Option<String>,
    /// Of this session.
    session: Option<String>,
    /// Said by this version of the program; empty: by none that was told.
    version: Option<String>,
    /// As urgent as this.
    priority: Option<LogPriority>,
    /// Whose property `provider_name` is this.
    provider: Option<String>,
    /// That happened from then on. A list with one end costs no more than a page of it.
    from: Option<DateTime>,
    /// That happened before then; at most ten years after `from`.
    to: Option<DateTime>,
    /// In whose name or properties, written as JSON without blanks, this text stands: 1 to 200 characters
    /// that mean themselves, letters of ASCII in capitals or not.
    text: Option<String>,
    /// Whose properties say all of this; at most 20.
    properties: Option<Vec<LogPropertyInput>>,
}

/// What a property of a log record must be.
#[derive(Clone, Debug, InputObject)]
pub struct LogPropertyInput {
    /// The way down to it: names of objects, numbers of lists from 0; 1 to 10 steps.
    path: Vec<String>,
    /// What is there. Numbers are equal by value, objects whatever the order of their names.
    equals: Json,
}

impl LogFilterInput {
    /// The filter in the read model's words. A user is known there by a pseudonym.
    pub fn read(self, operation: &Operation) -> Result<LogFilter, Fault> {
        if let (Some(from), Some(to)) = (self.from, self.to) {
            let (from, to) = span(from, to)?;
            if (to - from).num_days() > SPAN_DAYS_MAX {
                return Err(invalid("to", "the span is longer than ten years"));
            }
        }
        if let Some(text) = &self.text {
            must_be_short("text", text, TEXT_CHARS_MAX)?;
        }
        let mut properties = self.properties.unwrap_or_default();
        if let Some(provider) = self.provider {
            properties.push(LogPropertyInput {
                path: vec!["provider_name".to_owned()],
                equals: Json(provider.into()),
            });
        }
        if properties.len() > PROPERTIES_MAX {
            return Err(too_many("properties", PROPERTIES_MAX));
        }
        let properties = properties.into_iter().map(LogPropertyInput::read);
        Ok(LogFilter {
            source_id: self.source,
            event_types: of_types(self.types.unwrap_or_default()),
            event_name: self.name,
            user_id: pseudonym(operation, self.user, self.pseudonym)?,
            session_id: self.session,
            app_version: self.version,
            priority: self.priority.map(Into::into),
            from: self.from.map(|from| from.0),
            to: self.to.map(|to| to.0),
            text: self.text,
            properties: properties.collect::<Result<_, _>>()?,
        })
    }
}

/// Each once, whatever the order they were named in: a cursor is good for the same types.
fn of_types(types: Vec<LogType>) -> Vec<domain::log_source::LogType> {
    let mut types: Vec<_> = types.into_iter().map(Into::into).collect();
    types.sort_unstable();
    types.dedup();
    types
}

fn pseudonym(
    operation: &Operation,
    user: Option<String>,
    pseudonym: Option<String>,
) -> Result<Option<String>, Fault> {
    match (user, pseudonym) {
        (Some(_), Some(_)) => Err(invalid("pseudonym", "say either `user` or `pseudonym`")),
        (None, known) => Ok(known),
        (Some(user), None) => {
            let known = operation.parts.door.log_user(operation.tenant(), &user);
            let known = known.map_err(refusal_or_fault);
            known
                .map(Some)
                .map_err(|error| error.map_or_else(|fault| fault, Fault::from))
        }
    }
}

impl LogPropertyInput {
    fn read(self) -> Result<PropertyEquals, Fault> {
        let (steps, chars) = PATH_MAX;
        if self.path.is_empty() {
            return Err(invalid("path", "the way to a property has a step at least"));
        }
        if self.path.len() > steps {
            return Err(too_many("path", steps));
        }
        for step in &self.path {
            if step.chars().count() > chars {
                return Err(too_many("path", chars));
            }
        }
        let value = self.equals.0.into_json();
        Ok(PropertyEquals {
            path: self.path,
            value: value.map_err(|_| invalid("equals", "not a JSON value"))?,
        })
    }
}

fn must_be_short(field: &str, text: &str, most: usize) -> Result<(), Fault> {
    match text.chars().count() {
        0 => Err(invalid(field, "an empty text stands everywhere")),
        n if n > most => Err(too_many(field, most)),
        _ => Ok(()),
    }
}

fn too_many(field: &str, most: usize) -> Fault {
    let refusal = Refusal::new(Code::TooLarge, "more than is searched for").at([field]);
    refusal.with("limit", most).into()
}
