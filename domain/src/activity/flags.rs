//! What no body can do: rules by which an activity is marked, the same for everybody and every time.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Activity;
use crate::words::words;

const MINUTE_MICROS: i128 = 60_000_000;
const SECOND_MICROS: i128 = 1_000_000;

words! {
    /// Why an activity is hard to believe.
    ActivityFlag {
        StepsPerMinute "steps_per_minute" "More steps than legs can make.";
        CaloriesPerMinute "calories_per_minute" "More energy than a body can turn over.";
        Speed "speed" "Faster than its kind can be.";
        ActiveMinutes "active_minutes" "More minutes of activity than it lasted.";
    }
}

/// What is believed. Captured in the event, so that a flag can be explained for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActivityRules {
    /// Steps a minute at most, over the whole activity. Default 400: a sprinter makes 300.
    pub steps_per_minute_max: u32,
    /// Kilocalories a minute at most. Default 40: a champion keeps up 30.
    pub calories_per_minute_max: u32,
    /// Millimetres a second at most, by kind of activity; kinds not named may be of any speed.
    pub speed_max_mmps: BTreeMap<String, u32>,
}

impl Default for ActivityRules {
    /// Speeds are above the world records of an hour.
    fn default() -> ActivityRules {
        let speeds = [
            ("walking", 5_000),
            ("hiking", 5_000),
            ("running", 12_500),
            ("swimming", 3_000),
            ("cycling", 30_000),
        ];
        ActivityRules {
            steps_per_minute_max: 400,
            calories_per_minute_max: 40,
            speed_max_mmps: speeds.map(|(kind, speed)| (kind.to_owned(), speed)).into(),
        }
    }
}

impl ActivityRules {
    /// Every rule that an activity does not meet. Rates are over the time it lasted, and over a
    /// minute at least: sources round times.
    pub fn flags(&self, activity: &Activity) -> BTreeSet<ActivityFlag> {
        let lasted = (activity.end - activity.start).num_microseconds();
        let lasted = i128::from(lasted.unwrap_or(i64::MAX)).max(MINUTE_MICROS);
        let measures = &activity.measures;
        let beyond = |value: Option<i64>, max: u32, per_micros: i128| {
            let value = i128::from(value.unwrap_or(0));
            value * per_micros > i128::from(max) * lasted
        };
        let speed_max = self.speed_max_mmps.get(&activity.kind);
        let broken = [
            (
                ActivityFlag::StepsPerMinute,
                beyond(measures.steps, self.steps_per_minute_max, MINUTE_MICROS),
            ),
            (
                ActivityFlag::CaloriesPerMinute,
                beyond(
                    measures.calories_kcal,
                    self.calories_per_minute_max,
                    MINUTE_MICROS,
                ),
            ),
            (
                ActivityFlag::Speed,
                speed_max.is_some_and(|max| beyond(measures.distance_mm, *max, SECOND_MICROS)),
            ),
            (
                ActivityFlag::ActiveMinutes,
                i128::from(measures.active_minutes.unwrap_or(0)) * MINUTE_MICROS
                    >= lasted + MINUTE_MICROS,
            ),
        ];
        let broken = broken.into_iter().filter(|(_, broken)| *broken);
        broken.map(|(flag, _)| flag).collect()
    }
}
