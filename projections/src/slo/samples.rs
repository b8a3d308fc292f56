//! What an objective measures, sample by sample, in SQL.

use chrono::{DateTime, Utc};
use domain::deployment::Tier;
use domain::slo::{Sli, SloScope};
use sqlx::{Postgres, QueryBuilder};

use super::window::Window;
use super::{SloQuery, freshness};
use crate::deployments::NAME;
use crate::{ReadError, Snapshot};

/// What can be said of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// It is within the threshold.
    Good,
    /// It is longer.
    Bad,
    /// It ended before it began, and does not count.
    Negative,
    /// It has not ended, and does not count yet.
    Open,
}

impl SampleKind {
    /// Its word in SQL.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            SampleKind::Good => "good",
            SampleKind::Bad => "bad",
            SampleKind::Negative => "negative",
            SampleKind::Open => "open",
        }
    }
}

/// Adds `samples as (...)`: those that ended at a time with `from` <= time < the window's end, outside of
/// what is left out; each with its kind.
pub(super) fn push_samples(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &SloQuery,
    from: DateTime<Utc>,
) -> Result<(), ReadError> {
    sql.push(
        "samples as materialized (
             select e.ended, e.position, e.began_pos, e.deployment_id, e.began, s.seconds,
                    case when s.seconds < 0 then 'negative' when s.seconds <= ",
    );
    sql.push_bind(f64::from(query.objective.threshold_seconds));
    sql.push(" then 'good' else 'bad' end as kind from (");
    match query.objective.sli {
        Sli::ApprovalWait => push_approvals(sql, snap, query, from)?,
        Sli::DeploymentDuration => push_durations(sql, snap, query, from)?,
        Sli::RequestToProduction => push_arrivals(sql, snap, query, from)?,
        Sli::FeedFreshness => freshness::push_looks(sql, snap, query, from)?,
    }
    sql.push(
        ") e cross join lateral (select date_part('epoch', e.ended - e.began) as seconds) s
         where true",
    );
    push_not_excluded(sql, query, "e.ended");
    sql.push(")");
    Ok(())
}

