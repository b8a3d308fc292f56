//! How many deployments break something, and how long it is broken.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::reached::{push_known, push_places, push_reached, push_running};
use super::window::Window;
use super::{DoraQuery, rate};
use crate::deployments::NAME;
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

/// Adds `with ..., judged as (...)`: the deployments of the span that broke something, how
/// that is known, at which positions, and how many seconds it took to recover.
pub(super) fn push_judged(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &DoraQuery,
    window: &Window,
) -> Result<(), ReadError> {
    push_undone(sql, snap, query)?;
    push_suspects(sql, snap, query, &window.starts)?;
    sql.push(
        ", judged as (
             select s.n, s.deployment_id, s.succeeded_at, s.succeeded_pos, l.incidents,
                    l.explicit, l.inferred, s.rolled_back, s.undone_at is not null as undone,
                    h.marked as hotfix,
                    array_remove(l.positions || array[h.position, h.fixed_pos, s.undone_pos,
                        case when s.rolled_back then s.rolled_back_pos end, s.succeeded_pos], null)
                        as positions,
                    (select date_part('epoch', min(c.at) - b.began_at)
                     from (values (l.over_at), (l.fixed_at), (h.fixed_at), (s.undone_at),
                                  (case when s.rolled_back then s.rolled_back_at end)) c (at)
                     where c.at >= b.began_at) as recovery
             from suspects s cross join lateral (",
    );
    push_links(sql, snap, query)?;
    sql.push(") l cross join lateral (");
    push_hotfix(sql, snap, query)?;
    sql.push(
        ") h cross join lateral (select coalesce(l.began_at, s.succeeded_at) as began_at) b
             where l.explicit or l.inferred or s.rolled_back or s.undone_at is not null or h.marked)",
    );
    Ok(())
}

