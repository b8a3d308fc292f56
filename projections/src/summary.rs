//! What a fleet or a vehicle did over a span: distance, time moving and idle, speeds.

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::postgres::PgRow;
use sqlx::{QueryBuilder, Row};

use crate::grain::whole_buckets;
use crate::trends::{Scope, push_steps, scope_as_of};
use crate::{Page, ReadError, Snapshot};

/// What was done over a span, by the fixes in it.
///
/// A step is two consecutive fixes of a vehicle inside the span. It is moving if its straight-line
/// speed reaches [`crate::MOVING_FROM_MPS`], else idle; longer than [`crate::STOP_GAP_S`] it is
/// unobserved and adds nothing to distance, moving or idle.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Vehicles with a fix in the span.
    pub active_vehicles: i64,
    /// Number of fixes.
    pub fixes: i64,
    /// Metres along the fixes; `None` without fixes, 0 with one.
    pub distance_m: Option<f64>,
    /// Seconds moving; `None` without fixes.
    pub moving_s: Option<f64>,
    /// Seconds idle; `None` without fixes.
    pub idle_s: Option<f64>,
    /// Number of unobserved steps.
    pub gaps: i64,
    /// Mean reported speed, m/s; `None` if none was reported.
    pub mean_speed_mps: Option<f64>,
    /// Greatest reported speed, m/s; `None` if none was reported.
    pub max_speed_mps: Option<f64>,
    /// Time of the first fix.
    pub first_fix: Option<DateTime<Utc>>,
    /// Time of the last fix.
    pub last_fix: Option<DateTime<Utc>>,
}

/// A span's totals, and what they are as of.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryTotals {
    /// The span counted, from (included): `from` cut down to five minutes.
    pub from: DateTime<Utc>,
    /// The span counted, to (excluded): `to` cut up to five minutes.
    pub to: DateTime<Utc>,
    /// The totals.
    pub summary: Summary,
    /// The log position they are as of.
    pub as_of: Position,
}

/// One vehicle's part.
#[derive(Clone, Debug, PartialEq)]
pub struct VehicleSummary {
    /// Which vehicle.
    pub vehicle_id: String,
    /// Its part.
    pub summary: Summary,
}

/// What a scope did over `[from, to)`.
pub async fn summary(
    snap: &mut Snapshot,
    scope: &Scope,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<SummaryTotals, ReadError> {
    let (from, to) = whole_buckets(from, to)?;
    let as_of = scope_as_of(snap, scope)?;
    let mut sql = QueryBuilder::new(format!("select {TOTALS} from "));
    push_steps(&mut sql, snap, scope, from, to)?;
    let row = sql.build().fetch_one(snap.connection()).await?;
    Ok(SummaryTotals {
        from,
        to,
        summary: read_summary(&row)?,
        as_of,
    })
}

/// The same vehicle by vehicle: those with a fix in the span, by ascending id, at most `first`.
pub async fn summary_by_vehicle(
    snap: &mut Snapshot,
    scope: &Scope,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    after: Option<&str>,
    first: u32,
) -> Result<Page<VehicleSummary>, ReadError> {
    let (from, to) = whole_buckets(from, to)?;
    let as_of = scope_as_of(snap, scope)?;
    let mut sql = QueryBuilder::new(format!("select vehicle_id, {TOTALS} from "));
    push_steps(&mut sql, snap, scope, from, to)?;
    if let Some(after) = after {
        sql.push(" where vehicle_id > ").push_bind(after);
    }
    sql.push(" group by vehicle_id order by vehicle_id limit ")
        .push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let vehicles = rows
        .iter()
        .map(|row| {
            let vehicle_id = row.try_get("vehicle_id")?;
            Ok(VehicleSummary {
                vehicle_id,
                summary: read_summary(row)?,
            })
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Page::cut(vehicles, first, as_of))
}

const TOTALS: &str = "
    count(distinct vehicle_id) as active_vehicles, coalesce(sum(fixes), 0)::bigint as fixes,
    sum(distance_m) as distance_m, sum(moving_s) as moving_s, sum(idle_s) as idle_s,
    count(*) filter (where gap) as gaps,
    (sum(speed_sum) / 1e6 / nullif(sum(speed_n), 0))::float8 as mean_speed,
    max(speed_max) as max_speed, min(first_at) as first_fix, max(last_at) as last_fix";

fn read_summary(row: &PgRow) -> Result<Summary, sqlx::Error> {
    Ok(Summary {
        active_vehicles: row.try_get("active_vehicles")?,
        fixes: row.try_get("fixes")?,
        distance_m: row.try_get("distance_m")?,
        moving_s: row.try_get("moving_s")?,
        idle_s: row.try_get("idle_s")?,
        gaps: row.try_get("gaps")?,
        mean_speed_mps: row.try_get("mean_speed")?,
        max_speed_mps: row.try_get("max_speed")?,
        first_fix: row.try_get("first_fix")?,
        last_fix: row.try_get("last_fix")?,
    })
}
