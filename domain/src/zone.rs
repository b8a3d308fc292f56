//! A time zone by its name in the IANA database: what its clocks show, and when they show something.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// How many minutes clocks were ever put forward at once: a day, where a date line was crossed.
const SKIPPED_MINUTES_MAX: i64 = 24 * 60;

/// A zone, such as `Europe/London`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Tz);

impl Zone {
    /// The zone of this name, if there is one.
    pub fn of_name(name: &str) -> Option<Zone> {
        name.parse().ok().map(Zone)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// What its clocks show at a time.
    pub fn shown(self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.0).naive_local()
    }

    /// When its clocks show this next after a time, or pass over it.
    pub fn shows(self, local: NaiveDateTime, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (0..=SKIPPED_MINUTES_MAX).find_map(|skipped| {
            let local = local.checked_add_signed(TimeDelta::minutes(skipped))?;
            match self.0.from_local_datetime(&local) {
                LocalResult::Single(at) => Some(at.to_utc()),
                LocalResult::Ambiguous(first, _) if first > after => Some(first.to_utc()),
                LocalResult::Ambiguous(_, again) => Some(again.to_utc()),
                LocalResult::None => None,
            }
        })
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Zone, String> {
        Zone::of_name(&name).ok_or_else(|| format!("{name:?} is no zone of the IANA database"))
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next time after `after` at which clocks in London show `local`.
    fn check(local: &str, after: &str, expect: &str) {
        let zone = Zone::of_name("Europe/London").expect("a zone");
        let time = |text: &str| crate::values::parse_timestamp(text).expect("a time");
        let shows = zone.shows(local.parse().expect("a local time"), time(after));
        assert_eq!(shows, Some(time(expect)), "{local} after {after}");
    }

    #[test]
    fn clocks_are_put_forward_and_back() {
        check(
            "2026-01-05T09:00:00",
            "2026-01-01T00:00:00Z",
            "2026-01-05T09:00:00Z",
        );
        check(
            "2026-07-05T09:00:00",
            "2026-07-01T00:00:00Z",
            "2026-07-05T08:00:00Z",
        );
        // From 1:00 to 2:00 at once.
        check(
            "2026-03-29T01:30:00",
            "2026-03-29T00:30:00Z",
            "2026-03-29T01:00:00Z",
        );
        // From 2:00 back to 1:00: what lies between is shown twice.
        check(
            "2026-10-25T01:30:00",
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00Z",
        );
        check(
            "2026-10-25T01:30:00",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
        );
    }

    #[test]
    fn a_zone_is_stored_by_its_name() {
        let zone: Zone = serde_json::from_str("\"Asia/Kathmandu\"").expect("a zone");
        assert_eq!(
            serde_json::to_string(&zone).expect("text"),
            "\"Asia/Kathmandu\""
        );
        for name in ["", "London", "Europe/Atlantis", "+01:00"] {
            assert_eq!(Zone::of_name(name), None, "{name}");
        }
    }
}
