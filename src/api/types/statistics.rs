//! Deployments in numbers.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use chrono::{DateTime as Instant, TimeDelta, Utc};
use projections::deployments::{
    self, DeploymentRow, ListCursor, Statistics, StatisticsEvidence, StatisticsQuery, Taken,
};

use super::deployment::{Deployment, DeploymentStatus};
use super::int;
use crate::api::operation::Operation;
use crate::api::page::{Ask, Paged};
use crate::api::scalars::{DateTime, Duration, Position};

/// Deployments in numbers. `deployments` and `incidents` with the same conditions list those that have no
/// evidence of their own here.
#[derive(SimpleObject)]
pub struct ApplicationStats {
    /// How many deployments there are.
    deployments: i32,
    /// How many stand where, in the order of a deployment's life; none is left out.
    by_status: Vec<StatusCount>,
    /// Since when the one has waited for votes that has waited longest; null if none does.
    approval_waiting_since: Option<DateTime>,
    /// From asking for approval of what a deployment is now to having the votes for it: those that needed none
    /// or were let through without are left out, as objectives leave them out. Objectives count each revision.
    approval_wait: TimeTaken,
    /// From the start of a deployment to its end, good or bad.
    deployment_duration: TimeTaken,
    /// From wanting a deployment to production to its running.
    request_to_production: TimeTaken,
    /// How many incidents are open, whenever they began.
    open_incidents: i32,
    /// The position in the log all of it is as of.
    as_of_position: Position,
}

/// How many deployments stand there.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct StatusCount {
    /// Where.
    status: DeploymentStatus,
    /// How many.
    deployments: i32,
    #[graphql(skip)]
    behind: Behind,
}

/// How long something took, of deployments of which both ends are known, the first not after the second.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct TimeTaken {
    /// How many.
    deployments: i32,
    /// Median, interpolated; null without any.
    p50: Option<Duration>,
    /// 95th percentile, interpolated; null without any.
    p95: Option<Duration>,
    #[graphql(skip)]
    behind: Behind,
}

/// A number, and the question it answers.
struct Behind {
    query: Arc<StatisticsQuery>,
    of: StatisticsEvidence,
}

/// Where a page goes on: time and id.
type Place = (Instant<Utc>, String);

impl Behind {
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Paged<Deployment>> {
        let operation = Operation::of(ctx);
        operation.spend_evidence()?;
        let (list, query) = ((&self.query, self.of), "statisticsEvidence");
        let ask = Ask::<Place>::read(operation, query, &list, first, after.as_deref())?;
        let after = ask.after.clone().map(|(at, id)| ListCursor { at, id });
        let mut snapshot = operation.read(&[deployments::NAME]).await?;
        let asked = (&*self.query, self.of);
        let page = deployments::counted(&mut snapshot, asked, after.as_ref(), ask.first).await;
        let page = snapshot.answer(page)?;
        let as_of = page.as_of.into();
        let place = |row: &DeploymentRow| (row.known_at, row.id.clone());
        Ok(ask.connection(page, as_of, place, Deployment::from))
    }
}

#[ComplexObject]
impl StatusCount {
    /// Those that are counted, the one known last first.
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Deployment>> {
        self.behind.evidence(ctx, first, after).await
    }
}

#[ComplexObject]
impl TimeTaken {
    /// Those that are counted, the one known last first.
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Paged<Deployment>> {
        self.behind.evidence(ctx, first, after).await
    }
}

impl ApplicationStats {
    /// The answer to a question.
    pub fn new(query: StatisticsQuery, found: Statistics) -> ApplicationStats {
        let query = Arc::new(query);
        let behind = |of| Behind {
            query: query.clone(),
            of,
        };
        let by_status = found.by_status.into_iter();
        let by_status = by_status.map(|(status, deployments)| StatusCount {
            status: status.into(),
            deployments: int(deployments),
            behind: behind(StatisticsEvidence::Status(status)),
        });
        let taken = |taken: Taken, of| TimeTaken {
            deployments: int(taken.deployments),
            p50: taken.p50_s.map(seconds),
            p95: taken.p95_s.map(seconds),
            behind: behind(of),
        };
        ApplicationStats {
            deployments: int(found.deployments),
            by_status: by_status.collect(),
            approval_waiting_since: found.waiting_since.map(DateTime),
            approval_wait: taken(found.approval_wait, StatisticsEvidence::ApprovalWait),
            deployment_duration: taken(found.duration, StatisticsEvidence::Duration),
            request_to_production: taken(
                found.request_to_production,
                StatisticsEvidence::RequestToProduction,
            ),
            open_incidents: int(found.open_incidents),
            as_of_position: Position(found.as_of),
        }
    }
}

/// Seconds as a length of time, to the microsecond.
pub fn seconds(seconds: f64) -> Duration {
    Duration(TimeDelta::microseconds((seconds * 1e6).round() as i64))
}
