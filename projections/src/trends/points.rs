//! The points of one vehicle in one bucket, and the path through them.

use chrono::TimeDelta;

use crate::{MOVING_FROM_MPS, haversine_m};

/// Points of one bucket, in no order until [`Points::settle`] is called.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Points(Vec<Point>);

/// A place in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Microseconds since the bucket's start.
    pub(super) offset_us: u32,
    /// Degrees.
    pub(super) lat: f64,
    /// Degrees.
    pub(super) lon: f64,
}

/// The path through a bucket's points in time order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) first: Point,
    pub(super) last: Point,
    pub(super) distance_m: f64,
    pub(super) moving_s: f64,
    pub(super) idle_s: f64,
}

/// A bucket keeps at most this many points, 10 a second; of more it keeps a sample that does not
/// depend on the order they come in. Counts and speeds are of all of them.
pub(super) const POINTS_MAX: usize = 3_000;
/// A point as stored: its offset, latitude and longitude, little-endian.
const POINT_BYTES: usize = 4 + 8 + 8;

impl Points {
    pub(super) fn reserve(&mut self, more: usize) {
        self.0.reserve(more);
    }

    pub(super) fn add(&mut self, offset: TimeDelta, lat: f64, lon: f64) {
        let micros = offset
            .num_microseconds()
            .expect("an offset into five minutes");
        let offset_us = u32::try_from(micros).expect("an offset into five minutes");
        self.0.push(Point {
            offset_us,
            lat,
            lon,
        });
    }

    pub(super) fn append(&mut self, mut from: Points) {
        self.0.append(&mut from.0);
        if self.0.len() > 2 * POINTS_MAX {
            self.thin();
        }
    }

    /// Thins, sorts by time (on ties by place, so that the order is the points' alone) and works out
    /// the path. `None` without points.
    pub(super) fn settle(&mut self) -> Option<Path> {
        self.thin();
        self.0.sort_unstable_by(|a, b| {
            let by_place = || a.lat.total_cmp(&b.lat).then(a.lon.total_cmp(&b.lon));
            a.offset_us.cmp(&b.offset_us).then_with(by_place)
        });
        let (first, last) = (*self.0.first()?, *self.0.last()?);
        let mut path = Path {
            first,
            last,
            distance_m: 0.0,
            moving_s: 0.0,
            idle_s: 0.0,
        };
        for step in self.0.windows(2) {
            let seconds = f64::from(step[1].offset_us - step[0].offset_us) / 1e6;
            let metres = haversine_m(step[0].lat, step[0].lon, step[1].lat, step[1].lon);
            path.distance_m += metres;
            if metres >= MOVING_FROM_MPS * seconds {
                path.moving_s += seconds;
            } else {
                path.idle_s += seconds;
            }
        }
        Some(path)
    }

    /// Keeps the [`POINTS_MAX`] points with the smallest hashes: the same ones whatever the order of
    /// arrival, and a fair sample of all.
    fn thin(&mut self) {
        if self.0.len() > POINTS_MAX {
            let bits = |point: &Point| (point.lat.to_bits(), point.lon.to_bits());
            self.0
                .sort_unstable_by_key(|point| (point.hash(), point.offset_us, bits(point)));
            self.0.truncate(POINTS_MAX);
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * POINT_BYTES);
        for point in &self.0 {
            bytes.extend_from_slice(&point.offset_us.to_le_bytes());
            bytes.extend_from_slice(&point.lat.to_le_bytes());
            bytes.extend_from_slice(&point.lon.to_le_bytes());
        }
        bytes
    }

    /// `None` unless the bytes are whole points.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Points> {
        let (points, rest) = bytes.as_chunks::<POINT_BYTES>();
        let read = |point: &[u8; POINT_BYTES]| {
            let (offset, place) = point.split_first_chunk::<4>()?;
            let (lat, lon) = place.split_first_chunk::<8>()?;
            Some(Point {
                offset_us: u32::from_le_bytes(*offset),
                lat: f64::from_le_bytes(*lat),
                lon: f64::from_le_bytes(*lon.first_chunk()?),
            })
        };
        if rest.is_empty() {
            points.iter().map(read).collect::<Option<_>>().map(Points)
        } else {
            None
        }
    }
}

impl Point {
    /// Spreads points evenly; stable, because what is stored depends on it.
    fn hash(&self) -> u64 {
        let words = [
            u64::from(self.offset_us),
            self.lat.to_bits(),
            self.lon.to_bits(),
        ];
        words.iter().fold(0x9e37_79b9_7f4a_7c15, |hash: u64, word| {
            let mixed = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed ^ (mixed >> 29)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(list: &[(u32, f64, f64)]) -> Points {
        Points(
            list.iter()
                .map(|&(offset_us, lat, lon)| Point {
                    offset_us,
                    lat,
                    lon,
                })
                .collect(),
        )
    }

    #[test]
    fn a_path_follows_time_whatever_the_order_of_arrival() {
        // About 111 m north in 10 s, then standing for 20 s, then back in 10 s.
        let mut late = points(&[
            (40_000_000, 30.0, -97.0),
            (0, 30.0, -97.0),
            (30_000_000, 30.001, -97.0),
            (10_000_000, 30.001, -97.0),
        ]);
        let path = late.settle().expect("there are points");
        let leg = haversine_m(30.0, -97.0, 30.001, -97.0);
        assert!((path.distance_m - 2.0 * leg).abs() < 1e-9);
        assert_eq!((path.moving_s, path.idle_s), (20.0, 20.0));
        assert_eq!((path.first.offset_us, path.last.offset_us), (0, 40_000_000));
    }

    #[test]
    fn one_point_is_a_path_without_length() {
        let path = points(&[(5, 1.0, 2.0)]).settle().expect("there is a point");
        assert_eq!(
            (path.distance_m, path.moving_s, path.idle_s),
            (0.0, 0.0, 0.0)
        );
        assert_eq!(Points::default().settle(), None);
    }

    #[test]
    fn bytes_that_are_not_whole_points_are_none() {
        assert_eq!(Points::from_bytes(&[0; POINT_BYTES + 1]), None);
        assert_eq!(Points::from_bytes(&[]), Some(Points::default()));
    }

    #[test]
    fn a_crowded_bucket_keeps_the_same_sample_in_any_order() {
        let all: Vec<_> = (0..10_000_u32)
            .map(|n| (n * 29, 30.0, f64::from(n) / 1e5))
            .collect();
        let mut at_once = points(&all);
        at_once.settle();
        let mut piecewise = Points::default();
        for piece in all.chunks(77).rev() {
            piecewise.append(points(piece));
        }
        piecewise.settle();
        assert_eq!(at_once.0.len(), POINTS_MAX);
        assert_eq!(piecewise, at_once);
    }

    proptest! {
        #[test]
        fn points_come_back_from_bytes(
            list in proptest::collection::vec((0..300_000_000_u32, -90.0..90.0, -180.0..180.0), 0..9),
        ) {
            let points = points(&list);
            prop_assert_eq!(Points::from_bytes(&points.to_bytes()), Some(points));
        }
    }
}