/// From asking for approval, for this revision of a deployment, to having it: an approval that somebody had
/// to give and that no vote taken back has undone. What was lifted by breaking the glass was never approved.
fn push_approvals(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &SloQuery,
    from: DateTime<Utc>,
) -> Result<(), ReadError> {
    let steps = snap.name(NAME, "deployment_steps")?;
    let deployments = snap.name(NAME, "deployments")?;
    sql.push(format!(
        "select s.at as ended, s.position, a.position as began_pos, s.deployment_id, a.at as began
         from {steps} s join {deployments} d using (tenant, deployment_id)
         cross join lateral (
             select k.at, k.position from {steps} k
             where k.tenant = s.tenant and k.deployment_id = s.deployment_id
               and k.position < s.position and {} order by k.position desc limit 1) a
         where s.kind = 'deployment.approval_satisfied' and s.detail -> 'votes' <> '[]'
           and not exists (
             select from {steps} v
             where v.tenant = s.tenant and v.deployment_id = s.deployment_id
               and v.position > s.position and v.kind = 'deployment.approval_revoked'
               and v.detail @> '{{\"reopened\": true}}'
               and v.detail -> 'revision' = s.detail -> 'revision'",
        asked("k")
    ));
    push_known(sql, query, "v.position");
    sql.push(") and ");
    push_ended(sql, snap, query, from, ("s", "at", "position"));
    push_places(sql, &query.objective.scope);
    Ok(())
}

/// From the start of a deployment to its end, good or bad. What was called off has not ended.
fn push_durations(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &SloQuery,
    from: DateTime<Utc>,
) -> Result<(), ReadError> {
    let deployments = snap.name(NAME, "deployments")?;
    // Named one by one, for the index of those that ran.
    let tiers = Tier::ALL.iter().map(|tier| format!("'{}'", tier.as_str()));
    let tiers = tiers.collect::<Vec<_>>().join(", ");
    let tiers = format!("d.tier in ({tiers}) and ");
    for (n, (end, which)) in [("succeeded", tiers.as_str()), ("failed", "")]
        .into_iter()
        .enumerate()
    {
        sql.push(if n == 0 { "" } else { " union all " });
        sql.push(format!(
            "select d.{end}_at as ended, d.{end}_pos as position, d.started_pos as began_pos,
                    d.deployment_id, d.started_at as began
             from {deployments} d
             where d.started_at is not null and d.{end}_at is not null and {which}"
        ));
        let (at, position) = (format!("{end}_at"), format!("{end}_pos"));
        push_ended(sql, snap, query, from, ("d", &at, &position));
        push_places(sql, &query.objective.scope);
    }
    Ok(())
}

/// From wanting a deployment to production to its running there, whatever became of it later.
fn push_arrivals(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &SloQuery,
    from: DateTime<Utc>,
) -> Result<(), ReadError> {
    let deployments = snap.name(NAME, "deployments")?;
    sql.push(format!(
        "select d.succeeded_at as ended, d.succeeded_pos as position, d.requested_pos as began_pos,
                d.deployment_id, d.requested_at as began
         from {deployments} d
         where d.requested_at is not null and d.succeeded_at is not null and d.tier = '{}' and ",
        Tier::Production.as_str()
    ));
    push_ended(
        sql,
        snap,
        query,
        from,
        ("d", "succeeded_at", "succeeded_pos"),
    );
    push_places(sql, &query.objective.scope);
    Ok(())
}

/// Adds `open as (...)`: what began at a time with `from` <= time < the window's end and, as known, had not
/// come to any end by then. Of a feed nothing is open.
pub(super) fn push_open(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &SloQuery,
    from: DateTime<Utc>,
) -> Result<(), ReadError> {
    sql.push(
        "open as (select o.began as ended, o.position, o.position as began_pos, o.deployment_id,
                         o.began, null::float8 as seconds, 'open' as kind from (",
    );
    match query.objective.sli {
        Sli::ApprovalWait => push_awaited(sql, snap, query, from)?,
        Sli::DeploymentDuration => push_unended(sql, snap, query, from, "started", "")?,
        Sli::RequestToProduction => {
            let tier = format!(" and d.tier = '{}'", Tier::Production.as_str());
            push_unended(sql, snap, query, from, "requested", &tier)?;
        }
        Sli::FeedFreshness => {
            sql.push(
                "select null::timestamptz as began, 0::bigint as position, null::text as deployment_id
                 where false",
            );
        }
    }
    sql.push(") o where true");
    push_not_excluded(sql, query, "o.began");
    sql.push(")");
    Ok(())
}

/// Approvals that were asked for and are neither given nor void.
fn push_awaited(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &SloQuery,
    from: DateTime<Utc>,
) -> Result<(), ReadError> {
    let steps = snap.name(NAME, "deployment_steps")?;
    let deployments = snap.name(NAME, "deployments")?;
    sql.push(format!(
        "select s.at as began, s.position, s.deployment_id
         from {steps} s join {deployments} d using (tenant, deployment_id)
         cross join lateral (
             select z.kind, z.position from {steps} z
             where z.tenant = s.tenant and z.deployment_id = s.deployment_id
               and z.position >= s.position and ({} or z.detail @> '{{\"reopened\": true}}'
                   or z.kind in ('deployment.approval_satisfied', 'deployment.approval_rejected',
                                 'deployment.approval_expired', 'deployment.approval_overridden',
                                 'deployment.cancelled'))
               and z.at < ",
        asked("z")
    ));
    sql.push_bind(query.at);
    push_known(sql, query, "z.position");
    sql.push(format!(
        " order by z.position desc limit 1) z
         where {} and (z.position = s.position or z.kind = 'deployment.approval_revoked' and not exists (
             select from {steps} w
             where w.tenant = s.tenant and w.deployment_id = s.deployment_id
               and w.position > s.position and w.position < z.position and {}))
           and s.kind in ('deployment.approval_requested', 'deployment.amended') and ",
        asked("s"),
        asked("w")
    ));
    push_ended(sql, snap, query, from, ("s", "at", "position"));
    push_places(sql, &query.objective.scope);
    Ok(())
}

/// Deployments with such a beginning and no end.
fn push_unended(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &SloQuery,
    from: DateTime<Utc>,
    begin: &str,
    which: &str,
) -> Result<(), ReadError> {
    let deployments = snap.name(NAME, "deployments")?;
    sql.push(format!(
        "select d.{begin}_at as began, d.{begin}_pos as position, d.deployment_id
         from {deployments} d where d.{begin}_at is not null{which} and "
    ));
    let (at, position) = (format!("{begin}_at"), format!("{begin}_pos"));
    push_ended(sql, snap, query, from, ("d", &at, &position));
    for end in ["succeeded", "failed", "closed"] {
        sql.push(format!(" and not (d.{end}_pos > 0"));
        push_known(sql, query, &format!("d.{end}_pos"));
        sql.push(format!(" and coalesce(d.{end}_at < "))
            .push_bind(query.at)
            .push(", true))");
    }
    push_places(sql, &query.objective.scope);
    Ok(())
}

/// How many are open at the end of the window.
pub(super) async fn open(
    snap: &mut Snapshot,
    query: &SloQuery,
    window: &Window,
) -> Result<i64, ReadError> {
    let mut sql = QueryBuilder::new("with ");
    push_open(&mut sql, snap, query, window.from)?;
    sql.push(" select count(*) from open");
    Ok(sql
        .build_query_scalar()
        .fetch_one(snap.connection())
        .await?)
}

/// SQL that a step asks for approval, the first time or anew.
fn asked(step: &str) -> String {
    format!(
        "({step}.kind = 'deployment.approval_requested'
          or {step}.kind = 'deployment.amended' and {step}.detail @> '{{\"reopened\": true}}')"
    )
}

/// Adds that a row is ours, that its time lies from then on and before the window's end, and that it is
/// known: the row's name, its column of time and its column of position.
fn push_ended(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    query: &SloQuery,
    from: DateTime<Utc>,
    (row, at, position): (&str, &str, &str),
) {
    sql.push(format!("{row}.tenant = "))
        .push_bind(snap.tenant().to_owned());
    sql.push(format!(" and {row}.{at} >= ")).push_bind(from);
    sql.push(format!(" and {row}.{at} < ")).push_bind(query.at);
    push_known(sql, query, &format!("{row}.{position}"));
}

/// Adds that what was said at this position is known.
fn push_known(sql: &mut QueryBuilder<'_, Postgres>, query: &SloQuery, position: &str) {
    if let Some(known) = query.known_at {
        sql.push(format!(" and {position} <= "))
            .push_bind(known.position.0);
    }
}

/// Adds that a deployment `d` is of the scope.
fn push_places(sql: &mut QueryBuilder<'_, Postgres>, scope: &SloScope) {
    let places = [
        ("project", &scope.project),
        ("service", &scope.service),
        ("environment", &scope.environment),
    ];
    for (column, value) in places {
        if let Some(value) = value {
            sql.push(format!(" and d.{column} = "))
                .push_bind(value.clone());
        }
    }
}

/// Adds that a time lies in no span that is left out.
fn push_not_excluded(sql: &mut QueryBuilder<'_, Postgres>, query: &SloQuery, time: &str) {
    if query.excluded.is_empty() {
        return;
    }
    let (from, to): (Vec<_>, Vec<_>) = query.excluded.iter().copied().unzip();
    sql.push(" and not exists (select from unnest(")
        .push_bind(from)
        .push("::timestamptz[], ")
        .push_bind(to)
        .push(format!(
            "::timestamptz[]) x (since, until) where {time} >= x.since and {time} < x.until)"
        ));
}
