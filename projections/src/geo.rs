//! The words of place: H3 cells, bounding boxes, circles, distances on the sphere.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use h3o::{CellIndex, LatLng, Resolution};

/// Mean radius of the earth in metres (IUGG R1), used for every distance.
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// The resolution at which fixes are counted: cells of about 0.105 km², edges of about 174 m.
pub const BASE_RESOLUTION: u8 = 9;
const BASE: Resolution = Resolution::Nine;

/// A cell of the H3 grid, written as lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct H3Cell(CellIndex);

/// A text or number that names no H3 cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an H3 cell")]
pub struct InvalidCell;

impl H3Cell {
    /// The base cell of a place; `None` unless both numbers are finite.
    pub fn of(lat: f64, lon: f64) -> Option<H3Cell> {
        LatLng::new(lat, lon)
            .ok()
            .map(|at| H3Cell(at.to_cell(BASE)))
    }

    /// 0 (continents) to 15 (under a square metre).
    pub fn resolution(self) -> u8 {
        self.0.resolution().into()
    }

    /// The cell that holds this one at a coarser resolution, or itself; `None` if `resolution` is
    /// finer than its own.
    pub fn parent(self, resolution: u8) -> Option<H3Cell> {
        self.0
            .parent(Resolution::try_from(resolution).ok()?)
            .map(H3Cell)
    }

    /// Latitude and longitude of its centre, degrees.
    pub fn centre(self) -> (f64, f64) {
        let at = LatLng::from(self.0);
        (at.lat(), at.lng())
    }

    /// Latitude and longitude of its corners, counter-clockwise, degrees; the first is not repeated.
    pub fn boundary(self) -> Vec<(f64, f64)> {
        self.0
            .boundary()
            .iter()
            .map(|at| (at.lat(), at.lng()))
            .collect()
    }

    /// Its exact area on the sphere, square kilometres.
    pub fn area_km2(self) -> f64 {
        self.0.area_km2()
    }

    /// As stored: the 64-bit index, whose top bit is never set.
    pub fn stored(self) -> i64 {
        i64::try_from(u64::from(self.0)).expect("the top bit of an H3 index is reserved and zero")
    }

    /// From its stored form.
    pub fn from_stored(stored: i64) -> Result<H3Cell, InvalidCell> {
        let bits = u64::try_from(stored).map_err(|_| InvalidCell)?;
        CellIndex::try_from(bits)
            .map(H3Cell)
            .map_err(|_| InvalidCell)
    }

    /// The stored forms of all base cells within it. `None` for a cell finer than the base.
    pub(crate) fn base_cells(self) -> Option<BaseCells> {
        let depth = BASE_RESOLUTION.checked_sub(self.resolution())?;
        if depth <= FEW_DEPTH {
            let children = self.0.children(BASE).map(|child| H3Cell(child).stored());
            return Some(BaseCells::Few(children.collect()));
        }
        let below = digits_mask(self.resolution()) & !digits_mask(BASE_RESOLUTION);
        let first = (self.stored() & !RESOLUTION_MASK & !below)
            | (i64::from(BASE_RESOLUTION) << RESOLUTION_SHIFT);
        let sixes = (0..depth).fold(0, |digits, _| (digits << 3) | 6);
        Some(BaseCells::Range(
            first..=first | (sixes << digits_below(BASE_RESOLUTION)),
        ))
    }
}

/// Base cells within a cell.
#[derive(Debug, PartialEq)]
pub(crate) enum BaseCells {
    /// Each of them: at most 343.
    Few(Vec<i64>),
    /// From the first to the last: contiguous, because a child's index extends its parent's.
    Range(RangeInclusive<i64>),
}

/// Up to this many resolutions above the base, base cells are listed.
const FEW_DEPTH: u8 = 3;

impl fmt::Display for H3Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", u64::from(self.0))
    }
}

impl FromStr for H3Cell {
    type Err = InvalidCell;
    fn from_str(text: &str) -> Result<H3Cell, InvalidCell> {
        text.parse().map(H3Cell).map_err(|_| InvalidCell)
    }
}

const RESOLUTION_SHIFT: u32 = 52;
const RESOLUTION_MASK: i64 = 0xf << RESOLUTION_SHIFT;

