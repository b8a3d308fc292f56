//! DORA's five figures, over what the read model of deployments holds.
//!
//! A deployment's time is that at which it ran; those that ran and were rolled back later count. A
//! figure belongs to the time of the deployment it is about, so what becomes known later, such as an
//! incident, changes the past; [`DoraQuery::known_at`] asks for what was known before.
//!
//! Without data a figure is `None`, which is neither 0 nor 100 %; what is counted is 0.

mod bands;
mod window;
mod reached;
mod frequency;
mod lead;
mod judged;
mod failures;
mod evidence;

pub use bands::{Benchmark, FrequencyBand, Performance};
pub use evidence::{DoraEvidence, EvidenceCursor, EvidenceItem, EvidencePage, evidence};
pub use failures::{ChangeFailures, FailureKind, Recovery};
pub use frequency::{Frequency, Rework};
pub use lead::{LeadParts, LeadTime, Part, Within};

use chrono::{DateTime, Utc};
use domain::Position;
use domain::deployment::Tier;

use crate::deployments::NAME;
use crate::{ReadError, Snapshot};

/// An answer has at most this many buckets.
pub const BUCKETS_MAX: u64 = 1_000;

/// Whose deployments; conditions add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoraScope {
    /// Those of this project.
    pub project: Option<String>,
    /// Those of one of these services.
    pub services: Option<Vec<String>>,
    /// Those this team was said to own.
    pub team: Option<String>,
    /// Those to this environment.
    pub environment: Option<String>,
}

/// How time is cut, in the query's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoraBucket {
    /// A calendar day.
    Day,
    /// A calendar week, from Monday.
    Week,
    /// A calendar month.
    Month,
}

/// Where a change's lead time begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeadBasis {
    /// When it was committed.
    #[default]
    Committed,
    /// When it was written first; changes of which that is not known are counted apart.
    Authored,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct DoraQuery {
    /// Whose deployments.
    pub scope: DoraScope,
    /// Those to environments that were for this.
    pub tier: Tier,
    /// From then on.
    pub from: DateTime<Utc>,
    /// Before then.
    pub to: DateTime<Utc>,
    /// How the span is cut; `None`: not at all. The first and the last bucket end with the span.
    pub bucket: Option<DoraBucket>,
    /// A zone of the IANA database, such as `Europe/London`: whose days and weeks.
    pub zone: String,
    /// Where lead times begin.
    pub basis: LeadBasis,
    /// As known at this position of the log; `None`: as known now.
    pub known_at: Option<Position>,
}

impl DoraQuery {
    /// All of production from `from` to `to`, uncut, by UTC.
    pub fn production(from: DateTime<Utc>, to: DateTime<Utc>) -> DoraQuery {
        DoraQuery {
            scope: DoraScope::default(),
            tier: Tier::Production,
            from,
            to,
            bucket: None,
            zone: "UTC".to_owned(),
            basis: LeadBasis::default(),
            known_at: None,
        }
    }
}

/// The figures of a span, and of its buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct Dora {
    /// Of the whole span.
    pub total: DoraFigures,
    /// Of each bucket, without gaps, in order of time; none if the span is not cut.
    pub buckets: Vec<DoraFigures>,
    /// The log position they are as of.
    pub as_of: Position,
}

/// The figures of a span.
#[derive(Clone, Debug, PartialEq)]
pub struct DoraFigures {
    /// Its start, included.
    pub start: DateTime<Utc>,
    /// Its end, excluded.
    pub end: DateTime<Utc>,
    /// How often.
    pub frequency: Frequency,
    /// How long a change takes.
    pub lead_time: LeadTime,
    /// How many break something.
    pub failures: ChangeFailures,
    /// How long it is broken.
    pub recovery: Recovery,
    /// How many mend something.
    pub rework: Rework,
}

/// DORA's figures: three statements, however many buckets there are.
pub async fn dora(snap: &mut Snapshot, query: &DoraQuery) -> Result<Dora, ReadError> {
    let as_of = snap.position(&[NAME])?;
    let window = window::window(snap, query).await?;
    plan_once(snap, true).await?;
    let frequency = frequency::frequency(snap, query, &window).await?;
    let lead = lead::lead_times(snap, query, &window).await?;
    let failures = failures::failures(snap, query, &window).await?;
    plan_once(snap, false).await?;
    let figures = |n: usize| {
        let span = window.span(n);
        let (frequency, rework, rollbacks) = frequency.figures(span, n);
        let (failures, recovery) = failures.figures(n, frequency.deployments, rollbacks);
        DoraFigures {
            start: span.start,
            end: span.end,
            frequency,
            lead_time: lead.figures(n),
            failures,
            recovery,
            rework,
        }
    };
    let buckets = if query.bucket.is_some() {
        (1..=window.buckets()).map(figures).collect()
    } else {
        Vec::new()
    };
    Ok(Dora {
        total: figures(window::WHOLE),
        buckets,
        as_of: query.known_at.map_or(as_of, |known| known.min(as_of)),
    })
}

/// Has the next statements planned once for each connection and shape of question, not for each span.
/// Their plans are the same for all spans, look-ups by index; making one takes as long as answering for
/// one service.
async fn plan_once(snap: &mut Snapshot, once: bool) -> Result<(), sqlx::Error> {
    let mode = if once { "force_generic_plan" } else { "auto" };
    sqlx::query(&format!("set local plan_cache_mode = {mode}"))
        .execute(snap.connection())
        .await?;
    Ok(())
}

/// A part of a whole; `None` without a whole.
fn rate(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
