//! Activities: what somebody did from one time to another, as a source tells it, and what of it counts.

mod flags;
mod overlap;
mod scoring;

pub use flags::{ActivityFlag, ActivityRules};
pub use overlap::{Counted, Shadow, count_once};
pub use scoring::{Run, counting, longest_run, tallies};

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::competition::Metric;
use crate::digest::Digest;
use crate::refusal::{Code, Refusal};
use crate::score::Score;
use crate::values::{TextRule, after, id, known, not_before, optional_text, text, too_large};

/// How many seconds ahead of our clock an activity may end: clocks differ.
pub const AHEAD_ACTIVITY_SECONDS_MAX: u32 = 300;
/// How long an activity may last, in days.
pub const ACTIVITY_DAYS_MAX: i64 = 7;
/// What a measure may be at most: sums of millions of them are exact.
pub const MEASURE_MAX: i64 = 1_000_000_000_000;
/// How many measures of its own an activity may have.
pub const CUSTOM_MEASURES_MAX: usize = 10;
/// How far a clock on a wall may be from UTC, in minutes.
const OFFSET_MINUTES_MAX: i16 = 24 * 60 - 1;

/// What an activity is known by: unique among the activities of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActivityRef {
    /// Who tells of it, such as `fitbit`.
    pub source: String,
    /// What it is called there.
    pub external_id: String,
}

/// How much was done. What was not measured is left out, which is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Measures {
    /// Steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<i64>,
    /// Distance, in millimetres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_mm: Option<i64>,
    /// Energy, in kilocalories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calories_kcal: Option<i64>,
    /// Minutes of activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_minutes: Option<i64>,
    /// Measures of other names, at most [`CUSTOM_MEASURES_MAX`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, i64>,
}

/// What somebody did from one time to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Activity {
    /// Who tells of it, such as `fitbit`.
    pub source: String,
    /// What it is called there.
    pub external_id: String,
    /// Which device of the source measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What it was, such as `walking`.
    pub kind: String,
    /// When it began.
    pub start: DateTime<Utc>,
    /// When it was over; not before it began.
    pub end: DateTime<Utc>,
    /// How far clocks there were ahead of UTC, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_minutes: Option<i16>,
    /// Was it entered by hand?
    #[serde(default)]
    pub manual: bool,
    /// How much was done.
    pub measures: Measures,
}

impl ActivityRef {
    /// With both texts checked.
    pub fn checked(&self) -> Result<ActivityRef, Refusal> {
        Ok(ActivityRef {
            source: id(&self.source, "source")?,
            external_id: id(&self.external_id, "externalId")?,
        })
    }
}

impl Measures {
    /// How much of a metric was done, if it was measured; nothing of [`Metric::Submitted`].
    pub fn of(&self, metric: &Metric) -> Option<Score> {
        let units = match metric {
            Metric::Steps => self.steps,
            Metric::Distance => self.distance_mm,
            Metric::Calories => self.calories_kcal,
            Metric::ActiveMinutes => self.active_minutes,
            Metric::Custom(name) => self.custom.get(name).copied(),
            Metric::Submitted => None,
        };
        Score::of_units(units?, "measure").ok()
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, i64)> {
        let named = [
            ("steps", self.steps),
            ("distanceMm", self.distance_mm),
            ("caloriesKcal", self.calories_kcal),
            ("activeMinutes", self.active_minutes),
        ];
        named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }

    fn checked(&self) -> Result<Measures, Refusal> {
        let under = |refusal: Refusal| refusal.under(["measures"]);
        for (name, value) in self.named() {
            check_measure(value, name).map_err(under)?;
        }
        if self.custom.len() > CUSTOM_MEASURES_MAX {
            let (actual, max) = (self.custom.len(), CUSTOM_MEASURES_MAX);
            return Err(under(too_large(actual, max, "measures", "custom")));
        }
        for (name, value) in &self.custom {
            let at_custom = |refusal: Refusal| refusal.under(["measures", "custom"]);
            id(name, "name").map_err(at_custom)?;
            check_measure(*value, name).map_err(at_custom)?;
        }
        if self.custom.is_empty() && self.named().next().is_none() {
            let message = "nothing was measured";
            return Err(Refusal::new(Code::Validation, message).at(["measures"]));
        }
        Ok(self.clone())
    }
}

fn check_measure(value: i64, field: &str) -> Result<(), Refusal> {
    if (0..=MEASURE_MAX).contains(&value) {
        return Ok(());
    }
    let message = format!("{field} is not within 0 to {MEASURE_MAX}");
    Err(Refusal::new(Code::OutOfRange, message)
        .at([field])
        .with("min", 0)
        .with("max", MEASURE_MAX)
        .with("actual", value))
}

impl Activity {
    /// With every text, time and measure checked.
    pub fn checked(&self, now: DateTime<Utc>) -> Result<Activity, Refusal> {
        let named = self.named().checked()?;
        let start = known(self.start, "start")?;
        let end = known(self.end, "end")?;
        not_before(end, "end", start, "start")?;
        if end > after(now, AHEAD_ACTIVITY_SECONDS_MAX) {
            let message = "the activity ends in the future";
            return Err(Refusal::new(Code::ActivityInFuture, message)
                .at(["end"])
                .with("maxSeconds", AHEAD_ACTIVITY_SECONDS_MAX)
                .with("actualSeconds", (end - now).num_seconds()));
        }
        if end - start > TimeDelta::days(ACTIVITY_DAYS_MAX) {
            let message = format!("the activity lasts longer than {ACTIVITY_DAYS_MAX} days");
            return Err(Refusal::new(Code::OutOfRange, message)
                .at(["end"])
                .with("maxDays", ACTIVITY_DAYS_MAX));
        }
        let offsets = -OFFSET_MINUTES_MAX..=OFFSET_MINUTES_MAX;
        if let Some(offset) = self.offset_minutes.filter(|o| !offsets.contains(o)) {
            let message = "a clock is less than a day from UTC";
            return Err(Refusal::new(Code::OutOfRange, message)
                .at(["offsetMinutes"])
                .with("actual", offset));
        }
        Ok(Activity {
            source: named.source,
            external_id: named.external_id,
            device: optional_text(TextRule::Key, self.device.as_deref(), "device")?,
            kind: text(TextRule::Key, &self.kind, "kind")?.to_owned(),
            measures: self.measures.checked()?,
            ..self.clone()
        })
    }

    /// What it is known by.
    pub fn named(&self) -> ActivityRef {
        ActivityRef {
            source: self.source.clone(),
            external_id: self.external_id.clone(),
        }
    }

    /// Equal for equal content.
    pub(crate) fn digest(&self) -> u64 {
        let mut digest = Digest(20);
        let mut optional = |text: Option<&str>| match text {
            Some(text) => {
                digest.word(1);
                digest.text(text);
            }
            None => digest.word(0),
        };
        optional(Some(&self.source));
        optional(Some(&self.external_id));
        optional(self.device.as_deref());
        optional(Some(&self.kind));
        digest.word(self.start.timestamp_micros() as u64);
        digest.word(self.end.timestamp_micros() as u64);
        digest.word(
            self.offset_minutes
                .map_or(0, |o| 0x1_0000 + u64::from(o as u16)),
        );
        digest.word(u64::from(self.manual));
        for (name, value) in self.measures.named() {
            digest.text(name);
            digest.word(value as u64);
        }
        digest.word(self.measures.custom.len() as u64);
        for (name, value) in &self.measures.custom {
            digest.text(name);
            digest.word(*value as u64);
        }
        digest.0
    }
}

#[cfg(test)]
mod tests;
