//! How many fixes, which vehicles and how much speed in each cell and time.
//!
//! Kept by H3 base cell and five-minute bucket. Counts and sums add, vehicle sets unite: associative
//! and commutative. Speeds are summed as whole micrometres a second, so that the sum does not depend
//! on the order of its parts.

mod read;
mod totals;
mod evidence;
mod write;

pub use evidence::evidence;
pub use read::{Heatmap, HeatmapCell, HeatmapMetric, HeatmapQuery, HeatmapSpan, heatmap};

use domain::track::TrackEvent;
use domain::{Event, Recorded};
use sqlx::PgConnection;

use crate::grain::{bucket_of, micro_speed};
use crate::hash::{FastMap, vehicle_hash};
use crate::positions::not_a_place;
use crate::{Filling, H3Cell, Poison, Projection, STOPPED_BELOW_MPS, Target};

/// The read model's name.
pub const NAME: &str = "heatmap";

/// See the file's first lines.
pub(crate) struct HeatmapCells;

/// What each (bucket, cell) gained. Buckets are counted from 1970 in units of the grain.
#[derive(Debug, Default)]
pub(crate) struct Delta(FastMap<(i64, i64), Gain>);

/// What one cell gained in one bucket.
#[derive(Debug, Default, PartialEq)]
struct Gain {
    fixes: i32,
    stopped: i32,
    speed_n: i32,
    speed_sum_um: i64,
    vehicles: VehicleSet,
}

/// Hashes of distinct vehicles, ascending. Nearly always one: kept without an allocation.
#[derive(Debug, Default, PartialEq)]
enum VehicleSet {
    #[default]
    None,
    One(i64),
    Many(Vec<i64>),
}

impl Projection for HeatmapCells {
    const NAME: &'static str = NAME;
    const VERSION: i32 = 1;
    const AGGREGATES: &'static [&'static str] = &["track"];
    const TABLES: &'static [&'static str] = &["heatmap"];
    type Delta = Delta;

    fn ddl(target: &Target<'_>) -> Vec<String> {
        write::ddl(target)
    }

    fn fold(delta: &mut Delta, event: &Recorded<Event>) -> Result<(), Poison> {
        let Event::Track(TrackEvent::PositionsReported(reported)) = &event.event else {
            return Ok(());
        };
        let vehicle = vehicle_hash(&reported.vehicle_id);
        let mut here = Gain {
            vehicles: VehicleSet::One(vehicle),
            ..Gain::default()
        };
        let mut key = None;
        let mut place = None;
        for (index, fix) in (0..).zip(&reported.fixes) {
            // A vehicle that stands still reports the very same place again and again.
            let cell = match place {
                Some((lat, lon, cell)) if lat == fix.lat && lon == fix.lon => cell,
                _ => H3Cell::of(fix.lat, fix.lon)
                    .ok_or_else(|| not_a_place(event, index))?
                    .stored(),
            };
            place = Some((fix.lat, fix.lon, cell));
            let at = (bucket_of(fix.fix_time), cell);
            // Consecutive fixes mostly share cell and bucket: the map is touched once for a run.
            if let Some(before) = key.replace(at).filter(|before| *before != at) {
                let run = Gain {
                    vehicles: VehicleSet::One(vehicle),
                    ..Gain::default()
                };
                delta.add(before, std::mem::replace(&mut here, run));
            }
            here.count(fix.speed_mps);
        }
        if let Some(key) = key {
            delta.add(key, here);
        }
        Ok(())
    }

    fn merge(into: &mut Delta, mut from: Delta) {
        if into.0.len() < from.0.len() {
            std::mem::swap(into, &mut from);
        }
        for (key, gain) in from.0 {
            into.add(key, gain);
        }
    }

    fn rows(delta: &Delta) -> usize {
        delta.0.len()
    }

    async fn write<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
    ) -> Result<(), sqlx::Error> {
        write::write(conn, target, delta).await
    }

    async fn fill<'a>(
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        delta: Delta,
        filling: &'a Filling,
    ) -> Result<(), sqlx::Error> {
        write::fill(conn, target, delta, filling).await
    }
}

impl Delta {
    fn add(&mut self, key: (i64, i64), gain: Gain) {
        let kept = self.0.entry(key).or_default();
        kept.fixes += gain.fixes;
        kept.stopped += gain.stopped;
        kept.speed_n += gain.speed_n;
        kept.speed_sum_um += gain.speed_sum_um;
        kept.vehicles.unite(gain.vehicles);
    }
}

