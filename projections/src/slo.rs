//! How far an objective is met: what was good of what there was, what is left to be bad, and how fast that
//! is used up.
//!
//! A sample is a span of time that is good while it is short, and belongs to the moment at which it ended;
//! `slo/samples.rs` says which there are. What has not ended yet is open, what ended before it began comes
//! from clocks of others: both are counted apart and nowhere else. Without samples a share is `None`, which
//! is neither 0 nor 100 %.
//!
//! A sample belongs to its own time, so what becomes known later changes the past;
//! [`SloQuery::known_at`] asks for what was known before.

mod window;
mod samples;
mod freshness;
mod burn;
mod count;
mod history;
mod evidence;

pub use burn::{BURN_RULES, BudgetRule, BurnRate};
pub use evidence::{SampleCursor, SamplePage, SampleRow, evidence};
pub use history::{HistoryBucket, SloHistory, history};
pub use samples::SampleKind;

use chrono::{DateTime, Utc};
use domain::Position;
use domain::slo::{Objective, PARTS_PER_MILLION, Sli};

use crate::{ReadError, Snapshot, deployments, positions};

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct SloQuery {
    /// The objective, checked.
    pub objective: Objective,
    /// Spans of time that are left out: from, up to.
    pub excluded: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// The end of its window: what ended before then counts.
    pub at: DateTime<Utc>,
    /// As known at this place of the log; `None`: as known now.
    pub known_at: Option<Known>,
}

/// A place of the log, and the time at which it was reached: nothing had been looked at after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Up to where.
    pub position: Position,
    /// When that was.
    pub at: DateTime<Utc>,
}

impl SloQuery {
    /// The read model that answers for what is measured.
    pub fn model(sli: Sli) -> &'static str {
        match sli {
            Sli::ApprovalWait | Sli::DeploymentDuration | Sli::RequestToProduction => {
                deployments::NAME
            }
            Sli::FeedFreshness => positions::NAME,
        }
    }

    /// What an answer from this moment is as of.
    fn as_of(&self, snap: &Snapshot) -> Result<Position, ReadError> {
        let reached = snap.position(&[SloQuery::model(self.objective.sli)])?;
        Ok(self.known_at.map_or(reached, |k| k.position.min(reached)))
    }
}

/// How far an objective is met.
#[derive(Clone, Debug, PartialEq)]
pub struct Attainment {
    /// Start of the window, included.
    pub from: DateTime<Utc>,
    /// Its end so far, excluded.
    pub to: DateTime<Utc>,
    /// Samples, whatever the method: how many there are, and how many are within the threshold.
    pub samples: Counted,
    /// How many ended before they began.
    pub negative: i64,
    /// How many began in the window and had not ended by its end.
    pub open: i64,
    /// What the method counts: samples, or slices of time that have one.
    pub counted: Counted,
    /// The percentile that the objective names, in seconds; `None` without samples, or if it names none.
    pub percentile_s: Option<f64>,
    /// How fast the budget is used up, by each rule that fits into the window, the most urgent first.
    pub burn: Vec<BurnRate>,
    /// Is it met?
    pub status: SloStatus,
    /// The log position all of it is as of.
    pub as_of: Position,
}

/// Is an objective met?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SloStatus {
    /// It is: the share, and the percentile if one is named.
    Met,
    /// It is not.
    Missed,
    /// There are fewer samples than it asks for: nothing is said.
    LowTraffic,
    /// There are none: nothing can be said.
    NoData,
}

/// How many there are of something, and how many of them are good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub total: i64,
    /// How many of them are good.
    pub good: i64,
}

impl Counted {
    /// The share that is good; `None` without any.
    pub fn share(self) -> Option<f64> {
        (self.total > 0).then(|| self.good as f64 / self.total as f64)
    }

    /// Is as much good as an objective wants? In whole numbers: what is met exactly is met.
    fn meets(self, objective_ppm: u32) -> bool {
        let (good, total) = (i128::from(self.good), i128::from(self.total));
        good * i128::from(PARTS_PER_MILLION) >= total * i128::from(objective_ppm)
    }

    /// How much of what may be bad is: 1 is all of it; `None` without any. One division of whole numbers,
    /// so that nothing is lost before it.
    pub fn budget_used(self, objective_ppm: u32) -> Option<f64> {
        let bad = i128::from(self.total - self.good) * i128::from(PARTS_PER_MILLION);
        let may = i128::from(self.total) * i128::from(PARTS_PER_MILLION - objective_ppm);
        (may > 0).then(|| bad as f64 / may as f64)
    }
}

/// The share that may be bad.
pub fn error_budget(objective_ppm: u32) -> f64 {
    f64::from(PARTS_PER_MILLION - objective_ppm) / f64::from(PARTS_PER_MILLION)
}

/// How far an objective is met: three statements over the samples of its window, which reach back by three
/// days more at most, as the slowest alert does. There are at most two for each deployment that ended in
/// that time, and of a feed one for each minute.
pub async fn measure(snap: &mut Snapshot, query: &SloQuery) -> Result<Attainment, ReadError> {
    let as_of = query.as_of(snap)?;
    let window = window::window(snap, query).await?;
    let counts = count::count(snap, query, &window).await?;
    let open = samples::open(snap, query, &window).await?;
    Ok(Attainment {
        from: window.from,
        to: window.to,
        samples: counts.samples,
        negative: counts.negative,
        open,
        counted: counts.counted,
        percentile_s: counts.percentile_s,
        status: status(&query.objective, &counts),
        burn: counts.burn,
        as_of,
    })
}

fn status(objective: &Objective, counts: &count::Counts) -> SloStatus {
    if counts.samples.total == 0 {
        return SloStatus::NoData;
    }
    if counts.samples.total < i64::from(objective.min_events) {
        return SloStatus::LowTraffic;
    }
    let threshold = f64::from(objective.threshold_seconds);
    let slow = counts.percentile_s.is_some_and(|found| found > threshold);
    if slow || !counts.counted.meets(objective.objective_ppm) {
        return SloStatus::Missed;
    }
    SloStatus::Met
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_is_met_exactly_is_met() {
        let check = |good, total, ppm, expect| {
            assert_eq!(Counted { total, good }.meets(ppm), expect, "{good}/{total}");
        };
        check(999, 1_000, 999_000, true);
        check(998, 1_000, 999_000, false);
        check(3, 10, 300_000, true);
        check(i64::MAX - 1, i64::MAX, 999_999, true);
    }

    #[test]
    fn without_anything_there_is_no_share() {
        let nothing = Counted::default();
        assert_eq!(
            (nothing.share(), nothing.budget_used(900_000)),
            (None, None)
        );
        let bad = Counted { total: 3, good: 0 };
        assert_eq!(bad.share(), Some(0.0));
        assert_eq!(bad.budget_used(900_000), Some(10.0));
    }
}
