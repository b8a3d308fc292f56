//! When nothing is deployed: a span of time, or the same hours of each week.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

use crate::refusal::{Code, Refusal};
use crate::values::{TextRule, between, id, known, lasting, text, too_large};
use crate::words::words;
use crate::zone::Zone;

/// How many weekly windows one freeze may have: two a day.
pub const WINDOWS_MAX: usize = 14;
/// Minutes of a day, and of a week.
const DAY_MINUTES: u32 = 1_440;
const WEEK_MINUTES: u32 = 7 * DAY_MINUTES;
/// How far a clock on earth is from UTC at most, in minutes.
const OFFSET_MINUTES_MAX: i32 = 18 * 60;

words! {
    /// A day of the week.
    Weekday {
        Monday "monday" "The first.";
        Tuesday "tuesday" "The second.";
        Wednesday "wednesday" "The third.";
        Thursday "thursday" "The fourth.";
        Friday "friday" "The fifth.";
        Saturday "saturday" "The sixth.";
        Sunday "sunday" "The last.";
    }
}

/// An entry of an environment's freeze calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// Its name within the environment; free again once it is over.
    pub id: String,
    /// It begins then.
    pub from: DateTime<Utc>,
    /// It ends then; left out: when somebody lifts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Why, for those who are kept waiting.
    pub reason: String,
    /// Only within these hours of each week; none: all the time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekly: Vec<WeeklyWindow>,
}

/// The same hours of each week, by the clocks of a zone or by one that is never put forward or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WeeklyWindow {
    /// The day it begins on.
    pub day: Weekday,
    /// Minutes after that day's midnight at which it begins.
    pub start_minute: u32,
    /// How many minutes it takes, a week at most.
    pub minutes: u32,
    /// How many minutes the clock is ahead of UTC; 0 where a zone says whose clock it is.
    pub utc_offset_minutes: i32,
    /// Whose clocks it goes by: they are put forward and back, and it stays at their hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

/// What keeps an environment from being deployed to at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Which freeze.
    pub freeze_id: String,
    /// Why.
    pub reason: String,
    /// Until when; `None`: until somebody lifts it.
    pub until: Option<DateTime<Utc>>,
}

impl Freeze {
    pub(super) fn checked(&self, now: DateTime<Utc>) -> Result<Freeze, Refusal> {
        let from = known(self.from, "from")?;
        let until = self.until.map(|until| known(until, "until")).transpose()?;
        if let Some(until) = until {
            lasting(from, until, "until")?;
            if until <= now {
                let message = "the freeze is over already";
                return Err(Refusal::new(Code::Validation, message).at(["until"]));
            }
        }
        if self.weekly.len() > WINDOWS_MAX {
            let actual = self.weekly.len();
            return Err(too_large(actual, WINDOWS_MAX, "windows", "weekly"));
        }
        for (n, window) in self.weekly.iter().enumerate() {
            let place = ["weekly".to_owned(), n.to_string()];
            window.check().map_err(|refusal| refusal.under(place))?;
        }
        Ok(Freeze {
            id: id(&self.id, "freezeId")?,
            from,
            until,
            reason: text(TextRule::Reason, &self.reason, "reason")?.to_owned(),
            weekly: self.weekly.clone(),
        })
    }

    /// Until when it holds, if it holds at `now`.
    pub(super) fn holds(&self, now: DateTime<Utc>) -> Option<Frozen> {
        if now < self.from || self.until.is_some_and(|until| until <= now) {
            return None;
        }
        let until = if self.weekly.is_empty() {
            self.until
        } else {
            let ends = self.weekly.iter().filter_map(|window| window.ends(now));
            let end = ends.max()?;
            Some(self.until.map_or(end, |until| until.min(end)))
        };
        Some(Frozen {
            freeze_id: self.id.clone(),
            reason: self.reason.clone(),
            until,
        })
    }
}

impl WeeklyWindow {
    fn check(&self) -> Result<(), Refusal> {
        between(self.start_minute, 0..=DAY_MINUTES - 1, "startMinute")?;
        between(self.minutes, 1..=WEEK_MINUTES, "minutes")?;
        if self.utc_offset_minutes.abs() > OFFSET_MINUTES_MAX {
            let message = format!("utcOffsetMinutes is beyond {OFFSET_MINUTES_MAX} either way");
            return Err(Refusal::new(Code::OutOfRange, message)
                .at(["utcOffsetMinutes"])
                .with("max", OFFSET_MINUTES_MAX)
                .with("actual", self.utc_offset_minutes));
        }
        if self.zone.is_some() && self.utc_offset_minutes != 0 {
            let message = "a window goes by a zone or by utcOffsetMinutes, not by both";
            return Err(Refusal::new(Code::Validation, message).at(["zone"]));
        }
        Ok(())
    }

    /// When the window that `now` lies in ends; `None` outside. A window may reach into the next week.
    fn ends(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = self.shown(now)?;
        let of_week = local.weekday().num_days_from_monday() * DAY_MINUTES
            + local.hour() * 60
            + local.minute();
        let begins = self.day as u32 * DAY_MINUTES + self.start_minute;
        let since = (of_week + WEEK_MINUTES - begins) % WEEK_MINUTES;
        if since >= self.minutes {
            return None;
        }
        let minute = local.with_second(0)?.with_nanosecond(0)?;
        let end = minute.checked_add_signed(TimeDelta::minutes((self.minutes - since).into()))?;
        match self.zone {
            Some(zone) => zone.shows(end, now),
            None => Some(end.checked_sub_signed(self.ahead())?.and_utc()),
        }
    }

    /// What its clock shows.
    fn shown(&self, now: DateTime<Utc>) -> Option<NaiveDateTime> {
        match self.zone {
            Some(zone) => Some(zone.shown(now)),
            None => now.naive_utc().checked_add_signed(self.ahead()),
        }
    }

    fn ahead(&self) -> TimeDelta {
        TimeDelta::minutes(self.utc_offset_minutes.into())
    }
}
