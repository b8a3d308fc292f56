//! What the records of a source may be, how long they are kept, and what in them tells who somebody is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, between, excerpt, text, too_large};
use crate::words::words;

/// How many fields of its records a source may declare personal.
pub const PERSONAL_FIELDS_MAX: usize = 50;
/// How long anything of a source is kept at most, where there is a limit: a hundred years.
const DAYS_MAX: u32 = 36_500;
const DAY_SECONDS: u64 = 86_400;

words! {
    /// What a record is about.
    LogType {
        Behavioral "behavioral" "What somebody did.";
        Telemetry "telemetry" "What a device or a program measured.";
        Observability "observability" "What a program says of itself.";
        Error "error" "What went wrong.";
        Performance "performance" "How long something took, or how much it used.";
    }
}

words! {
    /// What is done with a personal field of a record.
    PersonalRule {
        Seal "seal" "It is stored sealed with a key of the record's user, and can be erased.";
        Refuse "refuse" "A record that carries it is rejected.";
    }
}

/// What the records of a source may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogLimits {
    /// How many bytes one record may take: its texts, and its objects as JSON. 1,024 to 262,144;
    /// default 65,536.
    pub record_bytes_max: u32,
    /// How many records a minute, 1 to 100,000,000. Default: what the caller's own quota allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_per_minute_max: Option<u32>,
    /// How many seconds a record's time may be behind the server's clock: a minute to ten years;
    /// default 7 days. A backfill is not bound by it.
    pub age_seconds_max: u32,
    /// How many seconds it may be ahead: 0 to a day; default 300. A backfill is bound by it too.
    pub ahead_seconds_max: u32,
}

impl Default for LogLimits {
    fn default() -> LogLimits {
        LogLimits {
            record_bytes_max: 65_536,
            records_per_minute_max: None,
            age_seconds_max: 7 * 86_400,
            ahead_seconds_max: 300,
        }
    }
}

impl LogLimits {
    pub(super) fn checked(self) -> Result<LogLimits, Refusal> {
        let under = |refusal: Refusal| refusal.under(["limits"]);
        let check = |value, bounds, field| between(value, bounds, field).map_err(under);
        check(self.record_bytes_max, 1_024..=262_144, "recordBytesMax")?;
        if let Some(records) = self.records_per_minute_max {
            check(records, 1..=100_000_000, "recordsPerMinuteMax")?;
        }
        check(self.age_seconds_max, 60..=315_360_000, "ageSecondsMax")?;
        check(self.ahead_seconds_max, 0..=86_400, "aheadSecondsMax")?;
        Ok(self)
    }
}

/// How long what a source handed in can be asked for. The log itself is not touched by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogRetention {
    /// Days a record can be found after it was recorded; left out: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Other days for records of some types.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub days_by_type: BTreeMap<LogType, u32>,
    /// Days a declared id is remembered, so that its record is not accepted again; left out: for
    /// ever. A backfill of what is older is accepted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_days: Option<u32>,
}

impl LogRetention {
    /// Days a record of this type can be found; `None`: for ever.
    pub fn days_of(&self, log_type: LogType) -> Option<u32> {
        self.days_by_type.get(&log_type).copied().or(self.days)
    }

    pub(super) fn checked(&self) -> Result<LogRetention, Refusal> {
        let check = |days: Option<u32>, field: &str, parents: &[&str]| {
            let checked = days.map_or(Ok(()), |days| between(days, 1..=DAYS_MAX, field));
            checked.map_err(|refusal| refusal.under(parents.iter().copied()))
        };
        check(self.days, "days", &["retention"])?;
        for (log_type, days) in &self.days_by_type {
            let parents = ["retention", "daysByType"];
            check(Some(*days), log_type.as_str(), &parents)?;
        }
        check(self.id_days, "idDays", &["retention"])?;
        Ok(self.clone())
    }

    /// Every id is remembered until a record of that id would be too old: else what is sent again
    /// late is accepted twice. The path names the field that was to be set.
    pub(super) fn outlasts(&self, limits: &LogLimits, path: [&str; 2]) -> Result<(), Refusal> {
        let window = u64::from(limits.age_seconds_max) + u64::from(limits.ahead_seconds_max);
        let Some(days) = self
            .id_days
            .filter(|d| u64::from(*d) * DAY_SECONDS < window)
        else {
            return Ok(());
        };
        let message = "ids would be forgotten while their records can still be accepted";
        Err(Refusal::new(Code::OutOfRange, message)
            .at(path)
            .with("idDays", days)
            .with("ageSecondsMax", limits.age_seconds_max)
            .with("aheadSecondsMax", limits.ahead_seconds_max))
    }
}

/// The fields of a source's records that tell who somebody is, by path, and what is done with them.
///
/// A path is `userId`, or `properties.` or `deviceInfo.` and a name; what is behind the first dot is
/// the name, dots and all. A user id is never stored as it was said, declared or not: records carry
/// a pseudonym of it, which can be asked for. Sealing it keeps the id itself beside the pseudonym.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonalFields(pub BTreeMap<String, PersonalRule>);

/// Where a personal field stands in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonalPath<'p> {
    /// The id of the record's user.
    UserId,
    /// A property of this name.
    Property(&'p str),
    /// What is said of the device under this name.
    Device(&'p str),
}

impl PersonalFields {
    /// Each field with what is done with it.
    pub fn iter(&self) -> impl Iterator<Item = (PersonalPath<'_>, PersonalRule)> {
        let known = self.0.iter();
        known.filter_map(|(path, rule)| Some((PersonalPath::of(path)?, *rule)))
    }

    pub(super) fn checked(&self) -> Result<PersonalFields, Refusal> {
        let under = |refusal: Refusal| refusal.under(["personalFields"]);
        if self.0.len() > PERSONAL_FIELDS_MAX {
            let field = "personalFields";
            let actual = self.0.len();
            return Err(too_large(actual, PERSONAL_FIELDS_MAX, "fields", field));
        }
        for path in self.0.keys() {
            let shown = excerpt(path);
            match PersonalPath::of(path) {
                Some(PersonalPath::UserId) => {}
                Some(PersonalPath::Property(name) | PersonalPath::Device(name)) => {
                    text(TextRule::Id, name, &shown).map_err(under)?;
                }
                None => {
                    let message = "a personal field is userId, properties.* or deviceInfo.*";
                    return Err(under(Refusal::new(Code::Validation, message).at([shown])));
                }
            }
        }
        Ok(self.clone())
    }
}

impl PersonalPath<'_> {
    fn of(path: &str) -> Option<PersonalPath<'_>> {
        let property = || path.strip_prefix("properties.").map(PersonalPath::Property);
        let device = || path.strip_prefix("deviceInfo.").map(PersonalPath::Device);
        let user = (path == "userId").then_some(PersonalPath::UserId);
        user.or_else(property).or_else(device)
    }
}
