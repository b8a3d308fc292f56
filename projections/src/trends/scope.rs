//! Whose buckets of which span, as every read of track buckets selects them.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::{Postgres, QueryBuilder};

use super::NAME;
use crate::geo::haversine_sql;
use crate::{MOVING_FROM_MPS, ReadError, STOP_GAP_S, Snapshot, vehicles};

/// Whose fixes count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every vehicle's.
    #[default]
    All,
    /// One vehicle's.
    Vehicle(String),
    /// Those of the vehicles that are members of a fleet now.
    Fleet(String),
}

/// The log position an answer over a scope is as of.
pub(crate) fn scope_as_of(snap: &Snapshot, scope: &Scope) -> Result<Position, ReadError> {
    match scope {
        Scope::Fleet(_) => snap.position(&[NAME, vehicles::NAME]),
        Scope::All | Scope::Vehicle(_) => snap.position(&[NAME]),
    }
}

/// Adds `track_buckets t where` the bucket is in `[from, to)` and the vehicle in the scope.
pub(crate) fn push_buckets(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    scope: &Scope,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(), ReadError> {
    let table = snap.name(NAME, "track_buckets")?;
    sql.push(format!("{table} t where t.tenant = "))
        .push_bind(snap.tenant().to_owned());
    sql.push(" and t.bucket >= ").push_bind(from);
    sql.push(" and t.bucket < ").push_bind(to);
    match scope {
        Scope::All => {}
        Scope::Vehicle(vehicle) => {
            sql.push(" and t.vehicle_id = ").push_bind(vehicle.clone());
        }
        Scope::Fleet(fleet) => vehicles::push_member_of(sql, snap, "t.vehicle_id", fleet)?,
    }
    Ok(())
}

/// Adds a derived table of the same buckets in which `distance_m`, `moving_s` and `idle_s` include the
/// step from the last point of the vehicle's bucket before (inside the span), and `gap` tells
/// whether that step is unobserved.
pub(crate) fn push_steps(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    scope: &Scope,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(), ReadError> {
    let metres = haversine_sql("before_lat", "before_lon", "first_lat", "first_lon");
    // A vehicle's first bucket has none before: `step_s` is null, so neither observed nor a gap.
    let observed = format!("step_s <= {STOP_GAP_S}");
    let moves = format!("step_m >= {MOVING_FROM_MPS} * step_s");
    sql.push(format!(
        "(select vehicle_id, bucket, fixes, speed_n, speed_sum, speed_max, first_at, last_at,
                 distance_m + case when {observed} then step_m else 0 end as distance_m,
                 moving_s + case when {observed} and {moves} then step_s else 0 end as moving_s,
                 idle_s + case when {observed} and not {moves} then step_s else 0 end as idle_s,
                 coalesce(step_s > {STOP_GAP_S}, false) as gap
          from (select *, {metres} as step_m,
                       extract(epoch from first_at - before_at)::float8 as step_s
                from (select t.*, lag(last_at) over w as before_at,
                             lag(last_lat) over w as before_lat, lag(last_lon) over w as before_lon
                      from "
    ));
    push_buckets(sql, snap, scope, from, to)?;
    sql.push(" window w as (partition by vehicle_id order by bucket)) t) t) t");
    Ok(())
}