/// How many bits of an index lie below the digit of `resolution`.
const fn digits_below(resolution: u8) -> u32 {
    3 * (15 - resolution as u32)
}

/// The digits finer than `resolution`, all ones: how unused digits are written.
const fn digits_mask(resolution: u8) -> i64 {
    (1 << digits_below(resolution)) - 1
}

/// SQL for the parent at `resolution` of a stored base cell in `column`.
pub(crate) fn parent_sql(column: &str, resolution: u8) -> String {
    let unused = digits_mask(resolution);
    let keep = !(RESOLUTION_MASK | unused);
    let set = (i64::from(resolution) << RESOLUTION_SHIFT) | unused;
    format!("(({column} & {keep}) | {set})")
}

/// A rectangle of latitudes and longitudes, edges included. `west > east` crosses the antimeridian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundingBox {
    /// Lowest latitude, degrees.
    pub south: f64,
    /// Western longitude, degrees.
    pub west: f64,
    /// Highest latitude, degrees.
    pub north: f64,
    /// Eastern longitude, degrees.
    pub east: f64,
}

impl BoundingBox {
    /// `None` unless all four are in range (±90, ±180) and `south <= north`.
    pub fn new(south: f64, west: f64, north: f64, east: f64) -> Option<BoundingBox> {
        let fits = is_latitude(south)
            && is_latitude(north)
            && is_longitude(west)
            && is_longitude(east)
            && south <= north;
        fits.then_some(BoundingBox {
            south,
            west,
            north,
            east,
        })
    }

    /// Is the place in it?
    pub fn contains(&self, lat: f64, lon: f64) -> bool {
        let across = if self.west <= self.east {
            self.west <= lon && lon <= self.east
        } else {
            lon >= self.west || lon <= self.east
        };
        self.south <= lat && lat <= self.north && across
    }
}

/// A circle on the sphere, edge included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Latitude of its centre, degrees.
    pub lat: f64,
    /// Longitude of its centre, degrees.
    pub lon: f64,
    /// Its radius along the surface, metres.
    pub radius_m: f64,
}

impl Near {
    /// `None` unless the centre is in range and the radius a finite number not below 0.
    pub fn new(lat: f64, lon: f64, radius_m: f64) -> Option<Near> {
        let fits = is_latitude(lat) && is_longitude(lon) && radius_m.is_finite() && radius_m >= 0.0;
        fits.then_some(Near { lat, lon, radius_m })
    }
}

fn is_latitude(degrees: f64) -> bool {
    (-90.0..=90.0).contains(&degrees)
}

fn is_longitude(degrees: f64) -> bool {
    (-180.0..=180.0).contains(&degrees)
}

