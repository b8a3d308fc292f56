//! Which deployments of a span broke something, in SQL: suspects, and what is known against each.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

use super::DoraQuery;
use super::reached::{push_known, push_places, push_reached, push_running};
use super::window::Window;
use crate::deployments::NAME;
use crate::{ReadError, Snapshot};

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
