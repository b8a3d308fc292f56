//! How many deployments break something, and how long it is broken.

use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row};

use super::judged::push_judged;
use super::window::Window;
use super::{DoraQuery, rate};
use crate::{ReadError, Snapshot};

/// How a deployment is known to have broken something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// Somebody put an incident down to it.
    Explicit,
    /// A rule put an incident down to it that nobody put down to any deployment.
    Inferred,
    /// It was rolled back.
    Rollback,
    /// A deployment that is a rollback replaced the version it brought; it is the latest before that
    /// which did.
    InferredRollback,
    /// It was marked as having needed a fix.
    Hotfix,
}

impl FailureKind {
    /// Every kind, in the order of its columns in [`push_judged`].
    const ALL: [(FailureKind, &'static str); 5] = [
        (FailureKind::Explicit, "explicit"),
        (FailureKind::Inferred, "inferred"),
        (FailureKind::Rollback, "rolled_back"),
        (FailureKind::InferredRollback, "undone"),
        (FailureKind::Hotfix, "hotfix"),
    ];

    /// The kinds that apply to a row.
    pub(super) fn of(row: &PgRow) -> Result<Vec<FailureKind>, sqlx::Error> {
        let mut kinds = Vec::new();
        for (kind, column) in FailureKind::ALL {
            if row.try_get(column)? {
                kinds.push(kind);
            }
        }
        Ok(kinds)
    }
}

/// Change fail rate.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeFailures {
    /// How many of [`ChangeFailures::of`] broke something, each once.
    pub failed: i64,
    /// How many deployments are no rollbacks.
    pub of: i64,
    /// The first divided by the second; `None` without any.
    pub rate: Option<f64>,
    /// How many of them broke something in each way; one may in several.
    pub by_kind: Vec<(FailureKind, i64)>,
    /// How many deployments are rollbacks.
    pub rollbacks: i64,
    /// Their share of all deployments; `None` without any.
    pub rollback_share: Option<f64>,
}

/// Failed deployment recovery time: from the start of the first incident, else from when the deployment
/// ran, to the first of: incident resolved, rolled back, replaced by a rollback, fix deployed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovery {
    /// How many failed deployments were recovered from.
    pub recovered: i64,
    /// How many were not, as far as is known. They count nowhere else.
    pub open: i64,
    /// Median, in seconds.
    pub p50_s: Option<f64>,
    /// 90th percentile, in seconds.
    pub p90_s: Option<f64>,
    /// 95th percentile, in seconds.
    pub p95_s: Option<f64>,
    /// Mean, in seconds.
    pub mean_s: Option<f64>,
}

/// Failures of the whole span and of each bucket.
pub(super) struct Failures(Vec<Found>);

#[derive(Clone, Default)]
struct Found {
    failed: i64,
    by_kind: [i64; FailureKind::ALL.len()],
    recovery: Recovery,
}

impl Failures {
    pub(super) fn figures(
        &self,
        n: usize,
        deployments: i64,
        rollbacks: i64,
    ) -> (ChangeFailures, Recovery) {
        let found = &self.0[n];
        let of = deployments - rollbacks;
        let kinds = FailureKind::ALL.iter().map(|(kind, _)| *kind);
        let failures = ChangeFailures {
            failed: found.failed,
            of,
            rate: rate(found.failed, of),
            by_kind: kinds.zip(found.by_kind).collect(),
            rollbacks,
            rollback_share: rate(rollbacks, deployments),
        };
        (failures, found.recovery.clone())
    }
}

pub(super) async fn failures(
    snap: &mut Snapshot,
    query: &DoraQuery,
    window: &Window,
) -> Result<Failures, ReadError> {
    let mut sql = QueryBuilder::new("");
    push_judged(&mut sql, snap, query, window)?;
    let (which, grouping) = window.grouping();
    let kinds = FailureKind::ALL.map(|(_, column)| format!("count(*) filter (where {column})"));
    sql.push(format!(
        " select {which}, count(*), {},
             count(recovery), percentile_cont(array[0.5, 0.9, 0.95]) within group (order by recovery),
             avg(recovery)
         from judged {}",
        kinds.join(", "),
        grouping
    ));
    let mut figures = vec![Found::default(); window.buckets() + 1];
    for row in sql.build().fetch_all(snap.connection()).await? {
        let n: Option<i32> = row.try_get(0)?;
        figures[Window::place(n)] = read(&row)?;
    }
    Ok(Failures(figures))
}

fn read(row: &PgRow) -> Result<Found, sqlx::Error> {
    let failed: i64 = row.try_get(1)?;
    let mut by_kind = [0; FailureKind::ALL.len()];
    for (n, count) in by_kind.iter_mut().enumerate() {
        *count = row.try_get(2 + n)?;
    }
    let after = 2 + by_kind.len();
    let recovered: i64 = row.try_get(after)?;
    let percentiles: Option<Vec<Option<f64>>> = row.try_get(after + 1)?;
    let percentile = |n: usize| *percentiles.as_ref()?.get(n)?;
    Ok(Found {
        failed,
        by_kind,
        recovery: Recovery {
            recovered,
            open: failed - recovered,
            p50_s: percentile(0),
            p90_s: percentile(1),
            p95_s: percentile(2),
            mean_s: row.try_get(after + 2)?,
        },
    })
}
