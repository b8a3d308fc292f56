//! Deployments in numbers.

use async_graphql::SimpleObject;
use chrono::TimeDelta;
use projections::deployments::{Statistics, Taken};

use super::deployment::DeploymentStatus;
use super::int;
use crate::api::scalars::{DateTime, Duration, Position};

/// Deployments in numbers. `deployments` with the same project and span lists those that are counted.
#[derive(SimpleObject)]
pub struct ApplicationStats {
    /// How many deployments there are.
    deployments: i32,
    /// How many stand where, in the order of a deployment's life; none is left out.
    by_status: Vec<StatusCount>,
    /// Since when the one has waited for votes that has waited longest; null if none does.
    approval_waiting_since: Option<DateTime>,
    /// From asking for approval to having it.
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
pub struct StatusCount {
    /// Where.
    status: DeploymentStatus,
    /// How many.
    deployments: i32,
}

/// How long something took, of deployments of which both ends are known, the first not after the second.
#[derive(SimpleObject)]
pub struct TimeTaken {
    /// How many.
    deployments: i32,
    /// Median, interpolated; null without any.
    p50: Option<Duration>,
    /// 95th percentile, interpolated; null without any.
    p95: Option<Duration>,
}

impl From<Statistics> for ApplicationStats {
    fn from(found: Statistics) -> ApplicationStats {
        let by_status = found.by_status.into_iter();
        let by_status = by_status.map(|(status, deployments)| StatusCount {
            status: status.into(),
            deployments: int(deployments),
        });
        ApplicationStats {
            deployments: int(found.deployments),
            by_status: by_status.collect(),
            approval_waiting_since: found.waiting_since.map(DateTime),
            approval_wait: found.approval_wait.into(),
            deployment_duration: found.duration.into(),
            request_to_production: found.request_to_production.into(),
            open_incidents: int(found.open_incidents),
            as_of_position: Position(found.as_of),
        }
    }
}

impl From<Taken> for TimeTaken {
    fn from(taken: Taken) -> TimeTaken {
        TimeTaken {
            deployments: int(taken.deployments),
            p50: taken.p50_s.map(seconds),
            p95: taken.p95_s.map(seconds),
        }
    }
}

/// Seconds as a length of time, to the microsecond.
pub fn seconds(seconds: f64) -> Duration {
    Duration(TimeDelta::microseconds((seconds * 1e6).round() as i64))
}
