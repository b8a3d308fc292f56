//! DORA's figures.

mod evidence;
mod words;

pub use evidence::DoraEvidence;
pub use words::{
    DoraBenchmark, DoraBucket, DoraPerformance, FailureKind, FrequencyBand, LeadTimeBasis,
};

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use projections::dora::{self, Benchmark, DoraEvidence as Counted, DoraQuery, Part, Within};

use super::int;
use super::statistics::seconds;
use crate::api::page::Paged;
use crate::api::scalars::{DateTime, Duration, Position};
use evidence::Behind;

/// DORA's five figures of a span, and of its buckets.
#[derive(SimpleObject)]
pub struct DoraMetrics {
    /// Of the whole span.
    total: DoraFigures,
    /// Of each bucket without gaps, in order of time; none if no bucket was asked for. The first and the
    /// last one end with the span.
    buckets: Vec<DoraFigures>,
    /// The zone whose days, weeks and months these are.
    zone: String,
    /// The position in the log the figures are as of.
    as_of_position: Position,
}

/// The five figures of a span.
#[derive(SimpleObject)]
pub struct DoraFigures {
    /// Start of the span, included.
    start: DateTime,
    /// End of the span, excluded.
    end: DateTime,
    /// How often.
    deployment_frequency: DeploymentFrequency,
    /// How long a change takes.
    change_lead_time: ChangeLeadTime,
    /// How many break something.
    change_fail_rate: ChangeFailRate,
    /// How long it is broken.
    failed_deployment_recovery_time: RecoveryTime,
    /// How many mend something.
    deployment_rework_rate: ReworkRate,
}

/// How often deployments reach the tier.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct DeploymentFrequency {
    /// How many did.
    deployments: i32,
    /// How many a day, days without any included; null without any.
    per_day: Option<f64>,
    /// How many days of the zone had one.
    days_with_one: i32,
    /// Of the whole weeks (from Monday) within the span, the median of the days with one; null without a
    /// whole week or without a deployment.
    median_days_per_week: Option<f64>,
    /// What that is called.
    band: Option<FrequencyBand>,
    /// How well, by the benchmark asked for; null where it is not known.
    performance: Option<DoraPerformance>,
    #[graphql(skip)]
    query: Arc<DoraQuery>,
}

/// How long changes take until they run. A change of a service counts once, where it first ran; of what a
/// deployment carries only what was told counts.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct ChangeLeadTime {
    /// How many changes have a positive lead time.
    changes: i32,
    /// How many have none, or a negative one: clocks of others. They count nowhere else.
    excluded: i32,
    /// Of how many it is not known when they were written; only where that is asked for.
    untimed: i32,
    /// Median, interpolated; null without changes, as are the others.
    p50: Option<Duration>,
    /// 75th percentile.
    p75: Option<Duration>,
    /// 90th percentile.
    p90: Option<Duration>,
    /// 95th percentile.
    p95: Option<Duration>,
    /// Those that took an hour or less.
    #[graphql(name = "within1h")]
    within_1h: ChangesWithin,
    /// Those that took 24 hours or less.
    #[graphql(name = "within24h")]
    within_24h: ChangesWithin,
    /// Those that took seven days or less.
    #[graphql(name = "within7d")]
    within_7d: ChangesWithin,
    /// From writing, or committing where that is not known, to putting the change forward.
    coding: LeadTimePart,
    /// From there to the first look of somebody else.
    pickup: LeadTimePart,
    /// From there to merging.
    review: LeadTimePart,
    /// From there to running.
    deploy: LeadTimePart,
    /// How well, by the benchmark asked for; null without changes.
    performance: Option<DoraPerformance>,
    #[graphql(skip)]
    query: Arc<DoraQuery>,
}

/// Changes that took no longer than that.
#[derive(SimpleObject)]
pub struct ChangesWithin {
    /// How many.
    changes: i32,
    /// Their share; null without changes.
    share: Option<f64>,
}

