//! The latest position of each vehicle, now or as of a time, everywhere or in a place.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Postgres, QueryBuilder, Row};

use super::{COLUMNS, FixRow, NAME};
use crate::geo::{BaseCells, haversine_sql};
use crate::{BASE_RESOLUTION, BoundingBox, H3Cell, Near, Page, ReadError, Snapshot, vehicles};

/// A vehicle's latest fix: greatest fix time, on ties greatest (position, index).
#[derive(Clone, Debug, PartialEq)]
pub struct LatestRow {
    /// The fix.
    pub fix: FixRow,
    /// Metres from the centre asked for, if one was.
    pub distance_m: Option<f64>,
}

/// Which vehicles; conditions add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatestFilter {
    /// These.
    pub vehicle_ids: Option<Vec<String>>,
    /// Members of this fleet.
    pub fleet_id: Option<String>,
    /// Those in this rectangle.
    pub area: Option<BoundingBox>,
    /// Those in one of these cells, of base resolution or coarser.
    pub cells: Option<Vec<H3Cell>>,
    /// Those in this circle. The list is then ordered by distance, then vehicle id.
    pub near: Option<Near>,
    /// Those heard of at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// Each vehicle's latest fix at that time, instead of now.
    pub as_of: Option<AsOf>,
}

/// A moment in fix time and how far back to look: `at - window < fix time <= at`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AsOf {
    /// The moment, included.
    pub at: DateTime<Utc>,
    /// How far back, excluded.
    pub window: Duration,
}

/// Where a page of latest positions ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestCursor {
    /// The last row's distance, if the list is ordered by distance.
    pub distance_m: Option<f64>,
    /// The last row's vehicle.
    pub vehicle_id: String,
}

impl LatestRow {
    /// Where a page that ends with this row goes on.
    pub fn cursor(&self) -> LatestCursor {
        LatestCursor {
            distance_m: self.distance_m,
            vehicle_id: self.fix.vehicle_id.clone(),
        }
    }
}

/// Latest positions by ascending vehicle id (with `near`: by distance), at most `first`.
pub async fn latest(
    snap: &mut Snapshot,
    filter: &LatestFilter,
    after: Option<&LatestCursor>,
    first: u32,
) -> Result<Page<LatestRow>, ReadError> {
    let as_of = match filter.fleet_id {
        Some(_) => snap.position(&[NAME, vehicles::NAME])?,
        None => snap.position(&[NAME])?,
    };
    let mut sql = QueryBuilder::new("");
    push_source(&mut sql, snap, filter)?;
    push_place(&mut sql, filter);
    push_cells(&mut sql, filter)?;
    match (after, filter.near) {
        (
            Some(LatestCursor {
                distance_m: Some(distance),
                vehicle_id,
            }),
            Some(_),
        ) => {
            sql.push(" and (distance_m, vehicle_id) > (")
                .push_bind(*distance);
            sql.push(", ").push_bind(vehicle_id).push(")");
        }
        (Some(after), _) => {
            sql.push(" and vehicle_id > ").push_bind(&after.vehicle_id);
        }
        (None, _) => {}
    }
    let distance_first = if filter.near.is_some() {
        "distance_m, "
    } else {
        ""
    };
    sql.push(format!(" order by {distance_first}vehicle_id limit "));
    sql.push_bind(i64::from(first) + 1);
    let rows = sql.build().fetch_all(snap.connection()).await?;
    let latest = rows
        .iter()
        .map(|row| {
            Ok(LatestRow {
                fix: FixRow::read(row)?,
                distance_m: row.try_get("distance_m")?,
            })
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Page::cut(latest, first, as_of))
}

/// `select ... from` each asked vehicle's latest fix `where true`, with its distance.
fn push_source(
    sql: &mut QueryBuilder<'_, Postgres>,
    snap: &Snapshot,
    filter: &LatestFilter,
) -> Result<(), ReadError> {
    let latest = snap.name(NAME, "latest_positions")?;
    let centre = filter.near.map(|near| (near.lat, near.lon));
    let distance = match centre {
        Some(_) => haversine_sql("f.lat", "f.lon", "c.lat", "c.lon"),
        None => "null::float8".to_owned(),
    };
    sql.push(format!(
        "select {COLUMNS}, distance_m from (select f.*, {distance} as distance_m from (select "
    ));
    sql.push_bind(centre.map(|(lat, _)| lat))
        .push("::float8 as lat, ");
    sql.push_bind(centre.map(|(_, lon)| lon));
    sql.push(format!("::float8 as lon) c cross join {latest} v "));
    match filter.as_of {
        // The latest fix at a past moment is read from history, vehicle by vehicle.
        Some(as_of) => {
            let history = snap.name(NAME, "positions")?;
            let window = TimeDelta::from_std(as_of.window).unwrap_or(TimeDelta::MAX);
            let from = as_of
                .at
                .checked_sub_signed(window)
                .unwrap_or(DateTime::UNIX_EPOCH);
            sql.push(format!(
                "cross join lateral (select p.* from {history} p
                 where p.tenant = v.tenant and p.vehicle_id = v.vehicle_id and p.fix_time > "
            ));
            sql.push_bind(from)
                .push(" and p.fix_time <= ")
                .push_bind(as_of.at);
            sql.push(" order by p.fix_time desc, p.position desc, p.idx desc limit 1) f");
        }
        None => {
            sql.push("cross join lateral (select v.*) f");
        }
    }
    sql.push(" where v.tenant = ")
        .push_bind(snap.tenant().to_owned());
    if let Some(ids) = &filter.vehicle_ids {
        sql.push(" and v.vehicle_id = any(")
            .push_bind(ids.clone())
            .push(")");
    }
    if let Some(fleet) = &filter.fleet_id {
        vehicles::push_member_of(sql, snap, "v.vehicle_id", fleet)?;
    }
    sql.push(") f where true");
    Ok(())
}

fn push_place(sql: &mut QueryBuilder<'_, Postgres>, filter: &LatestFilter) {
    if let Some(since) = filter.since {
        sql.push(" and fix_time >= ").push_bind(since);
    }
    if let Some(near) = filter.near {
        sql.push(" and distance_m <= ").push_bind(near.radius_m);
    }
    if let Some(area) = filter.area {
        sql.push(" and lat between ").push_bind(area.south);
        sql.push(" and ").push_bind(area.north);
        sql.push(" and (lon >= ").push_bind(area.west);
        // Across the antimeridian a longitude is beyond one edge or the other, else between both.
        sql.push(if area.west <= area.east {
            " and"
        } else {
            " or"
        });
        sql.push(" lon <= ").push_bind(area.east).push(")");
    }
}

fn push_cells(
    sql: &mut QueryBuilder<'_, Postgres>,
    filter: &LatestFilter,
) -> Result<(), ReadError> {
    let Some(cells) = &filter.cells else {
        return Ok(());
    };
    let (mut few, mut ranges) = (Vec::new(), Vec::new());
    for cell in cells {
        let finer = ReadError::ResolutionTooFine {
            asked: cell.resolution(),
            finest: BASE_RESOLUTION,
        };
        match cell.base_cells().ok_or(finer)? {
            BaseCells::Few(cells) => few.extend(cells),
            BaseCells::Range(cells) => ranges.push(cells),
        }
    }
    sql.push(" and (cell = any(").push_bind(few).push(")");
    for range in ranges {
        sql.push(" or cell between ").push_bind(*range.start());
        sql.push(" and ").push_bind(*range.end());
    }
    sql.push(")");
    Ok(())
}