/// Great-circle distance by the haversine formula, metres; arguments in degrees.
pub fn haversine_m(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> f64 {
    let half_dlat = ((lat2 - lat1).to_radians() / 2.0).sin();
    let half_dlon = ((lon2 - lon1).to_radians() / 2.0).sin();
    let h = half_dlat * half_dlat
        + lat1.to_radians().cos() * lat2.to_radians().cos() * half_dlon * half_dlon;
    2.0 * EARTH_RADIUS_M * h.sqrt().min(1.0).asin()
}

/// SQL for [`haversine_m`] over four expressions in degrees. Of null it makes no null, because
/// `least` overlooks one: the caller sees to that.
pub(crate) fn haversine_sql(lat1: &str, lon1: &str, lat2: &str, lon2: &str) -> String {
    format!(
        "(2 * {EARTH_RADIUS_M} * asin(least(1, sqrt(
            power(sin(radians({lat2} - {lat1}) / 2), 2)
            + cos(radians({lat1})) * cos(radians({lat2}))
            * power(sin(radians({lon2} - {lon1}) / 2), 2)))))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn distances_agree_with_an_independent_computation() {
        let check = |(lat1, lon1), (lat2, lon2), expect: f64| {
            let got = haversine_m(lat1, lon1, lat2, lon2);
            assert!(
                (got - expect).abs() < 1e-6 * expect.max(1.0),
                "{got} instead of {expect}"
            );
        };
        check((0.0, 0.0), (0.0, 1.0), 111_195.080_233_532_9);
        check((0.0, 179.5), (0.0, -179.5), 111_195.080_233_532_9);
        check((90.0, 0.0), (-90.0, 0.0), 20_015_114.442_035_925);
        check((0.0, 0.0), (0.0, 180.0), 20_015_114.442_035_925);
        check((30.2672, -97.7431), (30.2672, -97.7431), 0.0);
        check((52.52, 13.405), (48.8566, 2.3522), 877_464.537_921_509_1);
        check(
            (-33.8688, 151.2093),
            (51.5074, -0.1278),
            16_993_956.932_816_54,
        );
    }

    #[test]
    fn a_box_may_cross_the_antimeridian() {
        let check = |west, east, lon, expect| {
            let area = BoundingBox::new(-10.0, west, 10.0, east).expect("in range");
            assert_eq!(area.contains(0.0, lon), expect, "{lon} in {west}..{east}");
        };
        check(170.0, -170.0, 175.0, true);
        check(170.0, -170.0, -175.0, true);
        check(170.0, -170.0, 180.0, true);
        check(170.0, -170.0, -180.0, true);
        check(170.0, -170.0, 0.0, false);
        check(-170.0, 170.0, 175.0, false);
        check(-170.0, 170.0, -170.0, true);
    }

    #[test]
    fn a_box_or_circle_outside_the_globe_is_none() {
        assert_eq!(BoundingBox::new(10.0, 0.0, -10.0, 0.0), None);
        assert_eq!(BoundingBox::new(-91.0, 0.0, 0.0, 0.0), None);
        assert_eq!(BoundingBox::new(0.0, f64::NAN, 0.0, 0.0), None);
        assert_eq!(Near::new(0.0, 180.1, 1.0), None);
        assert_eq!(Near::new(0.0, 0.0, f64::INFINITY), None);
        assert_eq!(Near::new(0.0, 0.0, -1.0), None);
    }

    #[test]
    fn a_cell_is_written_as_lower_case_hexadecimal() {
        let cell = H3Cell::of(37.3615593, -122.0553238).expect("finite");
        // The example of H3's documentation.
        let parent = cell.parent(5).expect("coarser");
        assert_eq!(parent.to_string(), "85283473fffffff");
        assert_eq!("85283473fffffff".parse(), Ok(parent));
        assert_eq!(cell.parent(10), None);
        assert_eq!(H3Cell::from_stored(cell.stored()), Ok(cell));
        assert_eq!("85283473ffffff".parse::<H3Cell>(), Err(InvalidCell));
        assert_eq!(H3Cell::from_stored(-1), Err(InvalidCell));
    }

    fn place() -> impl Strategy<Value = (f64, f64)> {
        (-90.0..=90.0_f64, -180.0..=180.0_f64)
    }

    proptest! {
        #[test]
        fn a_cell_is_among_the_base_cells_of_each_parent(
            (lat, lon) in place(), (lat2, lon2) in place(), resolution in 0..=BASE_RESOLUTION,
        ) {
            let holds = |parent: H3Cell, cell: H3Cell| match parent.base_cells() {
                Some(BaseCells::Few(cells)) => cells.contains(&cell.stored()),
                Some(BaseCells::Range(cells)) => cells.contains(&cell.stored()),
                None => false,
            };
            let cell = H3Cell::of(lat, lon).expect("finite");
            let parent = cell.parent(resolution).expect("coarser");
            prop_assert!(holds(parent, cell));
            let other = H3Cell::of(lat2, lon2).expect("finite");
            prop_assert_eq!(holds(parent, other), other.parent(resolution) == Some(parent));
        }

        #[test]
        fn parents_in_sql_are_parents((lat, lon) in place(), resolution in 0..=BASE_RESOLUTION) {
            let cell = H3Cell::of(lat, lon).expect("finite");
            let sql = parent_sql("c", resolution);
            let (keep, set) = sql
                .strip_prefix("((c & ")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|rest| rest.split_once(") | "))
                .expect("the shape of the expression");
            let (keep, set): (i64, i64) = (keep.parse().expect("mask"), set.parse().expect("bits"));
            let parent = cell.parent(resolution).expect("coarser");
            prop_assert_eq!((cell.stored() & keep) | set, parent.stored());
        }
    }
}
