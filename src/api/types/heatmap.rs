//! Heat maps.

use async_graphql::{ComplexObject, Context, Enum, Result, SimpleObject, Value};
use chrono::{DateTime as Instant, Duration, NaiveTime, TimeZone as _, Utc};
use projections::BASE_RESOLUTION;
use projections::heatmap::{HeatmapQuery, HeatmapSpan as Span};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::evidence::{Evidence, Figure};
use super::int;
use super::span::{self, BoundingBox, Place};
use crate::api::fault::{Fault, FaultCode};
use crate::api::scalars::{DateTime, H3Cell, Json, Position};

/// How a heat map's time is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum HeatmapSpan {
    /// Not at all: one map of the whole span.
    Whole,
    /// A map for each UTC hour.
    Hour,
    /// A map for each calendar day of the zone.
    Day,
}

/// What a cell's `value` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "projections::heatmap::HeatmapMetric")]
pub enum HeatmapMetric {
    /// Number of fixes.
    Fixes,
    /// Number of distinct vehicles.
    Vehicles,
    /// Distinct vehicles per square kilometre of the cell's exact area.
    Density,
    /// Mean reported speed, metres per second.
    MeanSpeed,
}

/// A heat map: figures of H3 cells over a span of fix times.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Heatmap {
    /// Start of the span that was counted, included: `from` cut down to five minutes.
    from: DateTime,
    /// End of the span that was counted, excluded: `to` cut up to five minutes.
    to: DateTime,
    /// H3 resolution of the cells.
    resolution: i32,
    /// The cells, largest value first; at most `limit`.
    cells: Vec<HeatmapCell>,
    /// How many cells had fixes but fewer than `minVehicles` vehicles and are not shown.
    suppressed: i32,
    /// How many more cells there are than `limit` let through.
    more: i32,
    /// The position in the log the map is as of.
    as_of_position: Position,
}

/// What happened in one cell, over the whole span or one hour or day of it.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct HeatmapCell {
    /// Which cell.
    cell: H3Cell,
    /// Start of its hour or day; null where the map is of the whole span.
    start: Option<DateTime>,
    /// Number of fixes.
    fixes: i32,
    /// Number of distinct vehicles: a union over time and child cells, not a sum.
    vehicles: i32,
    /// Distinct vehicles per square kilometre of the cell's exact area.
    density_per_km2: f64,
    /// Mean of the reported speeds, metres per second; null if no fix reported one.
    mean_speed_mps: Option<f64>,
    /// Number of fixes that reported a speed below 0.5 m/s.
    stopped: i32,
    /// The metric asked for; null without data.
    value: Option<f64>,
    #[graphql(skip)]
    figure: Figure,
}

/// What a caller asks of a heat map: the arguments of `heatmap` and of `heatmapChanged`.
pub struct HeatmapAsked {
    /// Fix time, included.
    pub from: DateTime,
    /// Fix time, excluded.
    pub to: DateTime,
    /// H3 resolution.
    pub resolution: i32,
    /// Where the cells' centres are.
    pub bbox: Option<BoundingBox>,
    /// How time is cut.
    pub span: HeatmapSpan,
    /// Whose days are meant.
    pub zone: Option<String>,
    /// What cells are ranked by.
    pub metric: HeatmapMetric,
    /// Cells with fewer are not shown.
    pub min_vehicles: i32,
    /// At most this many cells.
    pub limit: Option<i32>,
}

/// Most cells of a heat map.
const CELLS_MAX: i32 = 10_000;
/// Cells of a heat map when the caller does not say.
const CELLS_DEFAULT: i32 = 1_000;