/// Adds `with undone as (...)`: deployments that a rollback replaced, and when the first did. There are
/// few rollbacks, and each says itself what it replaced.
fn push_undone(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &DoraQuery,
) -> Result<(), ReadError> {
    let deployments = snap.name(NAME, "deployments")?;
    sql.push(format!(
        "with undone as materialized (
             select y.deployment_id, min(r.succeeded_at) as undone_at, min(r.succeeded_pos) as undone_pos
             from {deployments} r cross join lateral (
                 select y.deployment_id from {deployments} y
                 where y.project = r.project and y.environment = r.environment
                   and y.service = r.service and y.version = r.previous_version
                   and (y.succeeded_at, y.succeeded_pos) < (r.succeeded_at, r.succeeded_pos) and "
    ));
    push_running(sql, snap, query, "y");
    sql.push(
        " order by y.succeeded_at desc, y.succeeded_pos desc limit 1) y
             where r.reason = 'rollback' and r.succeeded_at >= ",
    );
    sql.push_bind(query.from).push(" and ");
    push_running(sql, snap, query, "r");
    push_places(sql, &query.scope, "r");
    sql.push(" group by y.deployment_id)");
    Ok(())
}

/// Adds `suspects as (...)`: deployments of the span of which something was said that may make them
/// failures. Most rows say that there is nothing to look up, and are not read.
fn push_suspects(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &DoraQuery,
    starts: &[DateTime<Utc>],
) -> Result<(), ReadError> {
    let deployments = snap.name(NAME, "deployments")?;
    let spoken_of = "(d.failure_facts > 0 or d.rolled_back_pos > 0)";
    let halves = [
        (
            format!("{deployments} d left join undone u using (deployment_id)"),
            spoken_of.to_owned(),
        ),
        (
            format!("undone u join {deployments} d using (deployment_id)"),
            format!("not {spoken_of}"),
        ),
    ];
    for (n, (from, which)) in halves.into_iter().enumerate() {
        let before = if n == 0 {
            ", suspects as ("
        } else {
            " union all "
        };
        sql.push(before).push(
            "select d.deployment_id, d.succeeded_at, d.succeeded_pos, d.rolled_back_at,
                    d.rolled_back_pos, d.failure_facts, u.undone_at, u.undone_pos,
                    (d.rolled_back_pos > 0",
        );
        push_known(sql, query, "d.rolled_back_pos");
        sql.push(") as rolled_back, width_bucket(d.succeeded_at, ")
            .push_bind(starts.to_vec())
            .push(format!(
                ") as n from {from} where {which} and d.reason <> 'rollback' and "
            ));
        push_reached(sql, snap, query);
    }
    sql.push(")");
    Ok(())
}

/// Adds a select of one row: the incidents that the suspect `s` is linked to, as known.
fn push_links(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &DoraQuery,
) -> Result<(), ReadError> {
    let facts = snap.name(NAME, "incident_facts")?;
    let deployments = snap.name(NAME, "deployments")?;
    let tenant = snap.tenant().to_owned();
    sql.push(format!(
        "select coalesce(bool_or(k.link = 'explicit'), false) as explicit,
                coalesce(bool_or(k.link = 'inferred'), false) as inferred,
                min(o.began_at) as began_at, min(v.over_at) as over_at, min(f.fixed_at) as fixed_at,
                array_agg(k.incident_id order by k.incident_id) as incidents,
                array_agg(k.position) || array_agg(o.position) || array_agg(v.position)
                    || array_agg(f.position) as positions
         from (select distinct on (i.incident_id) i.incident_id, i.kind, i.link, i.position
               from {facts} i
               where s.failure_facts > 0 and i.deployment_id = s.deployment_id and i.tenant = "
    ));
    sql.push_bind(tenant.clone());
    push_known(sql, query, "i.position");
    sql.push(format!(
        " order by i.incident_id, i.position desc) k
         cross join lateral (select i.at as began_at, i.position from {facts} i
               where i.incident_id = k.incident_id and i.kind = 'opened' and i.tenant = "
    ));
    sql.push_bind(tenant.clone()).push(format!(
        " order by i.position limit 1) o
         cross join lateral (
               select case when i.kind = 'resolved' then i.at end as over_at, i.position
               from {facts} i
               where i.incident_id = k.incident_id and i.deployment_id is null and i.tenant = "
    ));
    sql.push_bind(tenant.clone());
    push_known(sql, query, "i.position");
    sql.push(format!(
        " order by i.position desc limit 1) v
         left join lateral (select x.succeeded_at as fixed_at, x.succeeded_pos as position
               from {deployments} x where x.remedies = k.incident_id
                and x.succeeded_at >= o.began_at and "
    ));
    push_running(sql, snap, query, "x");
    sql.push(format!(
        " order by x.succeeded_at, x.succeeded_pos limit 1) f on true
         where k.kind = 'linked' and (k.link = 'explicit' or not exists (
               select from (select distinct on (i.deployment_id) i.kind, i.link from {facts} i
                    where i.incident_id = k.incident_id and i.deployment_id is not null
                      and i.tenant = "
    ));
    sql.push_bind(tenant);
    push_known(sql, query, "i.position");
    sql.push(
        " order by i.deployment_id, i.position desc) e
               where e.kind = 'linked' and e.link = 'explicit'))",
    );
    Ok(())
}

/// Adds a select of one row: is the suspect `s` marked, and when was that fixed?
fn push_hotfix(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &DoraQuery,
) -> Result<(), ReadError> {
    let steps = snap.name(NAME, "deployment_steps")?;
    let deployments = snap.name(NAME, "deployments")?;
    sql.push(format!(
        "select coalesce(bool_or(m.marked), false) as marked, min(m.position) as position,
                min(x.succeeded_at) as fixed_at, min(x.succeeded_pos) as fixed_pos
         from (select m.kind = 'deployment.hotfix_marked' as marked, m.fixed_by, m.position
               from {steps} m
               where s.failure_facts > 0 and m.deployment_id = s.deployment_id
                 and m.kind in ('deployment.hotfix_marked', 'deployment.hotfix_unmarked')
                 and m.tenant = "
    ));
    sql.push_bind(snap.tenant().to_owned());
    push_known(sql, query, "m.position");
    sql.push(format!(
        " order by m.position desc limit 1) m
         left join {deployments} x on m.marked and x.deployment_id = m.fixed_by and "
    ));
    push_running(sql, snap, query, "x");
    sql.push(" where m.marked");
    Ok(())
}
