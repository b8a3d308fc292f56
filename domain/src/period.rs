//! Periods by the calendar of a zone: days of 23, 24 and 25 hours, ISO weeks, months, and lists.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta, Utc, Weekday};
use serde::{Deserialize, Serialize};

use crate::refusal::{Code, Refusal};
use crate::values::{id, known, lasting, not_before, too_large};
use crate::zone::Zone;

/// How many periods a list may have.
pub const CUSTOM_PERIODS_MAX: usize = 366;

/// The key of the one period that lasts from the first to the last moment.
pub const ALL_TIME_KEY: &str = "all";

/// The years of first days of periods: the week that 1970 begins in began the year before. Beyond
/// them calendars end, and what clocks show there cannot be told.
const FIRST_DAY_YEARS: RangeInclusive<i32> = 1969..=9999;

/// How time is cut into periods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Calendar {
    /// One period: `all`.
    AllTime,
    /// From midnight to midnight: `2026-11-22`.
    Daily,
    /// ISO 8601 weeks, from Monday: `2026-W47`.
    Weekly,
    /// From the first of a month: `2026-11`.
    Monthly,
    /// As listed, in order of time and without overlap; there may be time between them that is in no
    /// period.
    Custom(Vec<CustomPeriod>),
}

/// A period of a list: from its start up to but without its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomPeriod {
    /// What it is called; unique within the list.
    pub key: String,
    /// Its first moment.
    pub start: DateTime<Utc>,
    /// The first moment after it.
    pub end: DateTime<Utc>,
}

/// A period: from its start up to but without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// What it is called.
    pub key: String,
    /// Its first moment.
    pub start: DateTime<Utc>,
    /// The first moment after it; `None`: it does not end.
    pub end: Option<DateTime<Utc>>,
}

/// A stretch of time and how it is cut. The first and the last period end with the stretch.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'f> {
    /// How it is cut.
    pub calendar: &'f Calendar,
    /// Whose midnights count.
    pub zone: Zone,
    /// Its first moment.
    pub starts_at: DateTime<Utc>,
    /// The first moment after it; `None`: it does not end.
    pub ends_at: Option<DateTime<Utc>>,
}