impl HeatmapAsked {
    /// The question in the read model's words.
    pub fn checked(self) -> Result<HeatmapQuery, Fault> {
        let (from, to) = span::span(self.from, self.to)?;
        let resolution = u8::try_from(self.resolution)
            .ok()
            .filter(|r| *r <= BASE_RESOLUTION);
        let limit = self.limit.unwrap_or(CELLS_DEFAULT);
        if !(1..=CELLS_MAX).contains(&limit) {
            return Err(Fault::of(FaultCode::PageLimit).with("limit", CELLS_MAX));
        }
        let invalid = span::invalid;
        Ok(HeatmapQuery {
            from,
            to,
            resolution: resolution
                .ok_or_else(|| invalid("resolution", "a resolution is 0 to 9"))?,
            area: self.bbox.map(BoundingBox::checked).transpose()?,
            span: self.span.in_zone(span::zone(self.zone)?),
            metric: self.metric.into(),
            min_vehicles: u32::try_from(self.min_vehicles)
                .map_err(|_| invalid("minVehicles", "a number of vehicles is 0 or more"))?,
            limit: limit.unsigned_abs(),
        })
    }
}

/// A heat map as it is kept in the cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    from: Instant<Utc>,
    to: Instant<Utc>,
    cells: Vec<KeptCell>,
    suppressed: i64,
    more: i64,
    as_of: domain::Position,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptCell {
    cell: i64,
    start: Option<Instant<Utc>>,
    fixes: i64,
    vehicles: i64,
    density_per_km2: f64,
    mean_speed_mps: Option<f64>,
    stopped: i64,
    value: Option<f64>,
}

impl Kept {
    /// The position in the log it is as of.
    pub fn as_of(&self) -> domain::Position {
        self.as_of
    }

    /// Does it tell the same figures, whatever it is as of?
    pub fn tells_what(&self, other: &Kept) -> bool {
        let span = |map: &Kept| (map.from, map.to, map.suppressed, map.more);
        span(self) == span(other) && self.cells == other.cells
    }
}

impl From<projections::heatmap::Heatmap> for Kept {
    fn from(map: projections::heatmap::Heatmap) -> Kept {
        let cells = map.cells.into_iter().map(|cell| KeptCell {
            cell: cell.cell.stored(),
            start: cell.start,
            fixes: cell.fixes,
            vehicles: cell.vehicles,
            density_per_km2: cell.density_per_km2,
            mean_speed_mps: cell.mean_speed_mps,
            stopped: cell.stopped,
            value: cell.value,
        });
        Kept {
            from: map.from,
            to: map.to,
            cells: cells.collect(),
            suppressed: map.suppressed,
            more: map.more,
            as_of: map.as_of,
        }
    }
}

impl Heatmap {
    /// The answer to a question.
    pub fn new(question: &HeatmapQuery, kept: Kept) -> Heatmap {
        let cells = kept
            .cells
            .iter()
            .filter_map(|cell| HeatmapCell::new(question, &kept, cell));
        Heatmap {
            from: DateTime(kept.from),
            to: DateTime(kept.to),
            resolution: question.resolution.into(),
            cells: cells.collect(),
            suppressed: int(kept.suppressed),
            more: int(kept.more),
            as_of_position: Position(kept.as_of),
        }
    }
}

impl HeatmapCell {
    /// None if the cache held what is no cell.
    fn new(question: &HeatmapQuery, map: &Kept, kept: &KeptCell) -> Option<HeatmapCell> {
        let cell = projections::H3Cell::from_stored(kept.cell).ok()?;
        let (from, to) = match kept.start {
            None => (map.from, map.to),
            Some(start) => (start.max(map.from), end(&question.span, start).min(map.to)),
        };
        Some(HeatmapCell {
            cell: H3Cell(cell),
            start: kept.start.map(DateTime),
            fixes: int(kept.fixes),
            vehicles: int(kept.vehicles),
            density_per_km2: kept.density_per_km2,
            mean_speed_mps: kept.mean_speed_mps,
            stopped: int(kept.stopped),
            value: kept.value,
            figure: Figure::Cell(cell, from, to),
        })
    }