/// A part of lead times, as far as the times between were told.
#[derive(SimpleObject)]
pub struct LeadTimePart {
    /// Of how many changes both its ends are known, the first not after the second.
    changes: i32,
    /// Median, interpolated; null without any.
    p50: Option<Duration>,
}

/// How many deployments break something.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct ChangeFailRate {
    /// How many did, each once.
    failed: i32,
    /// Of how many: deployments that are no rollbacks.
    of: i32,
    /// The first divided by the second; null without any.
    rate: Option<f64>,
    /// How many are known to have in each way; one may be in several.
    by_kind: Vec<FailureCount>,
    /// How many deployments are rollbacks.
    rollbacks: i32,
    /// Their share of all deployments; null without any.
    rollback_share: Option<f64>,
    /// How well, by the benchmark asked for; null without a rate.
    performance: Option<DoraPerformance>,
    #[graphql(skip)]
    query: Arc<DoraQuery>,
}

/// How many deployments are known in one way to have broken something.
#[derive(SimpleObject)]
pub struct FailureCount {
    /// In which way.
    kind: FailureKind,
    /// How many.
    deployments: i32,
}

/// How long it is broken: from the start of the first incident, else from when the deployment ran, to the
/// first of: incident resolved, rolled back, replaced by a rollback, fix deployed.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct RecoveryTime {
    /// How many failed deployments were recovered from.
    recovered: i32,
    /// How many were not, as far as is known. They count nowhere else.
    open: i32,
    /// Median, interpolated; null without any, as are the others.
    p50: Option<Duration>,
    /// 90th percentile.
    p90: Option<Duration>,
    /// 95th percentile.
    p95: Option<Duration>,
    /// Mean.
    mean: Option<Duration>,
    /// How well, by the benchmark asked for; null without any.
    performance: Option<DoraPerformance>,
    #[graphql(skip)]
    query: Arc<DoraQuery>,
}

/// How many deployments mend what is broken.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct ReworkRate {
    /// How many were unplanned fixes, or said to end an incident.
    deployments: i32,
    /// Their share of all; null without any.
    rate: Option<f64>,
    #[graphql(skip)]
    query: Arc<DoraQuery>,
}