impl Gain {
    fn count(&mut self, speed_mps: Option<f64>) {
        self.fixes += 1;
        if let Some(speed) = speed_mps {
            self.speed_n += 1;
            self.speed_sum_um += micro_speed(speed);
            self.stopped += i32::from(speed < STOPPED_BELOW_MPS);
        }
    }
}

impl VehicleSet {
    fn as_slice(&self) -> &[i64] {
        match self {
            VehicleSet::None => &[],
            VehicleSet::One(one) => std::slice::from_ref(one),
            VehicleSet::Many(many) => many,
        }
    }

    fn unite(&mut self, other: VehicleSet) {
        match other {
            VehicleSet::None => {}
            VehicleSet::One(one) => self.insert(one),
            VehicleSet::Many(many) => many.into_iter().for_each(|vehicle| self.insert(vehicle)),
        }
    }

    fn insert(&mut self, vehicle: i64) {
        match self {
            VehicleSet::None => *self = VehicleSet::One(vehicle),
            VehicleSet::One(one) if *one == vehicle => {}
            VehicleSet::One(one) => {
                *self = VehicleSet::Many(vec![vehicle.min(*one), vehicle.max(*one)]);
            }
            VehicleSet::Many(many) => {
                if let Err(place) = many.binary_search(&vehicle) {
                    many.insert(place, vehicle);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::grain::bucket_start;
    use crate::testing::{at, check_order_is_no_matter, deal, fix, reported, reports};

    fn fold(events: &[Recorded<Event>]) -> Delta {
        let mut delta = Delta::default();
        for event in events {
            HeatmapCells::fold(&mut delta, event).expect("well-formed");
        }
        delta
    }

    #[test]
    fn a_report_counts_in_the_cells_and_buckets_it_touches() {
        // Two fixes in one cell and bucket, one in the next bucket, one back in the first.
        let (lat, lon) = (30.2672, -97.7431);
        let delta = fold(&[
            reported(
                1,
                "a",
                vec![
                    fix(0, lat, lon, Some(0.25)),
                    fix(299, lat, lon, None),
                    fix(300, lat, lon, Some(10.0)),
                    fix(10, lat, lon, Some(2.5)),
                ],
            ),
            reported(2, "b", vec![fix(20, lat, lon, None)]),
        ]);
        let cell = H3Cell::of(lat, lon).expect("finite").stored();
        let key = |seconds| (bucket_of(at(seconds)), cell);
        assert_eq!(bucket_start(key(0).0), at(0));
        assert_eq!(HeatmapCells::rows(&delta), 2);
        let first = &delta.0[&key(0)];
        assert_eq!((first.fixes, first.stopped, first.speed_n), (4, 1, 2));
        assert_eq!(first.speed_sum_um, 2_750_000);
        let mut both = [vehicle_hash("a"), vehicle_hash("b")];
        both.sort_unstable();
        assert_eq!(first.vehicles.as_slice(), both);
        let second = &delta.0[&key(300)];
        assert_eq!((second.fixes, second.stopped, second.speed_n), (1, 0, 1));
        assert_eq!(second.vehicles.as_slice(), [vehicle_hash("a")]);
    }

    #[test]
    fn a_fix_nowhere_is_poison() {
        let event = reported(7, "a", vec![fix(0, f64::NAN, 0.0, None)]);
        let poison = HeatmapCells::fold(&mut Delta::default(), &event).expect_err("not finite");
        assert!(poison.to_string().contains("event at 7"), "{poison}");
    }

    proptest! {
        #[test]
        fn order_is_no_matter(events in reports(), deal in deal()) {
            check_order_is_no_matter::<HeatmapCells, _>(&events, &deal, |delta| {
                delta.0.into_iter().collect::<BTreeMap<_, _>>()
            });
        }

        #[test]
        fn a_set_holds_each_vehicle_once(a in set(), b in set()) {
            let mut united = a.iter().fold(VehicleSet::None, |mut set, v| { set.insert(*v); set });
            united.unite(b.iter().fold(VehicleSet::None, |mut set, v| { set.insert(*v); set }));
            let expect: std::collections::BTreeSet<i64> = a.into_iter().chain(b).collect();
            prop_assert_eq!(united.as_slice(), expect.into_iter().collect::<Vec<_>>());
        }
    }

    fn set() -> impl Strategy<Value = Vec<i64>> {
        proptest::collection::vec(-4..4_i64, 0..6)
    }
}
