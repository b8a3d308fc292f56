//! One walk that two devices tell of is one walk: of activities at one time only one counts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::Activity;
use crate::competition::Metric;
use crate::score::Score;

/// What counts, and what does not because something else tells of the same time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted<'a> {
    /// Activities that count, none at the time of another, in order of time.
    pub counts: Vec<&'a Activity>,
    /// Those that do not, in the order in which they were decided on.
    pub shadows: Vec<Shadow<'a>>,
}

/// An activity that is kept and never summed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shadow<'a> {
    /// Which.
    pub activity: &'a Activity,
    /// The first in time of those that count instead.
    pub of: &'a Activity,
}

/// Tells what of one user's activities counts for a metric.
///
/// They are taken one after the other, and one counts unless it overlaps one that counts already:
/// first those of the source that stands first in `sources`, those of sources not named last; of one
/// rank the longer first, then the earlier, then by source, device and external id. Whole activities
/// count or do not: a day's sum of a phone gives way to a walk that the watch tells of. Those that
/// measured zero come last, whoever tells of them: a watch in a drawer shadows nothing. What did not
/// measure the metric is neither counted nor shadowed. The order in which they come does not matter.
pub fn count_once<'a>(
    activities: impl IntoIterator<Item = &'a Activity>,
    sources: &[String],
    metric: &Metric,
) -> Counted<'a> {
    let measured = activities.into_iter().filter_map(|activity| {
        let score = activity.measures.of(metric)?;
        Some((score == Score::ZERO, activity))
    });
    let mut open: Vec<(bool, &Activity)> = measured.collect();
    open.sort_by_cached_key(|(zero, activity)| (*zero, precedence(activity, sources)));
    let mut taken: BTreeMap<DateTime<Utc>, &Activity> = BTreeMap::new();
    let mut shadows = Vec::new();
    for (_, activity) in open {
        match overlapped(&taken, activity) {
            Some(of) => shadows.push(Shadow { activity, of }),
            None => {
                taken.insert(activity.start, activity);
            }
        }
    }
    Counted {
        counts: taken.into_values().collect(),
        shadows,
    }
}

/// The lesser goes first.
fn precedence(activity: &Activity, sources: &[String]) -> impl Ord + use<> {
    let named = sources.iter().position(|source| *source == activity.source);
    let Activity {
        source,
        device,
        external_id,
        ..
    } = activity.clone();
    (
        named.unwrap_or(sources.len()),
        Reverse(activity.end - activity.start),
        activity.start,
        (source, device, external_id),
    )
}

/// The first activity that counts at the time of this one. Those that count do not overlap, so of
/// those that began before only the last can reach into it.
fn overlapped<'a>(
    taken: &BTreeMap<DateTime<Utc>, &'a Activity>,
    activity: &Activity,
) -> Option<&'a Activity> {
    let before = taken.range(..=activity.start).next_back();
    let before = before.filter(|(_, earlier)| ends(earlier) > activity.start);
    let within = || taken.range(activity.start..ends(activity)).next();
    before.or_else(within).map(|(_, other)| *other)
}

/// The first moment after it; what lasts no time is there for a moment.
fn ends(activity: &Activity) -> DateTime<Utc> {
    activity
        .end
        .max(activity.start + TimeDelta::microseconds(1))
}