/// Fields of a figure that list what it counts.
macro_rules! evidence {
    ($figure:ident { $($(#[$about:meta])* $field:ident: $of:ident;)* }) => {
        #[ComplexObject]
        impl $figure {
            $($(#[$about])*
            async fn $field(
                &self,
                ctx: &Context<'_>,
                #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")]
                first: Option<i32>,
                #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
            ) -> Result<Paged<DoraEvidence>> {
                let behind = Behind { query: self.query.clone(), of: Counted::$of };
                behind.evidence(ctx, first, after).await
            })*
        }
    };
}

evidence!(DeploymentFrequency {
    /// The deployments, by time.
    evidence: Deployments;
});

evidence!(ChangeLeadTime {
    /// The changes that have a lead time, by the time of their deployment.
    evidence: LeadTimes;
    /// Those that were left out.
    excluded_evidence: Excluded;
});

evidence!(ChangeFailRate {
    /// The deployments that broke something, by time.
    evidence: Failures;
    /// Those that are rollbacks.
    rollback_evidence: Rollbacks;
});

evidence!(RecoveryTime {
    /// The deployments that were recovered from, by time.
    evidence: Recoveries;
    /// Those that were not.
    open_evidence: Open;
});

evidence!(ReworkRate {
    /// The deployments that are rework, by time.
    evidence: Rework;
});

impl DoraMetrics {
    /// The answer to a question.
    pub fn new(query: DoraQuery, benchmark: Benchmark, found: dora::Dora) -> DoraMetrics {
        let figures = |figures: dora::DoraFigures| {
            let query = DoraQuery {
                from: figures.start,
                to: figures.end,
                bucket: None,
                ..query.clone()
            };
            DoraFigures::new(Arc::new(query), benchmark, figures)
        };
        DoraMetrics {
            total: figures(found.total),
            buckets: found.buckets.into_iter().map(figures).collect(),
            as_of_position: Position(found.as_of),
            zone: query.zone,
        }
    }
}

impl DoraFigures {
    fn new(query: Arc<DoraQuery>, benchmark: Benchmark, found: dora::DoraFigures) -> DoraFigures {
        DoraFigures {
            start: DateTime(found.start),
            end: DateTime(found.end),
            deployment_frequency: frequency(query.clone(), benchmark, found.frequency),
            change_lead_time: lead_time(query.clone(), benchmark, found.lead_time),
            change_fail_rate: fail_rate(query.clone(), benchmark, found.failures),
            failed_deployment_recovery_time: recovery(query.clone(), benchmark, found.recovery),
            deployment_rework_rate: ReworkRate {
                deployments: int(found.rework.deployments),
                rate: found.rework.rate,
                query,
            },
        }
    }
}

fn frequency(
    query: Arc<DoraQuery>,
    benchmark: Benchmark,
    found: dora::Frequency,
) -> DeploymentFrequency {
    let known = found.median_days_per_week.zip(found.per_day);
    DeploymentFrequency {
        deployments: int(found.deployments),
        per_day: found.per_day,
        days_with_one: int(found.days_with_one),
        median_days_per_week: found.median_days_per_week,
        band: found.band.map(Into::into),
        performance: known.map(|(median, per_day)| benchmark.frequency(median, per_day).into()),
        query,
    }
}

fn lead_time(query: Arc<DoraQuery>, benchmark: Benchmark, found: dora::LeadTime) -> ChangeLeadTime {
    let within = |within: Within| ChangesWithin {
        changes: int(within.changes),
        share: within.share,
    };
    let part = |part: Part| LeadTimePart {
        changes: int(part.changes),
        p50: part.p50_s.map(seconds),
    };
    ChangeLeadTime {
        changes: int(found.changes),
        excluded: int(found.excluded),
        untimed: int(found.untimed),
        p50: found.p50_s.map(seconds),
        p75: found.p75_s.map(seconds),
        p90: found.p90_s.map(seconds),
        p95: found.p95_s.map(seconds),
        within_1h: within(found.within_1h),
        within_24h: within(found.within_24h),
        within_7d: within(found.within_7d),
        coding: part(found.parts.coding),
        pickup: part(found.parts.pickup),
        review: part(found.parts.review),
        deploy: part(found.parts.deploy),
        performance: found.p50_s.map(|p50| benchmark.lead_time(p50).into()),
        query,
    }
}

fn fail_rate(
    query: Arc<DoraQuery>,
    benchmark: Benchmark,
    found: dora::ChangeFailures,
) -> ChangeFailRate {
    let count = |(kind, deployments): (dora::FailureKind, i64)| FailureCount {
        kind: kind.into(),
        deployments: int(deployments),
    };
    ChangeFailRate {
        failed: int(found.failed),
        of: int(found.of),
        rate: found.rate,
        by_kind: found.by_kind.into_iter().map(count).collect(),
        rollbacks: int(found.rollbacks),
        rollback_share: found.rollback_share,
        performance: found.rate.map(|rate| benchmark.fail_rate(rate).into()),
        query,
    }
}

fn recovery(query: Arc<DoraQuery>, benchmark: Benchmark, found: dora::Recovery) -> RecoveryTime {
    RecoveryTime {
        recovered: int(found.recovered),
        open: int(found.open),
        p50: found.p50_s.map(seconds),
        p90: found.p90_s.map(seconds),
        p95: found.p95_s.map(seconds),
        mean: found.mean_s.map(seconds),
        performance: found.p50_s.map(|p50| benchmark.recovery(p50).into()),
        query,
    }
}