impl Frame<'_> {
    /// The period that a moment is in. A moment of the frame is in one at most, and in exactly one
    /// unless the calendar is a list.
    pub fn period_of(&self, at: DateTime<Utc>) -> Option<Period> {
        if at < self.starts_at || self.ends_at.is_some_and(|end| at >= end) {
            return None;
        }
        match self.calendar {
            Calendar::AllTime => Some(self.all_time()),
            Calendar::Custom(list) => {
                let listed = list.iter().find(|p| p.start <= at && at < p.end)?;
                self.clipped(&listed.key, listed.start, Some(listed.end))
            }
            Calendar::Daily | Calendar::Weekly | Calendar::Monthly => {
                let mut first = self.first_day(self.zone.shown(at).date());
                // Clocks that are put back across midnight show a day again that has ended.
                while at >= self.midnight(self.next_day(first)?)? {
                    first = self.next_day(first)?;
                }
                while at < self.midnight(first)? {
                    first = self.first_day(first.pred_opt()?);
                }
                self.of_first_day(first)
            }
        }
    }

    /// The period of this key, to the letter, if the frame has it.
    pub fn period_by_key(&self, key: &str) -> Option<Period> {
        let first = match self.calendar {
            Calendar::AllTime => return (key == ALL_TIME_KEY).then(|| self.all_time()),
            Calendar::Custom(list) => {
                let listed = list.iter().find(|period| period.key == key)?;
                return self.clipped(key, listed.start, Some(listed.end));
            }
            Calendar::Daily => NaiveDate::parse_from_str(key, "%Y-%m-%d").ok()?,
            Calendar::Weekly => {
                let (year, week) = key.split_once("-W")?;
                let year = year.parse().ok().filter(|y| FIRST_DAY_YEARS.contains(y))?;
                NaiveDate::from_isoywd_opt(year, week.parse().ok()?, Weekday::Mon)?
            }
            Calendar::Monthly => {
                NaiveDate::parse_from_str(&format!("{key}-01"), "%Y-%m-%d").ok()?
            }
        };
        if !FIRST_DAY_YEARS.contains(&first.year()) {
            return None;
        }
        self.of_first_day(first).filter(|period| period.key == key)
    }

    /// When the period of a moment ends and the next one begins from nothing; `None` if the moment
    /// is in none, or in one that does not end.
    pub fn next_reset(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.period_of(at)?.end
    }

    /// The first period that ends after a moment: the one it is in, or the next.
    pub fn first_ending_after(&self, at: DateTime<Utc>) -> Option<Period> {
        if let Calendar::Custom(list) = self.calendar {
            let mut later = list.iter().filter(|period| period.end > at);
            return later.find_map(|p| self.clipped(&p.key, p.start, Some(p.end)));
        }
        self.period_of(at.max(self.starts_at))
    }

    /// The last period that begins before a moment: going on like this from its start tells all of
    /// them, the latest first.
    pub fn last_beginning_before(&self, at: DateTime<Utc>) -> Option<Period> {
        if let Calendar::Custom(list) = self.calendar {
            let mut latest = list.iter().rev();
            return latest.find_map(|p| {
                let period = self.clipped(&p.key, p.start, Some(p.end))?;
                (period.start < at).then_some(period)
            });
        }
        let at = self.ends_at.map_or(at, |end| end.min(at));
        self.period_of(at.checked_sub_signed(TimeDelta::nanoseconds(1))?)
    }

    fn all_time(&self) -> Period {
        Period {
            key: ALL_TIME_KEY.to_owned(),
            start: self.starts_at,
            end: self.ends_at,
        }
    }

    fn of_first_day(&self, first: NaiveDate) -> Option<Period> {
        let start = self.midnight(first)?;
        let end = self.midnight(self.next_day(first)?)?;
        self.clipped(&self.key(first), start, Some(end))
    }

    fn clipped(
        &self,
        key: &str,
        start: DateTime<Utc>,
        end: Option<DateTime<Utc>>,
    ) -> Option<Period> {
        let start = start.max(self.starts_at);
        let end = end.into_iter().chain(self.ends_at).min();
        end.is_none_or(|end| start < end).then(|| Period {
            key: key.to_owned(),
            start,
            end,
        })
    }

    /// The first day of the period that a day is in.
    fn first_day(&self, day: NaiveDate) -> NaiveDate {
        match self.calendar {
            Calendar::Weekly => day.week(Weekday::Mon).first_day(),
            Calendar::Monthly => day.with_day(1).unwrap_or(day),
            Calendar::Daily | Calendar::AllTime | Calendar::Custom(_) => day,
        }
    }

    /// The first day of the period after the one of this first day.
    fn next_day(&self, first: NaiveDate) -> Option<NaiveDate> {
        match self.calendar {
            Calendar::Weekly => first.checked_add_days(Days::new(7)),
            Calendar::Monthly => first.checked_add_months(Months::new(1)),
            Calendar::Daily | Calendar::AllTime | Calendar::Custom(_) => first.succ_opt(),
        }
    }

    fn key(&self, first: NaiveDate) -> String {
        match self.calendar {
            Calendar::Weekly => {
                let week = first.iso_week();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Calendar::Monthly => first.format("%Y-%m").to_string(),
            Calendar::Daily | Calendar::AllTime | Calendar::Custom(_) => {
                first.format("%Y-%m-%d").to_string()
            }
        }
    }

    /// When a day begins: the first time clocks show midnight, or pass over it. A day that clocks
    /// pass over whole begins, and ends, where the next one begins.
    fn midnight(&self, day: NaiveDate) -> Option<DateTime<Utc>> {
        let midnight = day.and_hms_opt(0, 0, 0)?;
        let mut begins = self.zone.shows(midnight, DateTime::<Utc>::MIN_UTC)?;
        // Where clocks were put forward by no whole minute, the look-up went past the beginning.
        let second = TimeDelta::seconds(1);
        while self.zone.shown(begins - second) >= midnight {
            begins -= second;
        }
        Some(begins)
    }
}

impl Calendar {
    /// With its list checked: at most [`CUSTOM_PERIODS_MAX`], each lasting (`TIME_TRAVEL`), in order
    /// of time and without overlap (`TIME_TRAVEL`), keys unique (`VALIDATION`).
    pub fn checked(&self) -> Result<Calendar, Refusal> {
        let Calendar::Custom(list) = self else {
            return Ok(self.clone());
        };
        let field = "periods";
        if list.is_empty() {
            let message = "periods is empty";
            return Err(Refusal::new(Code::Validation, message).at([field]));
        }
        if list.len() > CUSTOM_PERIODS_MAX {
            return Err(too_large(list.len(), CUSTOM_PERIODS_MAX, "periods", field));
        }
        let mut checked: Vec<CustomPeriod> = Vec::with_capacity(list.len());
        for (index, period) in list.iter().enumerate() {
            let period = next_listed(&checked, period);
            let period = period.map_err(|r| r.under([field.to_owned(), index.to_string()]))?;
            checked.push(period);
        }
        Ok(Calendar::Custom(checked))
    }
}

fn next_listed(before: &[CustomPeriod], period: &CustomPeriod) -> Result<CustomPeriod, Refusal> {
    let key = id(&period.key, "key")?;
    if before.iter().any(|earlier| earlier.key == key) {
        let message = "another period of the list has this key";
        return Err(Refusal::new(Code::Validation, message).at(["key"]));
    }
    let start = known(period.start, "start")?;
    let end = known(period.end, "end")?;
    lasting(start, end, "end")?;
    if let Some(last) = before.last() {
        not_before(start, "start", last.end, "endBefore")?;
    }
    Ok(CustomPeriod { key, start, end })
}

#[cfg(test)]
mod tests;
