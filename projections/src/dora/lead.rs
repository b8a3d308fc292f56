//! How long a change takes from being committed to running.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::reached::{push_known, push_reached, push_running};
use super::window::Window;
use super::{DoraQuery, LeadBasis, rate};
use crate::deployments::NAME;
use crate::{ReadError, Snapshot};

/// Change lead time. A change of a service counts once, where it was first deployed; of what a
/// deployment carries only what was told counts, so a service's first one does not take its past along.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeadTime {
    /// How many changes have a positive lead time.
    pub changes: i64,
    /// How many have none, or a negative one: clocks of others. They count nowhere else.
    pub excluded: i64,
    /// Of how many it is not known when they were written; only where that is asked for.
    pub untimed: i64,
    /// Median, in seconds.
    pub p50_s: Option<f64>,
    /// 75th percentile, in seconds.
    pub p75_s: Option<f64>,
    /// 90th percentile, in seconds.
    pub p90_s: Option<f64>,
    /// 95th percentile, in seconds.
    pub p95_s: Option<f64>,
    /// Those that took an hour or less.
    pub within_1h: Within,
    /// Those that took 24 hours or less.
    pub within_24h: Within,
    /// Those that took seven days or less.
    pub within_7d: Within,
    /// What the time was spent on.
    pub parts: LeadParts,
}

/// Those that took no longer than that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Within {
    /// How many.
    pub changes: i64,
    /// Their share; `None` without changes.
    pub share: Option<f64>,
}

/// What the time was spent on, as far as the times between were told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeadParts {
    /// From writing, or committing where that is not known, to putting it forward.
    pub coding: Part,
    /// From there to the first look of somebody else.
    pub pickup: Part,
    /// From there to merging.
    pub review: Part,
    /// From there to running.
    pub deploy: Part,
}

/// A part of lead times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Of how many changes both its ends are known, the first not after the second.
    pub changes: i64,
    /// Median, in seconds.
    pub p50_s: Option<f64>,
}

/// Lead times of the whole span and of each bucket.
pub(super) struct LeadTimes(Vec<LeadTime>);

impl LeadTimes {
    pub(super) fn figures(&self, n: usize) -> LeadTime {
        self.0[n].clone()
    }
}

pub(super) async fn lead_times(
    snap: &mut Snapshot,
    query: &DoraQuery,
    window: &Window,
) -> Result<LeadTimes, ReadError> {
    let mut sql = QueryBuilder::new("");
    push_carried(&mut sql, snap, query, window)?;
    let (which, grouping) = window.grouping();
    let within = |seconds: i64| format!("count(*) filter (where lead > 0 and lead <= {seconds})");
    let part = |from: &str, to: &str| {
        let known = format!("filter (where lead > 0 and {to} >= {from})");
        let seconds = format!("date_part('epoch', {to} - {from})");
        format!("count(*) {known}, percentile_cont(0.5) within group (order by {seconds}) {known}")
    };
    sql.push(format!(
        " select {which}, count(*) filter (where lead > 0),
             count(*) filter (where lead <= 0), count(*) filter (where lead is null),
             percentile_cont(array[0.5, 0.75, 0.9, 0.95]) within group (order by lead)
                 filter (where lead > 0),
             {}, {}, {}, {}, {}, {}, {}
         from carried {}",
        within(3_600),
        within(86_400),
        within(7 * 86_400),
        part("coalesce(authored_at, committed_at)", "opened_at"),
        part("opened_at", "first_review_at"),
        part("first_review_at", "merged_at"),
        part("merged_at", "succeeded_at"),
        grouping,
    ));
    let mut figures = vec![LeadTime::default(); window.buckets() + 1];
    for row in sql.build().fetch_all(snap.connection()).await? {
        let n: Option<i32> = row.try_get(0)?;
        figures[Window::place(n)] = read(&row)?;
    }
    Ok(LeadTimes(figures))
}

fn read(row: &PgRow) -> Result<LeadTime, sqlx::Error> {
    let changes: i64 = row.try_get(1)?;
    let percentiles: Option<Vec<f64>> = row.try_get(4)?;
    let percentile = |n: usize| percentiles.as_ref().and_then(|all| all.get(n).copied());
    let within = |column: usize| -> Result<Within, sqlx::Error> {
        let within = row.try_get(column)?;
        Ok(Within {
            changes: within,
            share: rate(within, changes),
        })
    };
    let part = |column: usize| -> Result<Part, sqlx::Error> {
        Ok(Part {
            changes: row.try_get(column)?,
            p50_s: row.try_get(column + 1)?,
        })
    };
    Ok(LeadTime {
        changes,
        excluded: row.try_get(2)?,
        untimed: row.try_get(3)?,
        p50_s: percentile(0),
        p75_s: percentile(1),
        p90_s: percentile(2),
        p95_s: percentile(3),
        within_1h: within(5)?,
        within_24h: within(6)?,
        within_7d: within(7)?,
        parts: LeadParts {
            coding: part(8)?,
            pickup: part(10)?,
            review: part(12)?,
            deploy: part(14)?,
        },
    })
}

/// Adds `with carried as (...)`: the changes that were first deployed to the tier by a
/// deployment of the span, each with its lead time in seconds.
pub(super) fn push_carried(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &DoraQuery,
    window: &Window,
) -> Result<(), ReadError> {
    let changes = snap.name(NAME, "deployment_changes")?;
    let deployments = snap.name(NAME, "deployments")?;
    let basis = match query.basis {
        LeadBasis::Committed => "committed_at",
        LeadBasis::Authored => "authored_at",
    };
    sql.push("with carried as (select width_bucket(d.succeeded_at, ");
    sql.push_bind(window.starts.clone()).push(format!(
        ") as n, d.deployment_id, d.succeeded_at, d.succeeded_pos, c.change_id, c.position,
                c.committed_at, c.authored_at, c.opened_at, c.first_review_at, c.merged_at,
                date_part('epoch', d.succeeded_at - c.{basis}) as lead
         from {deployments} d
             join {changes} c on c.tenant = d.tenant and c.deployment_id = d.deployment_id
                             and c.position >= d.changes_from
         where d.change_facts > 0 and "
    ));
    push_reached(sql, snap, query);
    push_known(sql, query, "c.position");
    sql.push(format!(
        " and (not c.shared or not exists (
             select from {changes} e
                 join {deployments} x on x.tenant = e.tenant and x.deployment_id = e.deployment_id
             where e.tenant = c.tenant and e.change_id = c.change_id
               and e.deployment_id <> c.deployment_id and e.position >= x.changes_from
               and x.project = d.project and x.service = d.service
               and (x.succeeded_at, x.succeeded_pos) < (d.succeeded_at, d.succeeded_pos) and "
    ));
    push_running(sql, snap, query, "x");
    push_known(sql, query, "e.position");
    // An offset keeps this a look-up for each change that another deployment may have brought before: as a
    // join it would read all that ever was.
    sql.push(" offset 0)))");
    Ok(())
}