    fn feature(&self) -> serde_json::Value {
        let mut ring: Vec<_> = self
            .cell
            .0
            .boundary()
            .iter()
            .map(|(lat, lon)| [*lon, *lat])
            .collect();
        ring.extend(ring.first().copied());
        json!({
            "type": "Feature",
            "id": self.cell.0.to_string(),
            "geometry": { "type": "Polygon", "coordinates": [ring] },
            "properties": {
                "start": self.start.map(|at| at.0),
                "fixes": self.fixes,
                "vehicles": self.vehicles,
                "densityPerKm2": self.density_per_km2,
                "meanSpeedMps": self.mean_speed_mps,
                "stopped": self.stopped,
                "value": self.value,
            },
        })
    }
}

/// Where the hour or day that begins at `start` ends.
fn end(span: &Span, start: Instant<Utc>) -> Instant<Utc> {
    let next_day = |zone: chrono_tz::Tz| {
        let day = start.with_timezone(&zone).date_naive().succ_opt()?;
        // A day begins with its first instant, wherever the clocks are changed at midnight.
        let midnight = day.and_time(NaiveTime::MIN);
        let first = (0..=12).map(|half_hours| midnight + Duration::minutes(30 * half_hours));
        let mut first = first.filter_map(|local| zone.from_local_datetime(&local).earliest());
        first.next().map(|at| at.with_timezone(&Utc))
    };
    match span {
        Span::Whole => Instant::<Utc>::MAX_UTC,
        Span::Hour => start + Duration::hours(1),
        Span::Day { zone } => zone
            .parse()
            .ok()
            .and_then(next_day)
            .unwrap_or(start + Duration::days(1)),
    }
}

#[ComplexObject]
impl Heatmap {
    /// The same cells as a GeoJSON FeatureCollection (RFC 7946): their outlines as polygons, their
    /// figures as properties.
    async fn geo_json(&self) -> Json {
        let features: Vec<_> = self.cells.iter().map(HeatmapCell::feature).collect();
        let collection = json!({ "type": "FeatureCollection", "features": features });
        Json(Value::from_json(collection).unwrap_or_default())
    }
}

#[ComplexObject]
impl HeatmapCell {
    /// Exact area of the cell on the sphere, square kilometres.
    async fn area_km2(&self) -> f64 {
        self.cell.0.area_km2()
    }

    /// Its centre.
    async fn centre(&self) -> Place {
        self.cell.0.centre().into()
    }

    /// Its corners, counter-clockwise; the first is not repeated.
    async fn boundary(&self) -> Vec<Place> {
        self.cell
            .0
            .boundary()
            .into_iter()
            .map(Place::from)
            .collect()
    }

    /// The fixes that were counted, by fix time, vehicle, position and index: as many as `fixes`.
    async fn evidence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many, 1 to 200; 50 if not said.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
    ) -> Result<Evidence> {
        self.figure.evidence(ctx, first, after).await
    }
}

impl HeatmapSpan {
    /// The cut in the read model's words.
    pub fn in_zone(self, zone: String) -> Span {
        match self {
            HeatmapSpan::Whole => Span::Whole,
            HeatmapSpan::Hour => Span::Hour,
            HeatmapSpan::Day => Span::Day { zone },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_day_ends_where_the_next_begins_in_its_zone() {
        let chicago = Span::Day {
            zone: "America/Chicago".to_owned(),
        };
        let day = |start, expect| assert_eq!(end(&chicago, at(start)), at(expect));
        day("2015-12-16T06:00:00Z", "2015-12-17T06:00:00Z");
        day("2016-03-13T06:00:00Z", "2016-03-14T05:00:00Z"); // 23 hours
        day("2015-11-01T05:00:00Z", "2015-11-02T06:00:00Z"); // 25 hours
        // Clocks go forward at midnight: the day of 2018-11-04 begins at 01:00.
        let sao_paulo = Span::Day {
            zone: "America/Sao_Paulo".to_owned(),
        };
        assert_eq!(
            end(&sao_paulo, at("2018-11-03T03:00:00Z")),
            at("2018-11-04T03:00:00Z")
        );
        assert_eq!(
            end(&Span::Hour, at("2016-01-01T05:00:00Z")),
            at("2016-01-01T06:00:00Z")
        );
    }
}
