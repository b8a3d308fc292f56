//! Scores that are made of activities.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::{Activity, count_once};
use crate::competition::CompetitionRules;
use crate::score::{Attempt, Score, Tally};

/// What one user's activities come to in each period of a competition, by its key.
///
/// Activities are those that the log holds, each with whether it is flagged; `joined_at` is when the
/// user joined, and `ends_at` when the competition ends, as things stand. An activity belongs to the period
/// it began in, even where it goes on beyond its end, and reaches its score when it is over. What began
/// before anything of the user counts does not count. Neither do activities entered by hand or flagged,
/// where the rules say so. What does not count for such a reason shadows nothing either.
pub fn tallies<'a>(
    activities: impl IntoIterator<Item = (&'a Activity, bool)>,
    rules: &CompetitionRules,
    joined_at: DateTime<Utc>,
    ends_at: Option<DateTime<Utc>>,
) -> BTreeMap<String, Tally> {
    let frame = rules.frame(ends_at);
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for (number, activity) in (1..).zip(counting(activities, rules, joined_at)) {
        let score = activity.measures.of(&rules.metric);
        let Some((score, period)) = score.zip(frame.period_of(activity.start)) else {
            continue;
        };
        let one = Tally::from(Attempt {
            score,
            sub_score: Score::ZERO,
            achieved_at: activity.end,
            number,
        });
        let merged = match tallies.get(&period.key) {
            None => Some(one),
            Some(tally) => tally.merge(one, rules.operator, rules.sort),
        };
        // Measures are bounded so that no sum of a user's activities leaves the range.
        if let Some(tally) = merged {
            tallies.insert(period.key, tally);
        }
    }
    tallies
}

/// Those of one user's activities that count in a competition, in order of time, whatever period they
/// are of: as [`tallies`] has it, which adds them up.
pub fn counting<'a>(
    activities: impl IntoIterator<Item = (&'a Activity, bool)>,
    rules: &CompetitionRules,
    joined_at: DateTime<Utc>,
) -> Vec<&'a Activity> {
    let guards = rules.guards;
    let believed = activities.into_iter().filter(|(activity, flagged)| {
        !(*flagged && guards.flagged_refused || activity.manual && guards.manual_refused)
    });
    let believed = believed.map(|(activity, _)| activity);
    let since = rules.counts_since(joined_at);
    let in_time = believed.filter(|activity| activity.start >= since);
    count_once(in_time, &rules.sources, &rules.metric).counts
}

/// Days in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first of them.
    pub first: NaiveDate,
    /// How many.
    pub days: u32,
}

/// The longest run of days, the earliest of those that are as long; `None` without a day.
pub fn longest_run(days: &BTreeSet<NaiveDate>) -> Option<Run> {
    let mut longest: Option<Run> = None;
    let mut run: Option<Run> = None;
    let mut expected = None;
    for day in days {
        let going_on = run.filter(|_| expected == Some(*day));
        let present = going_on.map_or(
            Run {
                first: *day,
                days: 1,
            },
            |run| Run {
                days: run.days + 1,
                ..run
            },
        );
        if longest.is_none_or(|longest| present.days > longest.days) {
            longest = Some(present);
        }
        run = Some(present);
        expected = day.succ_opt();
    }
    longest
}
