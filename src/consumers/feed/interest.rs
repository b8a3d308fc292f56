//! What a subscriber wants to hear of, and the keys under which it is looked up.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::activity_log::ActivityLog;
use domain::competition::Competition;
use domain::entry::{Entry, entry_parts};
use domain::track::TrackEvent;
use domain::{Aggregate as _, Event};
use projections::{BoundingBox, H3Cell};

use crate::consumers::LogEvent;
use crate::store::EventFilter;

/// What a subscriber of the feed wants to hear of.
#[derive(Clone, Debug)]
pub enum Interest {
    /// Events that pass a filter.
    Events(EventFilter),
    /// Whatever these vehicles report.
    Vehicles(Vec<Arc<str>>),
    /// Whatever members of the fleet report, and who joins and leaves.
    Fleet(Arc<str>),
    /// Vehicles that are in the rectangle, or have been since the subscriber last began anew.
    Area(BoundingBox),
    /// Likewise in one of these cells, of base resolution or coarser.
    Cells(Vec<H3Cell>),
    /// Whatever any vehicle reports.
    Reports,
    /// Fixes that count in a heat map.
    Counted {
        /// Fix time, included.
        from: DateTime<Utc>,
        /// Fix time, excluded.
        to: DateTime<Utc>,
        /// Of the map's cells.
        resolution: u8,
        /// Where the cells' centres are.
        area: Option<BoundingBox>,
    },
    /// Whatever may move a board of a competition.
    Board {
        /// The competition, by id.
        competition: Arc<str>,
        /// Activities of anybody are among that.
        activities: bool,
    },
}

/// Where a subscriber stands in the index: under the most telling thing it asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Keys {
    Every,
    Kinds(Vec<Arc<str>>),
    Stream(Arc<str>),
    Types(Vec<Arc<str>>),
    Vehicles(Vec<Arc<str>>),
    Fleet(Arc<str>),
    Tiles(Vec<Tile>),
    /// By resolution and stored form.
    Cells(Vec<(u8, i64)>),
    /// The centres of cells of a resolution.
    Centres(u8, Vec<Tile>),
    Reports,
}

/// A square of the map, a quarter of a degree wide, by its row and column.
pub(super) type Tile = (i16, i16);

const TILES_PER_DEGREE: f64 = 4.0;

/// An area of more tiles than this is found under every report instead.
const TILES_MAX: usize = 1_024;

/// The square a place lies in.
pub(super) fn tile(lat: f64, lon: f64) -> Tile {
    let part = |degrees: f64| (degrees * TILES_PER_DEGREE).floor() as i16;
    (part(lat), part(lon))
}

/// The squares an area touches; `None` if there are too many to list.
fn tiles(area: &BoundingBox) -> Option<Vec<Tile>> {
    let (south, west) = tile(area.south, area.west);
    let (north, east) = tile(area.north, area.east);
    let (first, last) = (tile(0.0, -180.0).1, tile(0.0, 180.0).1);
    // Across the antimeridian it is two ranges of columns.
    let columns: Vec<i16> = match area.west <= area.east {
        true => (west..=east).collect(),
        false => (west..=last).chain(first..=east).collect(),
    };
    let rows = south..=north;
    (columns.len() * rows.clone().count() <= TILES_MAX).then(|| {
        let column = |column| rows.clone().map(move |row| (row, column));
        columns.into_iter().flat_map(column).collect()
    })
}

impl Interest {
    pub(super) fn keys(&self) -> Keys {
        match self {
            Interest::Events(EventFilter {
                aggregate_id: Some(id),
                ..
            }) => Keys::Stream(id.as_str().into()),
            Interest::Events(EventFilter {
                event_types: Some(types),
                ..
            }) => {
                let mut types: Vec<Arc<str>> = types.iter().map(|t| t.as_str().into()).collect();
                types.sort_unstable();
                types.dedup();
                Keys::Types(types)
            }
            Interest::Events(EventFilter {
                aggregate_type: Some(kind),
                ..
            }) => Keys::Kinds(vec![kind.as_str().into()]),
            Interest::Events(_) => Keys::Every,
            Interest::Vehicles(vehicles) => Keys::Vehicles(vehicles.clone()),
            Interest::Fleet(fleet) => Keys::Fleet(fleet.clone()),
            Interest::Area(area) => tiles(area).map_or(Keys::Reports, Keys::Tiles),
            Interest::Cells(cells) => {
                Keys::Cells(cells.iter().map(|c| (c.resolution(), c.stored())).collect())
            }
            Interest::Reports | Interest::Counted { area: None, .. } => Keys::Reports,
            Interest::Counted {
                resolution,
                area: Some(area),
                ..
            } => match tiles(area) {
                Some(tiles) => Keys::Centres(*resolution, tiles),
                None => Keys::Reports,
            },
            Interest::Board { activities, .. } => {
                let mut kinds = vec![Competition::TYPE.into(), Entry::TYPE.into()];
                kinds.extend(activities.then(|| ActivityLog::TYPE.into()));
                Keys::Kinds(kinds)
            }
        }
    }

    /// Does it come to concern further vehicles as they move or join?
    pub(super) fn follows(&self) -> bool {
        let wide = matches!(self, Interest::Area(area) if tiles(area).is_none());
        !wide
            && matches!(
                self,
                Interest::Fleet(_) | Interest::Area(_) | Interest::Cells(_)
            )
    }

    /// Is an event that was found under its keys really wanted?
    pub(super) fn wants(&self, event: &LogEvent) -> bool {
        let stored = &event.stored;
        match self {
            Interest::Events(filter) => filter.matches(stored),
            Interest::Counted {
                from,
                to,
                resolution,
                area,
            } => {
                let Ok(Event::Track(TrackEvent::PositionsReported(reported))) =
                    event.body.as_ref().map(|recorded| &recorded.event)
                else {
                    return false;
                };
                let counts = |lat, lon| match area {
                    None => true,
                    Some(area) => {
                        let cell = H3Cell::of(lat, lon).and_then(|cell| cell.parent(*resolution));
                        let centre = cell.map(H3Cell::centre);
                        centre.is_some_and(|(lat, lon)| area.contains(lat, lon))
                    }
                };
                let mut fixes = reported.fixes.iter();
                fixes.any(|f| (*from..*to).contains(&f.fix_time) && counts(f.lat, f.lon))
            }
            Interest::Board { competition, .. } => match &*stored.aggregate_type {
                Competition::TYPE => stored.aggregate_id == *competition,
                Entry::TYPE => {
                    entry_parts(&stored.aggregate_id).is_some_and(|(of, _)| of == &**competition)
                }
                _ => true,
            },
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tiles_of_an_area_hold_its_places() {
        let cases = [
            (30.1, -97.9, 30.5, -97.6, true),
            (-1.0, 179.5, 1.0, -179.5, true),
            (89.9, 179.9, 90.0, 180.0, true),
            (-90.0, -180.0, 90.0, 180.0, false),
        ];
        for (south, west, north, east, listed) in cases {
            let area = BoundingBox::new(south, west, north, east).expect("a rectangle");
            let tiles = tiles(&area);
            assert_eq!(tiles.is_some(), listed, "{area:?}");
            let places = [(south, west), (south, east), (north, west), (north, east)];
            for (lat, lon) in places.into_iter().filter(|_| listed) {
                let tiles = tiles.as_ref().expect("they are listed");
                assert!(tiles.contains(&tile(lat, lon)), "{lat} {lon} in {area:?}");
            }
        }
    }
}
